//! A connection of the module, what its peer does, and what is known of both: checked against the
//! kernel's own record.

use std::os::fd::{AsRawFd, RawFd};

use net::io::poller::Registration;
use net::stream::{Limits, Stream};
use net::transport::Transport;
use net::transport::proxied::Proxied;
use simulated::{Random, with};

use crate::content::MOST;
use crate::peers::{Layer, Plan};
use crate::record_layer::{self, RecordLayer};

pub struct Connection {
    pub stream: Option<Stream>,
    pub fd: RawFd,
    /// The kernel's file.
    pub file: usize,
    pub known: Registration,
    pub plan: Plan,
    /// Payload that was read or skipped.
    pub position: usize,
    /// Payload that was queued.
    pub queued: Vec<u8>,
    /// The tasks that have its sides.
    pub reader: Option<usize>,
    pub writer: Option<usize>,
    pub skipping: Skipping,
    pub is_shut: bool,
    next: u8,
}

/// A skip that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipping {
    Nothing,
    Bytes(usize),
    Packet,
    /// One of bytes, which a read that has failed may have ended.
    Perhaps,
}

impl Connection {
    pub fn new(transport: Box<dyn Transport>, plan: Plan) -> Self {
        let fd = transport.fd().as_raw_fd();
        let file = with(|kernel| kernel.file(fd)).expect("it is open");
        let limits = Limits { max_buffer: MOST, ..Limits::default() };
        Self {
            stream: Some(Stream::new(transport, limits)),
            fd,
            file,
            known: Registration::default(),
            plan,
            position: 0,
            queued: Vec::new(),
            reader: None,
            writer: None,
            skipping: Skipping::Nothing,
            is_shut: false,
            next: 0,
        }
    }

    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// All that is still to be read.
    pub fn rest(&self) -> &[u8] {
        &self.plan.content.bytes[self.position..]
    }

    /// When the byte before this offset of the payload had come, if it has; unknown of records.
    pub fn arrived_at(&self, offset: usize) -> Option<f64> {
        if self.plan.layer == Layer::Records {
            return None;
        }
        with(|kernel| kernel.arrived_at(self.file, self.plan.before + offset))
    }

    /// Queues so many bytes that are not like those before.
    pub fn queue(&mut self, random: &mut Random, size: usize) {
        let begin = self.queued.len();
        for _ in 0..size {
            self.next = self.next.wrapping_mul(5).wrapping_add(random.chance(5) as u8 + 1);
            self.queued.push(self.next);
        }
        let Some(stream) = &mut self.stream else { return };
        let bytes = &self.queued[begin..];
        if random.chance(500) {
            let (one, other) = bytes.split_at(random.below(size + 1));
            stream.queue_bytes(&[one, other]).expect("there is room");
        } else {
            stream.queue_packet_bytes(b"", bytes).expect("there is room");
            let header = (size as u32).to_be_bytes();
            self.queued.splice(begin..begin, header);
        }
    }

    /// What was sent is what was queued, as far as that goes; all of it, if it is to be.
    pub fn check_sent(&self, is_all: bool) {
        with(|kernel| {
            let sent = kernel.sent(self.file);
            let size = match self.plan.layer {
                Layer::Records => {
                    let payload = record_layer::decode(sent);
                    assert!(
                        self.queued.starts_with(&payload),
                        "{}: other bytes were sent",
                        self.fd
                    );
                    payload.len()
                }
                Layer::Plain | Layer::Proxied => {
                    assert!(self.queued.starts_with(sent), "{}: other bytes were sent", self.fd);
                    sent.len()
                }
            };
            if is_all && !kernel.is_peer_gone(self.file) {
                assert_eq!(size, self.queued.len(), "{}: not all was sent", self.fd);
            }
        });
    }

    /// What came of the socket was given to the script, or is kept for it.
    pub fn check_received(&mut self) {
        if self.plan.layer == Layer::Records || self.skipping != Skipping::Nothing {
            return;
        }
        let (fd, file, before, position) = (self.fd, self.file, self.plan.before, self.position);
        let Some(stream) = &mut self.stream else { return };
        let read = stream.traffic().read as usize;
        let received = with(|kernel| kernel.received(file));
        assert_eq!(read, received.saturating_sub(before), "{fd}: bytes that nobody has counted");
        assert_eq!(read, position + stream.pending(), "{fd}: bytes were lost, or doubled");
    }
}

/// What is put on a connected socket.
pub fn layered(tcp: Box<dyn Transport>, plan: &Plan, random: &mut Random) -> Box<dyn Transport> {
    match plan.layer {
        Layer::Plain => tcp,
        Layer::Proxied => Box::new(Proxied::new(tcp, None)),
        Layer::Records => Box::new(RecordLayer::new(tcp, random.fork())),
    }
}
