//! The thin layer on Lua's C API: one spelling for six Luas, the protected call that lets a caller
//! own something, our userdata, arguments, replies, and the one C function behind all operations.
//! Every function here is as safe, and raises, as the `lua_` functions that it is made of, unless
//! it says otherwise. Uses mlua's `ffi`.

#![deny(unsafe_op_in_unsafe_fn)]

mod again;
pub mod argument;
pub mod call;
#[cfg(not(any(feature = "lua51", feature = "luajit")))]
pub mod direct;
mod found;
mod give;
pub mod lines;
pub mod loader;
pub mod object;
pub mod ready;
pub mod reply;
pub mod sink;
mod small;
mod stop;
mod tables;
pub mod trampoline;
pub mod waiting;

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::{Function, Lua, ffi};

pub use mlua::ffi::{
    LUA_OK, LUA_REGISTRYINDEX, LUA_TBOOLEAN, LUA_TFUNCTION, LUA_TLIGHTUSERDATA, LUA_TNIL,
    LUA_TNONE, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE, LUA_TUSERDATA, lua_State, lua_call,
    lua_checkstack, lua_createtable, lua_error, lua_getmetatable, lua_gettop, lua_insert, lua_next,
    lua_pcall, lua_pop, lua_pushboolean, lua_pushcclosure, lua_pushlightuserdata, lua_pushnil,
    lua_pushnumber, lua_pushvalue, lua_rawequal, lua_rawget, lua_rawset, lua_remove, lua_replace,
    lua_setmetatable, lua_settop, lua_toboolean, lua_topointer, lua_tothread, lua_touserdata,
    lua_type, lua_upvalueindex,
};

pub use version::{Index, number_at, push_integer, whole_at};

/// A number as JSON tells them apart: with or without a fraction.
pub enum Number {
    Integer(i64),
    Float(f64),
}

/// Lua with one number type: whole numbers are written as integers. For these versions mlua's
/// wrappers of some functions look at the value once more, hence the ones without.
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

/// The bytes of the string at `index`; none of another value. A number would be changed in place.
#[inline]
pub unsafe fn bytes_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: Lua gives `len` bytes that stay where they are while the string is on the stack.
    unsafe {
        let start = ffi::lua_tolstring(state, index, &mut len);
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), len) }
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

/// The value at `index` as a number, if it is one or a string that reads as one. Changes and raises
/// nothing.
pub unsafe fn to_number(state: *mut lua_State, index: c_int) -> Option<f64> {
    // SAFETY: as the caller's.
    unsafe { (ffi::lua_isnumber(state, index) != 0).then(|| float_at(state, index)) }
}

/// The number at `index` becomes its text, in place. May raise for want of memory.
pub unsafe fn number_to_text(state: *mut lua_State, index: c_int) {
    // SAFETY: as the caller's.
    unsafe { ffi::lua_tolstring(state, index, ptr::null_mut()) };
}

/// The length of the block of a userdata, of a table's sequence, or of a string.
pub unsafe fn raw_len(state: *mut lua_State, index: c_int) -> usize {
    // SAFETY: as the caller's.
    unsafe { ffi::lua_rawlen(state, index) as usize }
}

/// Pushes what the registry has under the address of `key`.
pub unsafe fn push_registered(state: *mut lua_State, key: &'static u8) {
    // SAFETY: as the caller's.
    unsafe {
        lua_pushlightuserdata(state, ptr::from_ref(key).cast_mut().cast());
        lua_rawget(state, LUA_REGISTRYINDEX);
    }
}

/// Pops a value and keeps it in the registry under the address of `key`. May raise for want of
/// memory.
pub unsafe fn register(state: *mut lua_State, key: &'static u8) {
    // SAFETY: as the caller's.
    unsafe {
        lua_pushlightuserdata(state, ptr::from_ref(key).cast_mut().cast());
        lua_insert(state, -2);
        lua_rawset(state, LUA_REGISTRYINDEX);
    }
}

/// What runs in a protected call: it leaves values on the stack and gives their number. What raises
/// within skips its frames, so it owns nothing; and it does not panic, for Lua's frames cannot be
/// unwound.
type Body<'a> = &'a mut dyn FnMut(*mut lua_State) -> c_int;

/// A body that `run` is going to run, and the call of Lua's that it is for.
#[derive(Clone, Copy)]
struct Next {
    body: *mut Body<'static>,
    state: *mut lua_State,
    call: usize,
}

thread_local! {
    /// Set by `protected` alone: a script that finds `run` and calls it has nothing to run.
    static NEXT: Cell<Option<Next>> = const { Cell::new(None) };
}

/// What tells the call at this level, 0 being the one that runs, from others that have not ended.
unsafe fn call_at(state: *mut lua_State, level: c_int) -> usize {
    // Lua fills in the last field and no other. LuaJIT has a size in its upper half.
    let mut call = [0_usize; size_of::<ffi::lua_Debug>() / size_of::<usize>()];
    // SAFETY: the caller's; it is as large as what Lua fills in, and aligned so.
    unsafe { ffi::lua_getstack(state, level, call.as_mut_ptr().cast()) };
    let [.., call] = call;
    if cfg!(feature = "luajit") { call >> (usize::BITS - 32) & 0xFFFF } else { call }
}

/// The upvalue that holds `run` in every C function of ours that calls `protected`: made once, so
/// that a protected call allocates nothing.
pub const RUN: c_int = 1;

/// Runs `body` in a protected call with a copy of the value at `argument` in slot 1, for so many
/// results. True where they are on the stack; false where what was raised is.
///
/// # Safety
/// In a C function whose upvalue `RUN` is `run`, with two free stack slots and a value at
/// `argument`. `body` owns nothing and does not panic.
pub unsafe fn protected(
    state: *mut lua_State,
    argument: c_int,
    results: c_int,
    mut body: impl FnMut(*mut lua_State) -> c_int,
) -> bool {
    let mut body: Body<'_> = &mut body;
    // SAFETY: the caller's. `run` takes the pointer while `body` is alive, or it is put back to
    // what it was.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(RUN));
        lua_pushvalue(state, argument);
        let next = Next { body: (&raw mut body).cast(), state, call: call_at(state, 0) };
        let before = NEXT.replace(Some(next));
        let status = lua_pcall(state, 1, results, 0);
        NEXT.set(before);
        status == LUA_OK
    }
}

/// What `protected` calls.
pub unsafe extern "C-unwind" fn run(state: *mut lua_State) -> c_int {
    let next = NEXT.get();
    // SAFETY: Lua calls this. The body is of a `protected` whose frame waits for this very call.
    unsafe {
        match next.filter(|next| next.state == state && next.call == call_at(state, 1)) {
            Some(next) => {
                NEXT.set(None);
                (*next.body)(state)
            }
            None => 0,
        }
    }
}

/// `run` as a value of Lua's.
pub fn run_function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: nothing is captured.
    unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, run, 0)) }
}
