//! The iterator of `connection:lines()` from Lua 5.2 on, as a C function: a call of one in Lua for each line
//! costs more than all else. Lua 5.1 could not yield through it, and LuaJIT compiles the one in Lua
//! (shim.lua), which does the same. Uses `raw`.

use std::cell::Cell;
use std::ffi::c_int;
use std::rc::Rc;

use memchr::memchr;
use mlua::{Function, Lua, ffi};

use super::object::{Kind, Slot};
use super::*;

/// How many bytes of the block are handed out; none where it is no longer true.
pub type Count = Rc<Cell<Option<usize>>>;

// Upvalues: the function that gives the next block, the count, and the block.
const REFILL: c_int = 1;
const COUNT: c_int = 2;
const BLOCK: c_int = 3;

/// `count()`: a count for an iterator.
pub fn count_function(lua: &Lua) -> mlua::Result<Function> {
    let kind = Kind::<Count>::of(lua)?.to_value();
    // SAFETY: nothing is captured; the kind is the function's argument.
    unsafe { lua.exec_raw(kind, |state| lua_pushcclosure(state, count, 1)) }
}

unsafe extern "C-unwind" fn count(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the upvalue that `count_function` gave it; nothing is owned where Lua may raise.
    unsafe {
        let kind = lua_touserdata(state, lua_upvalueindex(1));
        Kind::<Count>::from_pointer(kind).push_empty(state).replace(Some(Count::default()));
        1
    }
}

/// `lines(refill, count)`: the iterator.
pub fn function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: nothing is captured.
    unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, lines, 0)) }
}

unsafe extern "C-unwind" fn lines(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, and `next` owns nothing where Lua may raise.
    unsafe {
        lua_settop(state, COUNT);
        push_bytes(state, b"");
        lua_pushcclosure(state, next, BLOCK);
        1
    }
}

unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the upvalues as `lines` made them; nothing is owned.
    unsafe { if cut(state) { 1 } else { refill(state) } }
}

/// The first line of the next block.
unsafe fn refill(state: *mut lua_State) -> c_int {
    // SAFETY: as in `next`.
    unsafe {
        lua_settop(state, 0);
        lua_pushvalue(state, lua_upvalueindex(REFILL));
        ffi::lua_callk(state, 0, 1, 0, Some(go_on));
        refilled(state)
    }
}

/// After a wait in `refill`.
#[cfg(not(feature = "lua52"))]
unsafe extern "C-unwind" fn go_on(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    // SAFETY: as in `next`.
    unsafe { refilled(state) }
}

#[cfg(feature = "lua52")]
unsafe extern "C-unwind" fn go_on(state: *mut lua_State) -> c_int {
    // SAFETY: as in `next`.
    unsafe { refilled(state) }
}

/// With the next block on the stack, or nil.
unsafe fn refilled(state: *mut lua_State) -> c_int {
    // SAFETY: as in `next`.
    unsafe {
        if lua_type(state, -1) != LUA_TSTRING {
            return 1;
        }
        lua_pushvalue(state, -1);
        ffi::lua_replace(state, lua_upvalueindex(BLOCK));
        if !cut(state) {
            let Some(count) = count_of(state).filter(|count| count.get() == Some(0)) else {
                return refill(state);
            };
            // The last line, which has no end.
            count.set(Some(bytes_at(state, -1).len()));
        }
        1
    }
}

/// Pushes the block's next line, without its `\n` or `\r\n`, and counts it, if there is one.
unsafe fn cut(state: *mut lua_State) -> bool {
    // SAFETY: as in `next`; the block stays in its upvalue.
    unsafe {
        let Some(count) = count_of(state) else { return false };
        let Some(taken) = count.get() else { return false };
        let block = bytes_at(state, lua_upvalueindex(BLOCK));
        let Some(rest) = block.get(taken..) else { return false };
        let Some(newline) = memchr(b'\n', rest) else { return false };
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        push_bytes(state, line);
        // Memory may have been collected for it, and a finalizer may have read this connection.
        if count.get() != Some(taken) {
            return false;
        }
        count.set(Some(taken + newline + 1));
        true
    }
}

/// None where the collector has it.
unsafe fn count_of<'a>(state: *mut lua_State) -> Option<&'a Cell<Option<usize>>> {
    // SAFETY: as in `next`; `count` made the userdata, which lives as long as the upvalue. Nobody else changes the slot.
    unsafe {
        let slot = lua_touserdata(state, lua_upvalueindex(COUNT)).cast::<Slot<Count>>();
        (*(*slot).as_ptr()).as_deref()
    }
}
