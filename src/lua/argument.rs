//! The arguments of a call, checked and worded as Lua's own library words them: mlua's conversions take
//! 1.5 for 1 and refuse bytes that are not UTF-8. Uses `call` for its failures.

use mlua::{Lua, Table, Value};

use net::error::excerpt;
use net::memory::{copy, copy_text};

use super::call::{Failure, Result};

/// The name of a value's type, as `luaL_typename` has it.
pub fn type_name(value: Option<&Value>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::Integer(_)) => "number",
        Some(value) => value.type_name(),
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    Argument(usize),
    /// An option in the table at this argument.
    Option(usize, &'a str),
}

/// A value that the script gave, and what it takes to say that it is wrong.
#[derive(Clone, Copy)]
pub struct Argument<'a> {
    lua: &'a Lua,
    value: Option<&'a Value>,
    at: Place<'a>,
    function: &'static str,
}

impl<'a> Argument<'a> {
    /// The argument number `at` of `function`.
    pub fn new(
        lua: &'a Lua,
        function: &'static str,
        at: usize,
        value: Option<&'a Value>,
    ) -> Argument<'a> {
        Argument { lua, value, at: Place::Argument(at), function }
    }

    pub fn value(&self) -> &'a Value {
        self.value.unwrap_or(&Value::Nil)
    }

    /// Whether it is nil or not there.
    pub fn is_absent(&self) -> bool {
        self.value().is_nil()
    }

    /// The value of an option in the table that this argument is.
    pub fn option(&self, name: &'a str, value: &'a Value) -> Argument<'a> {
        let at = match self.at {
            Place::Argument(at) | Place::Option(at, _) => at,
        };
        Argument { value: Some(value), at: Place::Option(at, name), ..*self }
    }

    /// The option's name.
    pub fn name(&self) -> &'a str {
        match self.at {
            Place::Option(_, name) => name,
            Place::Argument(_) => "",
        }
    }

    /// Another value at the same place: a part of this one.
    pub fn with(&self, value: &'a Value) -> Argument<'a> {
        Argument { value: Some(value), ..*self }
    }

    #[cold]
    pub fn wrong(&self, why: impl std::fmt::Display) -> Failure {
        let function = self.function;
        Failure::Argument(match self.at {
            Place::Argument(at) => format!("bad argument #{at} to '{function}' ({why})"),
            Place::Option(at, name) => {
                format!("bad argument #{at} to '{function}' (option '{name}': {why})")
            }
        })
    }

    #[cold]
    pub fn expected(&self, what: &str) -> Failure {
        self.wrong(format_args!("{what} expected, got {}", type_name(self.value)))
    }

    /// Bytes; a number counts as its text.
    pub fn string(&self) -> Result<mlua::LuaString> {
        match self.value() {
            Value::String(string) => Ok(string.clone()),
            number @ (Value::Integer(_) | Value::Number(_)) => {
                let string = self.lua.coerce_string(number.clone())?;
                string.ok_or_else(|| self.expected("string"))
            }
            _ => Err(self.expected("string")),
        }
    }

    /// Text: bytes that are UTF-8.
    pub fn text(&self) -> Result<String> {
        let string = self.string()?;
        let text = string.to_str().map_err(|_| self.wrong("not UTF-8"))?;
        Ok(copy_text(&text)?)
    }

    /// A copy of bytes, which may be of any size.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(copy(&self.string()?.as_bytes())?)
    }

    pub fn boolean(&self) -> Result<bool> {
        self.value().as_boolean().ok_or_else(|| self.expected("boolean"))
    }

    pub fn table(&self) -> Result<&'a Table> {
        self.value().as_table().ok_or_else(|| self.expected("table"))
    }

    /// A number; a string that reads as one counts.
    fn number(&self) -> Result<f64> {
        let number = match self.value() {
            Value::Number(number) => Some(*number),
            Value::Integer(integer) => Some(*integer as f64),
            string @ Value::String(_) => self.lua.coerce_number(string.clone())?,
            _ => None,
        };
        number.ok_or_else(|| self.expected("number"))
    }

    /// A whole number between `low` and `high`.
    pub fn integer(&self, low: usize, high: usize) -> Result<usize> {
        let number = self.number()?;
        if number.fract() != 0.0 {
            return Err(self.wrong("number has no integer representation"));
        }
        if !(low as f64..=high as f64).contains(&number) {
            return Err(match high {
                usize::MAX => self.wrong(format_args!("{low} or more expected, got {number}")),
                _ => self.wrong(format_args!("{low} to {high} expected, got {number}")),
            });
        }
        Ok(number as usize)
    }

    /// A whole number from `low` on; `default` where there is none.
    pub fn integer_or(&self, default: usize, low: usize) -> Result<usize> {
        if self.is_absent() { Ok(default) } else { self.integer(low, usize::MAX) }
    }

    /// A time in seconds: over 0, infinity is never.
    pub fn seconds(&self) -> Result<f64> {
        let seconds = self.number()?;
        if seconds > 0.0 {
            Ok(seconds)
        } else {
            Err(self.wrong(format_args!("seconds over 0 expected, got {seconds}")))
        }
    }

    /// A time in seconds, 0 among them; `default` where there is none.
    pub fn patience_or(&self, default: f64) -> Result<f64> {
        match self.is_absent() || self.number()? != 0.0 {
            true => self.seconds_or(default),
            false => Ok(0.0),
        }
    }

    /// A time in seconds; `default` where there is none.
    pub fn seconds_or(&self, default: f64) -> Result<f64> {
        if self.is_absent() { Ok(default) } else { self.seconds() }
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let given = self.string()?;
        let found = words.iter().find(|(word, _)| given == *word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
            self.wrong(format_args!(
                "{} expected, got '{}'",
                words.join(" or "),
                excerpt(&given.as_bytes())
            ))
        })
    }
}
