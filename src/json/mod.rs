//! Converts JSON text to Lua values and back: strict RFC 8259, lossless.
//!
//! Decoding parses the whole text into a flat tape (`parse`, `scalar`, `tape`: plain Rust, no Lua)
//! and then builds the values in one protected call with tables of the exact size (`replay`).
//! Encoding walks a value in one protected call and appends to the caller's buffer (`walk`,
//! `write`). A text for people is laid out again from its tape (`layout`), by serde_json. Of a text
//! of which only a part is wanted, only that comes onto the tape (`get`, `pointer`).
//!
//! A Lua error (no memory, a hook, a finalizer) may leave a protected call by `longjmp`. So no
//! frame inside one owns anything: tapes, buffers and messages belong to the frame outside. The
//! walk uses raw access, so that no metamethod runs. May call: `ffi`, mlua, itoa, memchr, serde,
//! serde_json, simdutf8, zmij.

#![deny(unsafe_op_in_unsafe_fn)]

mod array;
mod get;
mod layout;
mod parse;
mod path;
mod plain;
mod pointer;
mod replay;
mod scalar;
mod tape;
mod walk;
mod write;

use std::cell::Cell;
use std::ffi::c_int;

use mlua::{LightUserData, Value};

use crate::ffi::lua_State;

pub use array::mark;
pub use layout::{Layout, MAX_INDENT};
pub use parse::{BigInt, Failure};
pub use pointer::Wanted;

/// The deepest nesting, in both directions; it also ends a cycle.
const MAX_DEPTH: usize = 128;

/// The options of decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub null: Null,
    pub bigint: BigInt,
}

/// The value of a null member of an object. Elsewhere null is always `null()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Null {
    /// `tcp.json.null`.
    #[default]
    Value,
    /// The member is left out.
    Nil,
}

/// A parsed text, to push as Lua values.
pub struct Document {
    tape: tape::BorrowedTape,
    null: Null,
    part: Part,
}

/// What is pushed of a tape.
#[derive(Clone, Copy)]
enum Part {
    /// The one value that it is.
    Whole,
    /// The first value that was found; nil if it was not.
    One,
    /// A table of what was found.
    List,
}

impl Document {
    /// Parses a text that holds one JSON value, perhaps with white space around it.
    pub fn parse(text: &[u8], options: Options) -> Result<Self, Failure> {
        let mut tape = tape::BorrowedTape::take();
        parse::parse(text, options.bigint, &mut tape)?;
        Ok(Self { tape, null: options.null, part: Part::Whole })
    }

    /// What is `wanted` of the text, or all of it.
    pub fn of(text: &[u8], options: Options, wanted: Option<&Wanted>) -> Result<Self, Failure> {
        match wanted {
            Some(wanted) => Self::get(text, options, wanted),
            None => Self::parse(text, options),
        }
    }

    /// What is `wanted` of the text.
    pub fn get(text: &[u8], options: Options, wanted: &Wanted) -> Result<Self, Failure> {
        let mut tape = tape::BorrowedTape::take();
        get::get(text, options.bigint, wanted, &mut tape)?;
        let part = if wanted.is_list { Part::List } else { Part::One };
        Ok(Self { tape, null: options.null, part })
    }

    /// Pushes the value.
    ///
    /// # Safety
    /// In a protected call on `state`; the caller's frames up to that call own nothing. `text` is
    /// the text that was parsed.
    pub unsafe fn push(&self, state: *mut lua_State, text: &[u8]) {
        // SAFETY: the caller's; the tape is what `parse` made of the text.
        unsafe {
            let replay = replay::Replay::new(state, text, &self.tape, self.null);
            match self.part {
                Part::Whole => replay.whole(),
                Part::One => replay.found(0),
                Part::List => replay.all_found(),
            }
        }
    }
}

/// Writes a JSON text, which `append` made, once more in another layout.
pub fn lay_out(text: &[u8], layout: Layout) -> Result<Vec<u8>, Failure> {
    let mut tape = tape::BorrowedTape::take();
    parse::parse(text, BigInt::Integer, &mut tape)?;
    layout::lay_out(text, &tape, layout)
}

/// Appends the JSON text of the value in slot `root`, the top of the stack. On failure `out` holds
/// a part of it.
///
/// # Safety
/// In a protected call on `state`, with three free stack slots; the caller's frames up to that call
/// own nothing.
pub unsafe fn append(state: *mut lua_State, root: c_int, out: &mut Vec<u8>) -> Result<(), Failure> {
    // SAFETY: the caller's.
    unsafe { walk::walk(state, root, out) }.map_err(|fault| match fault.is_memory() {
        true => Failure::Memory,
        // SAFETY: the stack is as `walk` left it.
        false => Failure::Invalid(unsafe { fault.describe(state, root) }),
    })
}

/// The largest output buffer that is kept for the next value, in bytes.
const KEPT_OUTPUT: usize = 1 << 22;

thread_local! {
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Calls `act` with an empty buffer: the thread's spare one.
pub fn with_spare_text<T>(act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut out = SPARE.try_with(Cell::take).unwrap_or_default();
    let value = act(&mut out);
    if out.capacity() <= KEPT_OUTPUT {
        out.clear();
        // Fails only on a thread that is ending, which needs no spare.
        let _ = SPARE.try_with(|spare| spare.set(out));
    }
    value
}

/// Returns `tcp.json.null`: the light userdata NULL, as in lua-cjson.
pub fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}
