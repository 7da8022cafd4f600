//! Lua code that is compiled when it is first needed. Uses `ffi`.

use mlua::{Function, LightUserData, Lua, Table, ffi};

use super::*;

/// A Lua function that compiles `text`, calls it with `native`, and returns its result.
pub fn function(lua: &Lua, native: &Table, text: &'static str) -> mlua::Result<Function> {
    let at = LightUserData(text.as_ptr().cast_mut().cast());
    // SAFETY: only `Copy` values are captured; the upvalues are the arguments.
    unsafe { lua.exec_raw((native, at, text.len()), |state| lua_pushcclosure(state, load, 3)) }
}

unsafe extern "C-unwind" fn load(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this, with the upvalues that `loader` gave it: the text is static. Nothing
    // is owned.
    unsafe {
        let at = lua_touserdata(state, lua_upvalueindex(2)).cast();
        let size = float_at(state, lua_upvalueindex(3)) as usize;
        if ffi::luaL_loadbuffer(state, at, size, c"=tcp".as_ptr()) != LUA_OK {
            lua_error(state);
        }
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_call(state, 1, 1);
        1
    }
}
