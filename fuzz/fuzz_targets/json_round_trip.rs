//! Runs `tcp.json.encode` on a Lua value that the bytes describe. The text must follow the rules,
//! decode to the same value, and encode to the same again. A value without a JSON form is refused,
//! and a connection sends nothing of it.

#![no_main]

use std::collections::BTreeMap;
use std::ffi::c_int;

use libfuzzer_sys::fuzz_target;
use mlua::ffi::*;
use serde_json::Value;
use tcp_fuzz::host::{Host, Kept};
use tcp_fuzz::oracle::{self, MAX_DEPTH};
use tcp_fuzz::{Bytes, hash};

thread_local! {
    static TARGET: Target = Target::new();
}

fuzz_target!(|bytes: &[u8]| TARGET.with(|target| target.run(bytes)));

struct Target {
    host: Host,
    build: Build,
    decode: Kept,
    encode: Kept,
    /// Sends a value and then `true` as packets. Returns what the other end gets for the value, if
    /// anything.
    send: Kept,
}

impl Target {
    fn new() -> Self {
        let host = Host::new();
        Self {
            build: Build {
                array_metatable: host.keep(c"return getmetatable(tcp.json.array {})"),
                other_metatable: host.keep(OTHER_METATABLE),
                function: host.keep(c"return print"),
                userdata: host.keep(c"return io.stdout"),
                thread: host.keep(c"return coroutine.create(print)"),
            },
            decode: host.keep(c"return tcp.json.decode"),
            encode: host.keep(c"return tcp.json.encode"),
            send: host.keep(SEND),
            host,
        }
    }

    fn run(&self, bytes: &[u8]) {
        let host = &self.host;
        let seed = hash(bytes);
        host.begin(seed);
        let value = Node::read(&mut Bytes(bytes), 0);
        let form = value.form(0);
        self.build.push(host, &value, &mut Vec::new());

        let text = self.encode();
        assert_eq!(text.is_some(), form.is_some());
        assert_eq!(self.encode(), text);

        // This is rare, since system calls take most of the time.
        if (seed >> 8).is_multiple_of(8) {
            host.push_copy();
            assert_eq!(host.call(self.send, 1), text.is_some(), "{:?}", host.describe());
            if let Some(text) = &text {
                assert_eq!(host.text(-1), text);
            }
            host.pop();
        }
        host.pop();

        if let (Some(text), Some(form)) = (text, form) {
            let parsed = oracle::parse(&text);
            assert!(parsed.is_some_and(|parsed| oracle::same(&parsed, &form)));
            host.push_text(&text);
            assert!(host.call(self.decode, 1), "{:?}", host.describe());
            host.assert_is(&form, false);
            let again = self.encode().unwrap_or_default();
            host.pop();
            // The order of members may differ.
            assert_eq!(again.len(), text.len());
            if has_order(&form) {
                assert_eq!(again, text);
            } else {
                assert!(oracle::parse(&again).is_some_and(|parsed| oracle::same(&parsed, &form)));
            }
        }
    }

    /// Returns the text of the value on top, which stays there.
    fn encode(&self) -> Option<Vec<u8>> {
        self.host.push_copy();
        let encoded = self.host.call(self.encode, 1);
        let text = self.host.pop_text();
        encoded.then_some(text)
    }
}

/// A metatable that means nothing to the module.
const OTHER_METATABLE: &std::ffi::CStr = c"
local function never() os.exit(77) end
return { __index = never, __len = never, __pairs = never, __tostring = never, __name = 1 }";

/// Bytes that a failed write left behind would come before the `true`.
const SEND: &std::ffi::CStr = c"
local options = { max_packet = 2 ^ 24, timeout = 60 }
local listener = tcp.listen('127.0.0.1', 0, options)
local here = tcp.connect('127.0.0.1', listener:port(), options)
local there = listener:accept()
return function(value)
  local ok, message = pcall(here.write_json_packet, here, value)
  here:write_packet('true')
  local text = ok and there:read_packet()
  if there:read_packet() ~= 'true' or there:pending() ~= 0 then
    os.exit(77)
  end
  if not ok then
    error(message, 0)
  end
  return text
end";

/// The deepest nesting that the bytes may ask for: more than is allowed.
const DEEPEST: usize = MAX_DEPTH + 8;

/// The description of a Lua value.
enum Node {
    Nil,
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Vec<u8>),
    Table(Table),
    /// The table this many levels up.
    Cycle(usize),
    /// A value without a JSON form: a function, a userdata, a thread, a pointer.
    Other(u8),
}

struct Table {
    metatable: u8,
    /// The sizes that the table is created with.
    items: u8,
    members: u8,
    /// The assignments, in order.
    pairs: Vec<(Key, Node)>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Integer(i64),
    /// The bits of a float that is not an integer.
    Float(u64),
    Text(Vec<u8>),
    Bool(bool),
}

impl Node {
    fn read(bytes: &mut Bytes<'_>, depth: usize) -> Self {
        let byte = bytes.byte();
        let detail = usize::from(byte >> 4);
        match byte & 15 {
            0 => Self::Null,
            1 => match detail {
                0..8 => Self::Bool(detail % 2 == 0),
                8..14 => Self::Nil,
                14 => Self::Cycle(usize::from(bytes.byte())),
                _ => Self::Other(bytes.byte() % 4),
            },
            2 => Self::Integer(detail as i64 - 8),
            3 => Self::Integer(bytes.word() as i64),
            4 => Self::Integer((bytes.word() >> (4 * detail)) as i64),
            5 => Self::Float(f64::from_bits(bytes.word())),
            6 => Self::Float(
                i32::from_le_bytes([bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte()]) as f64
                    / 100.0,
            ),
            7 => Self::Text(text(bytes, detail)),
            8 => {
                let length = usize::from(bytes.byte());
                Self::Text(text(bytes, length))
            }
            9 => Self::Text(bytes.take(detail).to_vec()),
            // This many levels of arrays.
            10 => (0..=4 * detail).fold(Self::Integer(1), |inner, _| {
                Self::Table(Table {
                    metatable: 0,
                    items: 1,
                    members: 0,
                    pairs: vec![(Key::Integer(1), inner)],
                })
            }),
            _ if depth > DEEPEST => Self::Null,
            kind => Self::Table(Table::read(bytes, kind, detail, depth)),
        }
    }

    /// Returns the JSON form by the rules, if there is one.
    fn form(&self, depth: usize) -> Option<Value> {
        match self {
            Self::Nil | Self::Null => Some(Value::Null),
            Self::Bool(value) => Some((*value).into()),
            Self::Integer(integer) => Some((*integer).into()),
            Self::Float(float) => serde_json::Number::from_f64(*float).map(Value::Number),
            Self::Text(text) => Some(str::from_utf8(text).ok()?.into()),
            Self::Table(_) if depth == MAX_DEPTH => None,
            Self::Table(table) => table.form(depth + 1),
            // At the top there is no table to refer to.
            Self::Cycle(_) => (depth == 0).then_some(Value::Null),
            Self::Other(_) => None,
        }
    }
}

impl Table {
    fn read(bytes: &mut Bytes<'_>, kind: u8, detail: usize, depth: usize) -> Self {
        let length = if detail == 15 { usize::from(bytes.byte()) } else { detail };
        let shape = if kind == 15 { bytes.byte() } else { 0 };
        let mut pairs = Vec::new();
        for index in 1..=length as i64 {
            let key = match kind {
                11 => Key::Integer(index),
                12 => Key::Integer(length as i64 + 1 - index),
                13 | 14 => {
                    let length = usize::from(bytes.byte() % 16);
                    Key::Text(text(bytes, length))
                }
                _ => match Key::read(bytes) {
                    Some(key) => key,
                    None => continue,
                },
            };
            pairs.push((key, Node::read(bytes, depth + 1)));
            if bytes.is_empty() {
                break;
            }
        }
        Self { metatable: shape & 3, items: shape >> 2 & 7, members: shape >> 5, pairs }
    }

    fn form(&self, depth: usize) -> Option<Value> {
        let mut last = BTreeMap::new();
        for (key, value) in &self.pairs {
            match value {
                Node::Nil => last.remove(key),
                value => last.insert(key.clone(), value),
            };
        }
        let is_array = match last.first_key_value() {
            None => self.is_marked(),
            Some((key, _)) => *key == Key::Integer(1),
        };
        if is_array {
            let items = (1..).zip(last).map(|(index, (key, value))| {
                if key == Key::Integer(index) { value.form(depth) } else { None }
            });
            return items.collect();
        }
        if self.is_marked() {
            return None;
        }
        let members = last.into_iter().map(|(key, value)| match key {
            Key::Text(name) => Some((String::from_utf8(name).ok()?, value.form(depth)?)),
            _ => None,
        });
        members.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
    }

    fn is_marked(&self) -> bool {
        self.metatable == 1
    }
}

impl Key {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        let byte = bytes.byte();
        let detail = byte >> 4;
        Some(match byte & 15 {
            0..6 => Self::Integer(detail.into()),
            6..12 => Self::Text(text(bytes, detail.into())),
            12 => Self::Text(bytes.take(detail.into()).to_vec()),
            13 => Self::Integer(bytes.word() as i64),
            14 => Self::Bool(detail % 2 == 0),
            _ => {
                let float = f64::from_bits(bytes.word());
                if float.is_nan() {
                    return None;
                }
                // As in Lua, 2^63 is the first float that is too large.
                let whole =
                    float.trunc() == float && (-(2_f64.powi(63))..2_f64.powi(63)).contains(&float);
                if whole { Self::Integer(float as i64) } else { Self::Float(float.to_bits()) }
            }
        })
    }
}

/// Takes `length` bytes, and makes them UTF-8.
fn text(bytes: &mut Bytes<'_>, length: usize) -> Vec<u8> {
    String::from_utf8_lossy(bytes.take(length)).into_owned().into_bytes()
}

/// Whether each object has at most one member, so that the order is known.
fn has_order(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(has_order),
        Value::Object(members) => members.len() < 2 && members.values().all(has_order),
        _ => true,
    }
}

/// Makes Lua values.
struct Build {
    array_metatable: Kept,
    other_metatable: Kept,
    function: Kept,
    userdata: Kept,
    thread: Kept,
}

impl Build {
    /// Pushes the value; `above` are the stack slots of the tables around it.
    fn push(&self, host: &Host, node: &Node, above: &mut Vec<c_int>) {
        let state = host.state;
        // SAFETY: raw pushes and sets, of keys that are neither nil nor NaN, with room on the
        // stack.
        unsafe {
            assert_ne!(lua_checkstack(state, 8), 0);
            match node {
                Node::Nil => lua_pushnil(state),
                Node::Null => lua_pushlightuserdata(state, std::ptr::null_mut()),
                Node::Bool(value) => lua_pushboolean(state, (*value).into()),
                Node::Integer(integer) => lua_pushinteger(state, *integer),
                Node::Float(float) => lua_pushnumber(state, *float),
                Node::Text(text) => host.push_text(text),
                Node::Other(0) => host.push(self.function),
                Node::Other(1) => host.push(self.userdata),
                Node::Other(2) => host.push(self.thread),
                Node::Other(_) => lua_pushlightuserdata(state, 1 as *mut _),
                Node::Cycle(up) => match above.len() {
                    0 => lua_pushnil(state),
                    depth => lua_pushvalue(state, above[depth - 1 - up % depth]),
                },
                Node::Table(table) => {
                    lua_createtable(state, table.items.into(), table.members.into());
                    match table.metatable {
                        1 => host.push(self.array_metatable),
                        2 => host.push(self.other_metatable),
                        _ => lua_pushnil(state),
                    }
                    lua_setmetatable(state, -2);
                    above.push(lua_gettop(state));
                    for (key, value) in &table.pairs {
                        match key {
                            Key::Integer(integer) => lua_pushinteger(state, *integer),
                            Key::Float(bits) => lua_pushnumber(state, f64::from_bits(*bits)),
                            Key::Text(text) => host.push_text(text),
                            Key::Bool(value) => lua_pushboolean(state, (*value).into()),
                        }
                        self.push(host, value, above);
                        lua_rawset(state, -3);
                    }
                    above.pop();
                }
            }
        }
    }
}
