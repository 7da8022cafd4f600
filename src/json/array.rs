//! The array metatable: one in each Lua state, on every decoded array. Each function here raises
//! like the `lua_` functions that it calls, and is as safe. May call: `ffi`.

use std::ffi::{c_int, c_void};

use crate::ffi::*;

/// Its address is the registry key of the array metatable.
static ARRAY_METATABLE: u8 = 0;

/// Pushes the array metatable of this state, and makes it on the first call.
pub unsafe fn push_array_metatable(state: *mut lua_State) {
    // SAFETY: as the caller's; four stack slots are wanted.
    unsafe {
        lua_pushlightuserdata(state, array_metatable_key());
        lua_rawget(state, LUA_REGISTRYINDEX);
        if lua_type(state, -1) == LUA_TTABLE {
            return;
        }
        lua_pop(state, 1);
        lua_createtable(state, 0, 1);
        push_bytes(state, b"__name");
        push_bytes(state, b"tcp.json.array");
        lua_rawset(state, -3);
        lua_pushlightuserdata(state, array_metatable_key());
        lua_pushvalue(state, -2);
        lua_rawset(state, LUA_REGISTRYINDEX);
    }
}

/// Gives the table at `index` the array metatable; returns whether it has that now. A table with
/// another metatable is left alone. May raise if there is no memory.
pub unsafe fn mark(state: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as the caller's; five stack slots are wanted.
    unsafe {
        push_array_metatable(state);
        if lua_getmetatable(state, index) != 0 {
            let is_marked = lua_rawequal(state, -1, -2) != 0;
            lua_pop(state, 2);
            return is_marked;
        }
        lua_setmetatable(state, index);
        true
    }
}

/// Returns the identity of this state's array metatable; null if there is none yet.
pub unsafe fn array_metatable_pointer(state: *mut lua_State) -> *const c_void {
    // SAFETY: as the caller's; one stack slot is wanted.
    unsafe {
        lua_pushlightuserdata(state, array_metatable_key());
        lua_rawget(state, LUA_REGISTRYINDEX);
        let metatable = lua_topointer(state, -1);
        lua_pop(state, 1);
        metatable
    }
}

fn array_metatable_key() -> *mut c_void {
    (&raw const ARRAY_METATABLE).cast_mut().cast()
}
