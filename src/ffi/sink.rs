//! The script's function that gets the lines of the trace. Lines are made below Lua, and the
//! function gets them when their call ends or waits. Uses `ffi`.

use mlua::Lua;
use net::text::printable;
use net::trace::complain;

use super::*;
use crate::event_loop::Host;

/// The registry's key for a table with the function that takes the lines. It holds false before
/// there is one, so that what is there is only replaced, which takes no memory.
static SINK: u8 = 0;

pub fn register_sink(lua: &Lua) -> mlua::Result<()> {
    let table = lua.create_sequence_from([false])?;
    // SAFETY: nothing is captured; the table is the argument.
    unsafe { lua.exec_raw::<()>(table, |state| register(state, &SINK)) }
}

/// Keeps the function at this index.
pub unsafe fn keep(state: *mut lua_State, index: c_int) {
    // SAFETY: as the caller's; the registry has the table.
    unsafe {
        push_registered(state, &SINK);
        lua_pushvalue(state, index);
        raw_set_index(state, -2, 1);
        lua_pop(state, 1);
    }
}

/// Calls the script's function with the lines of a call. It must not disturb the call: it cannot
/// yield, its own calls block and are not traced, and an error in it ends the tracing.
///
/// # Safety
/// As for `protected`, with nothing borrowed that the function may come across.
pub unsafe fn deliver(state: *mut lua_State, host: &Host) {
    while host.tracer.has_lines() {
        let Some(line) = host.tracer.take_line() else { return };
        // SAFETY: the caller's; the line is owned out here.
        let is_taken = host.blocking(|| host.tracer.quietly(|| unsafe { hand_over(state, &line) }));
        if !is_taken {
            host.tracer.off();
            // SAFETY: what was raised is on top of the stack.
            let why = unsafe {
                let why = match lua_type(state, -1) {
                    LUA_TSTRING => printable(&String::from_utf8_lossy(bytes_at(state, -1))),
                    other => type_name(state, other).to_owned(),
                };
                lua_pop(state, 1);
                why
            };
            complain(format_args!("debug: off, its function failed: {why}"));
        }
    }
}

/// False where the function raises, or is none: what it raised is on the stack then.
unsafe fn hand_over(state: *mut lua_State, line: &str) -> bool {
    // SAFETY: the caller's; the body owns nothing.
    unsafe {
        protected(state, 1, 0, |state| {
            push_registered(state, &SINK);
            raw_get_index(state, -1, 1);
            push_bytes(state, line.as_bytes());
            lua_call(state, 1, 0);
            0
        })
    }
}
