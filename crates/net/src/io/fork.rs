//! Forks of this process. Counters tell whether another process shares what this one has, and
//! `replace` gives a child a descriptor of its own. Uses no other module.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static FORKS: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

/// The number of forks between this process and the first that called this. A load is cheaper than
/// `getpid`.
pub fn generation() -> u64 {
    watch();
    GENERATION.load(Ordering::Relaxed)
}

/// The number of forks that this process and its ancestors have made. While it stays the same, no
/// other process shares the descriptors that were opened since.
pub fn forks() -> u64 {
    watch();
    FORKS.load(Ordering::Relaxed)
}

#[allow(unsafe_code)]
fn watch() {
    // SAFETY: the handlers stay where they are, since the module is never unloaded. Where there is
    // no memory for them, children are taken for their parent, as they were without them.
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

/// Makes the descriptor of `owner` a copy of that of `with`, under the same number (dup2). Other
/// processes that share the old descriptor keep it.
#[allow(unsafe_code)]
pub fn replace(owner: &mut impl AsRawFd, with: &impl AsRawFd) -> io::Result<()> {
    let fd = owner.as_raw_fd();
    // A daemon may have closed its inherited descriptors, and the number may belong to another
    // file.
    if kind(fd).is_some_and(|other| Some(other) != kind(with.as_raw_fd())) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: neither call reads memory of ours, and the descriptor that dup2 closes is the
    // owner's.
    let is_done = unsafe {
        libc::dup2(with.as_raw_fd(), fd) >= 0
            && libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) >= 0
    };
    if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The device and the file type of a descriptor; none if it is not open.
#[allow(unsafe_code)]
fn kind(fd: RawFd) -> Option<(libc::dev_t, libc::mode_t)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes all of what it is given where it gives 0.
    let stat = unsafe { (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init())? };
    Some((stat.st_dev, stat.st_mode & libc::S_IFMT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_number_that_is_another_s_is_left_alone() {
        let (mut reader, _writer) = io::pipe().expect("pipe");
        let file = File::open("/dev/null").expect("file");
        let error = replace(&mut reader, &file).expect_err("a pipe is no file");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
