//! The other ends: what servers answer to a connect, and what peers do on a connection, each act
//! some time after the one before. Uses `kernel`, `state`, `readiness`.

use std::collections::VecDeque;

use rustix::io::Errno;
use socket2::SockAddr;

use crate::kernel::{Kernel, Kind, seconds};
use crate::random::Random;
use crate::readiness::Edge;
use crate::state::{Phase, State};

/// What a peer does.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    /// Takes so many of the bytes that were sent to it, and makes room for more.
    Take(usize),
    /// Takes all from now on.
    TakeAll,
    /// Ends its sending side.
    End,
    /// Is gone: it ends its side, and answers what comes with a reset.
    Close,
    Reset,
}

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Each with the nanoseconds after the one before.
    pub acts: Vec<(u64, Act)>,
    /// Bytes that can be sent to it before it takes any.
    pub room: usize,
}

/// What comes of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Refuse,
    /// None at all.
    Silence,
    /// Refused within the call.
    Unreachable,
}

#[derive(Debug)]
pub struct Server {
    pub answer: Answer,
    /// Nanoseconds until the answer.
    pub after: u64,
    /// Those of the connects to come.
    pub peers: VecDeque<Peer>,
    /// Connects to a Unix socket that find its backlog full.
    pub full: usize,
}

pub(crate) enum Happening {
    Connected(usize, Answer),
    Do(usize, Act),
    Reset(usize, Errno),
    Client(String, Peer),
}

impl Kernel {
    /// What listens at this address, as `SocketAddr` or a path writes it.
    pub fn serve(&mut self, address: &str, server: Server) {
        self.servers.insert(address.to_owned(), server);
    }

    /// A client comes to this address after so many nanoseconds, if somebody listens there then.
    pub fn add_client(&mut self, address: &str, after: u64, peer: Peer) {
        self.plan(after, Happening::Client(address.to_owned(), peer));
    }

    pub(crate) fn take_place(&mut self, happening: Happening) {
        match happening {
            Happening::Client(address, peer) => self.arrive_client(&address, peer),
            Happening::Connected(id, _) | Happening::Do(id, _) | Happening::Reset(id, _)
                if !self.files[id].is_open => {}
            Happening::Connected(id, answer) => self.connected(id, answer),
            Happening::Do(id, act) => self.act(id, act),
            Happening::Reset(id, errno) => self.reset(id, errno),
        }
    }

    fn arrive_client(&mut self, address: &str, peer: Peer) {
        let Some(&id) = self.listeners.get(address) else { return };
        if !self.files[id].is_open {
            return;
        }
        if let Some(listener) = self.socket_at(id) {
            listener.clients.push_back(peer);
            self.wake(id, Edge::READ);
        }
    }

    fn connected(&mut self, id: usize, answer: Answer) {
        let Some(state) = self.socket_at(id) else { return };
        if answer == Answer::Accept {
            state.phase = Phase::Connected;
            self.begin(id);
        } else {
            state.phase = Phase::Failed;
            state.error = Some(Errno::CONNREFUSED);
        }
        self.wake(id, Edge::ANY);
    }

    /// The peer of a connection begins with what it does.
    pub(crate) fn begin(&mut self, id: usize) {
        let Some(state) = self.socket_at(id) else { return };
        let peer = state.peer.take().unwrap_or_default();
        state.room = peer.room;
        let mut at = 0;
        for (delay, act) in peer.acts {
            at += delay;
            self.plan(at, Happening::Do(id, act));
        }
    }

    fn act(&mut self, id: usize, act: Act) {
        let now = self.nanoseconds();
        let Some(state) = self.socket_at(id).filter(|state| !state.is_reset) else { return };
        let edge = match act {
            Act::Send(bytes) => {
                state.incoming.extend(&bytes);
                state.arrived += bytes.len();
                state.arrivals.push((now, state.arrived));
                Edge::READ
            }
            Act::Take(count) => {
                state.untaken -= count.min(state.untaken);
                state.space_edge()
            }
            Act::TakeAll => {
                (state.untaken, state.takes_all) = (0, true);
                state.space_edge()
            }
            Act::End => {
                state.end(now);
                Edge::ANY
            }
            Act::Close => {
                state.is_peer_gone = true;
                state.end(now);
                Edge::ANY
            }
            Act::Reset => return self.reset(id, Errno::CONNRESET),
        };
        if edge != Edge::NONE {
            self.wake(id, edge);
        }
    }

    fn reset(&mut self, id: usize, errno: Errno) {
        let now = self.nanoseconds();
        let Some(state) = self.socket_at(id).filter(|state| !state.is_reset) else { return };
        // Where the peer had ended before, a write is what it answers: EPIPE (tcp_reset).
        let errno = if state.has_ended { Errno::PIPE } else { errno };
        state.end(now);
        (state.error, state.is_reset) = (Some(errno), true);
        self.wake(id, Edge::ANY);
    }

    /// A peer that is gone is told of what was sent to it.
    pub(crate) fn answer_with_reset(&mut self, id: usize) {
        let delay = self.random.below(3_000_000) as u64;
        self.plan(delay, Happening::Reset(id, Errno::CONNRESET));
    }

    // What a test asks afterwards, by the file of a descriptor.

    pub fn file(&self, fd: i32) -> Option<usize> {
        self.id(fd).ok()
    }

    fn state(&self, file: usize) -> &State {
        match &self.files[file].kind {
            Kind::Socket(state) => state,
            _ => panic!("not a socket"),
        }
    }

    /// All that was sent on a connection.
    pub fn sent(&self, file: usize) -> &[u8] {
        &self.state(file).sent
    }

    /// Bytes that recv has given.
    pub fn received(&self, file: usize) -> usize {
        self.state(file).received
    }

    /// Bytes that have come.
    pub fn arrived(&self, file: usize) -> usize {
        self.state(file).arrived
    }

    /// When so many bytes had come.
    pub fn arrived_at(&self, file: usize, total: usize) -> Option<f64> {
        let found = self.state(file).arrivals.iter().find(|(_, arrived)| *arrived >= total);
        found.map(|(at, _)| seconds(*at))
    }

    /// When the stream had ended, in whichever way.
    pub fn ended_at(&self, file: usize) -> Option<f64> {
        self.state(file).ended_at.map(seconds)
    }

    /// Whether the peer has reset the connection.
    pub fn is_reset(&self, file: usize) -> bool {
        self.state(file).is_reset
    }

    /// Whether the peer answers what comes with a reset.
    pub fn is_peer_gone(&self, file: usize) -> bool {
        self.state(file).is_peer_gone
    }

    /// Whether this side has ended its stream.
    pub fn is_shut(&self, file: usize) -> bool {
        self.state(file).is_shut
    }
}

/// An address as `Kernel::serve` takes it.
pub(crate) fn name(address: &SockAddr) -> String {
    match (address.as_socket(), address.as_pathname()) {
        (Some(inet), _) => inet.to_string(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => String::new(),
    }
}

/// A port that nobody has.
pub(crate) fn any_port(random: &mut Random) -> u16 {
    random.between(32768, 60999) as u16
}
