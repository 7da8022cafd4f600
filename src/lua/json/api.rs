//! The Lua API as this folder uses it: one spelling for all Lua versions, and the array metatable.
//! Every function here is as safe, and raises, as the `lua_` functions that it is made of.
//! May call: mlua's `ffi`.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;
pub use mlua::ffi::{
    LUA_OK, LUA_TBOOLEAN, LUA_TLIGHTUSERDATA, LUA_TNIL, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE,
    lua_State, lua_checkstack, lua_createtable, lua_error, lua_getmetatable, lua_gettop, lua_next,
    lua_pcall, lua_pop, lua_pushboolean, lua_pushcclosure, lua_pushlightuserdata, lua_pushnil,
    lua_pushnumber, lua_pushvalue, lua_rawset, lua_remove, lua_setmetatable, lua_settop,
    lua_toboolean, lua_topointer, lua_touserdata, lua_type, lua_upvalueindex, luaL_checklstring,
    luaL_checkstack,
};

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

/// Its address is the registry key of the array metatable.
static ARRAY_METATABLE: u8 = 0;

/// Pushes this state's array metatable, made when it is first wanted.
pub unsafe fn push_array_metatable(state: *mut lua_State) {
    // SAFETY: as the caller's; four stack slots are wanted.
    unsafe {
        lua_pushlightuserdata(state, array_metatable_key());
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
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
        lua_rawset(state, ffi::LUA_REGISTRYINDEX);
    }
}

/// What tells this state's array metatable from others; null if there is none yet.
pub unsafe fn array_metatable_pointer(state: *mut lua_State) -> *const c_void {
    // SAFETY: as the caller's; one stack slot is wanted.
    unsafe {
        lua_pushlightuserdata(state, array_metatable_key());
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
        let metatable = lua_topointer(state, -1);
        lua_pop(state, 1);
        metatable
    }
}

fn array_metatable_key() -> *mut c_void {
    (&raw const ARRAY_METATABLE).cast_mut().cast()
}
