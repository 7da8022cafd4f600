//! The reading steps of a connection: an item is found in what has come, or skipped. Uses
//! `stream::buffer`, `stream::skip`, `framing`, `framing::text`, `io::step`, `io::deadline`,
//! `error`.

use std::mem;

use memchr::memrchr;

use super::skip::{Skip, What};
use super::{ROOM, ReadEnd, Stream, TURNS};
use crate::error::{Code, Error, Pending, Result};
use crate::framing::pattern::Capture;
use crate::framing::text::{Found, Item, Request};
use crate::framing::{Decoded, Framing, Head};
use crate::io::deadline::now;
use crate::io::step::{Step, Wait, Want, ready};

impl Stream {
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
                Found::Busy => waiting_for = Pending::More { have: self.input.len() },
            }
        }
        self.step_yield(waiting_for)
    }

    /// The item, if it is in the buffer already and nothing is to be done before it.
    #[inline]
    pub fn find_ready(&mut self, request: Request<'_>) -> Option<Item> {
        if !self.skip.is_over() || self.skip.is_untold() {
            return None;
        }
        match self.search.find(request, self.input.filled(), false) {
            Ok(Found::Item(item)) => Some(item),
            _ => None,
        }
    }

    /// How many bytes were consumed before those that are in the buffer.
    pub fn position(&self) -> u64 {
        self.traffic.read - self.input.len() as u64
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
    pub fn step_skip_packet(&mut self) -> Result<Step<Option<u64>>> {
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
    pub fn step_skip(&mut self, size: u64) -> Result<Step<()>> {
        if !self.skip.goes_on(What::Bytes(size)) {
            ready!(self.step_finish_skip()?);
            self.search.restart();
            self.skip = Skip::bytes(size);
        }
        self.step_finish_skip()
    }

    /// Finishes a skip, and forgets that there was one.
    pub(super) fn step_finish_skip(&mut self) -> Result<Step<()>> {
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
    pub(super) fn step_skipped(&mut self) -> Result<Step<()>> {
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
    pub(super) fn step_fill(&mut self, pending: Pending) -> Result<Step<()>> {
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
        let had_waited = mem::replace(&mut self.has_waited, true);
        if mem::take(&mut self.has_asked) && is_empty {
            let wait = Wait::new(&transport.fd(), Want::Read)
                .untried(transport.was_short() && !had_waited);
            return Ok(Step::Wait(wait.pending(pending)));
        }
        match self.input.fill(ROOM, |into| transport.read(into))? {
            Ok(step) => {
                let count = ready!(step.pending(pending));
                self.has_waited = false;
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

    pub(super) fn step_yield<T>(&mut self, pending: Pending) -> Result<Step<T>> {
        self.has_waited = true;
        Ok(Step::Wait(Wait::yield_now(&self.fd()).pending(pending)))
    }
}
