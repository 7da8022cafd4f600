//! What a connection reads of protocols that are not packets: a look at what has come, bytes thrown
//! away, and reading by pattern. Uses `ffi`, `connection`, `ops::read`.

use std::rc::Rc;

use net::framing::pattern::Pattern;
use net::framing::text::Request;

use super::read::{closed, find, reads};
use crate::connection::Connection;
use crate::ffi::argument::Argument;
use crate::ffi::call::{Call, Operation, Result};
use crate::ffi::reply::Reply;

/// Bytes that `read_match` looks at unless told otherwise.
const MATCHED: usize = 65536;

pub static METHODS: [Operation; 3] =
    [reads("peek", peek), reads("read_match", read_match), reads("skip", skip)];

/// What `read(n)` would give; or what is there, at least one byte.
fn peek(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let size = call.argument(1);
    let max = this.stream()?.limits().max_buffer;
    if size.is_absent() {
        let request = Request::Available { max: usize::MAX };
        return Ok(find(call, this, request)?.map_or("".into(), Reply::Peeked));
    }
    let size = size.integer(0, usize::MAX)?;
    match find(call, this, Request::Exact { size, max })? {
        Some(item) => Ok(Reply::Peeked(item)),
        None => closed(),
    }
}

fn skip(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let size = call.argument(1).count()?;
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    call.drive(timeout, mode, || stream.step_skip(size))?;
    Ok(Reply::Nothing)
}

fn read_match(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let pattern = compile(call.argument(1))?;
    let (mut max, mut reject) = (MATCHED, None);
    if !call.argument(2).is_absent() {
        call.argument(2).each_option(|option| {
            match option.name() {
                "max" => max = option.integer(1, usize::MAX)?,
                "reject" => reject = Some(compile(option)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
    }
    let max = max.min(this.stream()?.limits().max_buffer);
    let request = Request::Match { pattern: &pattern, reject: reject.as_ref(), max };
    match find(call, this, request)? {
        Some(item) => Ok(Reply::Captures(item)),
        None => closed(),
    }
}

fn compile(argument: Argument<'_>) -> Result<Rc<Pattern>> {
    Pattern::compile(argument.bytes()?).map_err(|why| argument.wrong(why))
}
