//! Stream sockets as socket2 has them. Uses `kernel`, `network`, `readiness`, `state`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::kernel::{Kind, with};
use crate::network::{Answer, Happening, any_port, name};
use crate::readiness::Edge;
use crate::state::{Phase, State};

#[derive(Debug)]
pub struct Socket(RawFd);

impl Socket {
    pub fn new(domain: Domain, _: Type, _: Option<Protocol>) -> io::Result<Self> {
        let state = Kind::Socket(Box::new(State::new(domain)));
        Ok(with(|kernel| {
            kernel.tick();
            kernel.open(state).map(Self)
        })?)
    }

    pub fn connect(&self, address: &SockAddr) -> io::Result<()> {
        Ok(self.connect_to(address)?)
    }

    fn connect_to(&self, address: &SockAddr) -> rustix::io::Result<()> {
        with(|kernel| {
            kernel.tick();
            let id = kernel.id(self.0)?;
            let port = any_port(&mut kernel.random);
            let name = name(address);
            let Some(server) = kernel.servers.get_mut(&name) else {
                return Err(Errno::CONNREFUSED);
            };
            if server.full > 0 {
                server.full -= 1;
                return Err(Errno::AGAIN);
            }
            let (answer, after) = (server.answer, server.after);
            let peer = if answer == Answer::Accept { server.peers.pop_front() } else { None };
            let state = kernel.socket(self.0)?;
            (state.remote, state.peer) = (Some(address.clone()), peer);
            let local: SocketAddr = match address.as_socket() {
                Some(SocketAddr::V6(_)) => (Ipv6Addr::LOCALHOST, port).into(),
                _ => (Ipv4Addr::LOCALHOST, port).into(),
            };
            state.local.get_or_insert(local.into());
            match answer {
                Answer::Unreachable => Err(Errno::NETUNREACH),
                _ if state.is_unix => {
                    if answer != Answer::Accept {
                        return Err(Errno::CONNREFUSED);
                    }
                    state.phase = Phase::Connected;
                    kernel.begin(id);
                    Ok(())
                }
                _ => {
                    state.phase = Phase::Connecting;
                    if answer != Answer::Silence {
                        kernel.plan(after, Happening::Connected(id, answer));
                    }
                    Err(Errno::INPROGRESS)
                }
            }
        })
    }

    pub fn bind(&self, address: &SockAddr) -> io::Result<()> {
        self.set(|state| state.local = Some(address.clone()))
    }

    pub fn listen(&self, _: i32) -> io::Result<()> {
        let address = self.local_addr()?;
        self.set(|state| state.phase = Phase::Listening)?;
        with(|kernel| {
            let id = kernel.id(self.0)?;
            kernel.listeners.insert(name(&address), id);
            Ok(())
        })
    }

    pub fn accept(&self) -> io::Result<(Self, SockAddr)> {
        Ok(with(|kernel| {
            kernel.tick();
            let listener = kernel.socket(self.0)?;
            if listener.clients.is_empty() {
                return Err(Errno::AGAIN);
            }
            let (local, domain) = (listener.local.clone(), listener.domain());
            let fd = kernel.open(Kind::Socket(Box::new(State::new(domain))))?;
            let (id, port) = (kernel.id(fd)?, any_port(&mut kernel.random));
            let remote = SockAddr::from(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port)));
            let peer = kernel.socket(self.0)?.clients.pop_front();
            let state = kernel.socket(fd)?;
            (state.phase, state.peer, state.local) = (Phase::Connected, peer, local);
            state.remote = Some(remote.clone());
            kernel.begin(id);
            Ok((Self(fd), remote))
        })?)
    }

    pub fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        with(|kernel| {
            kernel.tick();
            let id = kernel.id(self.0)?;
            let state = kernel.socket(self.0)?;
            if state.phase != Phase::Connected || state.is_reset {
                return Err(Errno::NOTCONN.into());
            }
            state.is_shut = true;
            kernel.wake(id, Edge::ANY);
            Ok(())
        })
    }

    pub fn local_addr(&self) -> io::Result<SockAddr> {
        let any = SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(with(|kernel| Ok::<_, Errno>(kernel.socket(self.0)?.local.clone().unwrap_or(any)))?)
    }

    pub fn peer_addr(&self) -> io::Result<SockAddr> {
        Ok(with(|kernel| {
            kernel.tick();
            let state = kernel.socket(self.0)?;
            let remote = state.remote.clone().filter(|_| state.phase == Phase::Connected);
            remote.filter(|_| !state.is_reset).ok_or(Errno::NOTCONN)
        })?)
    }

    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        with(|kernel| Ok(kernel.socket(self.0)?.error.take().map(io::Error::from)))
    }

    fn set(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        with(|kernel| {
            kernel.tick();
            change(kernel.socket(self.0)?);
            Ok(())
        })
    }

    // Options that nothing here depends on.

    pub fn set_reuse_address(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_reuse_port(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_cloexec(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn set_linger(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(None)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        with(|kernel| {
            kernel.tick();
            kernel.close(self.0);
        });
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(self.0)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl IntoRawFd for Socket {
    fn into_raw_fd(self) -> RawFd {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into_raw_fd())
    }
}

impl FromRawFd for Socket {
    #[allow(unsafe_code)]
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        Self(fd)
    }
}

#[allow(unsafe_code)]
pub(crate) fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is no descriptor of the process, and no call of the system gets it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// connect(2) to a Unix socket, which is through at once or not at all.
pub fn connect(socket: &Socket, address: &SocketAddrUnix) -> rustix::io::Result<()> {
    let path = address.path().map(|path| path.to_string_lossy().into_owned());
    let address = SockAddr::unix(path.unwrap_or_default()).map_err(|_| Errno::INVAL)?;
    socket.connect_to(&address)
}
