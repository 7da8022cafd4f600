//! JSON text to Lua values and back: strict RFC 8259, lossless, nothing in between.
//!
//! Decoding parses the whole text into a flat tape (`parse`, `scalar`, `tape`: plain Rust, no Lua) and
//! then builds the values in one protected call with tables of the exact size (`replay`). Encoding walks a
//! value in one protected call and appends to the caller's buffer (`walk`, `write`). `entry` has the short
//! cuts for the two functions that scripts call a million times.
//!
//! A Lua error (no memory, a hook, a finalizer) may leave a protected call by `longjmp`, so no frame
//! inside one owns anything: tapes, buffers and messages belong to the frame outside. The walk reads raw,
//! so no metamethod runs. May call: `raw`, mlua, itoa, simdutf8, zmij.

#![deny(unsafe_op_in_unsafe_fn)]

mod array;
mod entry;
mod parse;
mod path;
mod plain;
mod replay;
mod scalar;
mod tape;
mod walk;
mod write;

use std::ffi::c_int;

use mlua::{LightUserData, Lua, Table, Value};

pub use entry::{decode_function, encode_function};
pub use parse::BigInt;

use super::raw::lua_State;

/// Containers within containers, both ways; also how a cycle is caught.
const MAX_DEPTH: usize = 128;

/// How JSON becomes Lua values where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub null: Null,
    pub bigint: BigInt,
}

/// What the null member of an object becomes. Elsewhere null is always `null()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Null {
    /// `tcp.json.null`.
    #[default]
    Value,
    /// Nothing: the member is left out.
    Nil,
}

/// Why nothing was decoded or encoded.
#[derive(Debug)]
pub enum Error {
    /// The text, or the value, is at fault: `line 1 column 5: ...`, `valores[3].x: ...`.
    Invalid(String),
    /// There is no memory for it.
    Memory,
    /// Raised by Lua meanwhile: by a hook, or by a finalizer that the collector ran.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Error {
    #[cold]
    fn from(error: mlua::Error) -> Error {
        match error {
            mlua::Error::MemoryError(_) => Error::Memory,
            error => Error::Lua(error),
        }
    }
}

impl From<parse::Failure> for Error {
    #[cold]
    fn from(failure: parse::Failure) -> Error {
        match failure {
            parse::Failure::Invalid(text) => Error::Invalid(text),
            parse::Failure::Memory => Error::Memory,
        }
    }
}

/// A text that was parsed, and what its value is to be made of.
pub struct Document<'a> {
    text: &'a [u8],
    tape: tape::Lent,
    null: Null,
}

impl<'a> Document<'a> {
    /// The one JSON value that `text` holds, white space around it allowed.
    pub fn parse(text: &'a [u8], options: Options) -> Result<Self, Error> {
        let mut tape = tape::Lent::take();
        parse::parse(text, options.bigint, &mut tape)?;
        Ok(Self { text, tape, null: options.null })
    }

    /// Pushes the value.
    ///
    /// # Safety
    /// In a protected call on `state`; the caller's frames up to that call own nothing.
    pub unsafe fn push(&self, state: *mut lua_State) {
        // SAFETY: the caller's; the tape is what `parse` made of the text.
        unsafe { replay::replay(state, self.text, &self.tape, self.null) }
    }
}

/// The one JSON value that `text` holds, white space around it allowed.
pub fn decode(lua: &Lua, text: &[u8], options: Options) -> Result<Value, Error> {
    let document = Document::parse(text, options)?;
    let document = &document;
    // SAFETY: the closure captures a reference only.
    Ok(unsafe { lua.exec_raw::<Value>((), |state| document.push(state)) }?)
}

/// Appends the JSON text of the value in slot `root`, the top of the stack: whether it has one. If not, `out`
/// holds a part of it.
///
/// # Safety
/// As for [`Document::push`], with three free stack slots.
pub unsafe fn append(state: *mut lua_State, root: c_int, out: &mut Vec<u8>) -> bool {
    // SAFETY: the caller's.
    unsafe { walk::walk(state, root, out) }.is_ok()
}

/// Appends the JSON text of `value`. On failure `out` is as long as it was.
pub fn encode(lua: &Lua, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let mut message = String::new();
    let mut walked = Ok(());
    let raised = {
        let (out, message, walked) = (&mut *out, &mut message, &mut walked);
        // SAFETY: the closure captures references only, and the frames within own nothing. The value is
        // the protected function's first argument.
        unsafe {
            lua.exec_raw::<()>(value, |state| {
                *walked = walk::walk(state, 1, out);
                if let Err(fault) = walked {
                    fault.describe(state, 1, message);
                }
            })
        }
    };
    let result = raised.map_err(Error::from).and(match walked {
        Ok(()) => Ok(()),
        Err(fault) if fault.is_memory() => Err(Error::Memory),
        Err(_) => Err(Error::Invalid(message)),
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// `tcp.json.null`: the light userdata NULL, which is also what lua-cjson has.
pub fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

/// The metatable, one in each Lua state, of every decoded array: `setmetatable(t, it)` marks `t`.
pub fn array_metatable(lua: &Lua) -> mlua::Result<Table> {
    // SAFETY: nothing is captured or owned.
    unsafe { lua.exec_raw::<Table>((), |state| array::push_array_metatable(state)) }
}
