//! `tcp.poll`: which of many connections, listeners and descriptors can be read from or written to.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use mlua::{Table, Value};

use net::io::deadline::Deadline;
use net::io::step::Want;
use net::io::wait::poll_all;

use super::argument::Argument;
use super::call::{Call, Failure, Outcome, Result, with};
use super::connection::Connection;
use super::listener::Listener;
use super::raw::object::Kind;

/// One member of a list.
struct Watched {
    value: Value,
    fd: RawFd,
    want: Want,
    is_connection: bool,
    /// There is something to read that poll cannot see.
    buffered: bool,
    /// Perhaps there is, behind what the transport has not looked into.
    unseen: bool,
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
    let unseen = watched.iter().any(|each| each.unseen);
    let until = if unseen { Deadline::at(0.0) } else { deadline };
    let fds: Vec<_> = watched.iter().map(|each| (each.fd, each.want)).collect();
    let again = || Outcome::Again(Value::Number(deadline.seconds()), None);
    let Some(ready) = poll_all(&fds, until)? else { return Ok(again()) };
    let lists = (call.lua.create_table()?, call.lua.create_table()?);
    let mut found = false;
    for (each, ready) in watched.iter().zip(ready) {
        if each.buffered || ((ready || each.unseen) && each.is_ready(call)?) {
            let list: &Table = if each.want == Want::Read { &lists.0 } else { &lists.1 };
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
        if !self.is_connection || self.want == Want::Write {
            return Ok(true);
        }
        // What it was when the list was read, it is now.
        let wrong = || Failure::Argument(String::new());
        with(call.lua, Some(&self.value), wrong, Connection::is_readable)
    }
}

fn watch(call: &Call<'_>, list: Argument<'_>, value: Value, want: Want) -> Result<Watched> {
    let wrong = || list.wrong("connections, listeners and descriptors expected");
    let mut watched =
        Watched { value, fd: 0, want, is_connection: false, buffered: false, unseen: false };
    let Value::UserData(object) = &watched.value else {
        let fd = list.with(&watched.value).integer(0, RawFd::MAX as usize);
        watched.fd = fd.map_err(|_| wrong())? as RawFd;
        return Ok(watched);
    };
    if Kind::<Listener>::of(call.lua)?.get(call.lua, object)?.is_some() {
        watched.fd = with(call.lua, Some(&watched.value), wrong, |listener: &mut Listener| {
            Ok(listener.socket()?.as_fd().as_raw_fd())
        })?;
        return Ok(watched);
    }
    (watched.fd, watched.buffered, watched.unseen) =
        with(call.lua, Some(&watched.value), wrong, |connection: &mut Connection| {
            let stream = connection.stream()?;
            let buffered = want == Want::Read && stream.has_input();
            let unseen = want == Want::Read && !buffered && stream.has_unseen();
            Ok((stream.fd().as_raw_fd(), buffered, unseen))
        })?;
    watched.is_connection = true;
    Ok(watched)
}
