//! Lua's own API, as the C functions of this module use it: one spelling for all Lua versions, and what makes
//! fast halves of operations, with the protected call that lets one own something. This folder and `json`
//! are where it is called directly. Every function here is as safe, and raises, as the
//! `lua_` functions that it is made of. Uses mlua's `ffi`.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod connect;
pub mod fast;
#[cfg(not(any(feature = "lua51", feature = "luajit")))]
pub mod lines;
pub mod object;

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

pub use mlua::ffi::{
    LUA_MULTRET, LUA_OK, LUA_REGISTRYINDEX, LUA_TBOOLEAN, LUA_TLIGHTUSERDATA, LUA_TNIL,
    LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE, lua_State, lua_call, lua_checkstack, lua_createtable,
    lua_error, lua_getmetatable, lua_gettop, lua_insert, lua_next, lua_pcall, lua_pop,
    lua_pushboolean, lua_pushcclosure, lua_pushlightuserdata, lua_pushnil, lua_pushnumber,
    lua_pushvalue, lua_rawget, lua_rawset, lua_remove, lua_setmetatable, lua_settop, lua_toboolean,
    lua_topointer, lua_touserdata, lua_type, lua_upvalueindex,
};
use mlua::{Function, IntoLuaMulti, Lua, Value, ffi};

use crate::alloc;

pub use version::{Index, number_at, push_integer, whole_at};

/// A number as JSON tells them apart: with or without a fraction.
pub enum Number {
    Integer(i64),
    Float(f64),
}

/// Lua with one number type: whole numbers are written as integers. For these versions mlua's wrappers of
/// some functions look at the value once more, hence the ones without.
#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
mod version {
    use super::*;
    pub use mlua::ffi::{
        lua_pushlstring_ as lua_pushlstring, lua_rawgeti_ as lua_rawgeti,
        lua_rawseti_ as lua_rawseti,
    };

    pub type Index = c_int;

    /// The number at `index`, which must be one.
    #[inline]
    pub unsafe fn number_at(state: *mut lua_State, index: c_int) -> Number {
        // SAFETY: as the caller's.
        let float = unsafe { float_at(state, index) };
        whole(float).map_or(Number::Float(float), Number::Integer)
    }

    /// The whole number at `index`, if the value there is one.
    #[inline]
    pub unsafe fn whole_at(state: *mut lua_State, index: c_int) -> Option<i64> {
        // SAFETY: as the caller's.
        unsafe {
            match lua_type(state, index) {
                LUA_TNUMBER => whole(float_at(state, index)),
                _ => None,
            }
        }
    }

    #[inline]
    pub unsafe fn push_integer(state: *mut lua_State, integer: i64) {
        // SAFETY: as the caller's.
        unsafe { lua_pushnumber(state, integer as f64) };
    }

    /// As an integer, if it is one. The negative zero is not.
    #[inline]
    fn whole(float: f64) -> Option<i64> {
        let integer = float as i64;
        let is_same = integer as f64 == float && integer != i64::MAX;
        (is_same && float.to_bits() != (-0.0_f64).to_bits()).then_some(integer)
    }
}

/// Lua with integers and floats.
#[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
mod version {
    use super::*;
    pub use mlua::ffi::{
        lua_Integer as Index, lua_pushinteger as push_integer, lua_pushlstring, lua_rawgeti,
        lua_rawseti,
    };
    use mlua::ffi::{lua_isinteger, lua_tointeger};

    /// The number at `index`, which must be one.
    #[inline]
    pub unsafe fn number_at(state: *mut lua_State, index: c_int) -> Number {
        // SAFETY: as the caller's.
        unsafe {
            match whole_at(state, index) {
                Some(integer) => Number::Integer(integer),
                None => Number::Float(float_at(state, index)),
            }
        }
    }

    /// The integer at `index`, if the value there is one. No key is a whole float.
    #[inline]
    pub unsafe fn whole_at(state: *mut lua_State, index: c_int) -> Option<i64> {
        // SAFETY: as the caller's.
        unsafe { (lua_isinteger(state, index) != 0).then(|| lua_tointeger(state, index)) }
    }
}

/// The number at `index`, which must be one, as a float.
#[inline]
pub unsafe fn float_at(state: *mut lua_State, index: c_int) -> f64 {
    // SAFETY: as the caller's.
    unsafe { ffi::lua_tonumber(state, index) }
}

/// The bytes of the string at `index`, which must be one: a number would be changed in place.
#[inline]
pub unsafe fn bytes_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: Lua gives `len` bytes that stay where they are while the string is on the stack.
    unsafe {
        let start = ffi::lua_tolstring(state, index, &mut len);
        if start.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(start.cast(), len)
    }
}

#[inline]
pub unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: as the caller's.
    unsafe { version::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
}

#[inline]
pub unsafe fn raw_get_index(state: *mut lua_State, table: c_int, index: Index) {
    // SAFETY: as the caller's.
    unsafe { version::lua_rawgeti(state, table, index) };
}

#[inline]
pub unsafe fn raw_set_index(state: *mut lua_State, table: c_int, index: Index) {
    // SAFETY: as the caller's.
    unsafe { version::lua_rawseti(state, table, index) };
}

pub unsafe fn type_name<'a>(state: *mut lua_State, lua_type: c_int) -> &'a str {
    // SAFETY: as the caller's; Lua's type names are static.
    let name = unsafe { CStr::from_ptr(ffi::lua_typename(state, lua_type)) };
    name.to_str().unwrap_or("value")
}

// C functions of ours. One is the fast half of an operation, which it does or leaves to the full half.

pub type CFunction = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// What a protected call does; it leaves values on the stack, and says how many. Owns nothing.
type Body<'a> = &'a mut dyn FnMut(*mut lua_State) -> c_int;

/// The upvalue through which `protected` calls: made once, so that a call allocates nothing in Lua.
const RUN: c_int = 1;
/// The full half.
const FULL: c_int = 2;
/// The first upvalue of the function's own.
pub const OWN: c_int = 3;

/// How a fast half ended. It owns nothing any more.
pub enum Ended {
    /// With so many values, which are on the stack.
    Given(c_int),
    /// With an error, which is on the stack.
    Raised,
    /// Undecided: the full half does it. The stack holds what the function was called with.
    Declined,
}

/// Tries a fast half. What it leaves is put before the full one with the `count` arguments that it has.
///
/// # Safety
/// In a C function that `fast_half` made, as its last act. `body` raises nothing.
pub unsafe fn attempt(
    state: *mut lua_State,
    count: c_int,
    body: impl FnOnce(*mut lua_State) -> Ended,
) -> c_int {
    // SAFETY: the caller's; what `body` owned is gone.
    unsafe {
        // What panics once, does so again where it is told, and what has no memory is told so there.
        let body = || if alloc::refill() { body(state) } else { Ended::Declined };
        let ended = catch_unwind(AssertUnwindSafe(body));
        let ended = ended.unwrap_or(Ended::Declined);
        if let Ended::Declined = ended {
            lua_settop(state, count);
        }
        end(state, ended)
    }
}

/// A C function that is the fast half of `full`.
pub fn fast_half(
    lua: &Lua,
    function: CFunction,
    full: Function,
    own: impl IntoLuaMulti,
) -> mlua::Result<Function> {
    let mut upvalues = own.into_lua_multi(lua)?;
    upvalues.push_front(Value::Function(full));
    // SAFETY: only `Copy` values are captured; the upvalues are as this file says.
    unsafe {
        lua.exec_raw(upvalues, |state| {
            let count = lua_gettop(state);
            lua_pushcclosure(state, run, 0);
            lua_insert(state, RUN);
            lua_pushcclosure(state, function, count + 1);
        })
    }
}

/// # Safety
/// As `attempt`'s.
unsafe fn end(state: *mut lua_State, ended: Ended) -> c_int {
    // SAFETY: the caller's; it owns nothing that an error would leave behind.
    unsafe {
        match ended {
            Ended::Given(count) => count,
            Ended::Raised => lua_error(state),
            Ended::Declined => {
                lua_pushvalue(state, lua_upvalueindex(FULL));
                lua_insert(state, 1);
                lua_call(state, lua_gettop(state) - 1, LUA_MULTRET);
                lua_gettop(state)
            }
        }
    }
}

/// Runs `body` in a protected call, with the value at `argument` in slot 2, for so many results. True where
/// they are on the stack; false where what was raised is, which is to be raised again once nothing is owned.
///
/// # Safety
/// In a C function that `fast_half` made, with three free stack slots and a value at `argument`. `body` does
/// not panic.
pub unsafe fn protected(
    state: *mut lua_State,
    argument: c_int,
    results: c_int,
    mut body: impl FnMut(*mut lua_State) -> c_int,
) -> bool {
    let mut body: Body<'_> = &mut body;
    // SAFETY: the caller's; `body` outlives the call, and is what `run` expects.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(RUN));
        lua_pushlightuserdata(state, (&raw mut body).cast());
        lua_pushvalue(state, argument);
        let outer = RUNNING.replace((&raw mut body).cast());
        let status = lua_pcall(state, 2, results, 0);
        RUNNING.set(outer);
        status == LUA_OK
    }
}

thread_local! {
    /// The body of the innermost protected call that has not begun to run.
    static RUNNING: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

unsafe extern "C-unwind" fn run(state: *mut lua_State) -> c_int {
    // SAFETY: a script may call this as well, by way of `debug`: what it gives is not what `protected` waits for.
    unsafe {
        let body = lua_touserdata(state, 1);
        if body.is_null() || body != RUNNING.get() {
            return 0;
        }
        RUNNING.set(ptr::null_mut());
        (*body.cast::<Body<'_>>())(state)
    }
}
