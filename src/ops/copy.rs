//! `copy_to`: what comes on one connection is handed on to another one. The call has the reading
//! side of the one and the writing side of the other to itself, also while it waits. Uses `ffi`,
//! `connection`, `owners`.

use std::os::fd::AsRawFd;

use net::error::{Copied, CopySide, Error};
use net::stream::copy::step_copy;

use super::tls::close_failed;
use crate::connection::Connection;
use crate::ffi::call::{Body, Call, Operation, Result, Stop};
use crate::ffi::reply::{Reply, Value};
use crate::owners::Sides;

/// What its own sides are, it says itself: there are two connections.
pub static METHODS: [Operation; 1] =
    [Operation { name: "copy_to", body: Body::Connection(Sides::NONE, copy_to) }];

/// The descriptors of other connections for which copies wait that have this one.
pub static AWAITED: Operation =
    Operation { name: "awaited", body: Body::Connection(Sides::NONE, awaited) };

fn awaited(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let own = this.stream()?.fd().as_raw_fd();
    let fds = this.awaited(call).map(|fd| fd.filter(|fd| *fd != own).map(i64::from));
    let [reader, writer] = fds.map(Value::from);
    Ok(Reply::Pair(reader, writer))
}

fn copy_to(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    const EXPECTED: &str = "another connection";
    let into = call.argument(1);
    if call.is_self(into.index()) {
        return Err(into.wrong(format_args!("{EXPECTED} expected")));
    }
    let reply = call.with_connection(into.index(), |other| {
        let most = call.argument(2);
        let most = if most.is_absent() { u64::MAX } else { most.count()? };
        copy(call, this, other, most)
    })?;
    reply.ok_or_else(|| into.expected(EXPECTED))
}

fn copy(
    call: &Call<'_>,
    this: &mut Connection,
    other: &mut Connection,
    most: u64,
) -> Result<Reply> {
    let mut copied = this.copied;
    if call.is_first() {
        copied = Copied::default();
        let mut checked = this.check_free(call, Sides::READ);
        if checked.is_ok() {
            copied.side = CopySide::Write;
            checked = other.check_free(call, Sides::WRITE);
        }
        checked.map_err(|error| failure(call, error, copied, this, other))?;
    }
    let result = drive(call, this, other, most, &mut copied);
    this.copied = copied;
    this.set_owner(Sides::READ, None);
    other.set_owner(Sides::WRITE, None);
    match result {
        Ok(()) => Ok((copied.bytes as i64).into()),
        Err(Stop::Again(token, Some(wait))) => {
            let reads = this.stream()?.fd().as_raw_fd() == wait.fd;
            let suspended = if reads { this.suspend(wait) } else { other.suspend(wait) }?;
            let owner = Some(suspended.owner(Sides::BOTH));
            this.set_owner(Sides::READ, owner);
            other.set_owner(Sides::WRITE, owner);
            Err(Stop::Suspended(token, suspended))
        }
        Err(Stop::Failed(error)) => Err(failure(call, error, copied, this, other)),
        Err(stop) => Err(stop),
    }
}

fn drive(
    call: &Call<'_>,
    this: &mut Connection,
    other: &mut Connection,
    most: u64,
    copied: &mut Copied,
) -> Result<()> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    copied.side = CopySide::Read;
    let from = this.stream()?;
    copied.side = CopySide::Write;
    let into = other.stream()?;
    call.drive(timeout, mode, || step_copy(from, into, most, copied))
}

/// A failure of one of the two, which it names.
#[cold]
fn failure(
    call: &Call<'_>,
    error: Error,
    copied: Copied,
    this: &mut Connection,
    other: &mut Connection,
) -> Stop {
    let failed = if copied.side == CopySide::Read { this } else { other };
    let error = error.with_context(call.name(), failed.label()).with_copied(copied);
    let stop = Stop::from(error).reported(|| failed.report());
    close_failed(call, failed);
    stop
}
