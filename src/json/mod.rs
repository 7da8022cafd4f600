//! JSON text to Lua values and back: strict RFC 8259, lossless, nothing in between.
//!
//! Decoding parses the whole text into a flat tape (`parse`, `scalar`, `tape`: plain Rust, no Lua)
//! and then builds the values in one protected call with tables of the exact size (`replay`).
//! Encoding walks a value in one protected call and appends to the caller's buffer (`walk`,
//! `write`).
//!
//! A Lua error (no memory, a hook, a finalizer) may leave a protected call by `longjmp`, so no
//! frame inside one owns anything: tapes, buffers and messages belong to the frame outside. The
//! walk reads raw, so no metamethod runs. May call: `ffi`, mlua, itoa, simdutf8, zmij.

#![deny(unsafe_op_in_unsafe_fn)]

mod array;
mod parse;
mod path;
mod plain;
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
pub use parse::{BigInt, Failure};

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

/// A text that was parsed, and what its value is to be made of.
pub struct Document {
    tape: tape::BorrowedTape,
    null: Null,
}

impl Document {
    /// The one JSON value that `text` holds, white space around it allowed.
    pub fn parse(text: &[u8], options: Options) -> Result<Self, Failure> {
        let mut tape = tape::BorrowedTape::take();
        parse::parse(text, options.bigint, &mut tape)?;
        Ok(Self { tape, null: options.null })
    }

    /// Pushes the value.
    ///
    /// # Safety
    /// In a protected call on `state`; the caller's frames up to that call own nothing. `text` is
    /// what was parsed.
    pub unsafe fn push(&self, state: *mut lua_State, text: &[u8]) {
        // SAFETY: the caller's; the tape is what `parse` made of the text.
        unsafe { replay::replay(state, text, &self.tape, self.null) }
    }
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

/// An output buffer larger than this is not kept for the next value.
const KEPT_OUTPUT: usize = 1 << 22;

thread_local! {
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Does something with an empty buffer, the thread's spare one.
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

/// `tcp.json.null`: the light userdata NULL, which is also what lua-cjson has.
pub fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}
