//! What `tcp.luasocket` calls besides the operations that scripts have: connections with a timeout
//! of 0, lines as LuaSocket cuts them, the options of a socket. Uses `ffi`, `connection`,
//! `listener`, `ops`.

use std::os::fd::{AsFd, BorrowedFd};

use memchr::memchr;
use net::connect::question::this_host;
use net::error;
use net::framing::text::{Item, Request};
use net::io::deadline::{Deadline, since_1970};
use net::io::step::{Step, Wait, Want};
use net::socket_options;
use net::stream::Stream;
use net::transport::tls::{self, Setup, Side};
use socket2::{Domain, SockRef, Socket};

use super::connect;
use super::read::{closed, find, reads};
use super::resolve::resolve;
use super::tls::no_tls;
use super::write::write_within;
use crate::connection::Connection;
use crate::ffi::call::{Body, Call, Operation, Result};
use crate::ffi::reply::{Reply, Value};
use crate::listener::{self, Listener};
use crate::options;
use crate::owners::Sides;
use crate::pending::{LongOperation, PendingOp};

const fn function(name: &'static str, body: fn(&mut Call<'_>) -> Result<Reply>) -> Operation {
    Operation { name, body: Body::Function(body) }
}

/// The messages name what scripts have called.
pub static OPERATIONS: [Operation; 17] = [
    function("check_tls", check_tls),
    function("dial", connect::dial),
    function("digest", digest),
    function("gettime", gettime),
    Operation { name: "give_up", body: Body::Connection(Sides::NONE, give_up) },
    Operation { name: "give_up_listener", body: Body::Listener(give_up_listener) },
    function("hostname", hostname),
    Operation { name: "keying_material", body: Body::Connection(Sides::NONE, keying_material) },
    reads("line", line),
    function("listen", listener::listen),
    Operation { name: "patience", body: Body::Connection(Sides::NONE, patience) },
    function("reserve", reserve),
    function("resolve", resolve),
    Operation { name: "send_within", body: Body::Connection(Sides::WRITE, send_within) },
    Operation { name: "set_backlog", body: Body::Listener(set_backlog) },
    Operation { name: "socket_options", body: Body::Connection(Sides::NONE, of_connection) },
    Operation { name: "unqueue", body: Body::Connection(Sides::WRITE, unqueue) },
];

/// The options of a listener's socket.
pub static OF_LISTENER: Operation =
    Operation { name: "socket_options", body: Body::Listener(of_listener) };

/// Whether the options of `start_tls` are right, and the files that they name.
fn check_tls(call: &mut Call<'_>) -> Result<Reply> {
    let (side, settings) = options::start_tls(call.argument(1), Side::Client, Some("localhost"))?;
    Setup::new(side, settings)?;
    Ok(Reply::Nothing)
}

/// A socket that is not connected, for its descriptor alone. The call never ends: it waits until it
/// is cancelled.
struct Reserved(Socket);

impl LongOperation for Reserved {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(Step::Wait(Wait::new(&self.0, Want::Read)))
    }

    fn label(&self) -> String {
        String::new()
    }
}

fn reserve(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let family = call.argument(1).one_of(&[("inet", Domain::IPV4), ("inet6", Domain::IPV6)])?;
        let socket =
            Socket::new(family, socket2::Type::STREAM, None).map_err(error::Error::from)?;
        Ok(PendingOp::new(Reserved(socket), Deadline::NEVER))
    })
}

/// Seconds since 1970.
fn gettime(_: &mut Call<'_>) -> Result<Reply> {
    Ok(since_1970().as_secs_f64().into())
}

fn hostname(_: &mut Call<'_>) -> Result<Reply> {
    Ok(this_host()?.into())
}

/// The digest of a string; nil where there is no such algorithm.
fn digest(call: &mut Call<'_>) -> Result<Reply> {
    let digest = tls::digest(call.argument(1).text()?, call.argument(2).bytes()?)?;
    Ok(Value::from(digest).into())
}

/// What `receive` is asked for mostly.
#[derive(Clone, Copy)]
pub enum Pattern {
    Line,
    Size(usize),
}

/// The same as `line` or `read`, if it is in the buffer already.
pub fn find_ready(stream: &mut Stream, pattern: Pattern) -> Option<Item> {
    let max = stream.limits().max_buffer;
    match pattern {
        Pattern::Line => {
            let item = stream.find_ready(Request::Until { delimiter: b"\n", max })?;
            plain_line(stream.text(&item), item.clone())
        }
        Pattern::Size(size) => stream.find_ready(Request::Exact { size, max }),
    }
}

/// A line without the carriage return in front of its end; none where there are others.
fn plain_line(text: &[u8], mut line: Item) -> Option<Item> {
    match memchr(b'\r', text) {
        None => Some(line),
        Some(at) if at + 1 == text.len() => {
            line.text.end -= 1;
            Some(line)
        }
        Some(_) => None,
    }
}

/// The bytes up to a newline, without a carriage return in front of that. Where there are others
/// among them, true: nothing is consumed, and the caller cuts the line. The end of the stream ends
/// no line.
fn line(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let max = this.stream()?.limits().max_buffer;
    let Some(item) = find(call, this, Request::Until { delimiter: b"\n", max })? else {
        return closed();
    };
    let line = plain_line(this.found(&item), item.clone());
    Ok(line.map_or_else(|| true.into(), Reply::Item))
}

/// The seconds that each call may take, 0 among them: such a call does not wait.
fn patience(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let seconds = call.argument(1).patience()?;
    this.stream()?;
    this.config.timeout = seconds;
    Ok(Reply::Nothing)
}

/// Sends a string within so many seconds.
fn send_within(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let seconds = call.argument(2).patience()?;
    write_within(call, this, seconds, |call, this| {
        Ok(this.stream()?.queue_bytes(&[call.argument(1).bytes()?])?)
    })
}

/// The most bytes of keying material: more than OpenSSL has for any digest.
const KEYING: usize = 255 * 64;

/// So many bytes for a label, with a context or without.
fn keying_material(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let label = call.argument(1).text()?;
    let size = call.argument(2).integer(0, KEYING)?;
    let context = call.argument(3);
    let context = if context.is_absent() { None } else { Some(context.bytes()?) };
    let tls = this.stream()?.transport().as_tls().ok_or_else(no_tls)?;
    Ok(tls.keying_material(label, size, context)?.into())
}

/// Closes the connection, and leaves its descriptor open for whoever has its number now.
fn give_up(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    this.give_up();
    Ok(Reply::Nothing)
}

fn give_up_listener(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.give_up();
    Ok(Reply::Nothing)
}

/// The number of connections that wait to be accepted, of what listens already.
fn set_backlog(call: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    let backlog = call.argument(1).integer(0, i32::MAX as usize)?;
    let socket = this.socket()?.as_fd();
    SockRef::from(&socket).listen(backlog as i32).map_err(error::Error::from)?;
    Ok(Reply::Nothing)
}

/// Forgets what waits to be sent: how many bytes that was.
fn unqueue(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok((this.stream()?.unqueue() as i64).into())
}

fn of_connection(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok(options_of(this.stream()?.fd()))
}

fn of_listener(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    Ok(options_of(this.socket()?.as_fd()))
}

/// By the names that LuaSocket has for them; what the socket does not have is absent.
fn options_of(socket: BorrowedFd<'_>) -> Reply {
    let members = socket_options::read(socket).into_iter();
    Value::Record(members.map(|(name, value)| (name.into(), value.into())).collect()).into()
}
