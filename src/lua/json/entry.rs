//! `decode` and `encode` for scripts, as C functions: on a document of 1 KB a callback of mlua's would
//! cost a good part of the time.
//!
//! Each entry owns the buffers and has a protected half, its upvalue, made once: a call allocates nothing
//! in Lua outside it. A Lua error comes back here, the buffers go, and it is raised again unchanged. A
//! panic in the pure part becomes a failure. May call: `api`, `parse`, `replay`, `tape`, `walk`.

use std::cell::Cell;
use std::ffi::c_int;
use std::panic::{self, AssertUnwindSafe};

use mlua::{Function, Lua};

use super::api::*;
use super::{Null, Options, parse, replay, tape, walk};

/// An output buffer larger than this is not kept for the next value.
const KEPT_OUTPUT: usize = 1 << 18;

/// `decode(text, null, bigint)`, the options as in the contract or nil: `true, value` or
/// `false, message`. What the options may be is the caller's to check.
pub fn decode_function(lua: &Lua) -> mlua::Result<Function> {
    entry(lua, decode, decode_protected)
}

/// `encode(value)`: `true, text` or `false, message`.
pub fn encode_function(lua: &Lua) -> mlua::Result<Function> {
    entry(lua, encode, encode_protected)
}

type CFunction = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

fn entry(lua: &Lua, function: CFunction, protected: CFunction) -> mlua::Result<Function> {
    // SAFETY: only `Copy` pointers are captured; the closures' upvalue is what both expect.
    unsafe {
        lua.exec_raw((), |state| {
            lua_pushcclosure(state, protected, 0);
            lua_pushcclosure(state, function, 1);
        })
    }
}

enum Parsed<'a> {
    Value { text: &'a [u8], tape: &'a tape::Tape, null: Null },
    Failure(&'a parse::Failure),
}

unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with its arguments from slot 1 on; what raises here does so with nothing owned.
    unsafe {
        let mut len = 0;
        let start = luaL_checklstring(state, 1, &mut len);
        let text = std::slice::from_raw_parts(start.cast(), len);
        let options = Options {
            null: option_at(state, 2).and_then(Null::from_name).unwrap_or_default(),
            bigint: option_at(state, 3).and_then(parse::BigInt::from_name).unwrap_or_default(),
        };
        if decode_text(state, text, options) != LUA_OK {
            lua_error(state);
        }
    }
    2
}

unsafe fn option_at<'a>(state: *mut lua_State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: as the caller's.
    unsafe { (lua_type(state, index) == LUA_TSTRING).then(|| bytes_at(state, index)) }
}

/// Owns the tape. Leaves two results, or what was raised; the status says which.
unsafe fn decode_text(state: *mut lua_State, text: &[u8], options: Options) -> c_int {
    let mut tape = tape::Lent::take();
    let parse = AssertUnwindSafe(|| parse::parse(text, options.bigint, &mut tape));
    let outcome = panic::catch_unwind(parse).unwrap_or_else(|_| Err(parse::Failure::internal()));
    let parsed = match &outcome {
        Ok(()) => Parsed::Value { text, tape: &tape, null: options.null },
        Err(failure) => Parsed::Failure(failure),
    };
    // SAFETY: `parsed` outlives the call; upvalue 1 is `decode_protected`.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushlightuserdata(state, (&raw const parsed).cast_mut().cast());
        lua_pcall(state, 1, 2, 0)
    }
}

unsafe extern "C-unwind" fn decode_protected(state: *mut lua_State) -> c_int {
    // SAFETY: `decode_text` passes its `Parsed`.
    unsafe {
        match &*lua_touserdata(state, 1).cast::<Parsed<'_>>() {
            Parsed::Value { text, tape, null } => {
                lua_pushboolean(state, 1);
                replay::replay(state, text, tape, *null);
            }
            Parsed::Failure(parse::Failure::Invalid(message)) => refuse(state, message),
            Parsed::Failure(parse::Failure::Memory) => raise_memory(state),
        }
    }
    2
}

unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; nothing is owned where it raises.
    unsafe {
        lua_settop(state, 1);
        if encode_value(state) != LUA_OK {
            lua_error(state);
        }
    }
    2
}

#[derive(Default)]
struct Encoded {
    out: Vec<u8>,
    message: String,
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Owns the buffers. Leaves two results, or what was raised; the status says which.
unsafe fn encode_value(state: *mut lua_State) -> c_int {
    let mut encoded = Encoded::default();
    encoded.out = SPARE.try_with(Cell::take).unwrap_or_default();
    // SAFETY: `encoded` outlives the call; upvalue 1 is `encode_protected`, slot 1 the value.
    let status = unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushvalue(state, 1);
        lua_pushlightuserdata(state, (&raw mut encoded).cast());
        lua_pcall(state, 2, 2, 0)
    };
    let mut out = encoded.out;
    if out.capacity() <= KEPT_OUTPUT {
        out.clear();
        // Fails only on a thread that is ending.
        let _ = SPARE.try_with(|spare| spare.set(out));
    }
    status
}

unsafe extern "C-unwind" fn encode_protected(state: *mut lua_State) -> c_int {
    // SAFETY: `encode_value` passes the value and its `Encoded`.
    unsafe {
        let Encoded { out, message } = &mut *lua_touserdata(state, 2).cast::<Encoded>();
        lua_settop(state, 1);
        match walk::encode(state, 1, out, message) {
            Ok(()) => {
                lua_pushboolean(state, 1);
                push_bytes(state, out);
            }
            Err(walk::Failed::Memory) => raise_memory(state),
            Err(walk::Failed::Invalid) => {
                lua_settop(state, 1);
                refuse(state, message);
            }
        }
    }
    2
}

unsafe fn refuse(state: *mut lua_State, message: &str) {
    // SAFETY: as the caller's.
    unsafe {
        lua_pushboolean(state, 0);
        push_bytes(state, message.as_bytes());
    }
}

/// As Lua itself words it.
unsafe fn raise_memory(state: *mut lua_State) {
    // SAFETY: as the caller's.
    unsafe {
        push_bytes(state, b"not enough memory");
        lua_error(state);
    }
}
