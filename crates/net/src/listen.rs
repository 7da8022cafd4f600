//! A listening socket: bound, and its clients taken as a step. Uses `endpoint`, `connect::resolve`,
//! `connect::race` (its socket options), `transport`, `stream`, `connect`, `io::step`, `trace`,
//! `error`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Socket, TcpKeepalive};

use crate::connect::race::{Family, Timings, first, new_socket, set_keepalive};
use crate::connect::resolve::Resolve;
use crate::connect::{Addresses, Established};
use crate::endpoint::Endpoint;
use crate::error::{Code, Error, Pending, Result, system_text};
use crate::io::step::{Step, Wait, Want, ready};
use crate::stream::{Limits, Stream};
use crate::trace::{Trace, Tracer};
use crate::transport::Transport;
use crate::transport::tcp::Tcp;
use crate::transport::tls;
use crate::transport::tracing::traced;

/// Where and how to listen, and what the accepted connections are like.
pub struct Settings {
    /// Port 0: any that is free.
    pub endpoint: Endpoint,
    pub family: Option<Family>,
    /// Connections that the system keeps until they are accepted.
    pub backlog: i32,
    pub reuse_addr: bool,
    pub reuse_port: bool,
    pub nodelay: bool,
    pub keepalive: Option<TcpKeepalive>,
    pub limits: Limits,
    pub tls: Option<tls::Server>,
    /// Asked anew for each connection.
    pub tracer: Tracer,
}

/// A listener that its host is looked up for.
pub struct Bind {
    resolve: Resolve,
    /// Taken when the listener is bound.
    settings: Option<Settings>,
    trace: Option<Trace>,
}

impl Bind {
    pub fn start(settings: Settings) -> Result<Self> {
        let trace = settings.tracer.of(&settings.endpoint);
        let Endpoint { host, port } = &settings.endpoint;
        let resolve = Resolve::start(host, *port, trace.as_ref())?;
        Ok(Self { resolve, settings: Some(settings), trace })
    }

    /// The listener, at the first address of the host.
    pub fn step(&mut self) -> Result<Step<Listener>> {
        let addresses = ready!(self.resolve.step()?);
        let settings = self.settings.take().expect("a step after the last");
        let address = first(&addresses, settings.family)?;
        Ok(Step::Done(Listener::bind(address, settings, self.trace.take())?))
    }
}

pub struct Listener {
    socket: Socket,
    sock: SocketAddr,
    settings: Settings,
    trace: Option<Trace>,
}

impl Listener {
    fn bind(address: SocketAddr, settings: Settings, trace: Option<Trace>) -> Result<Self> {
        let socket = new_socket(address)?;
        socket.set_reuse_address(settings.reuse_addr)?;
        if settings.reuse_port {
            socket.set_reuse_port(true)?;
        }
        let bound = socket.bind(&address.into()).and_then(|()| socket.listen(settings.backlog));
        bound.map_err(|error| Error::new(Code::Address, system_text(&error)))?;
        let sock = socket.local_addr()?.as_socket().unwrap_or(address);
        if let Some(trace) = &trace {
            trace.note(format_args!("listen: at {sock}"));
        }
        Ok(Self { socket, sock, settings, trace })
    }

    /// The address that it listens at.
    pub fn sock(&self) -> SocketAddr {
        self.sock
    }

    pub fn is_tls(&self) -> bool {
        self.settings.tls.is_some()
    }

    /// The next client. A TLS handshake is left to its first read or write.
    pub fn step_accept(&self) -> Result<Step<Established>> {
        let (socket, peer) = match self.socket.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    let wait = Wait::new(&self.socket, Want::Read);
                    return Ok(Step::Wait(wait.pending(Pending::Client)));
                }
                // A client that was gone before it was accepted is none.
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {
                    return Ok(Step::Wait(Wait::yield_now(&self.socket).pending(Pending::Client)));
                }
                _ => return Err(error.into()),
            },
        };
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(self.settings.nodelay)?;
        if self.settings.keepalive.is_some() {
            set_keepalive(&socket, self.settings.keepalive.as_ref())?;
        }
        let sock = socket.local_addr()?.as_socket().unwrap_or(self.sock);
        let addresses = Addresses { sock, peer: peer.as_socket().unwrap_or(self.sock) };
        let trace = self.settings.tracer.of(addresses.peer);
        if let Some(trace) = &trace {
            trace.note(format_args!("accept: at {sock}"));
        }
        let tcp = Tcp::new(socket);
        let transport: Box<dyn Transport> = match &self.settings.tls {
            Some(server) => Box::new(server.accept(tcp, trace.as_ref())?),
            None => Box::new(tcp),
        };
        let stream = Box::new(Stream::new(traced(transport, trace), self.settings.limits));
        Ok(Step::Done(Established { stream, addresses, timings: Timings::default() }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.end("close");
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
