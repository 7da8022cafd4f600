//! What the shim and its loops call of the poller. Uses `ffi`, `event_loop`.

use std::os::fd::{AsRawFd, RawFd};

use net::io::deadline::Deadline;
use net::io::poller::{Poller, Registration, Ticket};
use net::io::step::{Wait, Want};
use net::io::wait::{WaitMode, rest};

use crate::event_loop::seconds_left;
use crate::ffi::call::Body::Function;
use crate::ffi::call::{Call, Operation, Result};
use crate::ffi::reply::{Reply, Value};
use crate::ops::scheduler;

/// What the shim and its loops use.
pub static OPERATIONS: [Operation; 11] = [
    Operation { name: "add_timer", body: Function(add_timer) },
    Operation { name: "cancel", body: Function(cancel) },
    Operation { name: "cancel_next", body: Function(cancel_next) },
    Operation { name: "idle", body: Function(scheduler::idle) },
    Operation { name: "next_timeout", body: Function(next_timeout) },
    Operation { name: "poll_events", body: Function(poll_events) },
    Operation { name: "poller", body: Function(poller) },
    Operation { name: "remove_fd", body: Function(remove_fd) },
    Operation { name: "set_wait_mode", body: Function(set_wait_mode) },
    Operation { name: "wait", body: Function(wait) },
    Operation { name: "wake", body: Function(scheduler::wake) },
];

/// `native.set_wait_mode(in_use, polled, sleeps)`: whether waits are left to a loop, whether by way
/// of the poller, and whether another loop waits for time alone by itself.
fn set_wait_mode(call: &mut Call<'_>) -> Result<Reply> {
    let mode = match (call.argument(1).boolean()?, call.argument(2).boolean()?) {
        (false, _) => WaitMode::Blocking,
        (true, false) => WaitMode::Loop,
        (true, true) => WaitMode::Poller,
    };
    call.host.set_wait_mode(mode, call.argument(3).boolean()?);
    Ok(Reply::Nothing)
}

/// `native.wait(ticket, seconds, fd, writes)`: a wait that was left to a loop and that none takes.
/// Ends early for a signal, and now and then.
fn wait(call: &mut Call<'_>) -> Result<Reply> {
    let wait = if call.argument(3).is_absent() {
        // No loop has heard of this timeout.
        call.host.set_armed(Deadline::NEVER);
        let ticket = ticket(call)?;
        call.host.with_poller(|poller| Ok(poller.cancel(ticket)))?
    } else if call.argument(3).number()? < 0.0 {
        Some(Wait::timer(Deadline::after(call.argument(2).patience_or(f64::INFINITY)?)))
    } else {
        let want = if call.argument(4).boolean()? { Want::Write } else { Want::Read };
        let seconds = call.argument(2).patience_or(f64::INFINITY)?;
        Some(Wait::new(&fd(call, 3)?, want).waking(Deadline::after(seconds)))
    };
    wait.map_or(Ok(()), |wait| rest(&wait))?;
    Ok(Reply::Nothing)
}

fn fd(call: &Call<'_>, at: usize) -> Result<RawFd> {
    Ok(call.argument(at).integer(0, RawFd::MAX as usize)? as RawFd)
}

fn ticket(call: &Call<'_>) -> Result<Ticket> {
    Ok(call.argument(1).integer(0, 1 << 53)? as Ticket)
}

/// `native.poller()`: the descriptor that stands for all waits that are the poller's.
fn poller(call: &mut Call<'_>) -> Result<Reply> {
    let fd = call.host.with_poller(|poller| Ok(poller.as_raw_fd()))?;
    Ok(i64::from(fd).into())
}

/// `native.cancel(ticket)`: ends that wait.
fn cancel(call: &mut Call<'_>) -> Result<Reply> {
    let ticket = ticket(call)?;
    // The loop may not have heard of this timeout.
    call.host.set_armed(Deadline::NEVER);
    call.host.with_poller(|poller| {
        poller.cancel(ticket);
        Ok(())
    })?;
    Ok(Reply::Nothing)
}

/// `native.remove_fd(fd)`: the waits for this descriptor are over with the next `poll_events`.
fn remove_fd(call: &mut Call<'_>) -> Result<Reply> {
    let fd = fd(call, 1)?;
    call.host.remove_fd(fd);
    Ok(Reply::Nothing)
}

/// `native.poll_events()`: the tickets of the waits that are over.
fn poll_events(call: &mut Call<'_>) -> Result<Reply> {
    let tickets = call.host.with_poller(Poller::poll_events)?;
    Ok(Value::list(tickets.into_iter().map(|ticket| ticket as i64)).into())
}

/// `native.next_timeout()`: how many waits there are, and in how many seconds `poll_events` must be
/// called; nil is never. The loop sees to that.
fn next_timeout(call: &mut Call<'_>) -> Result<Reply> {
    let (count, next) =
        call.host.with_poller(|poller| Ok((poller.len(), poller.next_timeout())))?;
    call.host.set_armed(next);
    Ok(Reply::Pair((count as i64).into(), seconds_left(next).into()))
}

/// `native.add_timer(seconds)`: the ticket of a wait for time alone, for ever where there is none;
/// and the next timeout, if the loop does not know of it.
fn add_timer(call: &mut Call<'_>) -> Result<Reply> {
    let until = Deadline::after(call.argument(1).patience_or(f64::INFINITY)?);
    let mut none = Registration::default();
    let ticket = call.host.with_poller(|poller| poller.watch(Wait::timer(until), &mut none))?;
    Ok(Reply::Pair((ticket as i64).into(), call.host.new_deadline().into()))
}

/// `native.cancel_next()`: the next call that is made again fails with `cancelled`.
fn cancel_next(call: &mut Call<'_>) -> Result<Reply> {
    call.host.cancel_next();
    Ok(Reply::Nothing)
}
