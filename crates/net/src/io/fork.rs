//! Tells whether the process has forked since. What one process has of a connection, a poller or a
//! thread, another one must not go on with. May use nothing of ours.

use std::ffi::c_int;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Raised in each child: another number, another process.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Raised on both sides of each fork.
static FORKS: AtomicU64 = AtomicU64::new(0);

type Handler = Option<unsafe extern "C" fn()>;

// SAFETY: the declaration is that of POSIX.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
}

/// A number that another process has not: asking for the process id costs a system call.
pub fn generation() -> u64 {
    watch();
    GENERATION.load(Ordering::Relaxed)
}

/// How often this process and those before it have forked: as long as it stays, no other process has
/// had to do with what this one has.
pub fn forks() -> u64 {
    watch();
    FORKS.load(Ordering::Relaxed)
}

/// Has forks counted from now on. Should the system have no memory for that, none is.
#[allow(unsafe_code)]
fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handlers touch atomics alone, and are never unloaded (`-z nodelete`, see build.rs).
        unsafe { pthread_atfork(None, Some(in_parent), Some(in_child)) };
    });
}

extern "C" fn in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
