//! What a connection reads. Each method says what it looks for, drives `Stream::step_find`, and makes a
//! Lua value of what is found; the item is consumed when nothing can fail any more.

use mlua::{Lua, Value};

use net::error::Error;
use net::framing::text::{Item, Request};

use super::call::{Call, Failure, Outcome, Result};
use super::connection::{Connection, Method};
use super::json;
use super::lent::Lent;

/// Bytes that `recv` gives at most unless told otherwise.
pub const RECV: usize = 8192;

/// Bytes of lines that are handed to the shim at once. No line in a block is over any limit that is.
const BLOCK: usize = 64 * 1024;

/// `lines` and its like are the steps of the iterators that the shim makes: nil at the end of the
/// stream.
pub const METHODS: &[(&str, Method)] = &[
    ("json_packets", next_json_packet),
    ("json_values", next_json),
    ("lines", lines),
    ("packets", next_packet),
    ("read", read),
    ("read_json", read_json),
    ("read_json_packet", read_json_packet),
    ("read_line", read_line),
    ("read_packet", read_packet),
    ("read_str", read_str),
    ("read_until", read_until),
    ("recv", recv),
    ("skip_packet", skip_packet),
];

/// What the methods that the shim makes ask for first.
pub const CHECKED: [&str; 6] =
    ["json_packets", "json_values", "lines", "packets", "sink", "source"];

/// That there is a connection to read from, or write to.
pub fn check(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.stream()?;
    Ok(Outcome::Nothing)
}

/// What stands for the end of the stream where an item would begin.
type AtEnd = fn(&Lua) -> Result<Value>;

fn closed(_: &Lua) -> Result<Value> {
    Err(Error::closed("end of stream").into())
}

fn nil(_: &Lua) -> Result<Value> {
    Ok(Value::Nil)
}

fn empty(lua: &Lua) -> Result<Value> {
    Ok(Value::String(lua.create_string("")?))
}

fn read_str(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let max = most(call, 1, this)?;
    strings(call, this, Request::All { max }, empty)
}

fn read(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let size = call.argument(1).integer(0, usize::MAX)?;
    let max = this.stream()?.limits().max_buffer;
    strings(call, this, Request::Exact { size, max }, closed)
}

pub fn recv(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let max = call.argument(1).integer_or(RECV, 1)?;
    strings(call, this, Request::Available { max }, empty)
}

fn read_line(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let request = line_request(call, this)?;
    strings(call, this, request, closed)
}

/// A block of whole lines, which stay in the buffer. The iterator cuts it, and counts in what stands beside `max`
/// what it has handed out.
fn lines(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let request = line_request(call, this)?;
    items(call, this, request, nil, |call, this, item| {
        let max = this.stream()?.limits().max_buffer;
        let most = BLOCK.min(call.argument(1).integer_or(max, 0)?);
        let block = call.lua.create_string(this.stream()?.lines(item, most))?;
        this.lent = Some(Lent::new(call.lua, call.argument(2))?);
        Ok(Value::String(block))
    })
}

fn line_request(call: &Call<'_>, this: &mut Connection) -> Result<Request<'static>> {
    Ok(Request::Line { max: most(call, 1, this)? })
}

/// How much may be gathered, by an argument and by the limit.
fn most(call: &Call<'_>, at: usize, this: &mut Connection) -> Result<usize> {
    let max = call.argument(at).integer_or(usize::MAX, 0)?;
    Ok(max.min(this.stream()?.limits().max_buffer))
}

fn read_until(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let delimiter = call.argument(1).string()?;
    if delimiter.as_bytes().is_empty() {
        return Err(call.argument(1).wrong("delimiter is empty"));
    }
    let max = most(call, 2, this)?;
    strings(call, this, Request::Until { delimiter: &delimiter.as_bytes(), max }, closed)
}

fn read_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let request = this.stream()?.limits().packet();
    strings(call, this, request, closed)
}

fn next_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let request = this.stream()?.limits().packet();
    strings(call, this, request, nil)
}

fn read_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    json_packets(call, this, closed)
}

fn next_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    json_packets(call, this, nil)
}

fn json_packets(call: &mut Call<'_>, this: &mut Connection, at_end: AtEnd) -> Result<Outcome> {
    let request = this.stream()?.limits().packet();
    items(call, this, request, at_end, |call, this, item| {
        let json = this.manner.json;
        let value = json::decode(call.lua, this.stream()?.text(item), json).map_err(Failure::from);
        // The packet is whole, whatever is in it: the next one can be read. Only a failure of Lua's
        // own, such as no memory, leaves it there.
        if !matches!(value, Err(Failure::Lua(_))) {
            this.stream()?.consume(item.size);
        }
        value
    })
}

fn read_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    json_values(call, this, closed)
}

fn next_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    json_values(call, this, nil)
}

fn json_values(call: &mut Call<'_>, this: &mut Connection, at_end: AtEnd) -> Result<Outcome> {
    let request = Request::Json { max: this.stream()?.limits().max_buffer };
    items(call, this, request, at_end, |call, this, item| {
        let json = this.manner.json;
        let value = json::decode(call.lua, this.stream()?.text(item), json)?;
        this.stream()?.consume(item.size);
        Ok(value)
    })
}

fn skip_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    match call.drive(deadline, || this.stream()?.step_skip_packet())? {
        Ok(Some(length)) => Ok(Outcome::Value(Value::Integer(length as i64))),
        Ok(None) => closed(call.lua).map(Outcome::Value),
        Err(again) => Ok(again),
    }
}

fn strings(
    call: &mut Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
    at_end: AtEnd,
) -> Result<Outcome> {
    items(call, this, request, at_end, |call, this, item| {
        let string = call.lua.create_string(this.stream()?.text(item))?;
        this.stream()?.consume(item.size);
        Ok(Value::String(string))
    })
}

/// One item: found, handed to `take`, which consumes it.
fn items(
    call: &mut Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
    at_end: AtEnd,
    take: fn(&Call<'_>, &mut Connection, &Item) -> Result<Value>,
) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    match call.drive(deadline, || this.stream()?.step_find(request))? {
        Ok(Some(item)) => take(call, this, &item).map(Outcome::Value),
        Ok(None) => at_end(call.lua).map(Outcome::Value),
        Err(again) => Ok(again),
    }
}
