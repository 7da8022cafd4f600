//! The function that scripts call, as a C function: a Lua function around it would take a quarter
//! of a call that need not wait. It calls the shim to wait and to fail. From Lua 5.2 on: Lua 5.1
//! and LuaJIT cannot yield through a C function. Uses `ffi`, `trampoline`.

use std::ffi::c_int;

use mlua::{Function, Lua, ffi};

use super::call::{AGAIN_COUNT, TOKEN};
use super::trampoline::{SAFE, trampoline};
use super::*;

// Upvalues, behind those of the operation's own function.
const AGAIN: c_int = SAFE + 1;
const SETTLE: c_int = SAFE + 2;

/// What the shim's `finish_call` takes of the operation's results.
const RESULTS: c_int = 6;

/// `direct(operation, finish_call)`: the operation's function for scripts, which need no token.
/// What is not done goes to `finish_call(operation, <its results>, <its first arguments>)`, which
/// gives the results.
pub fn function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: nothing is captured.
    unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, direct, 0)) }
}

unsafe extern "C-unwind" fn direct(state: *mut lua_State) -> c_int {
    // SAFETY: the shim calls this with two functions, the first of `trampoline::function`; nothing
    // is owned.
    unsafe {
        lua_settop(state, 2);
        for upvalue in RUN..=SAFE {
            ffi::lua_getupvalue(state, 1, upvalue);
        }
        lua_pushvalue(state, 1);
        lua_pushvalue(state, 2);
        lua_pushcclosure(state, call, SETTLE);
        1
    }
}

unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the upvalues of the operation's own function in front; nothing
    // is owned.
    unsafe {
        lua_pushnil(state);
        lua_insert(state, TOKEN);
        let last = lua_gettop(state);
        let count = trampoline(state);
        if lua_toboolean(state, -count) != 0 { count - 1 } else { finish_call(state, last, count) }
    }
}

/// Calls the shim with the `count` results on top of the stack, and with the first of the
/// arguments, which end at `last`: there may be no room for all of them once more.
#[cold]
unsafe fn finish_call(state: *mut lua_State, last: c_int, count: c_int) -> c_int {
    // SAFETY: as in `call`. The slots that the results leave are enough for the two functions.
    unsafe {
        let (kept, before) = (last.min(TOKEN + AGAIN_COUNT), lua_gettop(state) - count);
        for result in 1..=count {
            lua_pushvalue(state, before + result);
            lua_replace(state, kept + result);
        }
        lua_settop(state, kept + count);
        ffi::luaL_checkstack(state, RESULTS, std::ptr::null());
        for _ in count..RESULTS {
            lua_pushnil(state);
        }
        for _ in 0..RESULTS {
            lua_insert(state, 1);
        }
        lua_remove(state, RESULTS + TOKEN);
        lua_settop(state, RESULTS + kept - TOKEN);
        lua_pushvalue(state, lua_upvalueindex(AGAIN));
        lua_insert(state, 1);
        lua_pushvalue(state, lua_upvalueindex(SETTLE));
        lua_insert(state, 1);
        ffi::lua_callk(state, lua_gettop(state) - 1, ffi::LUA_MULTRET, 0, Some(go_on));
        lua_gettop(state)
    }
}

/// After a wait in `finish_call`.
#[cfg(not(feature = "lua52"))]
unsafe extern "C-unwind" fn go_on(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    // SAFETY: Lua calls this, with the results alone on the stack.
    unsafe { lua_gettop(state) }
}

#[cfg(feature = "lua52")]
unsafe extern "C-unwind" fn go_on(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the results alone on the stack.
    unsafe { lua_gettop(state) }
}
