//! Forks of this process: a counter that each of them raises in the child, and a descriptor's number that a
//! child goes on with. What is shared with another process is told by it. May use nothing of ours.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

/// How many forks lie between this process and the one that asked first. A load is cheaper than `getpid`.
#[allow(unsafe_code)]
pub fn generation() -> u64 {
    // SAFETY: the handler stays where it is, since the module is never unloaded. Where there is no memory for
    // it, children are taken for their parent, as they were without it.
    HANDLER.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
    GENERATION.load(Ordering::Relaxed)
}

/// Runs in the child, where only what is safe in a signal handler may be done.
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Makes the descriptor of `owner` another one of what `with` is, under the number that it has. This holds for this
/// process alone: another that shares what it was keeps that.
#[allow(unsafe_code)]
pub fn replace(owner: &mut impl AsRawFd, with: &impl AsRawFd) -> io::Result<()> {
    let fd = owner.as_raw_fd();
    // SAFETY: neither call reads memory of ours, and the descriptor that dup2 closes is the owner's.
    let is_done = unsafe {
        libc::dup2(with.as_raw_fd(), fd) >= 0
            && libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) >= 0
    };
    if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
}
