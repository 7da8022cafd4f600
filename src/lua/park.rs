//! Waits that another does for a call. With a loop in use (`tcp.use`) an operation that must wait says
//! for what instead, and the shim has the loop's coroutine yield; that coroutine owns its side of the
//! connection until the operation is settled. Uses `wait`, `step`.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use mlua::thread::ThreadStatus;
use mlua::{Lua, Table, Thread, Value};

use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::poller::{Poller, Ticket};
use crate::step::{Wait, Want};
use crate::wait::{Place, rest};

use super::call::{Call, Outcome, Result};

/// The registry's name for the coroutines that wait, by ticket. Weak: one that its loop has dropped is
/// collected.
const WAITING: &str = "tcp.waiting";

/// What the calls in one Lua state share. Holds nothing of Lua's, which it outlives.
#[derive(Clone)]
pub struct Parking {
    place: Rc<Cell<Place>>,
    tickets: Rc<Cell<i64>>,
    /// For a loop that watches it for all waits.
    poller: Rc<RefCell<Option<Poller>>>,
    /// When the loop will make the poller's next turn at the latest.
    armed: Rc<Cell<Deadline>>,
}

/// A wait that is handed over.
pub struct Parked {
    pub wait: Wait,
    /// The poller knows the descriptor, and not only its number, from an earlier wait.
    pub is_known: bool,
}

impl From<Wait> for Parked {
    fn from(wait: Wait) -> Self {
        Self { wait, is_known: false }
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
        let parking = Self {
            place: Rc::new(Cell::new(Place::Here)),
            tickets: Rc::default(),
            poller: Rc::default(),
            armed: Rc::new(Cell::new(Deadline::NEVER)),
        };
        lua.set_app_data(parking.clone());
        Ok(parking)
    }

    /// Where a call waits.
    pub fn place(&self) -> Place {
        self.place.get()
    }
}

fn waiting(lua: &Lua) -> mlua::Result<Table> {
    lua.named_registry_value(WAITING)
}

/// A ticket for the coroutine that runs.
fn admit(call: &Call<'_>) -> mlua::Result<i64> {
    let tickets = &call.parking.tickets;
    tickets.set(tickets.get() + 1);
    waiting(call.lua)?.raw_set(tickets.get(), call.lua.current_thread())?;
    Ok(tickets.get())
}

/// Whether a coroutine other than the one that runs waits with this ticket. A dead one does not.
fn has_other(lua: &Lua, ticket: i64) -> mlua::Result<bool> {
    let owner: Option<Thread> = waiting(lua)?.raw_get(ticket)?;
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

/// The tickets of those that wait for a connection.
#[derive(Default)]
pub struct Owners {
    reader: Option<i64>,
    writer: Option<i64>,
}

impl Owners {
    /// Refuses a call that begins while another coroutine waits on a side that it needs: their bytes
    /// would be mixed.
    pub fn check(&mut self, call: &Call<'_>, sides: Sides) -> Result<()> {
        for (owner, doing) in self.of(sides) {
            let Some(ticket) = *owner else { continue };
            if has_other(call.lua, ticket)? {
                let detail = format!("another coroutine is {doing} this connection");
                return Err(Error::new(Code::Busy, detail).into());
            }
            *owner = None;
        }
        Ok(())
    }

    /// The call is going to wait elsewhere: its coroutine owns these sides.
    pub fn claim(&mut self, call: &Call<'_>, sides: Sides) -> Result<()> {
        for (owner, _) in self.of(sides) {
            if owner.is_none() {
                *owner = Some(admit(call)?);
            }
        }
        Ok(())
    }

    /// The call is settled.
    pub fn release(&mut self, call: &Call<'_>, sides: Sides) -> Result<()> {
        for (owner, _) in self.of(sides) {
            if let Some(ticket) = owner.take() {
                waiting(call.lua)?.raw_set(ticket, Value::Nil)?;
            }
        }
        Ok(())
    }

    fn of(&mut self, sides: Sides) -> impl Iterator<Item = (&mut Option<i64>, &'static str)> {
        let reader = sides.reads.then_some((&mut self.reader, "reading from"));
        let writer = sides.writes.then_some((&mut self.writer, "writing to"));
        reader.into_iter().chain(writer)
    }
}

type Body = fn(&mut Call<'_>) -> Result<Outcome>;

/// What the shim and its loops use.
pub const FUNCTIONS: [(&str, Body); 7] = [
    ("due", due),
    ("forget", forget),
    ("park", park),
    ("poller", poller),
    ("turn", turn),
    ("unwatch", unwatch),
    ("wait", wait),
];

/// `native.park(in_use, polled)`: whether waits are handed over from now on, and whether to the poller.
fn park(call: &mut Call<'_>) -> Result<Outcome> {
    call.parking.place.set(match (call.argument(1).boolean()?, call.argument(2).boolean()?) {
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
        with_poller(call, |poller| Ok(poller.unwatch(ticket(call)?)))?
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

fn with_poller<T>(call: &Call<'_>, act: impl FnOnce(&mut Poller) -> Result<T>) -> Result<T> {
    let mut poller = call.parking.poller.borrow_mut();
    if poller.is_none() {
        *poller = Some(Poller::new()?);
    }
    act(poller.as_mut().expect("made above"))
}

/// `native.poller()`: the descriptor that stands for all waits that have a ticket.
fn poller(call: &mut Call<'_>) -> Result<Outcome> {
    with_poller(call, |poller| Ok(Outcome::Value(Value::Integer(poller.as_raw_fd().into()))))
}

/// `native.unwatch(ticket)`: that wait ends.
fn unwatch(call: &mut Call<'_>) -> Result<Outcome> {
    with_poller(call, |poller| {
        poller.unwatch(ticket(call)?);
        Ok(Outcome::Nothing)
    })
}

/// `native.forget(fd)`: the waits for this descriptor are over with the next turn.
fn forget(call: &mut Call<'_>) -> Result<Outcome> {
    with_poller(call, |poller| {
        poller.close(fd(call)?);
        Ok(Outcome::Nothing)
    })
}

/// `native.turn()`: the tickets of the waits that are over.
fn turn(call: &mut Call<'_>) -> Result<Outcome> {
    with_poller(call, |poller| {
        let tickets = poller.turn()?;
        Ok(Outcome::Value(Value::Table(call.lua.create_sequence_from(tickets)?)))
    })
}

/// `native.due()`: how many waits there are, and in how many seconds a turn is due; nil is never. The
/// loop sees to that.
fn due(call: &mut Call<'_>) -> Result<Outcome> {
    with_poller(call, |poller| {
        call.parking.armed.set(poller.next());
        Ok(Outcome::Pair(Value::Integer(poller.len() as i64), seconds(poller.next())))
    })
}

fn seconds(until: Deadline) -> Value {
    until.left().map_or(Value::Nil, |left| Value::Number(left.as_secs_f64()))
}

/// What the shim is told to wait for: the descriptor, whether to write, and for how many seconds, nil
/// being for ever; or a ticket, nil, and in how many seconds a turn is due if that is sooner than was
/// said before.
pub fn values(call: &Call<'_>, parked: &Parked) -> Result<(Value, Value, Value)> {
    let Parked { wait, is_known } = parked;
    if call.parking.place() != Place::Poller {
        let writes = Value::Boolean(wait.want == Want::Write);
        return Ok((Value::Integer(wait.fd.into()), writes, seconds(wait.wake)));
    }
    with_poller(call, |poller| {
        let ticket = Value::Integer(poller.watch(*wait, *is_known)? as i64);
        let (next, armed) = (poller.next(), &call.parking.armed);
        let is_sooner = next < armed.get();
        if is_sooner {
            armed.set(next);
        }
        Ok((ticket, Value::Nil, if is_sooner { seconds(next) } else { Value::Nil }))
    })
}
