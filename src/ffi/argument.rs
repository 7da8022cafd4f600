//! The arguments of a call, read from Lua's stack and checked. A wrong one is a failure in the
//! words of luaL_argerror. Nothing here raises. Uses `ffi`, `call`.

use std::ffi::c_int;
use std::fmt::Display;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use net::connect::host;
use net::memory::{copy, copy_text};
use net::text::{excerpt, number_text};

use super::call::{Call, Result, Stop};
use super::*;

/// Where a value stands.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    Argument(usize),
    /// An option in the table at this argument.
    Option(usize, &'a str),
}

/// A value on the stack that the script gave, and its place in the call, for messages.
#[derive(Clone, Copy)]
pub struct Argument<'a> {
    pub(super) state: *mut lua_State,
    pub(super) index: c_int,
    pub(super) at: Place<'a>,
    pub(super) function: &'static str,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Absent,
    Boolean(bool),
    Number,
    String,
    Table,
    Function,
    Userdata,
    Other,
}

impl<'a> Argument<'a> {
    /// The argument number `at` of the call's function.
    pub fn new(call: &'a Call<'_>, at: usize) -> Self {
        let index = call.first() + at as c_int - 1;
        Argument { state: call.state(), index, at: Place::Argument(at), function: call.name() }
    }

    pub fn value_type(&self) -> Type {
        // SAFETY: the index is one of the call's; there may be nothing.
        unsafe {
            match lua_type(self.state, self.index) {
                LUA_TNIL | LUA_TNONE => Type::Absent,
                LUA_TBOOLEAN => Type::Boolean(lua_toboolean(self.state, self.index) != 0),
                LUA_TNUMBER => Type::Number,
                LUA_TSTRING => Type::String,
                LUA_TTABLE => Type::Table,
                LUA_TFUNCTION => Type::Function,
                LUA_TUSERDATA => Type::Userdata,
                _ => Type::Other,
            }
        }
    }

    /// Whether it is nil or not there.
    pub fn is_absent(&self) -> bool {
        self.value_type() == Type::Absent
    }

    /// Its index on the stack.
    pub fn index(&self) -> c_int {
        self.index
    }

    /// The option's name.
    pub fn name(&self) -> &'a str {
        match self.at {
            Place::Option(_, name) => name,
            Place::Argument(_) => "",
        }
    }

    #[cold]
    pub fn wrong(&self, why: impl Display) -> Stop {
        let function = self.function;
        Stop::Argument(match self.at {
            Place::Argument(at) => format!("bad argument #{at} to '{function}' ({why})"),
            Place::Option(at, name) => {
                format!("bad argument #{at} to '{function}' (option '{name}': {why})")
            }
        })
    }

    #[cold]
    pub fn expected(&self, what: &str) -> Stop {
        self.wrong(format_args!("{what} expected, got {}", self.type_name()))
    }

    /// The name of its type, as `luaL_typename` has it.
    pub fn type_name(&self) -> &'a str {
        // SAFETY: the index is one of the call's.
        unsafe { type_name(self.state, lua_type(self.state, self.index)) }
    }

    /// Bytes; a number counts as its text.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        // SAFETY: the index is one of the call's, and what stands there stays. A number's text is
        // made in a protected call and takes the number's place.
        unsafe {
            match lua_type(self.state, self.index) {
                LUA_TSTRING => {}
                LUA_TNUMBER => {
                    let to_text = |state| {
                        number_to_text(state, 1);
                        1
                    };
                    if !protected(self.state, self.index, 1, to_text) {
                        return Err(Stop::Raised);
                    }
                    lua_replace(self.state, self.index);
                }
                _ => return Err(self.expected("string")),
            }
            Ok(bytes_at(self.state, self.index))
        }
    }

    /// A copy of the bytes.
    pub fn owned_bytes(&self) -> Result<Vec<u8>> {
        Ok(copy(self.bytes()?)?)
    }

    /// Text: bytes that are UTF-8.
    pub fn text(&self) -> Result<&'a str> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| self.wrong("not UTF-8"))
    }

    /// A copy of the text.
    pub fn owned_text(&self) -> Result<String> {
        Ok(copy_text(self.text()?)?)
    }

    /// A host's name, as far as there can be one.
    pub fn host(&self) -> Result<String> {
        Ok(host::host(self.bytes()?))
    }

    /// A descriptor that the script hands over, which may be none.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        let number = self.integer(0, RawFd::MAX as usize)? as RawFd;
        // SAFETY: the script says that it is its to give away. It is closed only where the system
        // has said that it is open, and a socket of the kind that is wanted (`GivenSocket`).
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    pub fn boolean(&self) -> Result<bool> {
        match self.value_type() {
            Type::Boolean(value) => Ok(value),
            _ => Err(self.expected("boolean")),
        }
    }

    pub fn check_table(&self) -> Result<()> {
        if self.value_type() == Type::Table { Ok(()) } else { Err(self.expected("table")) }
    }

    /// A number; a string that reads as one counts.
    pub fn number(&self) -> Result<f64> {
        // SAFETY: the index is one of the call's.
        unsafe { to_number(self.state, self.index) }.ok_or_else(|| self.expected("number"))
    }

    /// A whole number between `low` and `high`.
    pub fn integer(&self, low: usize, high: usize) -> Result<usize> {
        // SAFETY: the index is one of the call's.
        let whole = unsafe { whole_at(self.state, self.index) };
        match whole.and_then(|whole| usize::try_from(whole).ok()) {
            Some(whole) if (low..=high).contains(&whole) => Ok(whole),
            _ => self.odd_integer(low as u64, high as u64).map(|number| number as usize),
        }
    }

    /// A whole number from 0 on, of bytes that need not be in memory together.
    pub fn count(&self) -> Result<u64> {
        // SAFETY: the index is one of the call's.
        let whole = unsafe { whole_at(self.state, self.index) };
        match whole.and_then(|whole| u64::try_from(whole).ok()) {
            Some(whole) => Ok(whole),
            None => self.odd_integer(0, u64::MAX).map(|number| number as u64),
        }
    }

    /// A whole number of at most this size, positive or negative.
    pub fn signed_integer(&self, most: i64) -> Result<i64> {
        let number = self.number()?;
        if number.fract() != 0.0 {
            return Err(self.wrong("number has no integer representation"));
        }
        if number.abs() <= most as f64 {
            return Ok(number as i64);
        }
        Err(self.wrong(format_args!("{} to {most} expected, got {}", -most, number_text(number))))
    }

    /// Whether it is a number, or a string that reads as one.
    pub fn is_numeric(&self) -> bool {
        // SAFETY: the index is one of the call's.
        unsafe { to_number(self.state, self.index) }.is_some()
    }

    /// The failure of a value that is no number, or not a whole one.
    #[cold]
    fn odd_integer(&self, low: u64, high: u64) -> Result<f64> {
        let number = self.number()?;
        if number.fract() != 0.0 {
            return Err(self.wrong("number has no integer representation"));
        }
        if !(low as f64..=high as f64).contains(&number) {
            let is_open = high >= usize::MAX as u64;
            let most = if is_open { " or more".into() } else { format!(" to {high}") };
            return Err(
                self.wrong(format_args!("{low}{most} expected, got {}", number_text(number)))
            );
        }
        Ok(number)
    }

    /// A whole number from `low` on; `default` where there is none.
    #[inline]
    pub fn integer_or(&self, default: usize, low: usize) -> Result<usize> {
        if self.is_absent() { Ok(default) } else { self.integer(low, usize::MAX) }
    }

    /// A time in seconds: over 0, infinity is never.
    pub fn seconds(&self) -> Result<f64> {
        let seconds = self.number()?;
        if seconds > 0.0 {
            Ok(seconds)
        } else {
            Err(self.wrong(format_args!("seconds over 0 expected, got {}", number_text(seconds))))
        }
    }

    /// A time in seconds; `default` where there is none.
    pub fn seconds_or(&self, default: f64) -> Result<f64> {
        if self.is_absent() { Ok(default) } else { self.seconds() }
    }

    /// A time in seconds, 0 among them.
    pub fn patience(&self) -> Result<f64> {
        if self.number()? == 0.0 { Ok(0.0) } else { self.seconds() }
    }

    /// The same; `default` where there is none.
    pub fn patience_or(&self, default: f64) -> Result<f64> {
        if self.is_absent() { Ok(default) } else { self.patience() }
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let given = self.bytes()?;
        let found = words.iter().find(|(word, _)| given == word.as_bytes());
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
            let given = excerpt(given);
            self.wrong(format_args!("{} expected, got '{given}'", words.join(" or ")))
        })
    }
}
