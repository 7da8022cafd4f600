//! `cut(block, handed)`: the next line of a block of which `handed[1]` bytes are handed out, without its
//! `\n` or `\r\n`; `handed[1]` counts it then. Nothing where no line ends, or where that is no number.
//! A C function: through mlua's callbacks it would cost more than all else that `lines()` does for a line.

use std::ffi::c_int;

use memchr::memchr;
use mlua::{Function, Lua, ffi};

pub fn function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: `cut` is a C function as Lua wants them.
    unsafe { lua.create_c_function(cut) }
}

unsafe extern "C-unwind" fn cut(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this. The block stays in its slot, and nothing is owned where Lua may raise.
    unsafe {
        let mut length = 0;
        let start = ffi::luaL_checklstring(state, 1, &mut length);
        let block = std::slice::from_raw_parts(start.cast::<u8>(), length);
        ffi::luaL_checktype(state, 2, ffi::LUA_TTABLE);
        if ffi::lua_rawgeti(state, 2, 1) != ffi::LUA_TNUMBER {
            return 0;
        }
        let taken = ffi::lua_tointeger(state, -1) as usize;
        let Some(rest) = block.get(taken..) else { return 0 };
        let Some(newline) = memchr(b'\n', rest) else { return 0 };
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        ffi::lua_pushlstring(state, line.as_ptr().cast(), line.len());
        ffi::lua_pushinteger(state, (taken + newline + 1) as ffi::lua_Integer);
        ffi::lua_rawseti(state, 2, 1);
        1
    }
}
