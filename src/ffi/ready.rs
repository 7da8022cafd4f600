//! What `receive` of `tcp.luasocket` finds in the buffer: a C function of its own, since to call an
//! operation takes longer than the rest. It reads from no socket, and has no failures: where there
//! is anything else to do than to cut a short item, it gives nothing, and the operation is called.
//! Uses `ffi`, `connection`, `ops::face`.

use std::ffi::c_int;

use mlua::{Function, Lua};

use super::object::Kind;
use super::*;
use crate::connection::Connection;
use crate::ops::face::{Pattern, find_ready};

/// The longest item, in bytes. What is longer costs more than the call of an operation.
const LONGEST: usize = 512;

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
    let mut room = [0; LONGEST];
    // SAFETY: Lua calls this, with the kind for upvalue. Nothing is owned or borrowed while the
    // bytes are pushed: memory may be collected for them, and a finalizer may read this connection.
    unsafe {
        lua_settop(state, PATTERN);
        let Some(pattern) = pattern(state) else { return 0 };
        let Some((text, size, position)) = look(state, pattern, &mut room) else { return 0 };
        push_bytes(state, text);
        c_int::from(take(state, size, position))
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
                (1..=LONGEST).contains(&size).then_some(Pattern::Size(size))
            }
            _ => None,
        }
    }
}

/// A copy of the item, how many bytes are consumed with it, and where it stands.
unsafe fn look(
    state: *mut lua_State,
    pattern: Pattern,
    room: &mut [u8; LONGEST],
) -> Option<(&[u8], usize, u64)> {
    // SAFETY: as in `ready`; the connection stays on the stack.
    let slot = unsafe { Kind::<Connection>::from_upvalue(state, KIND).at(state, CONNECTION)? };
    let mut object = slot.try_borrow_mut().ok()?;
    let stream = object.as_mut()?.idle_stream()?;
    let item = find_ready(stream, pattern)?;
    let text = stream.text(&item);
    let copy = room.get_mut(..text.len())?;
    copy.copy_from_slice(text);
    Some((copy, item.size, stream.position()))
}

/// Consumes the item; false where somebody has done so meanwhile.
unsafe fn take(state: *mut lua_State, size: usize, position: u64) -> bool {
    // SAFETY: as in `look`.
    let slot = unsafe { Kind::<Connection>::from_upvalue(state, KIND).at(state, CONNECTION) };
    let Some(Ok(mut object)) = slot.map(|slot| slot.try_borrow_mut()) else { return false };
    let Some(stream) = object.as_mut().and_then(Connection::idle_stream) else { return false };
    let is_there = stream.position() == position;
    if is_there {
        stream.consume(size);
    }
    is_there
}
