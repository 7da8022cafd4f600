//! `cut(block, taken)`: the line of a block that begins behind its first `taken` bytes, without its
//! `\n` or `\r\n`, and how many bytes are taken then; nothing where no line ends. A C function: through
//! mlua's callbacks it would cost more than all else that `lines()` does for a line.

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
        let taken = ffi::luaL_checkinteger(state, 2) as usize;
        let Some(rest) = block.get(taken..) else { return 0 };
        let Some(newline) = memchr(b'\n', rest) else { return 0 };
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        ffi::lua_pushlstring(state, line.as_ptr().cast(), line.len());
        ffi::lua_pushinteger(state, (taken + newline + 1) as ffi::lua_Integer);
        2
    }
}
