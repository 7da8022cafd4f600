//! A socket that somebody else has opened: it is checked, and stays theirs until it is taken. Uses
//! `endpoint`, `error`.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use crate::endpoint::{Address, Addresses};
use crate::error::{Code, Error, Result};
use crate::io::system::Socket;

/// What a socket is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Connected,
    Listening,
}

/// Dropped before it was taken, it is left open and as it was.
#[derive(Debug)]
pub struct GivenSocket(Option<Socket>);

impl GivenSocket {
    /// A stream socket in this role; any other is an error that says what it is.
    pub fn new(fd: OwnedFd, role: Role) -> Result<Self> {
        let given = Self(Some(fd.into()));
        let socket = given.socket();
        match sockopt::socket_type(socket) {
            Ok(SocketType::STREAM) => {}
            Ok(_) => return Err(Error::new(Code::Io, "not a stream socket")),
            Err(Errno::BADF) => return Err(Error::new(Code::Io, "not open")),
            Err(Errno::NOTSOCK) => return Err(Error::new(Code::Io, "not a socket")),
            Err(errno) => return Err(errno.into()),
        }
        let is_unix = given.local()?.is_unix();
        if !is_unix && !is_tcp(socket) {
            return Err(Error::new(Code::Io, "neither a TCP socket nor a Unix socket"));
        }
        let is_listening = is_listening(socket).unwrap_or(role == Role::Listening);
        match (role, is_listening, socket.peer_addr()) {
            (Role::Connected, false, Ok(_)) | (Role::Listening, true, _) => Ok(given),
            (Role::Connected, true, _) => {
                Err(Error::new(Code::Io, "a listening socket, listener_from_fd takes it"))
            }
            (Role::Connected, false, Err(error)) if error.kind() != io::ErrorKind::NotConnected => {
                Err(error.into())
            }
            (Role::Connected, false, Err(_)) => Err(Error::new(Code::Io, "not connected")),
            (Role::Listening, false, Ok(_)) => {
                Err(Error::new(Code::Io, "a connected socket, from_fd takes it"))
            }
            (Role::Listening, false, Err(_)) => Err(Error::new(Code::Io, "not listening")),
        }
    }

    fn socket(&self) -> &Socket {
        self.0.as_ref().expect("taken at the end alone")
    }

    /// The address of this end.
    pub fn local(&self) -> Result<Address> {
        let local = self.socket().local_addr()?;
        let unknown = || Error::new(Code::Io, "neither a TCP socket nor a Unix socket");
        Address::from_system(&local).ok_or_else(unknown)
    }

    /// The addresses of both ends of a connected one.
    pub fn addresses(&self) -> Result<Addresses> {
        Ok(Addresses::of(self.socket())?)
    }

    /// Makes it this module's own: it never blocks, and no other program inherits it.
    pub fn take(mut self) -> Result<Socket> {
        let socket = self.socket();
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        // Of a TCP socket that lingers close(2) would wait until all is sent.
        if socket.linger()?.is_some_and(|linger| !linger.is_zero()) {
            socket.set_linger(None)?;
        }
        Ok(self.0.take().expect("taken once"))
    }
}

impl Drop for GivenSocket {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            let _ = socket.into_raw_fd();
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_tcp(socket: &Socket) -> bool {
    use rustix::net::ipproto::{MPTCP, TCP};
    matches!(sockopt::socket_protocol(socket), Ok(Some(TCP | MPTCP)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_tcp(_: &Socket) -> bool {
    // A stream socket of these families is one.
    true
}

/// None where the system does not tell.
#[cfg(not(target_vendor = "apple"))]
fn is_listening(socket: &Socket) -> Option<bool> {
    sockopt::socket_acceptconn(socket).ok()
}

#[cfg(target_vendor = "apple")]
fn is_listening(_: &Socket) -> Option<bool> {
    None
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_is_refused_stays_open() {
        let (reader, _writer) = std::io::pipe().expect("pipe");
        let number = reader.as_raw_fd();
        let error = GivenSocket::new(reader.into(), Role::Connected).expect_err("a pipe");
        assert_eq!((error.code(), error.detail()), (Code::Io, "not a socket"));
        let path = format!("/dev/fd/{number}");
        assert!(std::fs::metadata(path).is_ok());
    }

    #[test]
    fn what_is_taken_never_blocks() {
        let (one, _other) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .expect("a pair of sockets");
        let given = GivenSocket::new(one.into(), Role::Connected).expect("connected");
        assert!(given.local().expect("an address").is_unix());
        let taken = given.take().expect("taken");
        assert!(taken.nonblocking().expect("flags"));
    }
}
