//! `tcp.poll`: which of many connections, listeners and descriptors can be read from or written to.
//! In a loop a set of the descriptors is waited for. Uses `ffi`, `connection`, `listener`,
//! `pending`.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;

use net::error;
use net::io::deadline::Deadline;
use net::io::poll_set::PollSet;
use net::io::step::{Step, Wait, Want};
use net::io::wait::{Member, WaitMode, poll_all};

use crate::ffi::argument::Argument;
use crate::ffi::call::{Call, Result, Stop, Token};
use crate::ffi::reply::Reply;
use crate::pending::{LongOperation, PendingOp};

// The arguments that are lists.
const READERS: usize = 1;
const WRITERS: usize = 2;

/// One member of a list.
struct Watched {
    /// The argument that it is in, and its number there.
    list: usize,
    number: usize,
    member: Member,
    /// There is something to read that poll cannot see.
    has_input: bool,
    /// Something has come that poll cannot see and the transport has not looked into.
    has_unseen: bool,
}

pub fn tcp_poll(call: &mut Call<'_>) -> Result<Reply> {
    // The set that an earlier try has waited for ends with this one, whatever comes of it. Left to
    // the collector, which knows nothing of descriptors, such sets would take up all of them.
    let _earlier = call.take_pending();
    let mut watched = Vec::new();
    for (at, want) in [(READERS, Want::Read), (WRITERS, Want::Write)] {
        let list = call.argument(at);
        if at == READERS || !list.is_absent() {
            let mut number = 0;
            list.each_element(|element| {
                number += 1;
                watched.try_reserve(1).map_err(|_| Stop::Memory)?;
                watched.push(watch(call, list, number, element, want)?);
                Ok(())
            })?;
        }
    }
    let timeout = call.argument(3).patience_or(f64::INFINITY)?;
    let has_input = watched.iter().any(|each| each.has_input);
    let deadline = call.deadline(if has_input { 0.0 } else { timeout });
    let members: Vec<_> = watched.iter().map(|each| each.member).collect();
    let is_blocking = call.wait_mode() == WaitMode::Blocking;
    let again = || {
        if is_blocking {
            return Err(Stop::Again(Token::Deadline(deadline), None));
        }
        suspend(call, &members, deadline)
    };
    let has_unseen = watched.iter().any(|each| each.has_unseen);
    let until = if has_unseen || !is_blocking { Deadline::at(0.0) } else { deadline };
    let Some(ready) = poll_all(&members, until)? else { return again() };
    let mut lists = [READERS, WRITERS].map(|at| (call.argument(at).index(), Vec::new()));
    for (each, is_ready) in watched.iter().zip(ready) {
        if each.has_input || ((is_ready || each.has_unseen) && each.is_ready(call)?) {
            lists[each.list - READERS].1.push(each.number);
        }
    }
    let is_empty = lists.iter().all(|(_, numbers)| numbers.is_empty());
    if is_empty && !deadline.has_passed() {
        return again();
    }
    Ok(Reply::Elements(lists))
}

/// Leaves the wait for all members to the loop, until one that cannot be waited for yet can be.
fn suspend(call: &Call<'_>, members: &[Member], deadline: Deadline) -> Result<Reply> {
    let now = Deadline::after(0.0);
    let later = members.iter().map(|member| member.from).filter(|from| *from > now);
    let wake = later.fold(deadline, Deadline::earlier);
    let set = PollSet::new(members.iter().filter(|member| member.from <= now).copied())?;
    let set = Rc::new(set);
    call.host.add_set(&set);
    let wait = Wait::new(&*set, Want::Read).waking(wake);
    let token = Token::Pending(Box::new(PendingOp::new(Set(set), deadline)));
    Err(Stop::Again(token, Some(wait)))
}

/// What a call waits for in a loop. The token owns it; `tcp_poll` makes the steps.
struct Set(#[allow(dead_code)] Rc<PollSet>);

impl LongOperation for Set {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(Step::Done(Reply::Nothing))
    }

    fn label(&self) -> String {
        String::new()
    }
}

impl Watched {
    /// Whether there is more to what poll saw than TLS talking to itself.
    fn is_ready(&self, call: &Call<'_>) -> Result<bool> {
        if self.member.want == Want::Write {
            return Ok(true);
        }
        let readable = |element: Argument<'_>| {
            call.with_connection(element.index(), |connection| Ok(connection.is_readable(call)?))
        };
        Ok(call.argument(self.list).with_element(self.number, readable)?.unwrap_or(true))
    }
}

fn watch(
    call: &Call<'_>,
    list: Argument<'_>,
    number: usize,
    element: Argument<'_>,
    want: Want,
) -> Result<Watched> {
    let at = if want == Want::Read { READERS } else { WRITERS };
    let watched = |fd| Watched {
        list: at,
        number,
        member: Member { fd, want, from: Deadline::at(0.0) },
        has_input: false,
        has_unseen: false,
    };
    let connection = call.with_connection(element.index(), |connection| {
        let stream = connection.stream()?;
        let has_input = want == Want::Read && stream.has_input();
        let has_unseen = want == Want::Read && !has_input && stream.has_unseen();
        Ok(Watched { has_input, has_unseen, ..watched(stream.fd().as_raw_fd()) })
    })?;
    if let Some(connection) = connection {
        return Ok(connection);
    }
    let listener = call.with_listener(element.index(), |listener| {
        let socket = listener.socket()?;
        let mut watched = watched(socket.as_fd().as_raw_fd());
        watched.member.from = socket.resumes();
        Ok(watched)
    })?;
    if let Some(listener) = listener {
        return Ok(listener);
    }
    let fd = element.integer(0, RawFd::MAX as usize);
    let wrong = |_| list.wrong("connections, listeners and descriptors expected");
    Ok(watched(fd.map_err(wrong)? as RawFd))
}
