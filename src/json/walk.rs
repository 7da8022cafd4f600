//! Lua values to JSON text, read raw (no metamethod runs) and appended to a buffer.
//!
//! The stack is the only state: the value at depth `d` sits in slot `root + 2d`; if it is a table,
//! the key in hand is one slot above it and that key's value, at depth `d + 1`, two. So `path` can
//! name the way to a fault from the stack alone. Runs inside a protected call: nothing here owns
//! anything. Nothing allocates in Lua either, so no finalizer can change a table meanwhile. May
//! call: `ffi`, `path`, `write`.

use std::ffi::{c_int, c_void};

use super::MAX_DEPTH;
use super::array::array_metatable_pointer;
use super::path::{Fault, Reason};
use super::write::{self, Unwritable};
use crate::ffi::*;

/// Stack slots are made sure of for so many levels at a time.
const LEVELS: usize = 8;

/// The walk is over; why is in its `fault`.
struct Stop;

type Walked = Result<(), Stop>;

/// Appends the JSON text of the value in slot `root`, the top of the stack. On failure `out` holds
/// what was written until then, and the stack what `Fault::describe` needs.
///
/// # Safety
/// In a protected call on `state`, with three free stack slots; the caller's frames up to that call
/// own nothing.
pub unsafe fn walk(state: *mut lua_State, root: c_int, out: &mut Vec<u8>) -> Result<(), Fault> {
    // SAFETY: the caller's.
    unsafe {
        let array_metatable = array_metatable_pointer(state);
        let fault = Fault { depth: 0, reason: Reason::Depth };
        let mut walk = Walk { state, root, out, array_metatable, fault };
        let walked = match lua_type(state, root) {
            LUA_TNIL => walk.raw(b"null"),
            _ => walk.value(0),
        };
        walked.map_err(|Stop| walk.fault)
    }
}

/// Its methods read the slots of their depth, each after a look at its type, and push what `table`
/// has made room for: with that, `walk`'s caller has made every call of theirs safe.
struct Walk<'a> {
    state: *mut lua_State,
    root: c_int,
    out: &'a mut Vec<u8>,
    /// Null if this state has none yet.
    array_metatable: *const c_void,
    fault: Fault,
}

impl Walk<'_> {
    unsafe fn value(&mut self, depth: usize) -> Walked {
        let (state, slot) = (self.state, self.value_slot(depth));
        // SAFETY: as `Walk` says.
        unsafe {
            let written = match lua_type(state, slot) {
                LUA_TSTRING => write::string(self.out, bytes_at(state, slot)),
                LUA_TNUMBER => match number_at(state, slot) {
                    Number::Integer(integer) => write::integer(self.out, integer),
                    Number::Float(float) => write::float(self.out, float),
                },
                LUA_TTABLE => return self.table(depth),
                LUA_TBOOLEAN if lua_toboolean(state, slot) != 0 => write::raw(self.out, b"true"),
                LUA_TBOOLEAN => write::raw(self.out, b"false"),
                LUA_TLIGHTUSERDATA if lua_touserdata(state, slot).is_null() => {
                    write::raw(self.out, b"null")
                }
                other => return self.stop(depth, Reason::Type(other)),
            };
            written.or_else(|why| self.stop(depth, Reason::Unwritable(why)))
        }
    }

    /// The first key decides between array and object.
    unsafe fn table(&mut self, depth: usize) -> Walked {
        let (state, table, key) = self.table_slots(depth);
        if depth == MAX_DEPTH {
            return self.stop(depth, Reason::Depth);
        }
        // SAFETY: as `Walk` says.
        unsafe {
            if depth.is_multiple_of(LEVELS) && lua_checkstack(state, 2 * LEVELS as c_int + 2) == 0 {
                return self.stop(depth, Reason::Unwritable(Unwritable::Memory));
            }
            lua_pushnil(state);
            if lua_next(state, table) == 0 {
                return self.raw(if self.is_marked(-1) { b"[]" } else { b"{}" });
            }
            match lua_type(state, key) {
                LUA_TSTRING if self.is_marked(-3) => self.stop(depth, Reason::Marked),
                LUA_TSTRING => self.object(depth),
                LUA_TNUMBER => self.array(depth),
                _ => self.stop(depth, Reason::Key),
            }
        }
    }

    unsafe fn is_marked(&self, table: c_int) -> bool {
        let state = self.state;
        // SAFETY: as `Walk` says.
        unsafe {
            if lua_getmetatable(state, table) == 0 {
                return false;
            }
            let metatable = lua_topointer(state, -1);
            lua_pop(state, 1);
            metatable == self.array_metatable
        }
    }

    /// An object whose first key and value are on the stack.
    unsafe fn object(&mut self, depth: usize) -> Walked {
        let (state, table, key) = self.table_slots(depth);
        let mut is_first = true;
        // SAFETY: as `Walk` says.
        unsafe {
            loop {
                match lua_type(state, key) {
                    LUA_TSTRING => self.name(depth, is_first)?,
                    LUA_TNUMBER => return self.stop(depth, Reason::Mixed),
                    _ => return self.stop(depth, Reason::Key),
                }
                self.value(depth + 1)?;
                lua_pop(state, 1);
                if lua_next(state, table) == 0 {
                    return self.raw(b"}");
                }
                is_first = false;
            }
        }
    }

    unsafe fn name(&mut self, depth: usize, is_first: bool) -> Walked {
        let (state, _, key) = self.table_slots(depth);
        // SAFETY: as `Walk` says.
        let name = unsafe { bytes_at(state, key) };
        match write::name(self.out, is_first, name) {
            Ok(()) => Ok(()),
            Err(Unwritable::NotUtf8) => self.stop(depth, Reason::NameNotUtf8),
            Err(why) => self.stop(depth, Reason::Unwritable(why)),
        }
    }

    /// An array whose first key and value are on the stack. Lua hands out the keys of a plain one
    /// in order, which proves it an array while it is written.
    unsafe fn array(&mut self, depth: usize) -> Walked {
        let (state, table, key) = self.table_slots(depth);
        self.raw(b"[")?;
        let mut index = 1;
        // SAFETY: as `Walk` says.
        unsafe {
            while whole_at(state, key) == Some(index) {
                if index > 1 {
                    self.raw(b",")?;
                }
                self.value(depth + 1)?;
                lua_pop(state, 1);
                if lua_next(state, table) == 0 {
                    return self.raw(b"]");
                }
                index += 1;
            }
            self.unordered(depth, index)
        }
    }

    /// The rest of an array, from `next` on, of which Lua hands out another key first: its tail is
    /// in the table's hash part, if it is an array at all.
    unsafe fn unordered(&mut self, depth: usize, next: i64) -> Walked {
        let (state, table, _) = self.table_slots(depth);
        // SAFETY: as `Walk` says.
        unsafe {
            let count = self.count_indices(depth, next - 1)?;
            for index in next..=count {
                if index > 1 {
                    self.raw(b",")?;
                }
                push_integer(state, index);
                raw_get_index(state, table, index as Index);
                self.value(depth + 1)?;
                lua_pop(state, 2);
            }
        }
        self.raw(b"]")
    }

    /// How many keys there are, `count` of them before the one in hand, if they are exactly 1..n.
    unsafe fn count_indices(&mut self, depth: usize, mut count: i64) -> Result<i64, Stop> {
        let (state, table, key) = self.table_slots(depth);
        let mut largest = count;
        // SAFETY: as `Walk` says.
        unsafe {
            loop {
                match whole_at(state, key) {
                    Some(key @ 1..) => largest = largest.max(key),
                    _ if lua_type(state, key) == LUA_TSTRING => {
                        return self.stop(depth, Reason::Mixed);
                    }
                    _ => return self.stop(depth, Reason::Key),
                }
                count += 1;
                lua_pop(state, 1);
                if lua_next(state, table) == 0 {
                    break;
                }
            }
        }
        if largest == count {
            return Ok(count);
        }
        self.stop(depth, Reason::Sparse { count, largest })
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) -> Walked {
        write::raw(self.out, bytes).or_else(|why| self.stop(0, Reason::Unwritable(why)))
    }

    // Stack indices count from the bottom on PUC Lua, where that makes encoding 4 to 7 % faster,
    // and from the top on LuaJIT, where that makes it 5 to 11 % faster.

    /// The index of the value at `depth`, which is on top.
    #[inline]
    fn value_slot(&self, depth: usize) -> c_int {
        if cfg!(feature = "luajit") { -1 } else { self.root + 2 * depth as c_int }
    }

    /// The state; the index of the table at `depth`, whose key in hand is on top; the index of that
    /// key, when its value is.
    #[inline]
    fn table_slots(&self, depth: usize) -> (*mut lua_State, c_int, c_int) {
        if cfg!(feature = "luajit") {
            (self.state, -2, -2)
        } else {
            let slot = self.root + 2 * depth as c_int;
            (self.state, slot, slot + 1)
        }
    }

    #[cold]
    fn stop<T>(&mut self, depth: usize, reason: Reason) -> Result<T, Stop> {
        self.fault = Fault { depth, reason };
        Err(Stop)
    }
}
