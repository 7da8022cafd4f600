//! The entry points of `require "tcp"`, `require "tcp.safe"` and `require "tcp.luasocket"`. One
//! shared library has them all: Lua's all-in-one loader looks for `tcp.safe` in `tcp.so`. Uses
//! `modules`.

use std::ffi::{CStr, c_int};

use mlua::{Lua, ffi};

/// The `_VERSION` of the Lua that this library is built for.
const BUILT_FOR: &CStr = if cfg!(feature = "lua52") {
    c"Lua 5.2"
} else if cfg!(feature = "lua53") {
    c"Lua 5.3"
} else if cfg!(feature = "lua54") {
    c"Lua 5.4"
} else if cfg!(feature = "lua55") {
    c"Lua 5.5"
} else {
    c"Lua 5.1"
};

/// `require "tcp"`.
///
/// # Safety
/// For Lua's loaders: `state` is a live Lua state.
// SAFETY: Lua defines the names of entry points, and nothing else uses them.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_tcp(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller's.
    unsafe { open(state, "tcp") }
}

/// `require "tcp.safe"`.
///
/// # Safety
/// As for [`luaopen_tcp`].
// SAFETY: as above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_tcp_safe(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller's.
    unsafe { open(state, crate::modules::SAFE) }
}

/// `require "tcp.luasocket"`.
///
/// # Safety
/// As for [`luaopen_tcp`].
// SAFETY: as above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_tcp_luasocket(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller's.
    unsafe { open(state, crate::modules::LUASOCKET) }
}

unsafe fn open(state: *mut ffi::lua_State, module: &'static str) -> c_int {
    // SAFETY: as the caller's. `check_version` owns nothing when it raises; `entrypoint1` is mlua's
    // own.
    unsafe {
        check_version(state);
        Lua::entrypoint1(state, move |lua| crate::modules::open(lua, module))
    }
}

/// Raises if the host is another Lua than this library is built for. The linker lets 5.4 and 5.5
/// load each other's modules: the names are the same, but their meaning is not.
unsafe fn check_version(state: *mut ffi::lua_State) {
    // SAFETY: these calls are the same in every Lua, and no frame here owns anything.
    unsafe {
        ffi::lua_getglobal(state, c"_VERSION".as_ptr());
        let host = ffi::lua_tostring(state, -1);
        if !host.is_null() && CStr::from_ptr(host) != BUILT_FOR {
            let message = c"tcp was built for %s and cannot be loaded into %s: build it again \
with LUA= naming this interpreter";
            ffi::luaL_error(state, message.as_ptr(), BUILT_FOR.as_ptr(), host);
        }
        ffi::lua_pop(state, 1);
    }
}
