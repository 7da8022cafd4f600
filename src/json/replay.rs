//! Makes Lua values from a tape. Each table is created at its exact size: without that, decoding
//! takes 1.2 to 1.7 times as long.
//!
//! Runs inside a protected call: any push may raise, so nothing here owns anything.
//! May call: `ffi`, `tape`.

use std::ffi::c_int;
use std::ptr;
use std::slice;

use super::Null;
use super::array::push_array_metatable;
use super::tape::{Entry, Tape};
use crate::ffi::*;

/// Pushes values that `tape` holds for a text, once.
pub struct Replay<'a> {
    state: *mut lua_State,
    entries: slice::Iter<'a, Entry>,
    text: &'a [u8],
    tape: &'a Tape,
    null: Null,
    /// The stack index of the array metatable, 0 if there are no arrays.
    array_metatable: c_int,
}

impl<'a> Replay<'a> {
    /// Reserves the stack: two slots for each level, and what making the metatable takes.
    ///
    /// # Safety
    /// In a protected call on `state`; the caller's frames up to that call own nothing. `tape` is
    /// parsed from `text`. One push follows.
    pub unsafe fn new(state: *mut lua_State, text: &'a [u8], tape: &'a Tape, null: Null) -> Self {
        let slots = 2 * tape.depth + 6;
        // SAFETY: the caller's.
        unsafe {
            if lua_checkstack(state, slots as c_int) == 0 {
                push_bytes(state, b"not enough memory");
                lua_error(state);
            }
            let array_metatable = if tape.has_arrays {
                push_array_metatable(state);
                lua_gettop(state)
            } else {
                0
            };
            Replay { state, entries: tape.entries.iter(), text, tape, null, array_metatable }
        }
    }

    /// Pushes the value of the whole tape.
    pub unsafe fn whole(mut self) {
        // SAFETY: the caller's.
        unsafe {
            self.value();
            self.end();
        }
    }

    /// Pushes the found value of this number; nil if there is none.
    pub unsafe fn found(mut self, number: usize) {
        // SAFETY: the caller's.
        unsafe {
            if !self.push_found(number) {
                lua_pushnil(self.state);
            }
            self.end();
        }
    }

    /// Pushes a table of all found values.
    pub unsafe fn all_found(mut self) {
        let (state, count) = (self.state, self.tape.found.len());
        // SAFETY: the caller's. The tape's size is that of a list that Lua holds.
        unsafe {
            lua_createtable(state, count as c_int, 0);
            for number in 0..count {
                if self.push_found(number) {
                    raw_set_index(state, -2, number as Index + 1);
                }
            }
            self.end();
        }
    }

    /// Pushes one found value. Returns false if there is none, or if the options leave it out.
    unsafe fn push_found(&mut self, number: usize) -> bool {
        let Some(found) = self.tape.found.get(number).copied().flatten() else { return false };
        self.entries = self.tape.entries.get(found.entry..).unwrap_or_default().iter();
        if found.is_member && self.is_left_out() {
            return false;
        }
        // SAFETY: the caller's.
        unsafe { self.value() };
        true
    }

    /// Removes the array metatable from below the value.
    unsafe fn end(&self) {
        if self.array_metatable != 0 {
            // SAFETY: it is there.
            unsafe { lua_remove(self.state, self.array_metatable) };
        }
    }

    /// Whether the next value is the null of a member that is to be left out.
    #[inline]
    fn is_left_out(&self) -> bool {
        self.null == Null::Nil && self.entries.as_slice().first() == Some(&Entry::Null)
    }

    /// Pushes the next value, with its members. It is inlined, and containers are not, so that a
    /// string costs one call.
    #[inline(always)]
    unsafe fn value(&mut self) {
        let state = self.state;
        // A tape never ends early; `null` is only a safe default.
        let entry = self.entries.next().copied().unwrap_or(Entry::Null);
        // SAFETY: `new` reserved the stack; its caller protects the call.
        unsafe {
            match entry {
                Entry::Null => lua_pushlightuserdata(state, ptr::null_mut()),
                Entry::Bool(value) => lua_pushboolean(state, c_int::from(value)),
                Entry::Integer(value) => push_integer(state, value),
                Entry::Float(value) => lua_pushnumber(state, value),
                Entry::Text { len, at } => push_bytes(state, part(self.text, at, len)),
                Entry::Unescaped { len, at } => push_bytes(state, part(&self.tape.arena, at, len)),
                Entry::Array { len } => self.array(len),
                Entry::Object { len } => self.object(len),
            }
        }
    }

    #[inline(never)]
    unsafe fn array(&mut self, len: u32) {
        let state = self.state;
        // SAFETY: as in `value`. The metatable is set first, while the table is white and needs no
        // barrier.
        unsafe {
            lua_createtable(state, len as c_int, 0);
            lua_pushvalue(state, self.array_metatable);
            lua_setmetatable(state, -2);
            for index in 1..=len as Index {
                self.value();
                raw_set_index(state, -2, index);
            }
        }
    }

    #[inline(never)]
    unsafe fn object(&mut self, len: u32) {
        let state = self.state;
        // SAFETY: as in `value`. The access is raw and the name is a string, so that the assignment
        // cannot fail.
        unsafe {
            lua_createtable(state, 0, len as c_int);
            for _ in 0..len {
                self.value();
                self.member();
                lua_rawset(state, -3);
            }
        }
    }

    /// Pushes a member's value. A member to leave out is set to nil, since an earlier one may have
    /// the same name.
    unsafe fn member(&mut self) {
        if self.is_left_out() {
            self.entries.next();
            // SAFETY: as in `value`.
            unsafe { lua_pushnil(self.state) };
        } else {
            // SAFETY: as in `value`.
            unsafe { self.value() };
        }
    }
}

/// Returns a part of `bytes`. `parse` keeps it within them; a panic could not leave this call.
#[inline]
fn part(bytes: &[u8], at: usize, len: u32) -> &[u8] {
    bytes.get(at..at + len as usize).unwrap_or_default()
}
