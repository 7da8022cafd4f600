//! Forks of this process: counters that each of them raises. What is shared with another process is told
//! by them. May use nothing of ours.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static FORKS: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

/// How many forks lie between this process and the one that asked first. A load is cheaper than `getpid`.
pub fn generation() -> u64 {
    watch();
    GENERATION.load(Ordering::Relaxed)
}

/// How many forks this process and those before it have made, or come from. As long as it stays, no other
/// process has got what this one has.
pub fn forks() -> u64 {
    watch();
    FORKS.load(Ordering::Relaxed)
}

#[allow(unsafe_code)]
fn watch() {
    // SAFETY: the handlers stay where they are, since the module is never unloaded. Where there is no memory
    // for them, children are taken for their parent, as they were without them.
    HANDLER.call_once(|| unsafe {
        libc::pthread_atfork(None, Some(in_parent), Some(in_child));
    });
}

extern "C" fn in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Runs in the child, where only what is safe in a signal handler may be done.
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
