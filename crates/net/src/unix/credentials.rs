//! Who is at the other end of a Unix domain socket, as the system knows it. May use nothing of
//! ours.

use std::os::fd::AsFd;

/// The process that connected, or for the one that connected, the process that listens.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    /// None of a process that this one cannot see, in another PID namespace.
    pub pid: Option<u32>,
    pub uid: u32,
    pub gid: u32,
}

/// SO_PEERCRED, which is what was true when the connection was made.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn of_peer(socket: &impl AsFd) -> Option<Credentials> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let found = getsockopt(socket, PeerCredentials).ok()?;
    let pid = u32::try_from(found.pid()).ok().filter(|pid| *pid > 0);
    Some(Credentials { pid, uid: found.uid(), gid: found.gid() })
}

/// LOCAL_PEERCRED; the process is known to Apple's systems alone.
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub fn of_peer(socket: &impl AsFd) -> Option<Credentials> {
    use nix::sys::socket::{getsockopt, sockopt};
    let found = getsockopt(socket, sockopt::LocalPeerCred).ok()?;
    #[cfg(target_vendor = "apple")]
    let pid = getsockopt(socket, sockopt::LocalPeerPid).ok();
    #[cfg(not(target_vendor = "apple"))]
    let pid = None::<i32>;
    let pid = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    Some(Credentials { pid, uid: found.uid(), gid: *found.groups().first()? })
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
pub fn of_peer(_: &impl AsFd) -> Option<Credentials> {
    None
}
