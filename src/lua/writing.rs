//! What a connection writes. Everything is queued whole, once, by the first call; then, and when the
//! call is made again after an interrupt, what is queued is sent.

use net::memory::append;

use super::call::{Call, Outcome, Result};
use super::connection::{Connection, Method};
use super::json;

pub const METHODS: &[(&str, Method)] = &[
    ("flush", flush),
    ("send", send),
    ("write_json", write_json),
    ("write_json_packet", write_json_packet),
    ("write_packet", write_packet),
    ("write_str", send),
];

pub fn send(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    write(call, this, |call, this| {
        let strings: Vec<_> = call.arguments().map(|each| each.string()).collect::<Result<_>>()?;
        let bytes: Vec<_> = strings.iter().map(|string| string.as_bytes()).collect();
        let parts: Vec<&[u8]> = bytes.iter().map(|bytes| &**bytes).collect();
        Ok(this.stream()?.queue_bytes(&parts)?)
    })
}

fn write_json(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    write(call, this, |call, this| {
        this.stream()?.queue(|out| {
            json::encode(call.lua, call.argument(1).value(), out)?;
            Ok(append(out, b"\n")?)
        })
    })
}

fn write_json_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    write(call, this, |call, this| {
        this.stream()?
            .queue_packet(|out| Ok(json::encode(call.lua, call.argument(1).value(), out)?))
    })
}

fn write_packet(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    write(call, this, |call, this| {
        let body = call.argument(1).string()?;
        Ok(this.stream()?.queue_packet_bytes(&body.as_bytes())?)
    })
}

fn flush(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    write(call, this, |_, _| Ok(()))
}

fn write(
    call: &mut Call<'_>,
    this: &mut Connection,
    queue: fn(&Call<'_>, &mut Connection) -> Result<()>,
) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    if call.is_first() {
        queue(call, this)?;
    }
    call.finish(deadline, || this.stream()?.step_flush())
}
