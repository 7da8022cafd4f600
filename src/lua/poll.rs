//! `tcp.poll`: which of many connections, listeners and descriptors can be read from or written to.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use mlua::{Table, Value};

use net::io::deadline::Deadline;
use net::io::step::Want;
use net::io::wait::{Member, poll_all};

use super::argument::Argument;
use super::call::{Call, Failure, Outcome, Result, with};
use super::connection::Connection;
use super::listener::Listener;
use super::raw::object::Kind;

/// One member of a list.
struct Watched {
    value: Value,
    member: Member,
    is_connection: bool,
    /// There is something to read that poll cannot see.
    buffered: bool,
}

pub fn tcp_poll(call: &mut Call<'_>) -> Result<Outcome> {
    let mut watched = Vec::new();
    for (at, want) in [(1, Want::Read), (2, Want::Write)] {
        let list = call.argument(at);
        if at == 1 || !list.is_absent() {
            for value in list.table()?.sequence_values::<Value>() {
                watched.push(watch(call, list, value?, want)?);
            }
        }
    }
    let timeout = call.argument(3).patience_or(f64::INFINITY)?;
    let buffered = watched.iter().any(|each| each.buffered);
    let deadline = call.deadline(if buffered { 0.0 } else { timeout });
    let members: Vec<_> = watched.iter().map(|each| each.member).collect();
    let again = || Outcome::Again(Value::Number(deadline.seconds()), None);
    let Some(ready) = poll_all(&members, deadline)? else { return Ok(again()) };
    let lists = (call.lua.create_table()?, call.lua.create_table()?);
    let mut found = false;
    for (each, ready) in watched.iter().zip(ready) {
        if each.buffered || (ready && each.is_ready(call)?) {
            let list: &Table = if each.member.want == Want::Read { &lists.0 } else { &lists.1 };
            list.raw_push(&each.value)?;
            found = true;
        }
    }
    if !found && !deadline.has_passed() {
        return Ok(again());
    }
    Ok(Outcome::Pair(Value::Table(lists.0), Value::Table(lists.1)))
}

impl Watched {
    /// Whether there is more to what poll saw than TLS talking to itself.
    fn is_ready(&self, call: &Call<'_>) -> Result<bool> {
        if !self.is_connection || self.member.want == Want::Write {
            return Ok(true);
        }
        // What it was when the list was read, it is now.
        let wrong = || Failure::Argument(String::new());
        with(call.lua, Some(&self.value), wrong, Connection::is_readable)
    }
}

fn watch(call: &Call<'_>, list: Argument<'_>, value: Value, want: Want) -> Result<Watched> {
    let wrong = || list.wrong("connections, listeners and descriptors expected");
    let mut watched = Watched {
        value,
        member: Member { fd: 0, want, from: Deadline::at(0.0) },
        is_connection: false,
        buffered: false,
    };
    let Value::UserData(object) = &watched.value else {
        let fd = list.with(&watched.value).integer(0, RawFd::MAX as usize);
        watched.member.fd = fd.map_err(|_| wrong())? as RawFd;
        return Ok(watched);
    };
    if Kind::<Listener>::of(call.lua)?.get(call.lua, object)?.is_some() {
        let member = &mut watched.member;
        (member.fd, member.from) =
            with(call.lua, Some(&watched.value), wrong, |listener: &mut Listener| {
                let socket = listener.socket()?;
                Ok((socket.as_fd().as_raw_fd(), socket.resumes()))
            })?;
        return Ok(watched);
    }
    (watched.member.fd, watched.buffered) =
        with(call.lua, Some(&watched.value), wrong, |connection: &mut Connection| {
            let stream = connection.stream()?;
            let buffered = want == Want::Read && stream.has_input();
            Ok((stream.fd().as_raw_fd(), buffered))
        })?;
    watched.is_connection = true;
    Ok(watched)
}
