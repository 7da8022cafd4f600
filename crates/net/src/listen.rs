//! A listening socket, TCP or Unix: bound, or given by somebody else, and its clients taken as a
//! step. Uses `endpoint`, `connect::resolve`, `connect::race`, `connect::socket`,
//! `socket_options`, `unix`, `transport`, `stream`, `connect`, `io::step`, `io::deadline`,
//! `trace`, `error`.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::SockRef;

use crate::connect::Established;
use crate::connect::dial::Timings;
use crate::connect::host::Family;
use crate::connect::race::first_address;
use crate::connect::resolve::Resolve;
use crate::connect::socket::{new_socket, new_unix_socket};
use crate::endpoint::{Address, Addresses, Endpoint, Name};
use crate::errno::{is_exhausted, is_of_client};
use crate::error::{Code, Error, Pending, Result};
use crate::io::deadline::Deadline;
use crate::io::step::{Step, Wait, Want, ready};
use crate::io::system::Socket;
use crate::socket_options::{Domain, SocketOptions};
use crate::stream::{Limits, Stream};
use crate::text::system_text;
use crate::trace::{Trace, Tracer};
use crate::transport::Transport;
use crate::transport::proxied::Proxied;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Side};
use crate::transport::tracing::traced;
use crate::unix::address::UnixAddress;
use crate::unix::given::GivenSocket;
use crate::unix::socket_file::{self, FileOptions, SocketFile};

/// Clients in a row that cannot be had, before others get their turn.
const ATTEMPTS: usize = 16;
/// How long a client waits that there is no descriptor for, in seconds.
const PAUSE: f64 = 0.1;

/// Where to listen.
#[derive(Debug)]
pub enum Source {
    /// At the first address of a host. Port 0: any that is free.
    Host(Endpoint, Option<Family>),
    Unix(UnixAddress, FileOptions),
    /// On what listens already.
    Given(GivenSocket),
}

impl Source {
    /// Whom messages name.
    pub fn name(&self) -> Result<Name> {
        Ok(match self {
            Self::Host(endpoint, _) => Name::Host(endpoint.clone()),
            Self::Unix(address, _) => Name::Unix(address.clone()),
            Self::Given(socket) => socket.local()?.into(),
        })
    }
}

/// How to listen, and what the accepted connections are like.
pub struct ListenConfig {
    /// Connections that the system keeps until they are accepted.
    pub backlog: i32,
    pub reuse_addr: bool,
    pub reuse_port: bool,
    /// Those of the sockets that are accepted.
    pub socket: SocketOptions,
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
    /// Of a host's name.
    resolve: Option<Resolve>,
    /// Taken when the listener is bound.
    config: Option<(Source, ListenConfig)>,
    trace: Option<Trace>,
}

impl Bind {
    pub fn start(source: Source, mut config: ListenConfig) -> Result<Self> {
        let trace = config.tracer.of(source.name()?);
        let resolve = match &source {
            Source::Host(Endpoint { host, port }, family) => {
                Some(Resolve::start(host, *port, *family, trace.as_ref())?)
            }
            _ => None,
        };
        let setup = config.tls.take();
        Ok(Self { setup, resolve, config: Some((source, config)), trace })
    }

    pub fn step(&mut self) -> Result<Step<Listener>> {
        let tls = match &mut self.setup {
            Some(setup) => Some(ready!(setup.step()?)),
            None => None,
        };
        let addresses = match &mut self.resolve {
            Some(resolve) => ready!(resolve.step()?),
            None => Vec::new(),
        };
        let (source, config) = self.config.take().expect("a step after the last");
        let (socket, local, file) = open(source, &addresses, &config)?;
        if let Some(trace) = &self.trace {
            trace.note(format_args!("listen: at {local}"));
        }
        let (trace, resumes) = (self.trace.take(), Cell::new(Deadline::at(0.0)));
        let tls = tls.map(tls::Served::new);
        Ok(Step::Done(Listener { _file: file, socket, local, config, tls, trace, resumes }))
    }
}

/// A listening socket, and its file if it has one of its own.
fn open(
    source: Source,
    addresses: &[SocketAddr],
    config: &ListenConfig,
) -> Result<(Socket, Address, Option<SocketFile>)> {
    let (socket, file) = match source {
        Source::Host(_, family) => (open_tcp(first_address(addresses, family)?, config)?, None),
        Source::Unix(address, options) => {
            let socket = new_unix_socket()?;
            let file = socket_file::listen(&socket, &address, options, config.backlog)?;
            (socket, file)
        }
        Source::Given(given) => (given.take()?, None),
    };
    let unknown = || Error::new(Code::Io, "neither a TCP socket nor a Unix socket");
    let local = Address::from_system(&socket.local_addr()?).ok_or_else(unknown)?;
    Ok((socket, local, file))
}

fn open_tcp(address: SocketAddr, config: &ListenConfig) -> Result<Socket> {
    let socket = new_socket(address)?;
    socket.set_reuse_address(config.reuse_addr)?;
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Before it listens: the buffers decide what the handshake offers, and the first answer has the
    // hop limit. On Linux the sockets that are accepted have all of it from here.
    config.socket.prepare(&SockRef::from(&socket), Domain::of(address))?;
    let bound = socket.bind(&address.into()).and_then(|()| socket.listen(config.backlog));
    bound.map_err(|error| Error::new(Code::Address, system_text(&error)))?;
    Ok(socket)
}

pub struct Listener {
    /// Dropped before the socket is, see [`SocketFile`].
    _file: Option<SocketFile>,
    socket: Socket,
    local: Address,
    config: ListenConfig,
    tls: Option<tls::Served>,
    trace: Option<Trace>,
    /// See [`Listener::resumes`].
    resumes: Cell<Deadline>,
}

impl Listener {
    /// The address that it listens at.
    pub fn local(&self) -> &Address {
        &self.local
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Begins to read the files of its TLS again.
    pub fn reload_tls(&self) -> Result<tls::Reload> {
        let none = || Error::new(Code::Tls, "this listener has no TLS");
        self.tls.as_ref().ok_or_else(none)?.reload()
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
        let remote = Address::from_system(&remote).unwrap_or_else(|| self.local.clone());
        match self.prepare(&socket) {
            Ok(local) => {
                let addresses = Addresses::new(&socket, local, remote);
                Ok(Some((socket, addresses)))
            }
            Err(error) if is_exhausted(&error) => Err(error),
            // Some systems refuse everything to the socket of a client that has reset.
            Err(_) => Ok(None),
        }
    }

    /// Sets a client's options: this side's address.
    fn prepare(&self, socket: &Socket) -> io::Result<Address> {
        let domain = Domain::from(&self.local);
        let applied = self.config.socket.apply(&SockRef::from(socket), domain);
        applied.map_err(|refused| refused.error)?;
        let local = Address::from_system(&socket.local_addr()?);
        Ok(local.unwrap_or_else(|| self.local.clone()))
    }

    fn establish(&self, (socket, addresses): (Socket, Addresses)) -> Result<Established> {
        let trace = self.config.tracer.of(addresses.name());
        if let Some(trace) = &trace {
            trace.note(format_args!("accept: at {}", addresses.local));
        }
        let mut tcp = Tcp::new(socket, self.local.is_unix());
        if self.config.socket.reset_on_close == Some(true) {
            tcp.set_reset_on_close(true)?;
        }
        let transport: Box<dyn Transport> = match &self.tls {
            Some(tls) => Box::new(tls.begin(tcp.into(), trace.as_ref())?),
            None => Box::new(tcp),
        };
        let transport = match self.config.proxy_protocol {
            true => Box::new(Proxied::new(transport, trace.clone())),
            false => transport,
        };
        let stream = Box::new(Stream::new(traced(transport, trace), self.config.limits));
        let (timings, side) = (Timings::default(), Side::Server);
        Ok(Established { stream, addresses, timings, proxy: None, starttls: None, side })
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
