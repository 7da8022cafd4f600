//! What a connection reads. Each operation says what it looks for and drives `Stream::step_find`;
//! the item that is found is consumed once it is pushed. Uses `ffi`, `connection`, `json`.

use net::error::Error;
use net::framing::text::{Item, Request};

use crate::connection::Connection;
use crate::ffi::argument::Argument;
use crate::ffi::call::{Body, Call, Method, Operation, Result, Stop};
use crate::ffi::reply::{Reply, Value};
use crate::json::{Document, Wanted};
use crate::options;
use crate::owners::Sides;

/// Bytes that `recv` gives at most unless told otherwise.
const RECV: usize = 8192;

pub(super) const fn reads(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Connection(Sides::READ, body) }
}

/// `lines` and its like are the steps of the iterators that the shim makes: nil at the end of the
/// stream.
pub static METHODS: [Operation; 13] = [
    reads("json_packets", next_json_packet),
    reads("json_values", next_json),
    reads("lines", lines),
    reads("packets", next_packet),
    reads("read", read),
    reads("read_json", read_json),
    reads("read_json_packet", read_json_packet),
    reads("read_line", read_line),
    reads("read_packet", read_packet),
    reads("read_str", read_str),
    reads("read_until", read_until),
    reads("recv", recv),
    reads("skip_packet", skip_packet),
];

pub static RECV_LAST: Operation = Operation { name: "recv", body: Body::Last(Sides::READ, recv) };

const fn checks(name: &'static str) -> Operation {
    Operation { name, body: Body::Connection(Sides::NONE, check) }
}

/// What the methods that the shim makes ask for first: that there is a connection to read from, or
/// write to.
pub static CHECKS: [Operation; 6] = [
    checks("json_packets"),
    checks("json_values"),
    checks("lines"),
    checks("packets"),
    checks("sink"),
    checks("source"),
];

fn check(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    this.stream()?;
    Ok(Reply::Nothing)
}

/// What stands for the end of the stream where an item would begin.
pub(super) type AtEnd = fn() -> Result<Reply>;

#[cold]
pub(super) fn closed() -> Result<Reply> {
    Err(Error::closed("end of stream").into())
}

fn nil() -> Result<Reply> {
    Ok(Value::Nil.into())
}

pub(super) fn empty() -> Result<Reply> {
    Ok("".into())
}

fn read_str(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let max = most(call.argument(1), this)?;
    bytes(call, this, Request::All { max }, empty)
}

fn read(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let size = call.argument(1).integer(0, usize::MAX)?;
    let max = this.stream()?.limits().max_buffer;
    bytes(call, this, Request::Exact { size, max }, closed)
}

fn recv(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let max = call.argument(1).integer_or(RECV, 1)?;
    bytes(call, this, Request::Available { max }, empty)
}

fn read_line(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let (max, keep) = (most(call.argument(1), this)?, keep(call.argument(2))?);
    bytes(call, this, Request::Line { max, keep }, closed)
}

/// Whether a line's end is to be kept.
fn keep(word: Argument<'_>) -> Result<bool> {
    if word.is_absent() { Ok(false) } else { word.one_of(&[("keep", true)]) }
}

/// The lines with their ends, one at a time.
pub static KEPT: Operation = reads("lines", kept_line);

fn kept_line(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let (max, keep) = (most(call.argument(1), this)?, keep(call.argument(2))?);
    bytes(call, this, Request::Line { max, keep }, nil)
}

/// What LuaJIT reads lines with: a block as for `lines`, in so many bytes unless its first line is
/// longer.
#[cfg(feature = "luajit")]
pub static CUTS: [Operation; 1] = [reads("read_line", line_block)];

#[cfg(feature = "luajit")]
fn line_block(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let size = call.argument(1).integer(0, usize::MAX)?;
    call.argument(2).check_table()?;
    let (limit, max) = (this.stream()?.limits().max_buffer, most(call.argument(3), this)?);
    match find(call, this, Request::Line { max, keep: false })? {
        Some(item) => Ok(Reply::Lines(item, size.min(limit))),
        None => closed(),
    }
}

/// A block of whole lines, which stay in the buffer. The iterator cuts it, and counts what it hands
/// out.
fn lines(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let max = most(call.argument(1), this)?;
    if cfg!(any(feature = "lua51", feature = "luajit")) {
        call.argument(2).check_table()?;
    }
    let first = find(call, this, Request::Line { max, keep: false })?;
    Ok(first.map_or(Value::Nil.into(), |item| Reply::Lines(item, max)))
}

/// How much may be gathered, by an argument and by the limit.
fn most(max: Argument<'_>, this: &mut Connection) -> Result<usize> {
    let max = max.integer_or(usize::MAX, 0)?;
    Ok(max.min(this.stream()?.limits().max_buffer))
}

fn read_until(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let delimiter = call.argument(1).bytes()?;
    if delimiter.is_empty() {
        return Err(call.argument(1).wrong("delimiter is empty"));
    }
    let max = most(call.argument(2), this)?;
    bytes(call, this, Request::Until { delimiter, max }, closed)
}

fn read_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    packet(call, this, closed)
}

fn next_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    packet(call, this, nil)
}

/// Whether packets have a header besides their length.
fn has_header(this: &Connection) -> bool {
    this.as_open().is_some_and(|stream| stream.has_header())
}

fn packet(call: &Call<'_>, this: &mut Connection, at_end: AtEnd) -> Result<Reply> {
    match find_packet(call, this)? {
        Some(item) if has_header(this) => Ok(Reply::Packet(item)),
        Some(item) => Ok(Reply::Item(item)),
        None => at_end(),
    }
}

fn read_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let wanted = options::pointers_or_none(call.argument(1))?;
    json_packet(call, this, wanted.as_ref(), closed)
}

fn next_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    json_packet(call, this, None, nil)
}

fn json_packet(
    call: &Call<'_>,
    this: &mut Connection,
    wanted: Option<&Wanted>,
    at_end: AtEnd,
) -> Result<Reply> {
    let Some(item) = find_packet(call, this)? else { return at_end() };
    match Document::of(this.found(&item), this.config.json, wanted).map_err(Stop::from) {
        Ok(document) if has_header(this) => Ok(Reply::JsonPacket(document, item)),
        Ok(document) => Ok(Reply::Json(document, item)),
        Err(stop) => {
            // The packet is whole, whatever is in it: the next one can be read. Only for want of
            // memory it stays.
            if let Stop::Failed(_) = stop {
                this.consume(item.size);
            }
            Err(stop)
        }
    }
}

fn read_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    json_value(call, this, closed)
}

fn next_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    json_value(call, this, nil)
}

fn json_value(call: &Call<'_>, this: &mut Connection, at_end: AtEnd) -> Result<Reply> {
    let request = Request::Json { max: this.stream()?.limits().max_buffer };
    let Some(item) = find(call, this, request)? else { return at_end() };
    let document = Document::parse(this.found(&item), this.config.json)?;
    Ok(Reply::Json(document, item))
}

fn skip_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    match call.drive(timeout, mode, || stream.step_skip_packet())? {
        Some(length) => Ok((length as i64).into()),
        None => closed(),
    }
}

pub(super) fn bytes(
    call: &Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
    at_end: AtEnd,
) -> Result<Reply> {
    match find(call, this, request)? {
        Some(item) => Ok(Reply::Item(item)),
        None => at_end(),
    }
}

/// Inlined: what is returned in memory, and moved there, makes the processor wait.
#[inline(always)]
pub(super) fn find(
    call: &Call<'_>,
    this: &mut Connection,
    request: Request<'_>,
) -> Result<Option<Item>> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    call.drive(timeout, mode, || stream.step_find(request))
}

/// The same of a packet, however it is cut.
#[inline(always)]
fn find_packet(call: &Call<'_>, this: &mut Connection) -> Result<Option<Item>> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    call.drive(timeout, mode, || stream.step_find_packet())
}
