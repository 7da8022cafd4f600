//! The methods of a connection. Each checks its arguments, drives a step of `conn`, and makes Lua
//! values of what comes out.

use mlua::{Function, Lua, Table, Value};

use crate::conn::Conn;
use crate::connect::{Connected, Ends};
use crate::error::Error;
use crate::find::{Item, Request};

use super::call::{Call, Failure, Object, Outcome, Result, method};
use super::json;
use super::options::Options;

/// Bytes that `recv` gives at most unless told otherwise.
const RECV: usize = 8192;

pub struct Connection {
    pub conn: Conn,
    /// Failures are returned and not thrown: the connection was made by `tcp.safe`.
    safe: bool,
    /// Host and port as the script gave them.
    label: String,
    ends: Ends,
    /// Seconds for each call.
    timeout: f64,
    json: json::Options,
    is_tls: bool,
}

impl Connection {
    pub fn new(connected: Connected, options: &Options, label: String, safe: bool) -> Self {
        let Connected { conn, ends, .. } = connected;
        Self {
            conn,
            safe,
            label,
            ends,
            timeout: options.timeout,
            json: options.json,
            is_tls: options.tls.is_some(),
        }
    }
}

impl Object for Connection {
    const NAME: &'static str = "tcp.Connection";

    fn is_safe(&self) -> bool {
        self.safe
    }

    fn label(&self) -> &str {
        &self.label
    }
}

type Method = fn(&mut Call<'_>, &mut Connection) -> Result<Outcome>;

/// The methods, by name, as the shim calls them.
pub fn methods(lua: &Lua) -> mlua::Result<Table> {
    let methods: [(&'static str, Method); 11] = [
        ("close", close),
        ("flush", flush),
        ("is_open", is_open),
        ("read_json", read_json),
        ("read_json_packet", read_json_packet),
        ("read_str", read_str),
        ("recv", recv),
        ("send", send),
        ("write_json", write_json),
        ("write_json_packet", write_json_packet),
        ("write_str", send),
    ];
    let table = lua.create_table_with_capacity(0, methods.len())?;
    for (name, body) in methods {
        table.raw_set(name, method(lua, name, body)?)?;
    }
    Ok(table)
}

/// `tostring(connection)`.
pub fn tostring(lua: &Lua) -> mlua::Result<Function> {
    method(lua, "tostring", |call, this: &mut Connection| {
        let kind = if this.is_tls { "tcp.TlsConnection" } else { "tcp.Connection" };
        let closed = if this.conn.is_open() { "" } else { " (closed)" };
        let Ends { sock, peer } = this.ends;
        let text = format!("{kind}: {sock} -> {peer}{closed}");
        Ok(Outcome::Value(Value::String(call.lua.create_string(text)?)))
    })
}

fn read_str(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let limit = this.conn.limits().max_buffer;
    let max = match call.argument(1) {
        absent if absent.is_absent() => limit,
        max => max.integer(0, usize::MAX)?.min(limit),
    };
    read(call, this, Request::All { max }, string)
}

pub fn recv(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let max = match call.argument(1) {
        absent if absent.is_absent() => RECV,
        max => max.integer(1, usize::MAX)?,
    };
    match find(call, this, Request::Available { max })? {
        Ok(Some(item)) => take(call, this, &item, string),
        Ok(None) => Ok(Outcome::Value(Value::String(call.lua.create_string("")?))),
        Err(again) => Ok(again),
    }
}

fn read_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let request = Request::Json { max: this.conn.limits().max_buffer };
    read(call, this, request, decode)
}

fn read_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let limits = this.conn.limits();
    let request = Request::Packet { max: limits.max_packet, endian: limits.endian };
    let item = match find(call, this, request)? {
        Ok(item) => item.ok_or_else(end_of_stream)?,
        Err(again) => return Ok(again),
    };
    let value = decode(call.lua, this.conn.text(&item), this.json);
    // A packet is whole, whatever is in it: the next one can be read. Only a failure of Lua's own,
    // such as no memory, leaves it.
    if !matches!(value, Err(Failure::Lua(_))) {
        this.conn.consume(&item);
    }
    value.map(Outcome::Value)
}

pub fn send(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    if call.is_first() {
        let strings: Vec<_> = call.arguments().map(|each| each.string()).collect::<Result<_>>()?;
        let bytes: Vec<_> = strings.iter().map(|string| string.as_bytes()).collect();
        let parts: Vec<&[u8]> = bytes.iter().map(|bytes| &**bytes).collect();
        this.conn.queue_bytes(&parts)?;
    }
    flush(call, this)
}

fn write_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    if call.is_first() {
        this.conn.queue(|out| {
            json::encode(call.lua, call.argument(1).value(), out)?;
            out.push(b'\n');
            Ok::<_, Failure>(())
        })?;
    }
    flush(call, this)
}

fn write_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    if call.is_first() {
        this.conn.queue_packet(|out| {
            Ok::<_, Failure>(json::encode(call.lua, call.argument(1).value(), out)?)
        })?;
    }
    flush(call, this)
}

fn flush(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.timeout);
    Ok(match call.drive(deadline, || this.conn.step_flush())? {
        Ok(()) => Outcome::Nothing,
        Err(again) => again,
    })
}

fn close(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.conn.close();
    Ok(Outcome::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.conn.is_open())))
}

/// What a read makes of the bytes that it found.
type Make = fn(&Lua, &[u8], json::Options) -> Result<Value>;

fn string(lua: &Lua, bytes: &[u8], _: json::Options) -> Result<Value> {
    Ok(Value::String(lua.create_string(bytes)?))
}

fn decode(lua: &Lua, bytes: &[u8], options: json::Options) -> Result<Value> {
    Ok(json::decode(lua, bytes, options)?)
}

/// Reads one item; the end of the stream in place of it is `closed`.
fn read(
    call: &mut Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
    make: Make,
) -> Result<Outcome> {
    match find(call, this, request)? {
        Ok(item) => take(call, this, &item.ok_or_else(end_of_stream)?, make),
        Err(again) => Ok(again),
    }
}

fn find(
    call: &mut Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
) -> Result<std::result::Result<Option<Item>, Outcome>> {
    let deadline = call.deadline(this.timeout);
    call.drive(deadline, || this.conn.step_find(request))
}

/// Hands over an item. It is consumed when nothing can fail any more.
fn take(call: &Call<'_>, this: &mut Connection, item: &Item, make: Make) -> Result<Outcome> {
    let value = make(call.lua, this.conn.text(item), this.json)?;
    this.conn.consume(item);
    Ok(Outcome::Value(value))
}

fn end_of_stream() -> Error {
    Error::closed("end of stream")
}
