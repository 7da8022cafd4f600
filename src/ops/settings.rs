//! A connection's life and its settings, and what other libraries wait on. Uses `ffi`,
//! `connection`, `options`.

use std::os::fd::{AsRawFd, BorrowedFd};

use net::endpoint::Address;
use net::error::{Code, Error};
use net::socket_options::{Domain, SocketOptions};
use socket2::SockRef;

use super::{info, start_tls, tls};
use crate::connection::Connection;
use crate::ffi::call::{Body, Call, Method, Operation, Result};
use crate::ffi::reply::{Reply, Value};
use crate::options::{self, LiveOptions};
use crate::owners::Sides;

const fn method(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Connection(Sides::NONE, body) }
}

const fn shakes(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Connection(Sides::BOTH, body) }
}

/// `tostring` among them, which is for the metatable alone.
pub static METHODS: [Operation; 21] = [
    method("channel_binding", tls::channel_binding),
    method("close", close),
    method("dirty", dirty),
    method("events", events),
    method("fd", fd),
    method("getfd", fd),
    shakes("handshake", tls::handshake),
    method("info", info::connection),
    method("is_alive", is_alive),
    method("is_open", is_open),
    method("pending", pending),
    method("pollfd", fd),
    method("queued", queued),
    method("session", tls::session),
    method("set_keepalive", set_keepalive),
    method("set_nodelay", set_nodelay),
    method("set_options", set_options),
    method("set_timeout", set_timeout),
    shakes("start_tls", start_tls::start_tls),
    method("timeout", timeout),
    method("tostring", tostring),
];

fn tostring(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let kind = if this.is_tls { "tcp.TlsConnection" } else { "tcp.Connection" };
    let closed = if this.is_open() { "" } else { " (closed)" };
    let ends = match (&this.addresses.local, this.peer()) {
        (Address::Unix(_), None | Some(Address::Unix(_))) => this.label(),
        (local, None) => local.to_string(),
        (local, Some(peer)) => format!("{local} -> {peer}"),
    };
    Ok(format!("{kind}: {ends}{closed}").into())
}

fn close(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    this.close();
    Ok(Reply::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok(this.is_open().into())
}

fn set_timeout(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let seconds = call.argument(1).seconds()?;
    this.stream()?;
    this.config.timeout = seconds;
    Ok(Reply::Nothing)
}

fn set_nodelay(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let nodelay = call.argument(1).boolean()?;
    tcp_socket(this)?;
    set_socket(this, &SocketOptions { nodelay: Some(nodelay), ..SocketOptions::default() })
}

/// The descriptor, where it is one of TCP.
fn tcp_socket(this: &mut Connection) -> Result<BorrowedFd<'_>> {
    let is_unix = this.addresses.local.is_unix();
    let fd = this.stream()?.fd();
    if is_unix {
        return Err(Error::new(Code::Io, "a Unix socket has no such option").into());
    }
    Ok(fd)
}

fn set_keepalive(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let keepalive = options::keepalive(call.argument(1))?;
    tcp_socket(this)?;
    set_socket(this, &SocketOptions { keepalive: Some(keepalive), ..SocketOptions::default() })
}

/// All of them are looked at before one is set.
fn set_options(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let mut options = LiveOptions {
        timeout: this.config.timeout,
        limits: this.stream().map(|stream| stream.limits()).unwrap_or_default(),
        json: this.config.json,
        socket: SocketOptions::default(),
    };
    options.apply(call.argument(1), this.addresses.local.is_unix())?;
    set_socket(this, &options.socket)?;
    this.stream()?.set_limits(options.limits);
    this.config.timeout = options.timeout;
    this.config.json = options.json;
    Ok(Reply::Nothing)
}

fn set_socket(this: &mut Connection, options: &SocketOptions) -> Result<Reply> {
    let domain = Domain::from(&this.addresses.local);
    let stream = this.stream()?;
    options.apply(&SockRef::from(&stream.fd()), domain).map_err(Error::from)?;
    if let (Some(is_on), Some(tcp)) = (options.reset_on_close, stream.transport().as_tcp()) {
        tcp.set_reset_on_close(is_on)?;
    }
    Ok(Reply::Nothing)
}

fn fd(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok(i64::from(this.stream()?.fd().as_raw_fd()).into())
}

fn is_alive(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok(this.is_alive(call)?.into())
}

/// Bytes that wait to be sent.
fn queued(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok((this.stream()?.queued() as i64).into())
}

fn pending(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok((this.stream()?.pending() as i64).into())
}

/// Whether there is something to read that a wait for the descriptor would not see (LuaSocket).
fn dirty(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    Ok(this.stream()?.is_dirty().into())
}

/// What to wait for, in the words of poll (cqueues).
fn events(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    this.stream()?;
    Ok("r".into())
}

/// Seconds until a wait should end by itself: none at all where there is something to read
/// (cqueues).
fn timeout(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let has_input = this.stream()?.is_dirty();
    Ok(if has_input { Value::Number(0.0) } else { Value::Nil }.into())
}
