//! Waits that another does for a call. With a loop in use (`tcp.use`) an operation that must wait says
//! for what instead, and the shim has the loop's coroutine yield; that coroutine owns its side of the
//! connection until the operation is settled. Uses `wait`, `step`.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use mlua::thread::ThreadStatus;
use mlua::{Lua, Table, Thread, Value};

use net::error::{self, Code, Error};
use net::io::deadline::Deadline;
use net::io::poller::{DESCRIPTORS, Poller, Registration, Ticket, descriptor};
use net::io::step::{Wait, Want};
use net::io::wait::{Place, rest};
use net::trace::Tracer;

use super::call::{Call, Outcome, Result};

/// The registry's name for the coroutines that wait. Weak: one that its loop has dropped is collected. The
/// first to wait for a descriptor is under the descriptor, with its ticket in the other table, and anybody
/// else under his claim: names that come once and never again would have Lua make the table anew all the time.
const WAITING: &str = "tcp.waiting";
const TICKETS: &str = "tcp.tickets";

/// What the calls in one Lua state share. Holds nothing of Lua's, which it outlives.
#[derive(Clone)]
pub struct Parking(Rc<Shared>);

struct Shared {
    place: Cell<Place>,
    tickets: Cell<i64>,
    /// For a loop that watches it for all waits.
    poller: RefCell<Option<Poller>>,
    /// When the loop will make the poller's next turn at the latest.
    armed: Cell<Deadline>,
    tracer: Tracer,
}

/// A wait that is handed over.
pub struct Parked {
    wait: Wait,
    /// Where it is the poller's.
    pub ticket: Option<Ticket>,
}

impl Parked {
    /// What the shim is told: the descriptor, whether to write, and for how many seconds, nil being for
    /// ever; or a ticket, nil, and in how many seconds a turn is due if that is sooner than it knows.
    pub fn values(&self, parking: &Parking) -> (Value, Value, Value) {
        match self.ticket {
            Some(ticket) => {
                let due = parking.news().map_or(Value::Nil, Value::Number);
                (Value::Integer(ticket as i64), Value::Nil, due)
            }
            None => {
                let writes = Value::Boolean(self.wait.want == Want::Write);
                (Value::Integer(self.wait.fd.into()), writes, seconds(self.wait.wake))
            }
        }
    }
}

impl Parking {
    /// The state's own, made for the first that asks.
    pub fn of(lua: &Lua) -> mlua::Result<Self> {
        if let Some(parking) = lua.app_data_ref::<Self>() {
            return Ok(parking.clone());
        }
        let (waiting, weak) = (lua.create_table()?, lua.create_table()?);
        weak.raw_set("__mode", "v")?;
        waiting.set_metatable(Some(weak))?;
        lua.set_named_registry_value(WAITING, waiting)?;
        lua.set_named_registry_value(TICKETS, lua.create_table()?)?;
        let parking = Self(Rc::new(Shared {
            place: Cell::new(Place::Here),
            tickets: Cell::default(),
            poller: RefCell::default(),
            armed: Cell::new(Deadline::NEVER),
            tracer: Tracer::from_environment(),
        }));
        lua.set_app_data(parking.clone());
        Ok(parking)
    }

    /// Where a call waits.
    pub fn place(&self) -> Place {
        self.0.place.get()
    }

    /// Hands a wait over. `known` is what the poller knows this very descriptor by.
    pub fn hand_over(&self, wait: Wait, known: &mut Registration) -> error::Result<Parked> {
        let watch = || self.with_poller(|poller| poller.watch(wait, known));
        let is_polled = self.place() == Place::Poller;
        Ok(Parked { wait, ticket: is_polled.then(watch).transpose()? })
    }

    /// In how many seconds the poller's next turn is due, if that is sooner than the loop knows, which is
    /// told so.
    pub fn news(&self) -> Option<f64> {
        let next = self.0.poller.borrow().as_ref().map_or(Deadline::NEVER, Poller::next);
        if next < self.0.armed.get() {
            self.0.armed.set(next);
            return next.left().map(|left| left.as_secs_f64());
        }
        None
    }

    /// The waits for a descriptor that is going to be closed are over, and nobody waits: who did is collected.
    pub fn forget(&self, fd: RawFd) {
        if let Ok(mut poller) = self.0.poller.try_borrow_mut() {
            poller.iter_mut().for_each(|poller| poller.forget(fd));
        }
    }

    fn with_poller<T, E: From<Error>>(
        &self,
        act: impl FnOnce(&mut Poller) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut poller = self.0.poller.borrow_mut();
        if poller.is_none() {
            *poller = Some(Poller::new()?);
        }
        act(poller.as_mut().expect("made above"))
    }

    pub fn tracer(&self) -> &Tracer {
        &self.0.tracer
    }

    /// Does something that waits here, whatever loop is in use.
    pub fn in_place<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.0.place.replace(Place::Here);
        let value = act();
        self.0.place.set(before);
        value
    }
}

/// A number for a coroutine that waits: the poller's, under which its loop has put it, or one below 0.
type Claim = i64;

/// A claim for the coroutine that runs.
fn admit(call: &Call<'_>) -> mlua::Result<Claim> {
    let tickets = &call.parking.0.tickets;
    tickets.set(tickets.get() - 1);
    waiting(call.lua)?.raw_set(tickets.get(), call.lua.current_thread())?;
    Ok(tickets.get())
}

fn waiting(lua: &Lua) -> mlua::Result<Table> {
    lua.named_registry_value(WAITING)
}

fn tickets(lua: &Lua) -> mlua::Result<Table> {
    lua.named_registry_value(TICKETS)
}

/// The coroutine that waits with this claim.
fn owner(lua: &Lua, claim: Claim) -> mlua::Result<Option<Thread>> {
    if let Ok(ticket) = Ticket::try_from(claim) {
        let descriptor = descriptor(ticket);
        if tickets(lua)?.raw_get::<Option<Claim>>(descriptor)? == Some(claim) {
            return waiting(lua)?.raw_get(descriptor);
        }
    }
    waiting(lua)?.raw_get(claim)
}

/// Whether a coroutine other than the one that runs waits with this claim. A dead one does not.
fn has_other(lua: &Lua, claim: Claim) -> mlua::Result<bool> {
    let owner = owner(lua, claim)?;
    let is_dead = |status| matches!(status, ThreadStatus::Finished | ThreadStatus::Error);
    Ok(owner.is_some_and(|owner| owner != lua.current_thread() && !is_dead(owner.status())))
}

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
}

/// Those that wait for a connection.
#[derive(Default)]
pub struct Owners {
    reader: Option<Claim>,
    writer: Option<Claim>,
}

impl Owners {
    /// Whether these sides are free for a call to take, or go on with, without a look at who has them.
    pub fn are_plain(&self, sides: Sides, is_first: bool) -> bool {
        let is_plain = |owner: Option<Claim>| owner.is_none_or(|claim| !is_first && claim >= 0);
        (!sides.reads || is_plain(self.reader)) && (!sides.writes || is_plain(self.writer))
    }

    /// The call with a plain claim is settled, or waits by way of the poller with this ticket.
    pub fn set_plain(&mut self, sides: Sides, ticket: Option<Ticket>) {
        for (owner, _) in self.of(sides) {
            *owner = ticket.map(|ticket| ticket as Claim);
        }
    }

    /// Whether somebody waits to read, as far as is known.
    pub fn have_reader(&self) -> bool {
        self.reader.is_some()
    }

    /// Refuses a call that begins while another coroutine waits on a side that it needs: their bytes
    /// would be mixed.
    pub fn check(&mut self, call: &Call<'_>, sides: Sides) -> Result<()> {
        for (owner, doing) in self.of(sides) {
            let Some(claim) = *owner else { continue };
            if has_other(call.lua, claim)? {
                let detail = format!("another coroutine is {doing} this connection");
                return Err(Error::new(Code::Busy, detail).into());
            }
            *owner = None;
        }
        Ok(())
    }

    /// The call is going to wait elsewhere: its coroutine owns these sides.
    pub fn claim(&mut self, call: &Call<'_>, sides: Sides, parked: &Parked) -> Result<()> {
        // A claim of the poller's is over with the wait that it was for.
        let is_held = self.of(sides).all(|(owner, _)| owner.is_some_and(|claim| claim < 0));
        let claim = match parked.ticket {
            Some(ticket) => ticket as Claim,
            None if is_held => return Ok(()),
            None => admit(call)?,
        };
        self.of(sides).for_each(|(owner, _)| *owner = Some(claim));
        Ok(())
    }

    /// The call is settled.
    pub fn release(&mut self, call: &Call<'_>, sides: Sides) -> Result<()> {
        for (owner, _) in self.of(sides) {
            if let Some(claim) = owner.take().filter(|claim| *claim < 0) {
                waiting(call.lua)?.raw_set(claim, Value::Nil)?;
            }
        }
        Ok(())
    }

    fn of(&mut self, sides: Sides) -> impl Iterator<Item = (&mut Option<Claim>, &'static str)> {
        let reader = sides.reads.then_some((&mut self.reader, "reading from"));
        let writer = sides.writes.then_some((&mut self.writer, "writing to"));
        reader.into_iter().chain(writer)
    }
}

type Body = fn(&mut Call<'_>) -> Result<Outcome>;

/// What the shim and its loops use.
pub const FUNCTIONS: [(&str, Body); 8] = [
    ("due", due),
    ("forget", forget),
    ("leave", leave),
    ("park", park),
    ("poller", poller),
    ("turn", turn),
    ("unwatch", unwatch),
    ("wait", wait),
];

/// `native.park(in_use, polled)`: whether waits are handed over from now on, and whether to the poller.
fn park(call: &mut Call<'_>) -> Result<Outcome> {
    call.parking.0.place.set(match (call.argument(1).boolean()?, call.argument(2).boolean()?) {
        (false, _) => Place::Here,
        (true, false) => Place::Loop,
        (true, true) => Place::Poller,
    });
    Ok(Outcome::Nothing)
}

/// `native.wait(fd, writes, seconds)` or `native.wait(ticket)`: a wait that was handed over and that no
/// loop takes. Ends early for a signal, and now and then.
fn wait(call: &mut Call<'_>) -> Result<Outcome> {
    let wait = if call.argument(2).is_absent() {
        // No loop has heard when a turn is due.
        call.parking.0.armed.set(Deadline::NEVER);
        let ticket = ticket(call)?;
        call.parking.with_poller(|poller| error::Result::Ok(poller.unwatch(ticket)))?
    } else {
        let want = if call.argument(2).boolean()? { Want::Write } else { Want::Read };
        let seconds = call.argument(3).patience_or(f64::INFINITY)?;
        Some(Wait::new(&fd(call)?, want).waking(Deadline::after(seconds)))
    };
    wait.map_or(Ok(()), |wait| rest(&wait))?;
    Ok(Outcome::Nothing)
}

fn fd(call: &Call<'_>) -> Result<RawFd> {
    Ok(call.argument(1).integer(0, RawFd::MAX as usize)? as RawFd)
}

fn ticket(call: &Call<'_>) -> Result<Ticket> {
    Ok(call.argument(1).integer(0, 1 << 53)? as Ticket)
}

/// `native.poller()`: a table with the descriptor that stands for all waits that have a ticket, `fd`; the tables
/// `waiting` and `tickets`; and how many descriptors there may be, `descriptors`.
fn poller(call: &mut Call<'_>) -> Result<Outcome> {
    let fd = call.parking.with_poller(|poller| error::Result::Ok(poller.as_raw_fd()))?;
    let table = call.lua.create_table()?;
    table.raw_set("fd", fd)?;
    table.raw_set("waiting", waiting(call.lua)?)?;
    table.raw_set("tickets", tickets(call.lua)?)?;
    table.raw_set("descriptors", DESCRIPTORS)?;
    Ok(Outcome::Value(Value::Table(table)))
}

/// `native.unwatch(ticket)`: that wait ends.
fn unwatch(call: &mut Call<'_>) -> Result<Outcome> {
    call.parking.with_poller(|poller| {
        poller.unwatch(ticket(call)?);
        Ok(Outcome::Nothing)
    })
}

/// `native.forget(fd)`: the waits for this descriptor are over with the next turn.
fn forget(call: &mut Call<'_>) -> Result<Outcome> {
    call.parking.with_poller(|poller| {
        poller.close(fd(call)?);
        Ok(Outcome::Nothing)
    })
}

/// `native.leave()`: the wait of the coroutine that runs, the inner one if it waits within another, has
/// failed: it owns nothing by it.
fn leave(call: &mut Call<'_>) -> Result<Outcome> {
    let (waiting, this) = (waiting(call.lua)?, call.lua.current_thread());
    let mut last = None;
    for pair in waiting.pairs::<Claim, Thread>() {
        let (claim, thread) = pair?;
        if thread == this {
            last = Some(last.map_or(claim, |last: Claim| last.min(claim)));
        }
    }
    if let Some(claim) = last {
        waiting.raw_set(claim, Value::Nil)?;
    }
    Ok(Outcome::Nothing)
}

/// `native.turn()`: the tickets of the waits that are over.
fn turn(call: &mut Call<'_>) -> Result<Outcome> {
    // A finalizer that runs while the table is made may want the poller.
    let tickets = call.parking.with_poller(Poller::turn)?;
    Ok(Outcome::Value(Value::Table(call.lua.create_sequence_from(tickets)?)))
}

/// `native.due()`: how many waits there are, and in how many seconds a turn is due; nil is never. The
/// loop sees to that.
fn due(call: &mut Call<'_>) -> Result<Outcome> {
    call.parking.with_poller(|poller| {
        call.parking.0.armed.set(poller.next());
        Ok(Outcome::Pair(Value::Integer(poller.len() as i64), seconds(poller.next())))
    })
}

fn seconds(until: Deadline) -> Value {
    until.left().map_or(Value::Nil, |left| Value::Number(left.as_secs_f64()))
}
