//! The fast halves of `tcp.json.decode` and `encode`: through mlua's callbacks a document of 1 KB takes up to
//! 1.37 times as long. They are right or decline; `json::decode` and `json::encode` then say why.
//! May call: `raw`, and what is in `mod`.

use std::cell::Cell;
use std::ffi::c_int;

use mlua::{Function, Lua};

use super::{Document, Options, append};
use crate::lua::raw::*;

/// An output buffer larger than this is not kept for the next value.
const KEPT_OUTPUT: usize = 1 << 22;

/// Where the text or the value is, behind the token; options behind it.
const SUBJECT: c_int = 2;

/// `decode(token, text, options)`: those without options are decoded here.
pub fn decode_function(lua: &Lua, full: Function) -> mlua::Result<Function> {
    fast_half(lua, decode, full, ())
}

/// `encode(token, value)`.
pub fn encode_function(lua: &Lua, full: Function) -> mlua::Result<Function> {
    fast_half(lua, encode, full, ())
}

unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this.
    unsafe { attempt(state, lua_gettop(state), |state| try_decode(state)) }
}

/// Owns the document.
unsafe fn try_decode(state: *mut lua_State) -> Ended {
    // SAFETY: `decode`'s; the text stays in its slot.
    unsafe {
        if lua_type(state, SUBJECT) != LUA_TSTRING || lua_type(state, SUBJECT + 1) > LUA_TNIL {
            return Ended::Declined;
        }
        let text = bytes_at(state, SUBJECT);
        let Ok(document) = Document::parse(text, Options::default()) else {
            return Ended::Declined;
        };
        let is_done = protected(state, SUBJECT, 2, |state| {
            lua_pushboolean(state, 1);
            document.push(state);
            2
        });
        if is_done { Ended::Given(2) } else { Ended::Raised }
    }
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this.
    unsafe {
        lua_settop(state, SUBJECT);
        attempt(state, SUBJECT, |state| try_encode(state))
    }
}

/// Owns the text.
unsafe fn try_encode(state: *mut lua_State) -> Ended {
    let mut out = SPARE.try_with(Cell::take).unwrap_or_default();
    // SAFETY: `encode`'s; the value is in slot 2 and on top within, as `append` wants it.
    let is_done = unsafe {
        protected(state, SUBJECT, 2, |state| {
            let is_written = append(state, SUBJECT, &mut out);
            lua_settop(state, SUBJECT);
            lua_pushboolean(state, is_written.into());
            push_bytes(state, if is_written { &out } else { b"" });
            2
        })
    };
    if out.capacity() <= KEPT_OUTPUT {
        out.clear();
        // Fails only on a thread that is ending, which needs no spare.
        let _ = SPARE.try_with(|spare| spare.set(out));
    }
    // SAFETY: the results are on the stack.
    unsafe {
        if !is_done {
            return Ended::Raised;
        }
        if lua_toboolean(state, -2) == 0 {
            return Ended::Declined;
        }
    }
    Ended::Given(2)
}
