//! The iterator of `connection:lines()` from Lua 5.2 on, as a C function: a call of one in Lua for each line
//! costs more than all else. Lua 5.1 could not yield through it, and LuaJIT compiles the one in Lua
//! (shim.lua), which does the same. Uses `raw`.

use std::ffi::c_int;

use memchr::memchr;
use mlua::{Function, Lua, ffi};

use super::*;

// Upvalues: the function that gives the next block, the table that says how many bytes of the block are
// handed out, false where it is no longer true; the block.
const REFILL: c_int = 1;
const HANDED: c_int = 2;
const BLOCK: c_int = 3;

/// `lines(refill, handed)`: the iterator.
pub fn function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: nothing is captured.
    unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, lines, 0)) }
}

unsafe extern "C-unwind" fn lines(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, and `next` owns nothing where Lua may raise.
    unsafe {
        lua_settop(state, HANDED);
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
            if handed(state) != Some(0) {
                return refill(state);
            }
            // The last line, which has no end.
            set_handed(state, bytes_at(state, -1).len());
        }
        1
    }
}

/// Pushes the block's next line, without its `\n` or `\r\n`, and counts it, if there is one.
unsafe fn cut(state: *mut lua_State) -> bool {
    // SAFETY: as in `next`; the block stays in its upvalue.
    unsafe {
        let Some(taken) = handed(state) else { return false };
        let block = bytes_at(state, lua_upvalueindex(BLOCK));
        let Some(rest) = block.get(taken..) else { return false };
        let Some(newline) = memchr(b'\n', rest) else { return false };
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        push_bytes(state, line);
        // Memory may have been collected for it, and a finalizer may have read this connection.
        if handed(state) != Some(taken) {
            return false;
        }
        set_handed(state, taken + newline + 1);
        true
    }
}

unsafe fn handed(state: *mut lua_State) -> Option<usize> {
    // SAFETY: as in `next`; `HANDED` is a table.
    unsafe {
        raw_get_index(state, lua_upvalueindex(HANDED), 1);
        let count = whole_at(state, -1);
        lua_pop(state, 1);
        count.map(|count| count as usize)
    }
}

unsafe fn set_handed(state: *mut lua_State, count: usize) {
    // SAFETY: as in `handed`. The element is there.
    unsafe {
        push_integer(state, count as i64);
        raw_set_index(state, lua_upvalueindex(HANDED), 1);
    }
}
