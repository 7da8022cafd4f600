//! What a connection writes. Everything is queued whole, once, by the first call; then, and when
//! the call is made again after an interrupt, what is queued is sent. Uses `ffi`, `connection`.

use net::memory::append;

use crate::connection::Connection;
use crate::ffi::call::{Body, Call, Method, Operation, Result, Stop};
use crate::ffi::reply::Reply;
use crate::owners::Sides;

const fn writes(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Connection(Sides::WRITE, body) }
}

pub static METHODS: [Operation; 7] = [
    writes("flush", flush),
    writes("send", send),
    writes("shutdown", shutdown),
    writes("write_json", write_json),
    writes("write_json_packet", write_json_packet),
    writes("write_packet", write_packet),
    writes("write_str", send),
];

pub static SEND_LAST: Operation =
    Operation { name: "send", body: Body::Last(Sides::WRITE, send_last) };

/// One string at least.
fn send_last(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    call.argument(1).bytes()?;
    send(call, this)
}

fn send(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    write(call, this, |call, this| {
        const FEW: usize = 8;
        let count = call.argument_count();
        let (mut few, mut many) = ([b"".as_slice(); FEW], Vec::new());
        let parts = match few.get_mut(..count) {
            Some(few) => few,
            None => {
                many.try_reserve_exact(count).map_err(|_| Stop::Memory)?;
                many.resize(count, b"".as_slice());
                &mut many[..]
            }
        };
        for (part, argument) in parts.iter_mut().zip(call.arguments()) {
            *part = argument.bytes()?;
        }
        Ok(this.stream()?.queue_bytes(parts)?)
    })
}

fn write_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    write(call, this, |call, this| {
        this.stream()?.queue(|out| {
            call.append_json(out)?;
            Ok(append(out, b"\n")?)
        })
    })
}

fn write_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    write(call, this, |call, this| {
        let header = header(call)?;
        let queued = this.stream()?.queue_framed(header, |out| call.append_json(out));
        queued.map_err(|stop| unfit(call, stop))
    })
}

fn write_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    write(call, this, |call, this| {
        let body = call.argument(1).bytes()?;
        let header = header(call)?;
        let queued = this.stream()?.queue_packet_bytes(header, body);
        queued.map_err(|error| unfit(call, error.into()))
    })
}

/// The header of a packet, the second argument.
fn header<'a>(call: &'a Call<'_>) -> Result<&'a [u8]> {
    let header = call.argument(2);
    if header.is_absent() { Ok(b"") } else { header.bytes() }
}

/// What no peer could be sent is the script's mistake.
fn unfit(call: &Call<'_>, stop: Stop) -> Stop {
    match &stop {
        Stop::Failed(error) => match error.unfit_argument() {
            Some(argument) => call.argument(argument).wrong(error.detail()),
            None => stop,
        },
        _ => stop,
    }
}

fn flush(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    write(call, this, |_, _| Ok(()))
}

fn shutdown(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    call.drive(timeout, mode, || stream.step_shutdown())?;
    Ok(Reply::Nothing)
}

fn write(
    call: &Call<'_>,
    this: &mut Connection,
    queue: fn(&Call<'_>, &mut Connection) -> Result<()>,
) -> Result<Reply> {
    write_within(call, this, this.config.timeout, queue)
}

/// The same in so many seconds.
pub fn write_within(
    call: &Call<'_>,
    this: &mut Connection,
    timeout: f64,
    queue: fn(&Call<'_>, &mut Connection) -> Result<()>,
) -> Result<Reply> {
    if call.is_first() {
        queue(call, this)?;
    }
    let mode = this.wait_mode(call);
    let stream = this.stream()?;
    call.drive(timeout, mode, || stream.step_flush())?;
    Ok(Reply::Nothing)
}
