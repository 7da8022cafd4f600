//! The coroutines that wait in an event loop. The shim writes these tables, and this file reads
//! them.
//! Uses `ffi`.

use mlua::{Function, Lua, Table};
use net::io::poller::descriptor;

use super::*;
use crate::event_loop::Claim;

/// The registry's keys for the tables of waiting coroutines, which are weak: a coroutine that its
/// loop has dropped is collected. The first to wait for a descriptor stands under the descriptor,
/// with its ticket in the other table; another one stands under its claim. Keys that occur only
/// once would make Lua rehash the table again and again.
static WAITING: u8 = 0;
static TICKETS: u8 = 0;

/// Makes the tables `waiting` and `tickets`, for the shim too.
pub fn register_tables(lua: &Lua) -> mlua::Result<(Table, Table)> {
    let (waiting, tickets, weak) = (lua.create_table()?, lua.create_table()?, lua.create_table()?);
    weak.raw_set("__mode", "v")?;
    waiting.set_metatable(Some(weak))?;
    // SAFETY: nothing is captured; the tables are the arguments.
    unsafe {
        lua.exec_raw::<()>(&waiting, |state| register(state, &WAITING))?;
        lua.exec_raw::<()>(&tickets, |state| register(state, &TICKETS))?;
    }
    Ok((waiting, tickets))
}

/// Whether a coroutine other than the one that runs waits with this claim. A dead one does not.
pub unsafe fn is_waiting(state: *mut lua_State, claim: Claim) -> bool {
    // SAFETY: the caller's; four slots are used and given back.
    unsafe {
        let fd = descriptor(claim.unsigned_abs());
        push_registered(state, &TICKETS);
        raw_get_index(state, -1, fd as Index);
        let is_first = lua_type(state, -1) == LUA_TNUMBER && float_at(state, -1) == claim as f64;
        push_registered(state, &WAITING);
        // A claim is larger than the index of some Luas.
        push_integer(state, if is_first { fd.into() } else { claim });
        lua_rawget(state, -2);
        let other = lua_tothread(state, -1);
        lua_pop(state, 4);
        let is_there = !other.is_null() && other != state && !is_dead(other);
        is_there && (!cfg!(feature = "lua51") || has_wait(state, other))
    }
}

/// The registry's key for the shim's function that waits.
static WAIT: u8 = 0;

/// `native.register_wait(wait)` and `native.is_in_wait(coroutine)`: the C functions.
pub fn functions(lua: &Lua) -> mlua::Result<(Function, Function)> {
    // SAFETY: nothing is captured.
    unsafe {
        let register = lua.exec_raw((), |state| lua_pushcclosure(state, register_wait, 0))?;
        Ok((register, lua.exec_raw((), |state| lua_pushcclosure(state, is_in_wait, 0))?))
    }
}

unsafe extern "C-unwind" fn register_wait(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; nothing is owned.
    unsafe {
        lua_settop(state, 1);
        register(state, &WAIT);
    }
    0
}

unsafe extern "C-unwind" fn is_in_wait(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; nothing is owned.
    unsafe {
        lua_settop(state, 1);
        let thread = lua_tothread(state, 1);
        lua_pushboolean(state, has_wait(state, thread).into());
    }
    1
}

/// Whether a coroutine is in the shim's function `wait`; whether the running one, which asks from
/// there, is in it twice. Only Lua 5.1 needs this: there the shim does not learn that a coroutine
/// could not yield, since the error passes it.
unsafe fn has_wait(state: *mut lua_State, thread: *mut lua_State) -> bool {
    const CALLS: c_int = 32;
    // SAFETY: the caller's; the thread is alive on the stack or in a table of the registry.
    unsafe {
        if thread.is_null() || lua_checkstack(thread, 1) == 0 {
            return false;
        }
        push_registered(state, &WAIT);
        let wait = lua_topointer(state, -1);
        lua_pop(state, 1);
        let mut call = std::mem::zeroed();
        let mut missing = if thread == state { 2 } else { 1 };
        for level in 0..CALLS {
            if missing == 0 || ffi::lua_getstack(thread, level, &mut call) == 0 {
                break;
            }
            ffi::lua_getinfo(thread, c"f".as_ptr(), &mut call);
            missing -= u32::from(lua_topointer(thread, -1) == wait);
            lua_pop(thread, 1);
        }
        missing == 0
    }
}

/// As `coroutine.status` tells.
unsafe fn is_dead(thread: *mut lua_State) -> bool {
    // SAFETY: the thread is alive in a table of the registry.
    unsafe {
        match ffi::lua_status(thread) {
            ffi::LUA_YIELD => false,
            LUA_OK => {
                let mut frame = std::mem::zeroed();
                ffi::lua_getstack(thread, 0, &mut frame) == 0 && lua_gettop(thread) == 0
            }
            _ => true,
        }
    }
}
