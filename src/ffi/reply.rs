//! What an operation answers, as data: the trampoline pushes it. Uses `ffi`, `json`.

use std::borrow::Cow;
use std::ffi::c_int;
use std::rc::Rc;

use mlua::{Function, Lua};

use net::framing::text::Item;

use super::call::Stop;
use super::*;
use crate::connection::Connection;
use crate::json::Document;
use crate::listener::Listener;
use crate::ops::info;

// The tag is as wide as the fields behind it: with a narrower one the compiler makes unaligned
// copies, which stall.
#[repr(usize)]
pub enum Reply {
    /// Success without a value: nil, in `tcp.safe` true.
    Nothing,
    Value(Value),
    Pair(Value, Value),
    /// The bytes of an item of the connection's input, which is consumed.
    Item(Item),
    /// The same and its header, which is in the same packet.
    Packet(Item),
    /// The bytes of an item, which is not consumed.
    Peeked(Item),
    /// What a pattern captured in an item: one value, or a table of several.
    Captures(Item),
    /// The value of an item's JSON text.
    Json(Document, Item),
    /// The same and the packet's header.
    JsonPacket(Document, Item),
    /// A block of whole lines, beginning with this one, in so many bytes unless that one is longer.
    Lines(Item, usize),
    /// The argument at this index of the stack.
    Argument(c_int),
    /// A table for each of two arguments that are lists, with those of its elements that have these
    /// numbers.
    Elements([(c_int, Vec<usize>); 2]),
    /// The value of the JSON text that is the first argument.
    Decoded(Document),
    /// The JSON text of the first argument.
    Encoded,
    /// A new connection; whether `tcp.send` and `tcp.recv` are to use it.
    Connection(Box<Connection>, bool),
    Listener(Box<Listener>),
}

/// A value of Lua's.
pub enum Value {
    Nil,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Word(&'static str),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// One that stands in several places; each gets a table of its own.
    Shared(Rc<Value>),
    Record(Vec<(Cow<'static, str>, Value)>),
}

impl Value {
    pub fn list<T: Into<Self>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }

    /// A table with these members; those that are nil are left out.
    pub fn record<const N: usize>(members: [(&'static str, Value); N]) -> Self {
        Self::Record(members.map(|(name, value)| (name.into(), value)).into())
    }

    /// Whether it is pushed without memory of Lua's.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Nil | Self::Boolean(_) | Self::Integer(_) | Self::Number(_))
    }

    /// Pushes it; with four free slots for each level of tables.
    ///
    /// # Safety
    /// In a protected call, where it is not plain. Owns nothing.
    pub unsafe fn push(&self, state: *mut lua_State) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Nil => lua_pushnil(state),
                Self::Boolean(value) => lua_pushboolean(state, (*value).into()),
                Self::Integer(value) => push_integer(state, *value),
                Self::Number(value) => lua_pushnumber(state, *value),
                Self::Word(word) => push_bytes(state, word.as_bytes()),
                Self::Bytes(bytes) => push_bytes(state, bytes),
                Self::Shared(value) => value.push(state),
                Self::List(values) => {
                    lua_createtable(state, values.len() as c_int, 0);
                    for (value, index) in values.iter().zip(1..) {
                        value.push(state);
                        raw_set_index(state, -2, index as Index);
                    }
                }
                Self::Record(members) => {
                    lua_createtable(state, 0, members.len() as c_int);
                    for (name, value) in members {
                        push_bytes(state, name.as_bytes());
                        value.push(state);
                        lua_rawset(state, -3);
                    }
                }
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

/// The details of a failure, besides its message and code.
pub fn details(stop: &Stop) -> Value {
    match stop {
        Stop::Failed(error) => info::details(error, None),
        Stop::Reported(error, report) => info::details(error, Some(report)),
        _ => Value::Nil,
    }
}

/// The registry's key for a table with the connection that `connect` made last. It holds false
/// before there is one, so that what is there is only replaced.
static LAST: u8 = 0;

/// Makes that table.
pub fn register_last(lua: &Lua) -> mlua::Result<()> {
    let table = lua.create_sequence_from([false])?;
    // SAFETY: nothing is captured; the table is the argument.
    unsafe { lua.exec_raw::<()>(table, |state| register(state, &LAST)) }
}

/// Pushes the last connection, or false.
pub unsafe fn push_last(state: *mut lua_State) {
    // SAFETY: as the caller's.
    unsafe {
        push_registered(state, &LAST);
        raw_get_index(state, -1, 1);
        lua_remove(state, -2);
    }
}

/// `native.last()`: the last connection, or false.
pub fn last_function(lua: &Lua) -> mlua::Result<Function> {
    unsafe extern "C-unwind" fn last(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls this, with free slots; nothing is owned.
        unsafe { push_last(state) };
        1
    }
    // SAFETY: nothing is captured.
    unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, last, 0)) }
}

/// Makes the connection on top of the stack the last one.
pub unsafe fn keep_last(state: *mut lua_State) {
    // SAFETY: as the caller's.
    unsafe {
        push_registered(state, &LAST);
        lua_pushvalue(state, -2);
        raw_set_index(state, -2, 1);
        lua_pop(state, 1);
    }
}
