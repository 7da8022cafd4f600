//! What kind of failure a system call has reported. Uses no other module.

use std::io;

use rustix::io::Errno;

/// Whether a call that failed so would have gone well at another moment, and has done nothing: the
/// system had no memory.
pub fn is_transient(errno: Errno) -> bool {
    matches!(errno, Errno::NOBUFS | Errno::NOMEM)
}

/// Whether a call failed for the want of descriptors or memory, here or in the whole system.
pub fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE) || is_transient(errno))
}

/// Whether accept failed for one client, and not for the listener: the client was gone before it
/// was accepted, or its network has failed (accept(2)).
pub fn is_of_client(error: &io::Error) -> bool {
    const OF_CLIENT: [Errno; 13] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        #[cfg(target_os = "linux")]
        Errno::NONET,
        #[cfg(not(target_os = "linux"))]
        Errno::NOTCONN,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OF_CLIENT.contains(&errno))
}
