//! The fast halves of what scripts do a million times: reading, writing, and closing. They do without mlua, whose
//! callbacks cost more than a packet that is there already, and leave to the full half (`reading`,
//! `writing`, `connection`) what is not plain: odd arguments, failures and their words, ends of streams, waits in loops of
//! the script's own. A step can be made again, so a half may decline at any time.
//! Uses `raw`, `object`, `connection`, `json`, `wait`.

use std::cell::RefMut;
use std::ffi::c_int;

use mlua::{Function, LightUserData, Lua};

use net::error::{self, Error};
use net::framing::text::{Item, Request};
use net::io::deadline::Deadline;
use net::io::poller::Ticket;
use net::io::step::Step;
use net::io::wait::{Driven, Place, go_on};
use net::memory::append;
use net::stream::{Limits, Stream};

use super::object::Kind;
use super::*;
use crate::lua::call::Failure;
use crate::lua::connection::Connection;
use crate::lua::json::{self, Document};
use crate::lua::park::Sides;
use crate::lua::reading::RECV;

// The slots that an operation is called with; see shim.lua.
const TOKEN: c_int = 1;
const SELF: c_int = 2;
const FIRST: c_int = 3;

/// Strings that a `send` of several may have.
const PARTS: usize = 8;

// Upvalues.
const KIND: c_int = OWN;
const PLAN: c_int = OWN + 1;

/// What a read asks for, by its first argument; none where that is not plain.
type Ask = unsafe fn(*mut lua_State, Limits) -> Option<Request<'static>>;

enum Plan {
    Text(Ask),
    /// A JSON value. A bad one is consumed where it is a packet's.
    Json(Ask, bool),
    Write(Queue),
    Close,
}

/// Queues what is to be written. Refused: the full half says why.
type Queue = unsafe fn(*mut lua_State, &mut Stream) -> Result<(), Refused>;

enum Refused {
    Declined,
    Raised,
}

impl From<Error> for Refused {
    fn from(_: Error) -> Self {
        Self::Declined
    }
}

static PLANS: [(&str, Plan); 15] = [
    ("close", Plan::Close),
    ("json_packets", Plan::Json(ask_packet, true)),
    ("json_values", Plan::Json(ask_json, false)),
    ("packets", Plan::Text(ask_packet)),
    ("read", Plan::Text(ask_exact)),
    ("read_json", Plan::Json(ask_json, false)),
    ("read_json_packet", Plan::Json(ask_packet, true)),
    ("read_line", Plan::Text(ask_line)),
    ("read_packet", Plan::Text(ask_packet)),
    ("recv", Plan::Text(ask_some)),
    ("send", Plan::Write(queue_strings)),
    ("write_json", Plan::Write(queue_json)),
    ("write_json_packet", Plan::Write(queue_json_packet)),
    ("write_packet", Plan::Write(queue_packet)),
    ("write_str", Plan::Write(queue_strings)),
];

/// The fast half of a connection's operation in front of its full one; that alone where there is none.
pub fn half(lua: &Lua, name: &str, full: Function) -> mlua::Result<Function> {
    let Some((_, plan)) = PLANS.iter().find(|(each, _)| *each == name) else { return Ok(full) };
    let plan: *const Plan = plan;
    let own = (Kind::<Connection>::of(lua)?.to_value(), LightUserData(plan.cast_mut().cast()));
    fast_half(lua, operate, full, own)
}

unsafe extern "C-unwind" fn operate(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this.
    unsafe { attempt(state, lua_gettop(state), |state| try_operate(state)) }
}

/// Owns the borrow of the connection.
unsafe fn try_operate(state: *mut lua_State) -> Ended {
    // SAFETY: the upvalues are as `half` made them.
    let (kind, plan) = unsafe {
        let kind = lua_touserdata(state, lua_upvalueindex(KIND));
        let plan = lua_touserdata(state, lua_upvalueindex(PLAN));
        (Kind::<Connection>::from_pointer(kind), &*plan.cast_const().cast::<Plan>())
    };
    // SAFETY: an operation is called with a token and more, and keeps its self in its slot.
    let (slot, deadline) = unsafe {
        lua_settop(state, lua_gettop(state).max(SELF));
        let Some(slot) = kind.at(state, SELF) else { return Ended::Declined };
        let deadline = match lua_type(state, TOKEN) {
            LUA_TNIL => None,
            LUA_TNUMBER => Some(Deadline::at(float_at(state, TOKEN))),
            _ => return Ended::Declined,
        };
        (slot, deadline)
    };
    let Ok(object) = slot.try_borrow_mut() else { return Ended::Declined };
    let Ok(this) = RefMut::filter_map(object, Option::as_mut) else {
        return Ended::Declined;
    };
    let sides = match plan {
        Plan::Text(_) | Plan::Json(..) => Sides::READ,
        Plan::Write(_) => Sides::WRITE,
        Plan::Close => Sides::NONE,
    };
    let mut call = Attempt { state, this, deadline, sides };
    if !call.is_plain() {
        return Ended::Declined;
    }
    // SAFETY: the stack is as `Attempt` says.
    unsafe {
        match plan {
            Plan::Text(ask) => call.read(*ask, |call, item| call.give_text(item)),
            Plan::Json(ask, is_packet) => {
                call.read(*ask, |call, item| call.give_json(item, *is_packet))
            }
            Plan::Write(queue) => call.write(*queue),
            Plan::Close => call.close(),
        }
    }
}

/// A call of an operation that the full half may yet have to do; its arguments begin in slot `FIRST`.
struct Attempt<'a> {
    state: *mut lua_State,
    this: RefMut<'a, Connection>,
    /// None the first time.
    deadline: Option<Deadline>,
    sides: Sides,
}

impl Attempt<'_> {
    /// Whether nothing but this call is about the connection, and it is known how to wait.
    fn is_plain(&self) -> bool {
        self.this.lent.is_none()
            && self.this.failure.is_none()
            && !self.this.is_traced()
            && self.this.parking.place() != Place::Loop
            && self.this.owners.are_plain(self.sides, self.deadline.is_none())
    }

    unsafe fn read(&mut self, ask: Ask, give: impl FnOnce(&mut Self, &Item) -> Ended) -> Ended {
        // SAFETY: as `Attempt` says.
        unsafe {
            let Ok(stream) = self.this.stream() else { return Ended::Declined };
            let Some(request) = ask(self.state, stream.limits()) else { return Ended::Declined };
            match self.drive(|stream| stream.step_find(request)) {
                Ok(Some(item)) => give(self, &item),
                // The end, which is there to stay.
                Ok(None) => Ended::Declined,
                Err(ended) => ended,
            }
        }
    }

    unsafe fn give_text(&mut self, item: &Item) -> Ended {
        let state = self.state;
        let text = self.found().text(item);
        // SAFETY: as `Attempt` says.
        let is_given = unsafe {
            protected(state, SELF, 2, |state| {
                lua_pushboolean(state, 1);
                push_bytes(state, text);
                2
            })
        };
        self.given(is_given, item)
    }

    unsafe fn give_json(&mut self, item: &Item, is_packet: bool) -> Ended {
        let (state, json) = (self.state, self.this.manner.json);
        let document = match Document::parse(self.found().text(item), json) {
            Ok(document) => document,
            Err(error) => {
                let failure = Failure::from(error);
                // The packet is whole, whatever is in it.
                if is_packet && !matches!(failure, Failure::Lua(_)) {
                    self.found().consume(item.size);
                }
                return self.fail(failure);
            }
        };
        // SAFETY: as `Attempt` says.
        let is_given = unsafe {
            protected(state, SELF, 2, |state| {
                lua_pushboolean(state, 1);
                document.push(state);
                2
            })
        };
        drop(document);
        self.given(is_given, item)
    }

    fn given(&mut self, is_given: bool, item: &Item) -> Ended {
        if !is_given {
            return Ended::Raised;
        }
        self.found().consume(item.size);
        Ended::Given(2)
    }

    /// Where an item was found.
    fn found(&mut self) -> &mut Stream {
        self.this.stream().expect("nobody closes what is borrowed")
    }

    unsafe fn write(&mut self, queue: Queue) -> Ended {
        if self.deadline.is_none() {
            let Ok(stream) = self.this.stream() else { return Ended::Declined };
            // SAFETY: as `Attempt` says.
            match unsafe { queue(self.state, stream) } {
                Ok(()) => {}
                Err(Refused::Declined) => return Ended::Declined,
                Err(Refused::Raised) => return Ended::Raised,
            }
        }
        match self.drive(Stream::step_flush) {
            // SAFETY: as `Attempt` says.
            Ok(()) => unsafe { self.done() },
            Err(ended) => ended,
        }
    }

    unsafe fn close(&mut self) -> Ended {
        self.this.close();
        // SAFETY: as `Attempt` says.
        unsafe { self.done() }
    }

    /// Success without a value.
    unsafe fn done(&self) -> Ended {
        // SAFETY: Lua has room for what a C function returns.
        unsafe {
            lua_pushboolean(self.state, 1);
            match self.this.manner.safe {
                true => lua_pushboolean(self.state, 1),
                false => lua_pushnil(self.state),
            }
        }
        Ended::Given(2)
    }

    /// Drives a step of the connection until it is done.
    fn drive<T>(
        &mut self,
        mut step: impl FnMut(&mut Stream) -> error::Result<Step<T>>,
    ) -> Result<T, Ended> {
        let (mut deadline, sides) = (self.deadline, self.sides);
        let this = &mut *self.this;
        let driven = match this.stream().and_then(&mut step) {
            Ok(Step::Done(value)) => Ok(Driven::Done(value)),
            Ok(Step::Wait(wait)) => {
                // Who has waited is told of what came: to wait again, it must look.
                let place = match deadline {
                    None => this.place(),
                    Some(_) => this.parking.place(),
                };
                let deadline =
                    *deadline.get_or_insert_with(|| Deadline::after(this.manner.timeout));
                go_on(wait, deadline, place, || step(this.stream()?))
            }
            Err(error) => Err(error),
        };
        let ticket = match driven {
            Ok(Driven::Done(value)) => {
                this.owners.set_plain(sides, None);
                return Ok(value);
            }
            Ok(Driven::Interrupted) => Ok(None),
            Ok(Driven::Parked(wait)) => this.park(wait).map(|parked| parked.ticket),
            Err(error) => Err(error),
        };
        let ticket = ticket.map_err(|error| self.fail(error.into()))?;
        self.this.owners.set_plain(sides, ticket);
        // SAFETY: Lua has room for what a C function returns.
        Err(unsafe { self.again(deadline.unwrap_or(Deadline::NEVER), ticket) })
    }

    /// To be called again with this deadline for its token, after a wait with this ticket.
    unsafe fn again(&self, deadline: Deadline, ticket: Option<Ticket>) -> Ended {
        let state = self.state;
        // SAFETY: the caller's.
        unsafe {
            lua_pushnil(state);
            lua_pushnumber(state, deadline.seconds());
            let Some(ticket) = ticket else { return Ended::Given(2) };
            push_integer(state, ticket as i64);
            lua_pushnil(state);
            match self.this.parking.news() {
                Some(seconds) => lua_pushnumber(state, seconds),
                None => lua_pushnil(state),
            }
        }
        Ended::Given(5)
    }

    /// The full half says so.
    #[cold]
    fn fail(&mut self, failure: Failure) -> Ended {
        self.this.owners.set_plain(self.sides, None);
        self.this.failure = Some(Box::new(failure));
        Ended::Declined
    }
}

// What is asked for. SAFETY, for all: `state` is an operation's, whose slots can be read.

unsafe fn ask_packet(_: *mut lua_State, limits: Limits) -> Option<Request<'static>> {
    Some(limits.packet())
}

unsafe fn ask_json(_: *mut lua_State, limits: Limits) -> Option<Request<'static>> {
    Some(Request::Json { max: limits.max_buffer })
}

unsafe fn ask_line(state: *mut lua_State, limits: Limits) -> Option<Request<'static>> {
    // SAFETY: as above.
    let is_absent = unsafe { lua_type(state, FIRST) <= LUA_TNIL };
    is_absent.then_some(Request::Line { max: limits.max_buffer })
}

unsafe fn ask_exact(state: *mut lua_State, limits: Limits) -> Option<Request<'static>> {
    // SAFETY: as above.
    let size = unsafe { whole_at(state, FIRST) }?;
    Some(Request::Exact { size: usize::try_from(size).ok()?, max: limits.max_buffer })
}

unsafe fn ask_some(state: *mut lua_State, _: Limits) -> Option<Request<'static>> {
    // SAFETY: as above.
    unsafe {
        if lua_type(state, FIRST) <= LUA_TNIL {
            return Some(Request::Available { max: RECV });
        }
        let max = usize::try_from(whole_at(state, FIRST)?).ok()?;
        (max > 0).then_some(Request::Available { max })
    }
}

// What is queued. SAFETY, for all: as above; the strings stay in their slots.

unsafe fn queue_strings(state: *mut lua_State, stream: &mut Stream) -> Result<(), Refused> {
    // SAFETY: as above.
    unsafe {
        let count = (lua_gettop(state) - FIRST + 1) as usize;
        let mut parts = [b"".as_slice(); PARTS];
        let Some(parts) = parts.get_mut(..count) else { return Err(Refused::Declined) };
        for (part, index) in parts.iter_mut().zip(FIRST..) {
            *part = string_at(state, index)?;
        }
        Ok(stream.queue_bytes(parts)?)
    }
}

unsafe fn queue_packet(state: *mut lua_State, stream: &mut Stream) -> Result<(), Refused> {
    // SAFETY: as above.
    let body = unsafe { string_at(state, FIRST) }?;
    Ok(stream.queue_packet_bytes(body)?)
}

unsafe fn string_at<'a>(state: *mut lua_State, index: c_int) -> Result<&'a [u8], Refused> {
    // SAFETY: as above.
    unsafe {
        match lua_type(state, index) {
            LUA_TSTRING => Ok(bytes_at(state, index)),
            _ => Err(Refused::Declined),
        }
    }
}

unsafe fn queue_json(state: *mut lua_State, stream: &mut Stream) -> Result<(), Refused> {
    stream.queue(|out| {
        // SAFETY: as above.
        unsafe { encode(state, out) }?;
        Ok(append(out, b"\n")?)
    })
}

unsafe fn queue_json_packet(state: *mut lua_State, stream: &mut Stream) -> Result<(), Refused> {
    // SAFETY: as above.
    stream.queue_packet(|out| unsafe { encode(state, out) })
}

unsafe fn encode(state: *mut lua_State, out: &mut Vec<u8>) -> Result<(), Refused> {
    // SAFETY: as above. Within, the value is in slot 2 and on top, as `append` wants it.
    unsafe {
        if lua_gettop(state) < FIRST {
            return Err(Refused::Declined);
        }
        let mut is_written = false;
        let is_done = protected(state, FIRST, 0, |state| {
            is_written = json::append(state, 2, out);
            0
        });
        match is_done {
            true if is_written => Ok(()),
            true => Err(Refused::Declined),
            false => Err(Refused::Raised),
        }
    }
}
