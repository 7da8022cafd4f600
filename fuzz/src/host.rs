//! A Lua 5.4 that has loaded the module as scripts do: `luaopen_tcp` is the function that `require
//! "tcp"` calls.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::*;
use serde_json::Value;
use tcp as _; // brings luaopen_tcp

unsafe extern "C-unwind" {
    fn luaopen_tcp(state: *mut lua_State) -> c_int;
}

/// A function or a table in Lua's registry.
#[derive(Clone, Copy)]
pub struct Kept(c_int);

/// A Lua state. Its methods change the stack as they say; otherwise they panic, which ends the run.
pub struct Host {
    pub state: *mut lua_State,
    array_metatable: *const c_void,
}

/// A run begins with a full collection if Lua has more memory than this, in KiB.
const FULL: c_int = 4096;

impl Host {
    pub fn new() -> Self {
        // SAFETY: the state is new and never closed. The calls can only raise for want of memory.
        unsafe {
            let state = luaL_newstate();
            luaL_openlibs(state);
            luaL_requiref(state, c"tcp".as_ptr(), luaopen_tcp, 1);
            lua_settop(state, 0);
            let mut host = Self { state, array_metatable: std::ptr::null() };
            host.eval(c"return getmetatable(tcp.json.array {})");
            host.array_metatable = lua_topointer(state, -1);
            lua_settop(state, 0);
            host
        }
    }

    /// Pushes the result of a chunk.
    pub fn eval(&self, chunk: &CStr) {
        // SAFETY: the calls are protected.
        unsafe {
            assert_eq!(luaL_loadstring(self.state, chunk.as_ptr()), LUA_OK, "{chunk:?}");
            assert_eq!(lua_pcall(self.state, 0, 1, 0), LUA_OK, "{}", self.describe());
        }
    }

    /// Keeps the result of a chunk.
    pub fn keep(&self, chunk: &CStr) -> Kept {
        self.eval(chunk);
        // SAFETY: the result is on the stack.
        Kept(unsafe { luaL_ref(self.state, LUA_REGISTRYINDEX) })
    }

    pub fn push(&self, kept: Kept) {
        // SAFETY: raw access to a table.
        unsafe { lua_rawgeti(self.state, LUA_REGISTRYINDEX, kept.0.into()) };
    }

    pub fn push_text(&self, text: &[u8]) {
        // SAFETY: Lua copies the text.
        unsafe { lua_pushlstring(self.state, text.as_ptr().cast(), text.len()) };
    }

    /// Begins a run. In one of 64 runs the collector works all the time, and a finalizer decodes
    /// and encodes. In the others it is off, so that findings do not depend on earlier runs.
    pub fn begin(&self, seed: u64) {
        // SAFETY: the stack has room; `collectgarbage` can only run the finalizer of `SENTINEL`.
        unsafe {
            assert_eq!(lua_gettop(self.state), 0);
            if lua_gc(self.state, LUA_GCCOUNT) > FULL || seed.is_multiple_of(64) {
                lua_gc(self.state, LUA_GCRESTART);
                lua_gc(self.state, LUA_GCCOLLECT);
            }
            if seed.is_multiple_of(64) {
                self.eval(SENTINEL);
                lua_settop(self.state, 0);
                // No pause; eight units of work for each one allocated, in steps of 256 bytes.
                lua_gc(self.state, LUA_GCINC, 1, 800, 8);
            } else {
                lua_gc(self.state, LUA_GCSTOP);
            }
        }
    }

    /// Calls `function` with the `arguments` values on top. Their place gets its result if true, or
    /// its error if false.
    pub fn call(&self, function: Kept, arguments: c_int) -> bool {
        // SAFETY: the caller has pushed the arguments.
        unsafe {
            let top = lua_gettop(self.state) - arguments;
            self.push(function);
            lua_insert(self.state, top + 1);
            let status = lua_pcall(self.state, arguments, 1, 0);
            assert_eq!(lua_gettop(self.state), top + 1);
            if status != LUA_OK {
                assert_eq!(status, LUA_ERRRUN);
                assert_eq!(lua_type(self.state, -1), LUA_TSTRING);
                assert!(!self.text(-1).is_empty());
            }
            status == LUA_OK
        }
    }

    pub fn pop(&self) {
        // SAFETY: the caller has a value to pop.
        unsafe { lua_settop(self.state, -2) };
    }

    /// Returns the bytes of the string at `index`.
    pub fn text(&self, index: c_int) -> &[u8] {
        // SAFETY: the value must be a string, which lives while it is on the stack.
        unsafe {
            assert_eq!(lua_type(self.state, index), LUA_TSTRING);
            let mut len = 0;
            let start = lua_tolstring(self.state, index, &mut len);
            std::slice::from_raw_parts(start.cast(), len)
        }
    }

    /// Returns the value on top as text, for messages.
    pub fn describe(&self) -> String {
        // SAFETY: only reads the stack.
        let is_text = unsafe { lua_type(self.state, -1) } == LUA_TSTRING;
        if is_text { String::from_utf8_lossy(self.text(-1)).into_owned() } else { String::new() }
    }

    pub fn push_copy(&self) {
        // SAFETY: the caller has a value on top.
        unsafe { lua_pushvalue(self.state, -1) };
    }

    pub fn pop_text(&self) -> Vec<u8> {
        let text = self.text(-1).to_vec();
        self.pop();
        text
    }

    /// Asserts that the value on top is `expected`. With `nil`, null members are left out.
    pub fn assert_is(&self, expected: &Value, nil: bool) {
        let state = self.state;
        // SAFETY: raw reads of values whose type is known.
        unsafe {
            assert_ne!(lua_checkstack(state, 8), 0);
            let has = lua_type(state, -1);
            match expected {
                Value::Null => {
                    assert_eq!(has, LUA_TLIGHTUSERDATA);
                    assert!(lua_touserdata(state, -1).is_null());
                }
                Value::Bool(value) => {
                    assert_eq!(has, LUA_TBOOLEAN);
                    assert_eq!(lua_toboolean(state, -1) != 0, *value);
                }
                Value::Number(number) => {
                    assert_eq!(has, LUA_TNUMBER);
                    match number.as_i64() {
                        Some(integer) => {
                            assert_ne!(lua_isinteger(state, -1), 0, "{number}");
                            assert_eq!(lua_tointeger(state, -1), integer);
                        }
                        None => {
                            assert_eq!(lua_isinteger(state, -1), 0, "{number}");
                            let float = number.as_f64().map(f64::to_bits);
                            assert_eq!(Some(lua_tonumber(state, -1).to_bits()), float, "{number}");
                        }
                    }
                }
                Value::String(text) => assert_eq!(self.text(-1), text.as_bytes()),
                Value::Array(items) => {
                    assert_eq!(has, LUA_TTABLE);
                    assert_eq!(self.metatable(), self.array_metatable);
                    assert_eq!(self.count(), items.len());
                    for (index, item) in (1..).zip(items) {
                        lua_rawgeti(state, -1, index);
                        self.assert_is(item, nil);
                        self.pop();
                    }
                }
                Value::Object(members) => {
                    assert_eq!(has, LUA_TTABLE);
                    assert!(self.metatable().is_null());
                    let members = members.iter().filter(|(_, value)| !nil || !value.is_null());
                    assert_eq!(self.count(), members.clone().count());
                    for (name, value) in members {
                        self.push_text(name.as_bytes());
                        lua_rawget(state, -2);
                        self.assert_is(value, nil);
                        self.pop();
                    }
                }
            }
        }
    }

    fn metatable(&self) -> *const c_void {
        // SAFETY: a table is on top.
        unsafe {
            if lua_getmetatable(self.state, -1) == 0 {
                return std::ptr::null();
            }
            let metatable = lua_topointer(self.state, -1);
            self.pop();
            metatable
        }
    }

    /// Returns the number of keys of the table on top.
    fn count(&self) -> usize {
        // SAFETY: a table is on top, and no key is changed.
        unsafe {
            let mut count = 0;
            lua_pushnil(self.state);
            while lua_next(self.state, -2) != 0 {
                self.pop();
                count += 1;
            }
            count
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// A garbage object that each cycle of the collector finalizes. Lua only warns of errors in
/// finalizers, so this one ends the process.
const SENTINEL: &CStr = cr#"
local generation = {}
_G.generation = generation
local text = '{"finalizer":["\\n",1.5]}'
local function check()
  assert(tcp.json.encode(tcp.json.decode(text)) == text)
  assert(not pcall(tcp.json.decode, '["\\n') and not pcall(tcp.json.encode, { { print } }))
end
local function sentinel()
  setmetatable({}, { __gc = function()
    if _G.generation == generation then
      local ok, message = pcall(check)
      if not ok then
        io.stderr:write(tostring(message), "\n")
        os.exit(77)
      end
      sentinel()
    end
  end })
end
sentinel()
"#;
