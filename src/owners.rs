//! Who waits for a connection: while a call waits elsewhere, nobody else may use the sides that it
//! needs. Uses `ffi`, `event_loop`.

use std::os::fd::RawFd;

use net::error::{self, Code, Error};
use net::io::step::Want;

use crate::event_loop::Claim;
use crate::ffi::call::Call;

/// The sides of a connection that an operation needs to itself.
#[derive(Clone, Copy)]
pub struct Sides {
    reads: bool,
    writes: bool,
}

impl Sides {
    pub const NONE: Self = Self { reads: false, writes: false };
    pub const READ: Self = Self { reads: true, writes: false };
    pub const WRITE: Self = Self { reads: false, writes: true };
    pub const BOTH: Self = Self { reads: true, writes: true };

    /// Whether a wait is in the direction that is not that of this side.
    pub fn is_crossed(self, want: Want) -> bool {
        match want {
            Want::Read => self.writes && !self.reads,
            Want::Write => self.reads && !self.writes,
        }
    }
}

/// Who waits for a connection.
#[derive(Clone, Copy)]
pub struct Owner {
    pub claim: Claim,
    /// That of the connection, or for a copy of the other one.
    pub fd: RawFd,
    /// It waits in the direction that is not its side's, as for a handshake: a call on the other
    /// side may do what it waits for.
    pub is_crossed: bool,
}

/// Those that wait for a connection.
#[derive(Default)]
pub struct Owners {
    reader: Option<Owner>,
    writer: Option<Owner>,
}

impl Owners {
    /// Whether no coroutine is known to wait to read.
    pub fn have_no_reader(&self) -> bool {
        self.reader.is_none()
    }

    /// Whether another coroutine waits to read. One that has ended or was collected does not.
    pub fn have_reader(&self, call: &Call<'_>) -> bool {
        self.reader.as_ref().is_some_and(|owner| call.is_claimed(owner.claim))
    }

    /// Refuses a call that begins while another coroutine waits on a side that it needs: their
    /// bytes would be mixed.
    #[inline]
    pub fn check(&mut self, call: &Call<'_>, sides: Sides) -> error::Result<()> {
        for (owner, doing) in self.of(sides) {
            let Some(Owner { claim, .. }) = *owner else { continue };
            if call.is_claimed(claim) {
                let detail = format!("another coroutine is {doing} this connection");
                return Err(Error::new(Code::Busy, detail));
            }
            *owner = None;
        }
        Ok(())
    }

    /// The call that has these sides waits, or is over.
    #[inline]
    pub fn set(&mut self, sides: Sides, waits: Option<Owner>) {
        for (owner, _) in self.of(sides) {
            *owner = waits;
        }
    }

    /// Who waits on the other side for what a call on this one may do.
    #[inline]
    pub fn crossed(&self, sides: Sides) -> Option<Claim> {
        let other = match sides {
            Sides { reads: true, writes: false } => self.writer,
            Sides { reads: false, writes: true } => self.reader,
            _ => None,
        };
        other.filter(|owner| owner.is_crossed).map(|owner| owner.claim)
    }

    /// The descriptors for which other coroutines wait.
    pub fn awaited(&self, call: &Call<'_>) -> [Option<RawFd>; 2] {
        let waits = |owner: Owner| call.is_claimed(owner.claim).then_some(owner.fd);
        [self.reader.and_then(waits), self.writer.and_then(waits)]
    }

    fn of(&mut self, sides: Sides) -> impl Iterator<Item = (&mut Option<Owner>, &'static str)> {
        let reader = sides.reads.then_some((&mut self.reader, "reading from"));
        let writer = sides.writes.then_some((&mut self.writer, "writing to"));
        reader.into_iter().chain(writer)
    }
}
