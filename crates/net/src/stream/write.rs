//! The writing steps of a connection: bytes are queued once, then flushed. Uses `stream::buffer`,
//! `framing`, `memory`, `io::step`, `io::deadline`, `error`.

use super::{Limits, ReadEnd, Stream, TURNS};
use crate::error::{Code, Error, Pending, Result};
use crate::framing::{self, Framing, HEADER};
use crate::io::deadline::now;
use crate::io::step::{Step, Wait, Want, ready};
use crate::memory::{append, reserve};

impl Stream {
    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Forgets what waits to be sent: how many bytes that was.
    pub fn unqueue(&mut self) -> usize {
        let waiting = self.output.len();
        self.output.consume(waiting);
        self.sent = 0;
        waiting
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
        let head = if let Framing::Plain = self.limits.framing { HEADER } else { 0 };
        self.check_room(head + body.len())?;
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
    pub(super) fn check_room(&self, size: usize) -> Result<()> {
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
                    let count = ready!(self.note_wait(step.pending(pending)));
                    self.traffic.written += count as u64;
                    self.output.consume(count);
                    self.sent += count;
                    self.has_asked = true;
                    self.wrote_at = Some(at);
                    self.traffic.first_byte = None;
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => self.broken = Some(self.lose(error)),
            }
        }
        self.step_yield(self.pending_send())
    }

    /// A write that waits to read may be told of what is a reader's, see `has_waited`.
    fn note_wait<T>(&mut self, step: Step<T>) -> Step<T> {
        if let Step::Wait(Wait { want: Want::Read, .. }) = step {
            self.has_waited = true;
        }
        step
    }

    /// Notes the failure of a write, unless it says nothing of the other direction. Returns it, or
    /// over TLS why the peer has gone, where it has said so; what it has sent before is left to
    /// reads.
    #[cold]
    fn lose(&mut self, error: Error) -> Error {
        if !error.is_transient() && !error.is_broken_pipe() {
            self.lost = Some(error.clone());
        }
        if error.code() != Code::Closed || !self.transport.has_records() {
            return error;
        }
        self.look_behind_records();
        match &self.end {
            Some(ReadEnd::Failed(why)) if why.code() == Code::Tls => why.clone(),
            _ => error,
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
        let ended = ended.map_err(|error| self.lose(error))?;
        ready!(self.note_wait(ended));
        self.is_shut = true;
        self.broken = Some(Error::closed("this connection was shut down for writing"));
        Ok(Step::Done(()))
    }
}

fn check_queue(total: usize, limit: usize) -> Result<()> {
    if total > limit {
        let detail = format!("{total} bytes to send, the limit (max_buffer) is {limit}");
        return Err(Error::new(Code::TooLarge, detail));
    }
    Ok(())
}
