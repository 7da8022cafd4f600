//! One connection: the buffers on both sides of a transport, and the steps that every operation is
//! made of. A read that fails consumes nothing; a write is queued once and then flushed, so either
//! can be made again after a wait. Knows no Lua, and no deadline. Uses `stream::buffer`,
//! `framing::text`, `framing`, `transport`, `io::step`, `io::deadline`, `error`.

mod alive;
pub mod buffer;
pub mod copy;
mod skip;

use std::mem;
use std::os::fd::BorrowedFd;

use memchr::memrchr;

use crate::error::{Code, Error, Pending, Result};
use crate::framing::pattern::Capture;
use crate::framing::text::{Found, Item, Request, Search};
use crate::framing::{self, Decoded, Endian, Framing, HEADER, Head};
use crate::io::deadline::now;
use crate::io::step::{Step, Wait, Want, ready};
use crate::memory::{append, reserve};
use crate::stream::buffer::Buffer;
use crate::stream::skip::{Skip, What};
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

    /// Where it is traced.
    pub fn trace(&self) -> Option<&Trace> {
        self.transport.trace()
    }

    /// Bytes that can be read without waiting; not those of a packet that is being skipped.
    pub fn pending(&mut self) -> usize {
        // What stays where it is counts when there is memory for it.
        let _ = self.input.append_late();
        for _ in 0..TURNS {
            if self.end.is_some() || !self.transport.has_unseen() {
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

    /// The item at the front of what has come, whole; `None` where the stream ended before it
    /// began. It stays until [`Stream::consume`].
    pub fn step_find(&mut self, request: Request<'_>) -> Result<Step<Option<Item>>> {
        ready!(self.step_finish_skip()?);
        let mut waiting_for = Pending::More { have: 0 };
        for _ in 0..TURNS {
            let end = matches!(self.end, Some(ReadEnd::Clean));
            match self.search.find(request, self.input.filled(), end)? {
                Found::Item(item) => return Ok(Step::Done(Some(item))),
                Found::End => return Ok(Step::Done(None)),
                Found::NotYet(pending) => {
                    ready!(self.step_fill(pending)?);
                    waiting_for = pending;
                }
            }
        }
        self.step_yield(waiting_for)
    }

    /// The next packet, as [`Stream::step_find`] finds what it is asked for.
    #[inline]
    pub fn step_find_packet(&mut self) -> Result<Step<Option<Item>>> {
        let limits = &self.limits;
        match limits.framing {
            Framing::Plain => {
                let max = limits.max_packet.min(limits.max_buffer);
                self.step_find(Request::Packet { max, endian: limits.endian })
            }
            _ => self.step_find_framed(),
        }
    }

    fn step_find_framed(&mut self) -> Result<Step<Option<Item>>> {
        let limits = self.limits;
        self.step_find(limits.packet())
    }

    /// Whether packets have bytes that are the script's besides their body.
    #[inline]
    pub fn has_header(&self) -> bool {
        match &self.limits.framing {
            Framing::Length(length) => length.header_size() > 0,
            _ => false,
        }
    }

    /// The bytes of a packet that was found which are the script's besides its body.
    pub fn header(&self, item: &Item) -> Option<&[u8]> {
        self.limits.framing.header(&self.input.filled()[..item.size])
    }

    /// The captures of the match that was found last.
    pub fn captures(&self) -> &[Capture] {
        self.search.captures()
    }

    /// The bytes of an item that was found.
    pub fn text(&self, item: &Item) -> &[u8] {
        &self.input.filled()[item.text.clone()]
    }

    /// The line that was found and, in `most` bytes, the whole lines behind it.
    pub fn lines(&self, first: &Item, most: usize) -> &[u8] {
        let filled = self.input.filled();
        let window = &filled[..most.min(filled.len())];
        let end = memrchr(b'\n', window).map_or(0, |newline| newline + 1);
        &filled[..end.max(first.size)]
    }

    /// Drops so many bytes that were handed over.
    pub fn consume(&mut self, size: usize) {
        self.input.consume(size);
        self.search.restart();
    }

    /// Throws the next packet away without gathering it: its body's length. One that an earlier
    /// call has begun goes on.
    pub fn step_skip_packet(&mut self) -> Result<Step<Option<usize>>> {
        if !self.skip.goes_on(What::Packet) && !ready!(self.step_begin_packet()?) {
            return Ok(Step::Done(None));
        }
        ready!(self.step_finish_skip()?);
        Ok(Step::Done(Some(self.skip.length())))
    }

    /// Takes the head of a packet that is to be skipped; false at the end of the stream.
    fn step_begin_packet(&mut self) -> Result<Step<bool>> {
        let (framing, endian) = (self.limits.framing, self.limits.endian);
        let request = match framing {
            Framing::Delimiter(_) => Request::Available { max: 1 },
            _ => Request::Head { framing: &framing, endian },
        };
        let Some(item) = ready!(self.step_find(request)?) else { return Ok(Step::Done(false)) };
        let head = match framing.decode(self.text(&item), endian)? {
            Decoded::Head(head) => head,
            Decoded::NotYet(_) => Head::default(),
        };
        self.consume(head.before);
        self.skip = Skip::packet(&framing, &head);
        Ok(Step::Done(true))
    }

    /// Throws so many bytes away. A call for as many goes on where the last one ended early.
    pub fn step_skip(&mut self, size: usize) -> Result<Step<()>> {
        if !self.skip.goes_on(What::Bytes(size)) {
            ready!(self.step_finish_skip()?);
            self.search.restart();
            self.skip = Skip::bytes(size);
        }
        self.step_finish_skip()
    }

    /// Finishes a skip, and forgets that there was one.
    fn step_finish_skip(&mut self) -> Result<Step<()>> {
        let step = self.step_skipped();
        match &step {
            Ok(Step::Done(())) => self.skip.forget(),
            Ok(Step::Wait(_)) => {}
            Err(error) => {
                // What is not as it should be stays, and is the next read's. Behind bytes that were
                // to come, there is only the end.
                let is_at_end = self.end.is_some() && self.skip.is_of_bytes();
                if error.code() == Code::Unexpected || is_at_end {
                    self.skip = Skip::default();
                }
            }
        }
        step
    }

    /// What is left of a skip goes before anything else.
    fn step_skipped(&mut self) -> Result<Step<()>> {
        if self.skip.is_over() {
            return Ok(Step::Done(()));
        }
        for _ in 0..TURNS {
            if self.skip.advance(&mut self.input)? {
                return Ok(Step::Done(()));
            }
            ready!(self.step_fill(self.skip.pending())?);
        }
        self.step_yield(self.skip.pending())
    }

    /// Takes in what has come; done when there is more than before, or the end was seen.
    fn step_fill(&mut self, pending: Pending) -> Result<Step<()>> {
        if self.input.append_late()? {
            return Ok(Step::Done(()));
        }
        match &self.end {
            Some(ReadEnd::Clean) => return Err(Error::closed(format!("end of stream: {pending}"))),
            Some(ReadEnd::Failed(error)) => return Err(error.clone()),
            None => {}
        }
        let transport = &mut self.transport;
        let is_empty = self.input.is_empty() && transport.pending() == 0 && !transport.has_unseen();
        if mem::take(&mut self.has_asked) && is_empty {
            let wait = Wait::new(&transport.fd(), Want::Read).untried(transport.was_short());
            return Ok(Step::Wait(wait.pending(pending)));
        }
        match self.input.fill(ROOM, |into| transport.read(into))? {
            Ok(step) => {
                let count = ready!(step.pending(pending));
                self.traffic.read += count as u64;
                self.note_first_byte(count);
                if count == 0 {
                    self.end = Some(self.lost.take().map_or(ReadEnd::Clean, ReadEnd::Failed));
                }
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                let lost = self.lost.take().filter(|_| error.code() == Code::Closed);
                self.end = Some(ReadEnd::Failed(lost.unwrap_or(error)));
            }
        }
        self.input.append_late()?;
        Ok(Step::Done(()))
    }

    fn note_first_byte(&mut self, count: usize) {
        if count > 0
            && let Some(at) = self.wrote_at.take()
        {
            self.traffic.first_byte = Some(now() - at);
        }
    }

    fn step_yield<T>(&mut self, pending: Pending) -> Result<Step<T>> {
        Ok(Step::Wait(Wait::yield_now(&self.fd()).pending(pending)))
    }

    // Writing.

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Appends what `fill` makes to what waits to be sent. Where that fails, nothing is queued.
    pub fn queue<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.check_room(0)?;
        let waiting = self.output.len();
        let out = self.output.spare(0)?;
        let mark = out.len();
        let queued = fill(out).and_then(|()| {
            let total = waiting + out.len() - mark;
            check_queue(total, self.limits.max_buffer).map_err(E::from)
        });
        if queued.is_err() {
            out.truncate(mark);
            self.output.release_if_empty();
        }
        queued
    }

    /// Queues a packet whose body `fill` makes.
    pub fn queue_packet<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.queue_framed(b"", fill)
    }

    /// The same with a header, where the framing has one.
    pub fn queue_framed<E: From<Error>>(
        &mut self,
        header: &[u8],
        fill: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Limits { max_packet, endian, framing, .. } = self.limits;
        self.queue(|out| {
            let head = out.len();
            framing.open(out, header)?;
            let body = out.len();
            fill(out)?;
            framing::check(out.len() - body, max_packet)?;
            Ok(framing.close(out, head, body, endian)?)
        })
    }

    /// Queues a packet with this body.
    pub fn queue_packet_bytes(&mut self, header: &[u8], body: &[u8]) -> Result<()> {
        // Checked before the copy, which may be of gigabytes.
        framing::check(body.len(), self.limits.max_packet)?;
        self.check_room(HEADER + body.len())?;
        self.queue_framed(header, |out| append(out, body))
    }

    /// Queues strings in order.
    pub fn queue_bytes(&mut self, parts: &[&[u8]]) -> Result<()> {
        // Checked before the copy, which may be of gigabytes.
        let size = parts.iter().map(|part| part.len()).sum();
        self.check_room(size)?;
        self.queue(|out| {
            reserve(out, size)?;
            parts.iter().for_each(|part| out.extend_from_slice(part));
            Ok(())
        })
    }

    /// Whether `size` bytes more may be queued, where anything may.
    fn check_room(&self, size: usize) -> Result<()> {
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => check_queue(self.output.len().saturating_add(size), self.limits.max_buffer),
        }
    }

    /// Sends what is queued.
    pub fn step_flush(&mut self) -> Result<Step<()>> {
        for _ in 0..TURNS {
            if let Some(error) = &self.broken {
                return Err(error.clone());
            }
            if self.output.is_empty() {
                self.sent = 0;
                return Ok(Step::Done(()));
            }
            // Before: the answer may be there when a busy system lets the write return.
            let (pending, at) = (self.pending_send(), now());
            match self.transport.write(self.output.filled()) {
                Ok(step) => {
                    let count = ready!(step.pending(pending));
                    self.traffic.written += count as u64;
                    self.output.consume(count);
                    self.sent += count;
                    self.has_asked = true;
                    self.wrote_at = Some(at);
                    self.traffic.first_byte = None;
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    self.note_lost(&error);
                    self.broken = Some(error);
                }
            }
        }
        self.step_yield(self.pending_send())
    }

    /// Notes the failure of a write, unless it says nothing of the other direction.
    #[cold]
    fn note_lost(&mut self, error: &Error) {
        if !error.is_transient() && !error.is_broken_pipe() {
            self.lost = Some(error.clone());
        }
    }

    fn pending_send(&self) -> Pending {
        Pending::Sending { have: self.sent, need: self.sent + self.output.len() }
    }

    /// Sends what is queued and then ends the sending side, once; reading goes on.
    pub fn step_shutdown(&mut self) -> Result<Step<()>> {
        if self.is_shut {
            return Ok(Step::Done(()));
        }
        ready!(self.step_flush()?);
        let ended = self.transport.shutdown();
        ready!(ended.inspect_err(|error| self.note_lost(error))?);
        self.is_shut = true;
        self.broken = Some(Error::closed("this connection was shut down for writing"));
        Ok(Step::Done(()))
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

fn check_queue(total: usize, limit: usize) -> Result<()> {
    if total > limit {
        let detail = format!("{total} bytes to send, the limit (max_buffer) is {limit}");
        return Err(Error::new(Code::TooLarge, detail));
    }
    Ok(())
}
