//! The one C function behind everything that scripts call.
//!
//! The operation runs first; it may own values and fail. Its reply is pushed in one protected call,
//! and only then is the input consumed. So an error or a panic on the way leaves the connection as
//! it was. Uses `ffi`, `call`, `give`.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mlua::{AnyUserData, Function, LightUserData, Lua};

use net::error::Error;
use net::io::deadline::Deadline;

use super::call::{Body, Call, Method, Operation, Result, SELF, Stop, TOKEN};
use super::give::{Ended, give, give_up};
use super::object::UserdataCell;
use super::reply::{self, Reply};
use super::small::Small;
use super::stop::{finalized, in_use};
use super::*;
use crate::alloc;
use crate::event_loop::Host;
use crate::listener::Listener;
use crate::ops::tls::close_failed;
use crate::owners::Sides;
use crate::pending::PendingOp;

// Upvalues, behind `RUN`.
const HOST: c_int = 2;
const OPERATION: c_int = 3;
pub(super) const SAFE: c_int = 4;

/// A C function that is the operation. `safe`: its failures are returned and not thrown.
pub fn function(
    lua: &Lua,
    run: &Function,
    host: &AnyUserData,
    operation: &'static Operation,
    safe: bool,
) -> mlua::Result<Function> {
    let pointer = LightUserData(std::ptr::from_ref(operation).cast_mut().cast());
    // SAFETY: nothing is captured; the upvalues are the arguments, in the order of their numbers.
    unsafe {
        lua.exec_raw((run, host, pointer, safe), |state| {
            lua_pushcclosure(state, trampoline, SAFE);
        })
    }
}

pub(super) unsafe extern "C-unwind" fn trampoline(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the upvalues that `function` gave it. What is raised is raised
    // when nothing is owned any more.
    unsafe {
        // The slots of token, self and first argument are there in any case.
        let count = lua_gettop(state);
        let top = count.max(SELF + 1);
        lua_settop(state, top);
        let mut small = Small::new();
        loop {
            let ended = catch_unwind(AssertUnwindSafe(|| operate(state, count, &mut small)));
            let ended = ended.unwrap_or_else(|panic| {
                lua_settop(state, SELF);
                give_up(state, &internal_error(&*panic))
            });
            match ended {
                Ended::Pushed(count) => return count,
                Ended::Raised => lua_error(state),
                Ended::Small => {
                    lua_pushboolean(state, 1);
                    small.push(state);
                    if small.consume() {
                        return 2;
                    }
                    lua_settop(state, top);
                }
            }
        }
    }
}

/// Makes the call, and pushes its result.
unsafe fn operate(state: *mut lua_State, count: c_int, small: &mut Small) -> Ended {
    // SAFETY: the upvalues are as `function` made them; the host lives as long as they do.
    let (host, operation) = unsafe {
        let host = lua_touserdata(state, lua_upvalueindex(HOST)).cast::<UserdataCell<Rc<Host>>>();
        let operation = lua_touserdata(state, lua_upvalueindex(OPERATION));
        let host = (*host).try_borrow().ok().and_then(|host| host.clone());
        (host, &*operation.cast::<Operation>())
    };
    let Some(host) = host else {
        // SAFETY: `operate`'s.
        return unsafe { give_at_the_end(state, operation.name) };
    };
    let deadline = deadline(state, &host);
    // A call that gives memory back is let in.
    let is_admitted = operation.name == "close" || alloc::refill();
    let first = if let Body::Function(_) = operation.body { SELF } else { SELF + 1 };
    // Methods follow the module that made the object, functions their own.
    let is_method = matches!(operation.body, Body::Connection(..) | Body::Listener(_));
    // SAFETY: as above.
    let safe = !is_method && unsafe { lua_toboolean(state, lua_upvalueindex(SAFE)) != 0 };
    let is_cancelled = deadline.is_some() && host.take_cancelling();
    let mut call = Call {
        state,
        name: operation.name,
        first,
        last: count,
        deadline,
        is_cancelled,
        safe,
        host: &host,
    };
    // SAFETY: `operate`'s.
    let ended = unsafe {
        match operation.body {
            _ if !is_admitted => give(&call, Err(Stop::Memory), None),
            Body::Function(body) => {
                let result =
                    if is_cancelled { Err(PendingOp::cancel(&call)) } else { body(&mut call) };
                let result = result.map_err(|stop| stop.with_context(call.name, ""));
                give(&call, result, None)
            }
            Body::Connection(sides, body) => on_connection(&mut call, small, true, sides, body),
            // Another connection may be the last one by now.
            Body::Last(sides, body) if call.deadline.is_some() => {
                on_connection(&mut call, small, false, sides, body)
            }
            Body::Last(sides, body) => {
                reply::push_last(state);
                lua_insert(state, SELF);
                call.last += 1;
                let ended = match lua_type(state, SELF) {
                    LUA_TUSERDATA => on_connection(&mut call, small, false, sides, body),
                    _ => give(&call, Err(no_connection().with_context(call.name, "")), None),
                };
                lua_remove(state, SELF);
                ended
            }
            Body::Listener(body) => on_listener(&mut call, body),
        }
    };
    // SAFETY: nothing of the call is borrowed any more; the results stay on the stack.
    unsafe { sink::deliver(state, &host) };
    ended
}

/// The deadline of a call that is made again: its token is the deadline, or an operation that has
/// one.
fn deadline(state: *mut lua_State, host: &Host) -> Option<Deadline> {
    // SAFETY: the token is in its slot.
    unsafe {
        match lua_type(state, TOKEN) {
            LUA_TNIL => None,
            LUA_TNUMBER => Some(Deadline::at(float_at(state, TOKEN))),
            _ => {
                let pending = host.kinds.tokens.at(state, TOKEN)?.try_borrow().ok()?;
                pending.as_ref().map(|pending| pending.deadline())
            }
        }
    }
}

unsafe fn on_connection(
    call: &mut Call<'_>,
    small: &mut Small,
    is_method: bool,
    sides: Sides,
    body: Method,
) -> Ended {
    let state = call.state;
    // SAFETY: `operate`'s; the self stays in its slot.
    unsafe {
        let Some(slot) = call.host.kinds.connections.at(state, SELF) else {
            return give(call, Err(wrong_self(call, "tcp.Connection")), None);
        };
        let Ok(mut object) = slot.try_borrow_mut() else {
            return give(call, Err(in_use().with_context(call.name, "")), None);
        };
        let Some(this) = object.as_mut() else { return give_finalized(call) };
        if is_method {
            call.safe = this.config.safe;
        }
        lines::take_back(state, SELF, this);
        let mut result = this.own(call, sides, body);
        if let Err(Stop::Failed(error)) = result {
            let stop = Stop::Failed(this.explained(error)).with_context(call.name, &this.label());
            result = Err(stop.reported(|| this.report()));
            close_failed(call, this);
        }
        // The lines of a trace come before a finalizer may read.
        if let Ok(Reply::Item(item)) = &result
            && !call.host.tracer.has_lines()
            && let Some(stream) = this.as_open()
            && small.copy(slot, stream, item)
        {
            return Ended::Small;
        }
        give(call, result, Some(this))
    }
}

unsafe fn on_listener(
    call: &mut Call<'_>,
    body: fn(&mut Call<'_>, &mut Listener) -> Result<Reply>,
) -> Ended {
    // SAFETY: `operate`'s; the self stays in its slot.
    unsafe {
        let Some(slot) = call.host.kinds.listeners.at(call.state, SELF) else {
            let stop = wrong_self(call, "tcp.Listener");
            return give(call, Err(stop), None);
        };
        let Ok(mut object) = slot.try_borrow_mut() else {
            return give(call, Err(in_use().with_context(call.name, "")), None);
        };
        let Some(this) = object.as_mut() else { return give_finalized(call) };
        call.safe = this.config.safe;
        let result =
            if call.is_cancelled { Err(PendingOp::cancel(call)) } else { body(call, this) };
        let result = result.map_err(|stop| stop.with_context(call.name, &this.label()));
        give(call, result, None)
    }
}

fn no_connection() -> Stop {
    Error::closed("no active connection, connect opens one").into()
}

/// # Safety
/// As for `operate`.
unsafe fn wrong_self(call: &Call<'_>, expected: &str) -> Stop {
    // SAFETY: the caller's.
    let got = unsafe {
        // What a call does not have reads as nil in the slot that is there for it.
        let given = if call.last < SELF { LUA_TNONE } else { lua_type(call.state, SELF) };
        type_name(call.state, given)
    };
    let name = call.name;
    Stop::Argument(format!("bad argument #1 to '{name}' ({expected} expected, got {got})"))
}

/// The result of a method of an object that was finalized: a finalizer that runs later may call it.
unsafe fn give_finalized(call: &Call<'_>) -> Ended {
    let result = match call.name {
        "close" => Ok(Reply::Nothing),
        "is_open" => Ok(false.into()),
        "tostring" => Ok("tcp object (closed)".into()),
        name => Err(finalized().with_context(name, "")),
    };
    // SAFETY: the caller's.
    unsafe { give(call, result, None) }
}

/// The result of a call while the Lua state is being closed, from a finalizer of an older object.
unsafe fn give_at_the_end(state: *mut lua_State, name: &str) -> Ended {
    // SAFETY: the caller's.
    unsafe {
        if name == "close" {
            lua_pushboolean(state, 1);
            lua_pushboolean(state, 1);
            return Ended::Pushed(2);
        }
        give_up(state, "this Lua state is being closed")
    }
}

fn internal_error(panic: &(dyn Any + Send)) -> String {
    let what = panic.downcast_ref::<&str>().copied();
    let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("tcp: internal error, please report: {}", what.unwrap_or("panic"))
}
