//! What is known of a stream socket. Uses `network`, `readiness`.

use std::collections::VecDeque;

use rustix::io::Errno;
use socket2::{Domain, SockAddr};

use crate::network::Peer;
use crate::readiness::Edge;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    New,
    Connecting,
    Connected,
    Failed,
    Listening,
}

pub(crate) struct State {
    pub is_unix: bool,
    is_v6: bool,
    pub phase: Phase,
    pub local: Option<SockAddr>,
    pub remote: Option<SockAddr>,
    /// What has come and was not received.
    pub incoming: VecDeque<u8>,
    pub has_ended: bool,
    pub ended_at: Option<u64>,
    /// Told once.
    pub error: Option<Errno>,
    pub is_reset: bool,
    pub is_peer_gone: bool,
    pub arrived: usize,
    pub arrivals: Vec<(u64, usize)>,
    pub received: usize,
    pub sent: Vec<u8>,
    /// Bytes that were sent and that the peer has not taken.
    pub untaken: usize,
    pub room: usize,
    pub takes_all: bool,
    pub is_shut: bool,
    /// SOCK_NOSPACE of Linux: who found no space is told when there is some.
    pub has_found_no_space: bool,
    pub peer: Option<Peer>,
    pub clients: VecDeque<Peer>,
}

impl State {
    pub fn new(domain: Domain) -> Self {
        Self {
            is_unix: domain == Domain::UNIX,
            is_v6: domain == Domain::IPV6,
            phase: Phase::New,
            local: None,
            remote: None,
            incoming: VecDeque::new(),
            has_ended: false,
            ended_at: None,
            error: None,
            is_reset: false,
            is_peer_gone: false,
            arrived: 0,
            arrivals: Vec::new(),
            received: 0,
            sent: Vec::new(),
            untaken: 0,
            room: 0,
            takes_all: false,
            is_shut: false,
            has_found_no_space: false,
            peer: None,
            clients: VecDeque::new(),
        }
    }

    pub fn space(&self) -> usize {
        if self.takes_all { self.room.max(4096) } else { self.room - self.room.min(self.untaken) }
    }

    /// Poll tells of space that is worth a call (sk_stream_is_writeable).
    pub fn is_writable(&self) -> bool {
        self.space() > 0 && self.space() >= self.room / 3
    }

    /// More space than before: who is to be told.
    pub fn space_edge(&mut self) -> Edge {
        let is_told = self.has_found_no_space && self.is_writable();
        self.has_found_no_space &= !is_told;
        if is_told { Edge::WRITE } else { Edge::NONE }
    }

    pub fn end(&mut self, now: u64) {
        self.has_ended = true;
        self.ended_at.get_or_insert(now);
    }

    pub fn domain(&self) -> Domain {
        match (self.is_unix, self.is_v6) {
            (true, _) => Domain::UNIX,
            (_, true) => Domain::IPV6,
            _ => Domain::IPV4,
        }
    }
}
