//! The fast halves of `decode` and `encode`, as C functions: through mlua's callbacks a document of 1 KB
//! takes up to 1.37 times as long. They are right or give false; `json::decode` and `json::encode` then
//! say why.
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
const KEPT_OUTPUT: usize = 1 << 22;

/// `decode(text)`, with default options: `true, value` or `false`.
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

unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this. Nothing is owned here where it may raise, and the text stays in slot 1.
    unsafe {
        let mut len = 0;
        let start = luaL_checklstring(state, 1, &mut len);
        let text = std::slice::from_raw_parts(start.cast(), len);
        lua_settop(state, 1);
        let status = decode_text(state, text);
        finish(state, status)
    }
}

struct Parsed<'a> {
    text: &'a [u8],
    tape: &'a tape::Tape,
}

/// Owns the tape. None if there is nothing to decode.
unsafe fn decode_text(state: *mut lua_State, text: &[u8]) -> Option<c_int> {
    let mut tape = tape::Lent::take();
    let parse = || parse::parse(text, Options::default().bigint, &mut tape);
    let Ok(Ok(())) = panic::catch_unwind(AssertUnwindSafe(parse)) else { return None };
    let mut parsed = Parsed { text, tape: &tape };
    // SAFETY: `parsed` outlives the call, and is what `decode_protected` expects.
    Some(unsafe { call_protected(state, (&raw mut parsed).cast()) })
}

unsafe extern "C-unwind" fn decode_protected(state: *mut lua_State) -> c_int {
    // SAFETY: called by `call_protected` for `decode_text`.
    unsafe {
        let parsed = &*lua_touserdata(state, 2).cast::<Parsed<'_>>();
        lua_pushboolean(state, 1);
        replay::replay(state, parsed.text, parsed.tape, Options::default().null);
    }
    2
}

unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this. Nothing is owned here where it may raise.
    unsafe {
        lua_settop(state, 1);
        let status = encode_value(state);
        finish(state, Some(status))
    }
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Owns the text.
unsafe fn encode_value(state: *mut lua_State) -> c_int {
    let mut out = SPARE.try_with(Cell::take).unwrap_or_default();
    // SAFETY: `out` outlives the call, and is what `encode_protected` expects.
    let status = unsafe { call_protected(state, (&raw mut out).cast()) };
    if out.capacity() <= KEPT_OUTPUT {
        out.clear();
        // Fails only on a thread that is ending, which needs no spare.
        let _ = SPARE.try_with(|spare| spare.set(out));
    }
    status
}

unsafe extern "C-unwind" fn encode_protected(state: *mut lua_State) -> c_int {
    // SAFETY: called by `call_protected` for `encode_value`, with the value in slot 1.
    unsafe {
        let out = &mut *lua_touserdata(state, 2).cast::<Vec<u8>>();
        lua_settop(state, 1);
        let walked = walk::walk(state, 1, out);
        lua_settop(state, 1);
        lua_pushboolean(state, walked.is_ok().into());
        push_bytes(state, if walked.is_ok() { out } else { b"" });
    }
    2
}

/// Calls an entry's protected half with the entry's argument and `job`. The status says whether its two
/// results are on the stack, or what it raised.
///
/// # Safety
/// In an entry, with its one argument on the stack.
unsafe fn call_protected(state: *mut lua_State, job: *mut c_void) -> c_int {
    // SAFETY: the caller's; Lua gives an entry more stack than this.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushvalue(state, 1);
        lua_pushlightuserdata(state, job);
        lua_pcall(state, 2, 2, 0)
    }
}

/// Ends an entry, which owns nothing any more.
///
/// # Safety
/// As `call_protected`, which gave the status; none stands for false.
unsafe fn finish(state: *mut lua_State, status: Option<c_int>) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        match status {
            Some(LUA_OK) => 2,
            Some(_) => lua_error(state),
            None => {
                lua_pushboolean(state, 0);
                1
            }
        }
    }
}
