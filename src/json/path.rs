//! The message for a value without a JSON form: `valores[3].x: a function has no JSON form`. The
//! path is read from the stack as `walk` left it. May call: `ffi`, `write`'s names.

use std::ffi::c_int;
use std::fmt::Write;

use super::write::Unwritable;
use crate::ffi::*;

/// The most steps of a path in a message, and the most characters of a name in it.
const STEPS: usize = 16;
const NAME_CHARS: usize = 64;

/// A value without a JSON form, and its place: the value at `depth`, or a key of that table.
#[derive(Clone, Copy)]
pub struct Fault {
    pub depth: usize,
    pub reason: Reason,
}

#[derive(Clone, Copy)]
pub enum Reason {
    /// A value of this Lua type.
    Type(c_int),
    Unwritable(Unwritable),
    /// The current key is a string that is not UTF-8.
    NameNotUtf8,
    /// The current key is neither a string nor a whole number from 1 on.
    Key,
    /// The table has string keys and number keys.
    Mixed,
    /// The number of keys, and the largest one, which is too large for an array of so many.
    Sparse {
        count: i64,
        largest: i64,
    },
    /// The table is marked as an array and has string keys.
    Marked,
    Depth,
}

impl Fault {
    pub fn is_memory(&self) -> bool {
        matches!(self.reason, Reason::Unwritable(Unwritable::Memory))
    }

    /// Returns path and reason, in words. Raises nothing.
    ///
    /// # Safety
    /// `walk` failed with this fault on `state` and `root`, and the stack is as it left it.
    #[cold]
    pub unsafe fn describe(&self, state: *mut lua_State, root: c_int) -> String {
        let mut message = String::new();
        // SAFETY: the caller's.
        unsafe {
            for depth in 0..self.depth.min(STEPS) {
                step(state, root + 2 * depth as c_int + 1, &mut message);
            }
            if self.depth > STEPS {
                message.push_str("...");
            }
            if self.depth > 0 {
                message.push_str(": ");
            }
            self.reason.describe(state, root + 2 * self.depth as c_int + 1, &mut message);
        }
        message
    }
}

impl Reason {
    /// # Safety
    /// As `Fault::describe`; `key` is the slot of the current key.
    unsafe fn describe(&self, state: *mut lua_State, key: c_int, message: &mut String) {
        // Writing to a String cannot fail.
        let _ = match *self {
            // SAFETY: `lua_type` has returned the type.
            Reason::Type(lua_type) => unsafe { no_form(state, lua_type, "", message) },
            Reason::Key => unsafe {
                // SAFETY: the current key is in its slot.
                match lua_type(state, key) {
                    LUA_TNUMBER => {
                        let number = float_at(state, key);
                        write!(message, "the key {number} is neither a string nor an array index")
                    }
                    other => no_form(state, other, " key", message),
                }
            },
            Reason::Sparse { count, largest } => {
                write!(message, "an array with holes: {count} keys, the largest {largest}")
            }
            Reason::Unwritable(Unwritable::NotUtf8) => message.write_str("a string is not UTF-8"),
            Reason::Unwritable(Unwritable::NotFinite) => {
                message.write_str("NaN and infinities have no JSON form")
            }
            Reason::Unwritable(Unwritable::Memory) => message.write_str("not enough memory"),
            Reason::NameNotUtf8 => message.write_str("a key is not UTF-8"),
            Reason::Mixed => message.write_str("a table has both string and number keys"),
            Reason::Marked => message.write_str("an array has string keys"),
            Reason::Depth => message.write_str("nested deeper than 128, perhaps a cycle"),
        };
    }
}

/// Writes `a boolean key has no JSON form`.
unsafe fn no_form(
    state: *mut lua_State,
    lua_type: c_int,
    what: &str,
    message: &mut String,
) -> std::fmt::Result {
    // SAFETY: the caller's.
    let name = unsafe { type_name(state, lua_type) };
    write!(message, "a {name}{what} has no JSON form")
}

/// Writes one step of a path: `[3]`, `.name`, `["other name"]`.
///
/// # Safety
/// The slot `key` holds a string or a number.
unsafe fn step(state: *mut lua_State, key: c_int, message: &mut String) {
    // SAFETY: the caller's.
    let name = unsafe {
        if lua_type(state, key) == LUA_TNUMBER {
            let _ = write!(message, "[{}]", float_at(state, key));
            return;
        }
        bytes_at(state, key)
    };
    if is_identifier(name) {
        let dot = if message.is_empty() { "" } else { "." };
        let _ = write!(message, "{dot}{}", String::from_utf8_lossy(name));
    } else {
        let name = &name[..name.len().min(4 * NAME_CHARS)];
        let name: String = String::from_utf8_lossy(name).chars().take(NAME_CHARS).collect();
        let _ = write!(message, "[{name:?}]");
    }
}

fn is_identifier(name: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.len() <= NAME_CHARS
        && name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name.iter().all(is_word)
}
