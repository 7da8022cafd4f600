//! The fast halves of `decode` and `encode`, as C functions: on a document of 1 KB a callback of mlua's
//! would cost a third of the time. They are right or give false; the functions in `json` then say why.
//!
//! Each entry owns the buffers and has a protected half, its upvalue, made once: outside that a call
//! allocates nothing in Lua. What Lua raises comes back here, the buffers go, and it is raised again
//! unchanged. May call: `api`, `parse`, `replay`, `tape`, `walk`.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{self, AssertUnwindSafe};

use mlua::{Function, Lua};

use super::api::*;
use super::{Options, parse, replay, tape, walk};

/// An output buffer larger than this is not kept for the next value.
const KEPT_OUTPUT: usize = 1 << 18;

/// `decode(text)`, with default options: `true, value` or `false`. An argument that is no string is
/// the caller's to refuse.
pub fn decode_function(lua: &Lua) -> mlua::Result<Function> {
    entry(lua, decode, decode_protected)
}

/// `encode(value)`: `true, text` or `false`.
pub fn encode_function(lua: &Lua) -> mlua::Result<Function> {
    entry(lua, encode, encode_protected)
}

type CFunction = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

fn entry(lua: &Lua, function: CFunction, protected: CFunction) -> mlua::Result<Function> {
    // SAFETY: only `Copy` pointers are captured; the upvalue is what `function` expects.
    unsafe {
        lua.exec_raw((), |state| {
            lua_pushcclosure(state, protected, 0);
            lua_pushcclosure(state, function, 1);
        })
    }
}

/// Calls the protected half with argument 1 and `job`. Its results are on the stack, and counted;
/// what it raised is raised by `finish`, where nothing is owned any more.
unsafe fn call_protected(state: *mut lua_State, job: *mut c_void) -> Result<c_int, Raised> {
    // SAFETY: the caller is an entry, with the minimum of free stack slots.
    let status = unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushvalue(state, 1);
        lua_pushlightuserdata(state, job);
        lua_pcall(state, 2, LUA_MULTRET, 0)
    };
    ...
}
