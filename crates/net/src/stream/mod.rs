//! One connection: the buffers on both sides of a transport, and the steps that every operation is
//! made of. A read that fails consumes nothing; a write is queued once and then flushed, so either
//! can be made again after a wait. Knows no Lua, and no deadline. Uses `stream::buffer`,
//! `framing::text`, `framing`, `transport`, `io::step`, `io::deadline`, `error`.

mod alive;
pub mod buffer;
pub mod copy;
mod read;
mod skip;
mod write;

use std::os::fd::BorrowedFd;

use crate::error::{Code, Error, Pending, Result};
use crate::framing::text::{Request, Search};
use crate::framing::{Endian, Framing};
use crate::io::step::{Step, ready};
use crate::stream::buffer::Buffer;
use crate::stream::skip::Skip;
use crate::trace::Trace;
use crate::transport::tls::Tls;
use crate::transport::{Carrier, Origin, Transport};

/// Room made for one read, in bytes: large enough to be rarely asked for, small enough to be cheap
/// for a connection that only ever sees packets.
const ROOM: usize = 64 * 1024;

/// Reads or writes in one step, before the clock and the interpreter get their turn.
const TURNS: usize = 16;

/// What a script may set, and what it gets if it does not.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest packet body, both ways, in bytes.
    pub max_packet: usize,
    /// Most that one read may gather, or that may wait to be sent, in bytes.
    pub max_buffer: usize,
    /// Byte order of a packet's length.
    pub endian: Endian,
    /// How a packet is cut.
    pub framing: Framing,
}

impl Limits {
    /// What asks for a packet.
    pub fn packet(&self) -> Request<'_> {
        let (max, endian) = (self.max_packet.min(self.max_buffer), self.endian);
        match &self.framing {
            Framing::Plain => Request::Packet { max, endian },
            framing => Request::Framed { framing, max, endian },
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_packet: 512_000,
            max_buffer: 256 << 20,
            endian: Endian::Big,
            framing: Framing::Plain,
        }
    }
}

/// Payload so far, in bytes; over TLS what is inside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub read: u64,
    pub written: u64,
    /// Seconds from the last write to the first byte behind it, once that has come.
    pub first_byte: Option<f64>,
}

/// How reading ended. Nothing comes after it, so it is remembered.
#[derive(Debug)]
enum ReadEnd {
    Clean,
    Failed(Error),
}

/// Dropped, it closes at once; what is queued is lost.
pub struct Stream {
    transport: Box<dyn Transport>,
    limits: Limits,
    input: Buffer,
    output: Buffer,
    search: Search,
    skip: Skip,
    /// Bytes of what is being flushed that are sent.
    sent: usize,
    end: Option<ReadEnd>,
    /// Something was sent since the last read: what answers it cannot have come yet.
    has_asked: bool,
    /// A wait to read has begun since the last read. It may have been told of bytes, and then given
    /// up: that the last read was short says nothing any more.
    has_waited: bool,
    /// Why nothing can be written any more.
    broken: Option<Error>,
    /// The failure of a write that ends reading, too, behind what has come. The kernel tells it
    /// once, and gives readers a clean end afterwards.
    lost: Option<Error>,
    /// The script has ended its side.
    is_shut: bool,
    traffic: Traffic,
    /// When the last write was, until a byte has come behind it.
    wrote_at: Option<f64>,
}

impl Stream {
    pub fn new(transport: Box<dyn Transport>, limits: Limits) -> Self {
        Self {
            transport,
            limits,
            input: Buffer::default(),
            output: Buffer::default(),
            search: Search::default(),
            skip: Skip::default(),
            sent: 0,
            end: None,
            has_asked: false,
            has_waited: false,
            broken: None,
            lost: None,
            is_shut: false,
            traffic: Traffic::default(),
            wrote_at: None,
        }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub fn transport(&mut self) -> &mut dyn Transport {
        &mut *self.transport
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.transport.fd()
    }

    /// Who is at the other end, as far as that is known.
    pub fn origin(&self) -> Origin {
        self.transport.origin()
    }

    /// Receives the PROXY header that the peer begins with, if it does.
    pub fn step_header(&mut self) -> Result<Step<()>> {
        self.transport.step_header()
    }

    /// Finishes what comes before any payload: a PROXY header, a handshake.
    pub fn step_begin(&mut self) -> Result<Step<()>> {
        ready!(self.step_header()?);
        self.transport.as_tls().map_or(Ok(Step::Done(())), Tls::step_handshake)
    }

    /// Whether all is over that comes before any payload.
    pub fn has_begun(&self) -> bool {
        self.transport.has_begun()
    }

    /// Where it is traced.
    pub fn trace(&self) -> Option<&Trace> {
        self.transport.trace()
    }

    /// Bytes that can be read without waiting; not those of a packet that is being skipped.
    pub fn pending(&mut self) -> usize {
        // What stays where it is counts when there is memory for it.
        let _ = self.input.append_late();
        for _ in 0..TURNS {
            // Each look takes in more of what the socket has. Without a bound, a script that asks
            // again and again would keep all that the peer sends.
            let is_full = self.input.len() >= ROOM;
            if is_full || self.end.is_some() || !self.transport.has_unseen() {
                break;
            }
            let Ok(Step::Done(())) = self.step_fill(Pending::More { have: 0 }) else { break };
        }
        self.skip.unskipped(&mut self.input, self.transport.pending())
    }

    /// Whether a read has something to give at once, its end or an error included, that a wait for
    /// the descriptor need not see.
    pub fn has_input(&mut self) -> bool {
        // A skip that a look has finished is still to be told.
        self.skip.is_untold() || self.pending() > 0 || self.end.is_some()
    }

    /// Whether the transport has taken in more than it could look into so far.
    pub fn has_unseen(&self) -> bool {
        self.end.is_none() && self.transport.has_unseen()
    }

    /// Whether a wait for the descriptor must not come before the next look: there may be something
    /// to read that it would not see.
    pub fn is_dirty(&mut self) -> bool {
        self.has_input() || self.has_unseen()
    }

    // Reading.

    /// Whether a read has something to give, its end or an error included. Looks once: over TLS
    /// what came need not be payload.
    pub fn is_readable(&mut self) -> bool {
        self.has_asked = false;
        if self.has_input() {
            return true;
        }
        // What fails is news for a reader, also where it is not remembered.
        let has_failed = match self.step_skipped() {
            Ok(_) if !self.skip.is_over() || self.has_input() => false,
            Ok(_) => self.step_fill(Pending::More { have: 0 }).is_err(),
            Err(error) => error.code() == Code::Unexpected,
        };
        has_failed || self.has_input()
    }

    /// Whether another protocol may begin on the bare socket. All that is queued must be sent. What
    /// has come already was not protected by what now begins, whoever sent it: it is refused.
    pub fn check_bare(&mut self) -> Result<()> {
        if self.transport().as_tls().is_some() {
            return Err(Error::new(Code::Tls, "TLS is in use already"));
        }
        if !self.skip.is_over() || self.pending() > 0 {
            let detail = "plaintext came before the handshake (injected commands?)";
            return Err(Error::new(Code::Tls, detail));
        }
        Ok(())
    }

    /// What carried it; none where something is on top of that.
    pub fn into_carrier(self) -> Option<Carrier> {
        self.transport.into_carrier()
    }
}
