//! From addresses to a connected socket: every address is tried, families interleaved and
//! staggered, and the first to connect wins (RFC 8305, sections 4 and 5). Racing connects sit
//! behind one descriptor, so that a wait is always for one. Uses `endpoint`, `connect::failed`,
//! `connect::resolve`, `connect::socket`, `io::step`, `io::deadline`, `trace`, `error`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::io::Errno;
use socket2::{SockAddr, SockRef};

use crate::connect::failed::{Failed, failure};
use crate::connect::host::{Family, family_of};
use crate::connect::socket::{ConnectOptions, bind, in_zone_of, new_socket, outcome};
use crate::endpoint::Addresses;
use crate::errno::is_exhausted;
use crate::error::{Attempt, Code, Error, Pending, Result};
use crate::io::deadline::{Deadline, now};
use crate::io::step::{Step, Wait, Want};
use crate::io::system::{Events, Poll, Socket};
use crate::socket_options::Domain;
use crate::text::address_text;
use crate::trace::{Phase, Trace};

/// Head start of an address over the next one, in seconds (RFC 8305, section 5).
const STAGGER: f64 = 0.25;

/// A socket that is connected.
pub struct Dialed {
    pub socket: Socket,
    pub addresses: Addresses,
    /// When its connect began, as [`now`] counts.
    pub begun: f64,
}

/// A connect under way.
struct Running {
    socket: Socket,
    peer: SocketAddr,
    begun: f64,
    phase: Option<Phase>,
}

/// Connects under way.
pub struct Race {
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
    pub fn new(options: &ConnectOptions, mut addresses: Vec<SocketAddr>) -> Result<Self> {
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

    pub fn step(&mut self, options: &ConnectOptions) -> Result<Step<Dialed>> {
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
            None => Err(failure(&self.failed)),
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
                        let Running { socket, begun, phase, .. } = self.running.swap_remove(at);
                        if let Some(phase) = phase {
                            phase.end(format_args!("connected from {local}"));
                        }
                        let addresses = Addresses::inet(local, peer);
                        return Ok(Some(Dialed { socket, addresses, begun }));
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
            let Running { peer, begun, phase, .. } = self.running.remove(at);
            self.fail(Failed::connect(peer, begun, &failure), phase);
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
        let begin = |trace: &Trace| trace.begin(format!("connect {}", address_text(&peer)));
        let phase = options.trace.as_ref().map(begin);
        let begun = now();
        let socket = match new_socket(peer) {
            Ok(socket) => socket,
            Err(error) if is_exhausted(&error) => return self.put_off(peer, phase, error),
            // A family that this machine does without is a dead address like any other.
            Err(error)
                if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
                    || !self.running.is_empty() =>
            {
                self.fail(Failed::connect(peer, begun, &error), phase);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        options.socket.prepare(&SockRef::from(&socket), Domain::of(peer))?;
        if let Some(local) = options.bind.map(|local| in_zone_of(peer, local))
            && let Err(error) = bind(&socket, local)
        {
            self.fail(Failed::bind(peer, begun, local, &error), phase);
            return Ok(());
        }
        match socket.connect(&SockAddr::from(peer)) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                self.fail(Failed::connect(peer, begun, &error), phase);
            }
            _ => {
                self.running.push(Running { socket, peer, begun, phase });
                if !self.waiting.is_empty() {
                    self.next = Deadline::after(STAGGER);
                }
                if let Err(error) = self.watch()
                    && let Some(Running { peer, phase, .. }) = self.running.pop()
                {
                    return self.put_off(peer, phase, error);
                }
            }
        }
        Ok(())
    }

    /// An address that cannot be tried or watched beside the others has another turn. What runs
    /// goes on, and leaves its descriptor where it fails.
    #[cold]
    fn put_off(&mut self, peer: SocketAddr, phase: Option<Phase>, error: io::Error) -> Result<()> {
        if let Some(phase) = phase {
            phase.fail(&error);
        }
        if self.running.is_empty() {
            return Err(error.into());
        }
        self.waiting.insert(0, peer);
        self.next = Deadline::after(STAGGER);
        Ok(())
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
        let Some(poll) = &mut self.poll else { return Ok(()) };
        let mut events = Events::with_capacity(16);
        match poll.poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What became of each address so far; of those that are under way, `unfinished`.
    #[cold]
    pub fn attempts(&self, unfinished: Code) -> Vec<Attempt> {
        let failed = self.failed.iter().map(Failed::attempt);
        let running = self.running.iter().map(|each| {
            let seconds = now() - each.begun;
            Attempt { address: each.peer, code: unfinished, seconds }
        });
        failed.chain(running).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::wait::{Driven, WaitMode, drive};
    use crate::socket_options::SocketOptions;
    use std::net::TcpListener;

    fn options() -> ConnectOptions {
        let (family, bind, proxy_protocol, trace) = (None, None, None, None);
        let (socket, is_eager) = (SocketOptions::default(), true);
        ConnectOptions { family, bind, socket, proxy_protocol, trace, is_eager }
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
        assert_eq!(dialed.addresses.remote, live.into());
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
