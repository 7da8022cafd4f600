//! A listening socket: bound, and its clients taken as a step. Uses `endpoint`, `connect::resolve`,
//! `connect::race` (its socket options), `transport`, `stream`, `connect`, `io::step`,
//! `io::deadline`, `trace`, `error`.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Socket, TcpKeepalive};

use crate::connect::Established;
use crate::connect::dial::Timings;
use crate::connect::host::Family;
use crate::connect::race::first_address;
use crate::connect::resolve::Resolve;
use crate::connect::socket::{new_socket, set_keepalive};
use crate::endpoint::{Addresses, Endpoint};
use crate::error::{Code, Error, Pending, Result, is_exhausted, system_text};
use crate::io::deadline::Deadline;
use crate::io::step::{Step, Wait, Want, ready};
use crate::stream::{Limits, Stream};
use crate::trace::{Trace, Tracer};
use crate::transport::Transport;
use crate::transport::proxied::Proxied;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Side};
use crate::transport::tracing::traced;

/// Clients in a row that cannot be had, before others get their turn.
const ATTEMPTS: usize = 16;
/// How long a client waits that there is no descriptor for, in seconds.
const PAUSE: f64 = 0.1;

/// Where and how to listen, and what the accepted connections are like.
pub struct ListenConfig {
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
    /// Each client begins with a PROXY header.
    pub proxy_protocol: bool,
    pub tls: Option<tls::Setup>,
    /// Asked anew for each connection.
    pub tracer: Tracer,
}

/// A listener that its host is looked up for.
pub struct Bind {
    setup: Option<tls::Setup>,
    resolve: Resolve,
    /// Taken when the listener is bound.
    config: Option<ListenConfig>,
    trace: Option<Trace>,
}

impl Bind {
    pub fn start(mut config: ListenConfig) -> Result<Self> {
        let trace = config.tracer.of(&config.endpoint);
        let Endpoint { host, port } = &config.endpoint;
        let resolve = Resolve::start(host, *port, config.family, trace.as_ref())?;
        let setup = config.tls.take();
        Ok(Self { setup, resolve, config: Some(config), trace })
    }

    /// The listener, at the first address of the host.
    pub fn step(&mut self) -> Result<Step<Listener>> {
        let tls = match &mut self.setup {
            Some(setup) => Some(ready!(setup.step()?)),
            None => None,
        };
        let addresses = ready!(self.resolve.step()?);
        let config = self.config.take().expect("a step after the last");
        let address = first_address(&addresses, config.family)?;
        Ok(Step::Done(Listener::bind(address, config, tls, self.trace.take())?))
    }
}

pub struct Listener {
    socket: Socket,
    sock: SocketAddr,
    config: ListenConfig,
    tls: Option<tls::Config>,
    trace: Option<Trace>,
    /// See [`Listener::resumes`].
    resumes: Cell<Deadline>,
}

impl Listener {
    fn bind(
        address: SocketAddr,
        config: ListenConfig,
        tls: Option<tls::Config>,
        trace: Option<Trace>,
    ) -> Result<Self> {
        let socket = new_socket(address)?;
        socket.set_reuse_address(config.reuse_addr)?;
        if config.reuse_port {
            socket.set_reuse_port(true)?;
        }
        let bound = socket.bind(&address.into()).and_then(|()| socket.listen(config.backlog));
        bound.map_err(|error| Error::new(Code::Address, system_text(&error)))?;
        let sock = socket.local_addr()?.as_socket().unwrap_or(address);
        if let Some(trace) = &trace {
            trace.note(format_args!("listen: at {sock}"));
        }
        let resumes = Cell::new(Deadline::at(0.0));
        Ok(Self { socket, sock, config, tls, trace, resumes })
    }

    /// The address that it listens at.
    pub fn sock(&self) -> SocketAddr {
        self.sock
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether its clients tell by a PROXY header who they are.
    pub fn is_proxied(&self) -> bool {
        self.config.proxy_protocol
    }

    /// The next client. A TLS handshake is left to its first read or write.
    pub fn step_accept(&self) -> Result<Step<Established>> {
        for _ in 0..ATTEMPTS {
            match self.accept() {
                Ok(Some(client)) => return self.establish(client).map(Step::Done),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = Wait::new(&self.socket, Want::Read);
                    return Ok(Step::Wait(wait.pending(Pending::Client)));
                }
                Err(error) => {
                    if is_exhausted(&error) {
                        self.resumes.set(Deadline::after(PAUSE));
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(Step::Wait(Wait::yield_now(&self.socket).pending(Pending::Client)))
    }

    /// The same for whoever takes one client after the other: where there is no descriptor for one,
    /// it stays in the queue for a while.
    pub fn step_next(&self) -> Result<Step<Established>> {
        if !self.resumes.get().has_passed() {
            return Ok(Step::Wait(self.pause()));
        }
        match self.step_accept() {
            Err(_) if !self.resumes.get().has_passed() => Ok(Step::Wait(self.pause())),
            step => step,
        }
    }

    /// When a client that there was no descriptor for is to be tried again: until then it counts as
    /// not there, or whoever polls would come back at once, again and again.
    pub fn resumes(&self) -> Deadline {
        self.resumes.get()
    }

    /// Ends with its time alone: nothing is ever written to a listener.
    fn pause(&self) -> Wait {
        Wait::new(&self.socket, Want::Write).waking(self.resumes.get()).pending(Pending::Client)
    }

    /// None for a client that cannot be had any more: another may wait behind it.
    fn accept(&self) -> io::Result<Option<(Socket, Addresses)>> {
        let (socket, remote) = match self.socket.accept() {
            Err(error) if is_of_client(&error) => return Ok(None),
            result => result?,
        };
        socket.set_nonblocking(true)?;
        let remote = remote.as_socket().unwrap_or(self.sock);
        match self.prepare(&socket) {
            Ok(local) => Ok(Some((socket, Addresses { local, remote }))),
            Err(error) if is_exhausted(&error) => Err(error),
            // Some systems refuse everything to the socket of a client that has reset.
            Err(_) => Ok(None),
        }
    }

    /// Sets a client's options: this side's address.
    fn prepare(&self, socket: &Socket) -> io::Result<SocketAddr> {
        socket.set_tcp_nodelay(self.config.nodelay)?;
        if self.config.keepalive.is_some() {
            set_keepalive(socket, self.config.keepalive.as_ref())?;
        }
        Ok(socket.local_addr()?.as_socket().unwrap_or(self.sock))
    }

    fn establish(&self, (socket, addresses): (Socket, Addresses)) -> Result<Established> {
        let Addresses { local, remote } = addresses;
        let trace = self.config.tracer.of(remote);
        if let Some(trace) = &trace {
            trace.note(format_args!("accept: at {local}"));
        }
        let tcp = Tcp::new(socket);
        let transport: Box<dyn Transport> = match &self.tls {
            Some(tls) => Box::new(tls.begin(tcp, trace.as_ref())?),
            None => Box::new(tcp),
        };
        let transport = match self.config.proxy_protocol {
            true => Box::new(Proxied::new(transport, trace.clone())),
            false => transport,
        };
        let stream = Box::new(Stream::new(traced(transport, trace), self.config.limits));
        let (timings, side) = (Timings::default(), Side::Server);
        Ok(Established { stream, addresses, timings, side })
    }
}

/// Whether accept failed for one client, and not for the listener: the client was gone before it
/// was accepted, or its network has failed (accept(2)).
fn is_of_client(error: &io::Error) -> bool {
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
