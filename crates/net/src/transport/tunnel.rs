//! A tunnel through another transport, as through TLS to a proxy. It carries bytes for the peer,
//! and names the proxy in the failures of the transport outside. Uses `transport`,
//! `transport::{tcp, tls}`, `stream::buffer`, `io::step`, `error`.

use std::io;
use std::os::fd::BorrowedFd;

use super::tcp::{CALLS, Reason, Tcp};
use super::tls::{self, keeping_errors};
use super::{Carrier, Transport};
use crate::error::{Code, Error, Result};
use crate::io::step::{Step, Wait};
use crate::stream::buffer::Buffer;

/// Bytes taken at once for the TLS inside: a record of the TLS outside (RFC 8446, section 5.1).
const AHEAD: usize = 16 * 1024;

pub struct Tunnel {
    outer: Box<dyn Transport>,
    /// The words before failures of the outer transport, once the tunnel is in use.
    label: Option<String>,
    /// What came already and was not asked for yet.
    ahead: Buffer,
    /// Calls that the operation of the TLS inside has left.
    calls: usize,
    reason: Option<Reason>,
}

impl Tunnel {
    pub fn new(outer: Box<dyn Transport>) -> Self {
        Self { outer, label: None, ahead: Buffer::default(), calls: CALLS, reason: None }
    }

    pub fn set_label(&mut self, label: String) {
        self.label = Some(label);
    }

    /// What is known of the TLS outside.
    pub fn report(&mut self) -> Option<tls::Report> {
        self.outer.as_tls().map(|tls| tls.report())
    }

    /// Puts bytes in front of those that come.
    pub fn unread(&mut self, bytes: &[u8]) -> Result<()> {
        self.ahead.spare(bytes.len())?.extend_from_slice(bytes);
        Ok(())
    }

    pub fn take_reason(&mut self) -> Option<Reason> {
        self.calls = CALLS;
        self.reason.take()
    }

    #[cold]
    fn labelled(&self, error: Error) -> Error {
        match &self.label {
            Some(label) if !error.is_transient() => {
                let error = error.prefixed(label);
                if error.code() == Code::Tls { error.in_phase("proxy") } else { error }
            }
            _ => error,
        }
    }

    /// A call of the TLS inside, and what it is told: what passes it takes for a wait.
    fn call(
        &mut self,
        act: impl FnOnce(&mut dyn Transport, &mut Buffer) -> Result<Step<usize>>,
    ) -> io::Result<usize> {
        let result = match self.calls.checked_sub(1) {
            Some(left) => {
                self.calls = left;
                keeping_errors(|| act(&mut *self.outer, &mut self.ahead))
            }
            None => Ok(Step::Wait(Wait::yield_now(&self.outer.fd()))),
        };
        let (reason, kind) = match result {
            Ok(Step::Done(count)) => return Ok(count),
            Ok(Step::Wait(wait)) => (Reason::Wait(Box::new(wait)), io::ErrorKind::WouldBlock),
            Err(error) if error.is_transient() => {
                (Reason::Failed(error), io::ErrorKind::WouldBlock)
            }
            Err(error) => (Reason::Broken(self.labelled(error)), io::ErrorKind::Other),
        };
        self.reason = Some(reason);
        Err(kind.into())
    }
}

impl Transport for Tunnel {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        match self.ahead.is_empty() {
            true => self.outer.read(into).map_err(|error| self.labelled(error)),
            false => Ok(Step::Done(self.ahead.take_into(into))),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        self.outer.write(bytes).map_err(|error| self.labelled(error))
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        self.outer.shutdown().map_err(|error| self.labelled(error))
    }

    fn peek(&mut self) -> Result<Step<usize>> {
        match self.ahead.is_empty() {
            true => self.outer.peek().map_err(|error| self.labelled(error)),
            false => Ok(Step::Done(self.ahead.len())),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.outer.fd()
    }

    fn pending(&self) -> usize {
        self.ahead.len() + self.outer.pending()
    }

    fn has_unseen(&self) -> bool {
        self.outer.has_unseen()
    }

    fn was_short(&self) -> bool {
        self.outer.was_short()
    }

    fn has_begun(&self) -> bool {
        self.outer.has_begun()
    }

    fn has_records(&self) -> bool {
        self.outer.has_records()
    }

    fn as_tcp(&mut self) -> Option<&mut Tcp> {
        self.outer.as_tcp()
    }

    fn into_carrier(self: Box<Self>) -> Option<Carrier> {
        Some(Carrier::Tunnel(self))
    }
}

/// For the TLS inside.
impl io::Read for Tunnel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            let read = self.call(|outer, ahead| outer.read(ahead.spare(AHEAD)?));
            self.ahead.release_if_empty();
            read?;
        }
        let count = into.len().min(self.ahead.len());
        into[..count].copy_from_slice(&self.ahead.filled()[..count]);
        self.ahead.consume(count);
        Ok(count)
    }
}

impl io::Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call(|outer, _| outer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
