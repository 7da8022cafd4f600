//! The Lua API as this folder uses it: one spelling for all Lua versions, and the array metatable.
//! Every function here is as safe, and raises, as the `lua_` function that it is named after.
//! May call: mlua's `ffi`.

use std::ffi::{c_int, c_void};

use mlua::ffi;
pub use mlua::ffi::{
    LUA_OK, LUA_TBOOLEAN, LUA_TLIGHTUSERDATA, LUA_TNIL, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE,
    lua_State, lua_checkstack, lua_createtable, lua_error, lua_getmetatable, lua_gettop, lua_next,
    lua_pcall, lua_pop, lua_pushboolean, lua_pushcclosure, lua_pushlightuserdata, lua_pushnil,
    lua_pushnumber, lua_pushvalue, lua_rawset, lua_remove, lua_setmetatable, lua_settop,
    lua_toboolean, lua_topointer, lua_touserdata, lua_type, lua_upvalueindex, luaL_checklstring,
    luaL_checkstack,
};
// For 5.1 and 5.2 mlua's own wrappers of these look at the value once more.
#[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
use mlua::ffi::{lua_pushlstring, lua_rawgeti, lua_rawseti};
#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
use mlua::ffi::{
    lua_pushlstring_ as lua_pushlstring, lua_rawgeti_ as lua_rawgeti, lua_rawseti_ as lua_rawseti,
};

#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
pub type Index = c_int;
#[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
pub type Index = ffi::lua_Integer;

/// Its address is the registry key of the array metatable.
static ARRAY_METATABLE: u8 = 0;

#[inline]
pub unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: as the caller's.
    unsafe { lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
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

/// The number at `index`, which must be one, as a float.
#[inline]
pub unsafe fn float_at(state: *mut lua_State, index: c_int) -> f64 {
    // SAFETY: as the caller's.
    unsafe { ffi::lua_tonumber(state, index) }
}

/// A number as JSON tells them apart: with or without a fraction.
pub enum Number {
    Integer(i64),
    Float(f64),
}

/// The number at `index`, which must be one. Where Lua has one number type, whole ones are integers.
#[inline]
pub unsafe fn number_at(state: *mut lua_State, index: c_int) -> Number {
    // SAFETY: as the caller's.
    unsafe {
        #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
        let integer = whole(float_at(state, index));
        #[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
        let integer = integer_at(state, index);
        integer.map_or_else(|| Number::Float(float_at(state, index)), Number::Integer)
    }
}

/// The integer at `index`, if the value there is one.
#[inline]
pub unsafe fn integer_at(state: *mut lua_State, index: c_int) -> Option<i64> {
    // SAFETY: as the caller's.
    unsafe {
        #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
        if lua_type(state, index) == LUA_TNUMBER {
            return whole(float_at(state, index));
        }
        #[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
        if ffi::lua_isinteger(state, index) != 0 {
            return Some(ffi::lua_tointeger(state, index));
        }
    }
    None
}

/// As an integer, if it is one. The negative zero is not.
#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
#[inline]
fn whole(float: f64) -> Option<i64> {
    let integer = float as i64;
    let is_same = integer as f64 == float && integer != i64::MAX;
    (is_same && float.to_bits() != (-0.0_f64).to_bits()).then_some(integer)
}

#[inline]
pub unsafe fn push_integer(state: *mut lua_State, integer: i64) {
    // SAFETY: as the caller's.
    #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
    unsafe {
        lua_pushnumber(state, integer as f64)
    };
    // SAFETY: as the caller's.
    #[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
    unsafe {
        ffi::lua_pushinteger(state, integer)
    };
}

#[inline]
pub unsafe fn raw_get_index(state: *mut lua_State, table: c_int, index: Index) {
    // SAFETY: as the caller's.
    unsafe { lua_rawgeti(state, table, index) };
}

#[inline]
pub unsafe fn raw_set_index(state: *mut lua_State, table: c_int, index: Index) {
    // SAFETY: as the caller's.
    unsafe { lua_rawseti(state, table, index) };
}

pub unsafe fn type_name<'a>(state: *mut lua_State, lua_type: c_int) -> &'a str {
    // SAFETY: Lua's type names are static C strings.
    let name = unsafe { std::ffi::CStr::from_ptr(ffi::lua_typename(state, lua_type)) };
    name.to_str().unwrap_or("value")
}

/// What tells this state's array metatable from others; null if there is none yet.
pub unsafe fn array_metatable_pointer(state: *mut lua_State) -> *const c_void {
    let key: *const c_void = (&raw const ARRAY_METATABLE).cast();
    // SAFETY: as the caller's.
    unsafe {
        ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key);
        let metatable = lua_topointer(state, -1);
        lua_pop(state, 1);
        metatable
    }
}

/// Pushes this state's array metatable, made when it is first wanted. Raises for want of memory.
pub unsafe fn push_array_metatable(state: *mut lua_State) {
    let key: *const c_void = (&raw const ARRAY_METATABLE).cast();
    // SAFETY: as the caller's; three free stack slots are wanted.
    unsafe {
        ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key);
        if lua_type(state, -1) == LUA_TTABLE {
            return;
        }
        lua_pop(state, 1);
        lua_createtable(state, 0, 1);
        push_bytes(state, b"__name");
        push_bytes(state, b"tcp.json.array");
        lua_rawset(state, -3);
        lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key);
    }
}
