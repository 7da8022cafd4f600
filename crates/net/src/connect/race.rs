//! From a host and a port to a connected socket: every address is tried, families interleaved and
//! staggered, and the first to connect wins (RFC 8305, sections 4 and 5). Racing connects sit
//! behind one descriptor, so that a wait is always for one.
//! Uses `endpoint`, `connect::resolve`, `io::step`, `io::deadline`, `trace`, `error`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::connect::resolve::{self, Family, Resolve};
use crate::endpoint::{Addresses, Endpoint};
use crate::error::{Code, Error, Pending, Result, system_text};
use crate::io::deadline::{Deadline, now};
use crate::io::step::{Step, Wait, Want, ready};
use crate::trace::{Phase, Trace};

/// Head start of an address over the next one, in seconds (RFC 8305, section 5).
const STAGGER: f64 = 0.25;

/// How to connect to a host.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub family: Option<Family>,
    /// Local address to connect from; port 0 leaves the port to the system.
    pub bind: Option<SocketAddr>,
    pub nodelay: bool,
    pub keepalive: Option<TcpKeepalive>,
    pub trace: Option<Trace>,
    /// Looks at a connect before the first wait for it: to this machine it is through as soon as it
    /// is begun. In a loop the others are to have their turn.
    pub is_eager: bool,
}

/// Seconds that each phase took; 0 for the name where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    pub dns: f64,
    pub connect: f64,
    pub tls: Option<f64>,
}

impl Timings {
    pub fn total(self) -> f64 {
        self.dns + self.connect + self.tls.unwrap_or_default()
    }
}

pub struct Dialed {
    pub socket: Socket,
    pub addresses: Addresses,
}

/// A connect under way.
struct Running {
    socket: Socket,
    peer: SocketAddr,
    phase: Option<Phase>,
}

pub struct Dial {
    options: ConnectOptions,
    stage: Stage,
    begun: f64,
    timings: Timings,
}

enum Stage {
    Resolving(Resolve),
    Racing(Race),
}

impl Dial {
    pub fn start(endpoint: &Endpoint, options: ConnectOptions) -> Result<Self> {
        let begun = now();
        let Endpoint { host, port } = endpoint;
        let family = options.family.or(options.bind.map(family_of));
        let resolve = Resolve::start(host, *port, family, options.trace.as_ref())?;
        let stage = Stage::Resolving(resolve);
        Ok(Self { options, stage, begun, timings: Timings::default() })
    }

    /// When it began, as [`now`] counts.
    pub fn begun(&self) -> f64 {
        self.begun
    }

    pub fn timings(&self) -> Timings {
        self.timings
    }

    pub fn step(&mut self) -> Result<Step<Dialed>> {
        if let Stage::Resolving(resolve) = &mut self.stage {
            let addresses = ready!(resolve.step()?);
            if resolve.is_lookup() {
                self.timings.dns = now() - self.begun;
            }
            self.stage = Stage::Racing(Race::new(&self.options, addresses)?);
        }
        let Stage::Racing(race) = &mut self.stage else { unreachable!("resolved above") };
        let dialed = ready!(race.step(&self.options)?);
        self.timings.connect = now() - self.begun - self.timings.dns;
        Ok(Step::Done(dialed))
    }
}

/// An address that failed, and how.
struct Failed {
    peer: SocketAddr,
    code: Code,
    reason: String,
}

impl Failed {
    fn connect(peer: SocketAddr, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::ConnectionRefused => Code::Refused,
            _ => Code::Unreachable,
        };
        Self { peer, code, reason: system_text(error) }
    }

    fn bind(peer: SocketAddr, bind: SocketAddr, error: &io::Error) -> Self {
        let reason = format!("cannot bind {bind}: {}", system_text(error));
        Self { peer, code: Code::Address, reason }
    }
}

/// Connects under way.
struct Race {
    waiting: Vec<SocketAddr>,
    /// The family of the last that was started.
    last: Option<Family>,
    running: Vec<Running>,
    failed: Vec<Failed>,
    /// When the next address may start beside those that run.
    next: Deadline,
    /// Watches the running ones as soon as there are two.
    poll: Option<Poll>,
}

impl Race {
    fn new(options: &ConnectOptions, mut addresses: Vec<SocketAddr>) -> Result<Self> {
        let families = [options.family, options.bind.map(family_of)];
        addresses.retain(|address| families.iter().all(|family| is_of(address, *family)));
        first_address(&addresses, None)?;
        Ok(Self {
            waiting: addresses,
            last: None,
            running: Vec::with_capacity(1),
            failed: Vec::new(),
            next: Deadline::at(0.0),
            poll: None,
        })
    }

    fn step(&mut self, options: &ConnectOptions) -> Result<Step<Dialed>> {
        self.drain_events()?;
        let mut looks = true;
        loop {
            if looks && let Some(winner) = self.take_winner()? {
                // The others are given up at once (RFC 8305, section 5).
                self.running.clear();
                self.poll = None;
                return Ok(Step::Done(winner));
            }
            looks = options.is_eager;
            let is_idle = self.running.is_empty();
            if self.waiting.is_empty() || !(is_idle || self.next.has_passed()) {
                break;
            }
            self.start_next(options)?;
        }
        match self.running.last() {
            Some(last) => {
                let pending = Pending::Connecting(last.peer);
                Ok(Step::Wait(self.wait(last).pending(pending)))
            }
            None => Err(self.failure()),
        }
    }

    fn wait(&self, only: &Running) -> Wait {
        let wait = match &self.poll {
            Some(poll) => Wait::new(poll, Want::Read),
            None => Wait::new(&only.socket, Want::Write),
        };
        if self.waiting.is_empty() { wait } else { wait.waking(self.next) }
    }

    /// The first that is connected. Those that failed are taken out, and the next may start.
    fn take_winner(&mut self) -> Result<Option<Dialed>> {
        let mut at = 0;
        while let Some(running) = self.running.get(at) {
            let failure = match outcome(&running.socket) {
                Ok(true) => {
                    let peer = running.peer;
                    let local = running.socket.local_addr()?.as_socket().unwrap_or(peer);
                    if local != peer {
                        let Running { socket, phase, .. } = self.running.swap_remove(at);
                        if let Some(phase) = phase {
                            phase.end(format_args!("connected from {local}"));
                        }
                        let addresses = Addresses { local, remote: peer };
                        return Ok(Some(Dialed { socket, addresses }));
                    }
                    // To a port of this machine that the system happened to give it for its own
                    // end: it has met itself (RFC 9293, section 3.5), and nobody listens there.
                    Errno::CONNREFUSED.into()
                }
                Ok(false) => {
                    at += 1;
                    continue;
                }
                Err(error) => error,
            };
            let Running { peer, phase, .. } = self.running.remove(at);
            self.fail(Failed::connect(peer, &failure), phase);
            self.next = Deadline::at(0.0);
        }
        Ok(None)
    }

    /// Families take turns, beginning with the one that the system prefers (RFC 8305, section 4).
    fn take_next(&mut self) -> Option<SocketAddr> {
        if self.waiting.is_empty() {
            return None;
        }
        let is_other = |address: &SocketAddr| Some(family_of(*address)) != self.last;
        let next = self.waiting.iter().position(is_other).unwrap_or(0);
        let address = self.waiting.remove(next);
        self.last = Some(family_of(address));
        Some(address)
    }

    fn start_next(&mut self, options: &ConnectOptions) -> Result<()> {
        let Some(peer) = self.take_next() else { return Ok(()) };
        let begin =
            |trace: &Trace| trace.begin(format!("connect {}", resolve::address_text(&peer)));
        let phase = options.trace.as_ref().map(begin);
        let socket = match new_socket(peer) {
            Ok(socket) => socket,
            // A family that this machine does without is a dead address like any other, and so is
            // one more than there are descriptors for.
            Err(error)
                if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
                    || !self.running.is_empty() =>
            {
                self.fail(Failed::connect(peer, &error), phase);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        prepare(&socket, options)?;
        if let Some(local) = options.bind
            && let Err(error) = bind(&socket, in_zone_of(peer, local))
        {
            self.fail(Failed::bind(peer, local, &error), phase);
            return Ok(());
        }
        match socket.connect(&SockAddr::from(peer)) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                self.fail(Failed::connect(peer, &error), phase);
            }
            _ => {
                self.running.push(Running { socket, peer, phase });
                if !self.waiting.is_empty() {
                    self.next = Deadline::after(STAGGER);
                }
                if let Err(error) = self.watch() {
                    self.put_off(&error);
                }
            }
        }
        Ok(())
    }

    /// The last one cannot be watched: it has another turn, and what ran before goes on.
    #[cold]
    fn put_off(&mut self, error: &io::Error) {
        let Some(Running { peer, phase, .. }) = self.running.pop() else { return };
        if let Some(phase) = phase {
            phase.fail(error);
        }
        self.waiting.insert(0, peer);
        self.next = Deadline::after(STAGGER);
    }

    #[cold]
    fn fail(&mut self, failed: Failed, phase: Option<Phase>) {
        if let Some(phase) = phase {
            phase.fail(&failed.reason);
        }
        self.failed.push(failed);
    }

    /// One that runs alone is waited for by itself; from the second on, all are watched together.
    fn watch(&mut self) -> io::Result<()> {
        if self.running.len() < 2 {
            self.poll = None;
            return Ok(());
        }
        let unwatched = if self.poll.is_some() { self.running.len() - 1 } else { 0 };
        let poll = match self.poll.take() {
            Some(poll) => poll,
            None => Poll::new()?,
        };
        let registered = self.running[unwatched..].iter().try_for_each(|running| {
            let fd = running.socket.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::WRITABLE)
        });
        // One that watches none is none.
        if registered.is_ok() || unwatched > 0 {
            self.poll = Some(poll);
        }
        registered
    }

    /// What the watching descriptor reports is reported once: without this it stays readable.
    fn drain_events(&mut self) -> Result<()> {
        if let Some(poll) = &mut self.poll {
            let mut events = Events::with_capacity(16);
            match poll.poll(&mut events, Some(Duration::ZERO)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All addresses failed: what happened to each.
    #[cold]
    fn failure(&self) -> Error {
        let code = self.failed.iter().map(|each| each.code).max_by_key(|code| match code {
            Code::Refused => 2,
            Code::Unreachable => 1,
            _ => 0,
        });
        let code = code.unwrap_or(Code::Unreachable);
        let first = self.failed.first().map_or("", |each| &each.reason);
        let each = |each: &Failed| format!("{}: {}", each.peer.ip(), each.reason);
        let detail = if self.failed.iter().any(|each| each.reason != first) {
            self.failed.iter().map(each).collect::<Vec<_>>().join(", ")
        } else if code == Code::Address {
            // It is the local address that failed.
            first.to_owned()
        } else {
            let tried: Vec<_> = self.failed.iter().map(|each| each.peer.ip().to_string()).collect();
            format!("{first} (tried {})", tried.join(", "))
        };
        Error::new(code, detail)
    }
}

/// The first address of the family that is asked for.
pub fn first_address(addresses: &[SocketAddr], family: Option<Family>) -> Result<SocketAddr> {
    let found = addresses.iter().find(|address| is_of(address, family));
    found.copied().ok_or_else(|| Error::new(Code::Dns, "no address of the family asked for"))
}

fn is_of(address: &SocketAddr, family: Option<Family>) -> bool {
    family.is_none_or(|family| family == family_of(*address))
}

fn family_of(address: SocketAddr) -> Family {
    Family::of(address.ip())
}

/// A socket in nonblocking mode for this address.
pub fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    #[cfg(target_os = "linux")]
    let kind = Type::STREAM.nonblocking();
    #[cfg(not(target_os = "linux"))]
    let kind = Type::STREAM;
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    #[cfg(not(target_os = "linux"))]
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sets a new socket's options.
fn prepare(socket: &Socket, options: &ConnectOptions) -> Result<()> {
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    if options.keepalive.is_some() {
        set_keepalive(socket, options.keepalive.as_ref())?;
    }
    Ok(())
}

/// The same local address, in the peer's zone if it says none: an address of a link alone, such as
/// fe80::1, is one there only.
fn in_zone_of(peer: SocketAddr, mut local: SocketAddr) -> SocketAddr {
    if let (SocketAddr::V6(peer), SocketAddr::V6(local)) = (peer, &mut local)
        && local.scope_id() == 0
        && local.ip().is_unicast_link_local()
    {
        local.set_scope_id(peer.scope_id());
    }
    local
}

/// A port may be shared by connects to several addresses, and with connections that have ended.
/// Where none is given, the connect chooses it, and only one to the same peer is in its way.
fn bind(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    // Where the option cannot be had, bind does without it, and says what is wrong if anything is.
    match local.port() {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        0 => drop(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)),
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        0 => {}
        _ => drop(socket.set_reuse_address(true)),
    }
    socket.bind(&local.into())
}

/// Turns the kernel's probes of an idle connection on, or off.
pub fn set_keepalive(socket: &Socket, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    socket.set_keepalive(keepalive.is_some())?;
    if let Some(keepalive) = keepalive {
        socket.set_tcp_keepalive(keepalive)?;
    }
    Ok(())
}

/// Whether a connect is through: not yet, connected, or failed.
fn outcome(socket: &Socket) -> io::Result<bool> {
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => match socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(false),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::wait::{Driven, WaitMode, drive};
    use std::net::TcpListener;

    fn options() -> ConnectOptions {
        let (nodelay, keepalive) = (true, None);
        ConnectOptions { family: None, bind: None, nodelay, keepalive, trace: None, is_eager: true }
    }

    fn dial(options: ConnectOptions, addresses: Vec<SocketAddr>) -> Result<Dialed> {
        let mut race = Race::new(&options, addresses)?;
        let deadline = Deadline::after(5.0);
        loop {
            if let Driven::Done(dialed) =
                drive(deadline, WaitMode::Blocking, || race.step(&options))?
            {
                return Ok(dialed);
            }
        }
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        (listener, address)
    }

    /// An address of this machine where nobody listens.
    fn dead() -> SocketAddr {
        listener().1
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse::<SocketAddr>().expect("address");
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(parse);
        let turns = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(parse);
        let mut race = Race::new(&options(), given.to_vec()).expect("addresses");
        let taken: Vec<_> = std::iter::from_fn(|| race.take_next()).collect();
        assert_eq!(taken, turns);
    }

    #[test]
    fn one_that_refuses_does_not_hold_up_the_next() {
        let (_listener, live) = listener();
        let start = now();
        let dialed = dial(options(), vec![dead(), dead(), live]).expect("connects");
        assert_eq!(dialed.addresses.remote, live);
        assert!(now() - start < STAGGER);
    }

    #[test]
    fn a_failure_names_every_address() {
        let error = dial(options(), vec![dead(), dead()]).err().expect("nobody listens");
        assert_eq!(error.code(), Code::Refused);
        assert_eq!(error.detail(), "connection refused (tried 127.0.0.1, 127.0.0.1)");
    }

    #[test]
    fn a_family_that_is_not_there_is_a_dns_error() {
        let options = ConnectOptions { family: Some(Family::Inet6), ..options() };
        assert_eq!(dial(options, vec![dead()]).err().expect("no address").code(), Code::Dns);
    }
}
