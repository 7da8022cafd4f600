//! The state that all calls in one Lua state share, and the waits that an event loop does for a
//! call. With a loop in use (`tcp.use`), an operation that must wait returns the wait, and the shim
//! yields to the loop. The shim keeps the waiting coroutines in a table, where this module looks
//! them up. Uses `ffi`.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, RawFd};

use mlua::Lua;

use net::error::{self, Code, Error};
use net::io::deadline::Deadline;
use net::io::poller::{Poller, Registration, Ticket};
use net::io::step::{Wait, Want};
use net::io::wait::{WaitMode, rest};
use net::trace::Tracer;

use crate::connection::Connection;
use crate::ffi::call::Body::Function;
use crate::ffi::call::{Call, Operation, Result};
use crate::ffi::object::Kind;
use crate::ffi::reply::{Reply, Value};
use crate::listener::Listener;
use crate::pending::PendingOp;

/// The state that all calls in one Lua state share. It outlives that state, and holds no Lua
/// values.
pub struct Host {
    pub kinds: Kinds,
    pub tracer: Tracer,
    wait_mode: Cell<WaitMode>,
    /// Whether calls wait in place for now, even with a loop in use.
    is_blocking: Cell<bool>,
    /// The claim of the last wait that the poller did not get.
    last_claim: Cell<Claim>,
    /// The poller, whose descriptor an event loop watches for all waits.
    poller: RefCell<Option<Poller>>,
    /// The latest time at which the loop will call `poll_events`.
    armed: Cell<Deadline>,
}

/// The kinds of userdata.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub connections: Kind<Connection>,
    pub listeners: Kind<Listener>,
    pub tokens: Kind<Box<PendingOp>>,
}

/// The number of a suspended wait: the poller's ticket, or a number below 0.
pub type Claim = i64;

/// A wait that an event loop does.
pub struct Suspended {
    pub wait: Wait,
    pub claim: Claim,
}

impl Suspended {
    pub fn is_polled(&self) -> bool {
        self.claim >= 0
    }
}

impl Host {
    pub fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            kinds: Kinds {
                connections: Kind::new(lua)?,
                listeners: Kind::new(lua)?,
                tokens: Kind::new(lua)?,
            },
            tracer: Tracer::from_environment(),
            wait_mode: Cell::new(WaitMode::Blocking),
            is_blocking: Cell::default(),
            last_claim: Cell::default(),
            poller: RefCell::default(),
            armed: Cell::new(Deadline::NEVER),
        })
    }

    /// Returns how calls wait.
    pub fn wait_mode(&self) -> WaitMode {
        if self.is_blocking.get() { WaitMode::Blocking } else { self.wait_mode.get() }
    }

    /// Suspends a wait, for the loop to do. `known` is the registration of this descriptor.
    pub fn suspend(&self, wait: Wait, known: &mut Registration) -> error::Result<Suspended> {
        if self.wait_mode() == WaitMode::Poller {
            let ticket = self.with_poller(|poller| poller.watch(wait, known))?;
            return Ok(Suspended { wait, claim: ticket as Claim });
        }
        self.last_claim.set(self.last_claim.get() - 1);
        Ok(Suspended { wait, claim: self.last_claim.get() })
    }

    /// Returns in how many seconds `poll_events` must be called, if the loop only knows a later
    /// time. From then on the loop knows.
    pub fn new_deadline(&self) -> Option<f64> {
        let next = self.poller.borrow().as_ref().map_or(Deadline::NEVER, Poller::next_timeout);
        if next < self.armed.get() {
            self.armed.set(next);
            return seconds_left(next);
        }
        None
    }

    /// Ends the waits for a descriptor that will be closed, at the next `poll_events`. There are
    /// none unless a script calls finalizers by hand.
    pub fn remove_fd(&self, fd: RawFd) {
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.iter_mut().for_each(|poller| poller.remove_fd(fd));
        }
    }

    /// Ends a wait of the poller early.
    pub fn cancel(&self, claim: Claim) {
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.as_mut().and_then(|poller| poller.cancel(claim.unsigned_abs()));
        }
    }

    fn with_poller<T>(
        &self,
        act: impl FnOnce(&mut Poller) -> error::Result<T>,
    ) -> error::Result<T> {
        let mut poller = self.poller.borrow_mut();
        let poller = match &mut *poller {
            Some(poller) => poller,
            empty => empty.insert(Poller::new()?),
        };
        act(poller)
    }

    /// Calls `act`, whose waits are done in place even with a loop in use.
    pub fn blocking<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.is_blocking.replace(true);
        let value = act();
        self.is_blocking.set(before);
        value
    }
}

pub fn seconds_left(until: Deadline) -> Option<f64> {
    until.left().map(|left| left.as_secs_f64())
}

/// The sides of a connection that an operation needs exclusively.
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
}

/// The claims of the calls that wait for a connection.
#[derive(Default)]
pub struct Owners {
    reader: Option<Claim>,
    writer: Option<Claim>,
}

impl Owners {
    /// Whether a call waits to read. Its coroutine may have ended since.
    pub fn have_reader(&self) -> bool {
        self.reader.is_some()
    }

    /// Refuses a call that begins while another coroutine waits on a side that it needs, since
    /// their bytes would be mixed.
    #[inline]
    pub fn check(&mut self, call: &Call<'_>, sides: Sides) -> error::Result<()> {
        for (owner, doing) in self.of(sides) {
            let Some(claim) = *owner else { continue };
            if call.is_claimed(claim) {
                let detail = format!("another coroutine is {doing} this connection");
                return Err(Error::new(Code::Busy, detail));
            }
            *owner = None;
        }
        Ok(())
    }

    /// Records the claim of the call that waits on these sides; none if it is over.
    #[inline]
    pub fn set(&mut self, sides: Sides, claim: Option<Claim>) {
        for (owner, _) in self.of(sides) {
            *owner = claim;
        }
    }

    fn of(&mut self, sides: Sides) -> impl Iterator<Item = (&mut Option<Claim>, &'static str)> {
        let reader = sides.reads.then_some((&mut self.reader, "reading from"));
        let writer = sides.writes.then_some((&mut self.writer, "writing to"));
        reader.into_iter().chain(writer)
    }
}

/// The functions for the shim and its loops.
pub static OPERATIONS: [Operation; 7] = [
    Operation { name: "cancel", body: Function(cancel) },
    Operation { name: "next_timeout", body: Function(next_timeout) },
    Operation { name: "poll_events", body: Function(poll_events) },
    Operation { name: "poller", body: Function(poller) },
    Operation { name: "remove_fd", body: Function(remove_fd) },
    Operation { name: "set_wait_mode", body: Function(set_wait_mode) },
    Operation { name: "wait", body: Function(wait) },
];

/// `native.set_wait_mode(in_use, polled)`: sets whether a loop does the waits, and whether through
/// the poller.
fn set_wait_mode(call: &mut Call<'_>) -> Result<Reply> {
    call.host.wait_mode.set(match (call.argument(1).boolean()?, call.argument(2).boolean()?) {
        (false, _) => WaitMode::Blocking,
        (true, false) => WaitMode::Loop,
        (true, true) => WaitMode::Poller,
    });
    Ok(Reply::Nothing)
}

/// `native.wait(ticket, seconds, fd, writes)`: does a suspended wait in place. It may end early,
/// and does so for a signal.
fn wait(call: &mut Call<'_>) -> Result<Reply> {
    let wait = if call.argument(3).is_absent() {
        // The loop does not know this timeout.
        call.host.armed.set(Deadline::NEVER);
        let ticket = ticket(call)?;
        call.host.with_poller(|poller| Ok(poller.cancel(ticket)))?
    } else {
        let want = if call.argument(4).boolean()? { Want::Write } else { Want::Read };
        let seconds = call.argument(2).patience_or(f64::INFINITY)?;
        Some(Wait::new(&fd(call, 3)?, want).waking(Deadline::after(seconds)))
    };
    wait.map_or(Ok(()), |wait| rest(&wait))?;
    Ok(Reply::Nothing)
}

fn fd(call: &Call<'_>, at: usize) -> Result<RawFd> {
    Ok(call.argument(at).integer(0, RawFd::MAX as usize)? as RawFd)
}

fn ticket(call: &Call<'_>) -> Result<Ticket> {
    Ok(call.argument(1).integer(0, 1 << 53)? as Ticket)
}

/// `native.poller()`: returns the poller's descriptor, which stands for all of its waits.
fn poller(call: &mut Call<'_>) -> Result<Reply> {
    let fd = call.host.with_poller(|poller| Ok(poller.as_raw_fd()))?;
    Ok(i64::from(fd).into())
}

/// `native.cancel(ticket)`: ends a wait early.
fn cancel(call: &mut Call<'_>) -> Result<Reply> {
    let ticket = ticket(call)?;
    // The loop may not know this timeout.
    call.host.armed.set(Deadline::NEVER);
    call.host.with_poller(|poller| {
        poller.cancel(ticket);
        Ok(())
    })?;
    Ok(Reply::Nothing)
}

/// `native.remove_fd(fd)`: ends the waits for this descriptor at the next `poll_events`.
fn remove_fd(call: &mut Call<'_>) -> Result<Reply> {
    let fd = fd(call, 1)?;
    call.host.with_poller(|poller| {
        poller.remove_fd(fd);
        Ok(())
    })?;
    Ok(Reply::Nothing)
}

/// `native.poll_events()`: returns the tickets of the waits that are over.
fn poll_events(call: &mut Call<'_>) -> Result<Reply> {
    let tickets = call.host.with_poller(Poller::poll_events)?;
    Ok(Value::list(tickets.into_iter().map(|ticket| ticket as i64)).into())
}

/// `native.next_timeout()`: returns the number of waits, and in how many seconds `poll_events` must
/// be called; nil is never. From then on the loop knows that time.
fn next_timeout(call: &mut Call<'_>) -> Result<Reply> {
    let (count, next) =
        call.host.with_poller(|poller| Ok((poller.len(), poller.next_timeout())))?;
    call.host.armed.set(next);
    Ok(Reply::Pair((count as i64).into(), seconds_left(next).into()))
}
