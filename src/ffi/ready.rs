//! What `receive` of `tcp.luasocket` finds in the buffer: a C function of its own, since to call an
//! operation takes longer than the rest. It reads from no socket, and has no failures: where there
//! is anything else to do than to cut a short item, it gives nothing, and the operation is called.
//! Uses `ffi`, `small`, `connection`, `ops::face`.

use std::ffi::c_int;

use mlua::{Function, Lua};

use super::object::Kind;
use super::small::{MOST, Small};
use super::*;
use crate::connection::Connection;
use crate::ops::face::{Pattern, find_ready};

// The upvalue.
const KIND: c_int = 1;

// The arguments.
const CONNECTION: c_int = 1;
const PATTERN: c_int = 2;

/// `ready(connection, pattern)`: a line for "*l" or nil, or so many bytes.
pub fn function(lua: &Lua, kind: Kind<Connection>) -> mlua::Result<Function> {
    // SAFETY: nothing is captured; the kind is the function's upvalue.
    unsafe { lua.exec_raw(kind.to_value(), |state| lua_pushcclosure(state, ready, KIND)) }
}

unsafe extern "C-unwind" fn ready(state: *mut lua_State) -> c_int {
    let mut small = Small::new();
    // SAFETY: Lua calls this, with the kind for upvalue. Nothing is owned or borrowed while the
    // bytes are pushed.
    unsafe {
        lua_settop(state, PATTERN);
        let Some(pattern) = pattern(state) else { return 0 };
        let kind = Kind::from_upvalue(state, KIND);
        if look(state, kind, pattern, &mut small).is_none() {
            return 0;
        }
        small.push(state);
        c_int::from(small.consume())
    }
}

unsafe fn pattern(state: *mut lua_State) -> Option<Pattern> {
    // SAFETY: as in `ready`.
    unsafe {
        match lua_type(state, PATTERN) {
            LUA_TNIL => Some(Pattern::Line),
            LUA_TSTRING if bytes_at(state, PATTERN) == b"*l" => Some(Pattern::Line),
            LUA_TNUMBER => {
                let size = usize::try_from(whole_at(state, PATTERN)?).ok()?;
                (1..=MOST).contains(&size).then_some(Pattern::Size(size))
            }
            _ => None,
        }
    }
}

/// Copies the item that is asked for, if it is in the buffer.
unsafe fn look(
    state: *mut lua_State,
    kind: Kind<Connection>,
    pattern: Pattern,
    small: &mut Small,
) -> Option<()> {
    // SAFETY: as in `ready`; the connection stays on the stack.
    let slot = unsafe { kind.at(state, CONNECTION)? };
    let mut object = slot.try_borrow_mut().ok()?;
    let stream = object.as_mut()?.idle_stream()?;
    let item = find_ready(stream, pattern)?;
    small.copy(slot, stream, &item).then_some(())
}
