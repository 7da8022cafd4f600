//! A connection as scripts hold it: what it is made of, its life and its settings. What it reads and
//! writes is in `reading` and `writing`.

use std::os::fd::AsRawFd;

use mlua::{Lua, Table, Value};
use socket2::SockRef;

use crate::conn::Conn;
use crate::connect::{Connected, Ends};
use crate::dial::Timings;

use super::call::{Call, Object, Outcome, Result, method};
use super::options::{self, Options};
use super::{info, json, reading, writing};

pub struct Connection {
    pub conn: Conn,
    /// Failures are returned and not thrown: the connection was made by `tcp.safe`.
    safe: bool,
    /// Host and port as the script gave them.
    label: String,
    pub host: String,
    pub ends: Ends,
    pub timings: Timings,
    /// Seconds for each call.
    pub timeout: f64,
    pub json: json::Options,
    is_tls: bool,
}

impl Connection {
    pub fn new(connected: Connected, options: Options, label: String, safe: bool) -> Self {
        let Connected { conn, ends, timings } = connected;
        Self {
            conn,
            safe,
            label,
            host: options.target.host,
            ends,
            timings,
            timeout: options.timeout,
            json: options.json,
            is_tls: options.tls.is_some(),
        }
    }
}

impl Object for Connection {
    const NAME: &'static str = "tcp.Connection";

    fn is_safe(&self) -> bool {
        self.safe
    }

    fn label(&self) -> &str {
        &self.label
    }
}

pub type Method = fn(&mut Call<'_>, &mut Connection) -> Result<Outcome>;

const METHODS: [(&str, Method); 15] = [
    ("close", close),
    ("dirty", dirty),
    ("events", events),
    ("fd", fd),
    ("getfd", fd),
    ("info", info::info),
    ("is_open", is_open),
    ("pending", pending),
    ("pollfd", fd),
    ("set_keepalive", set_keepalive),
    ("set_nodelay", set_nodelay),
    ("set_timeout", set_timeout),
    ("shutdown", shutdown),
    ("timeout", timeout),
    ("tostring", tostring),
];

/// The methods, by name, as the shim calls them; the iterators' steps and `tostring` among them.
pub fn methods(lua: &Lua) -> mlua::Result<Table> {
    let all = METHODS.iter().chain(reading::METHODS).chain(writing::METHODS);
    let methods = lua.create_table()?;
    for (name, body) in all {
        methods.raw_set(*name, method(lua, name, *body)?)?;
    }
    Ok(methods)
}

fn tostring(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let kind = if this.is_tls { "tcp.TlsConnection" } else { "tcp.Connection" };
    let closed = if this.conn.is_open() { "" } else { " (closed)" };
    let Ends { sock, peer } = this.ends;
    Ok(Outcome::Value(call.string(&format!("{kind}: {sock} -> {peer}{closed}"))?))
}

fn close(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.conn.close();
    Ok(Outcome::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.conn.is_open())))
}

fn shutdown(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.timeout);
    Ok(match call.drive(deadline, || this.conn.step_shutdown())? {
        Ok(()) => Outcome::Nothing,
        Err(again) => again,
    })
}

fn set_timeout(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.timeout = call.argument(1).seconds()?;
    this.conn.transport()?;
    Ok(Outcome::Nothing)
}

fn set_nodelay(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let nodelay = call.argument(1).boolean()?;
    SockRef::from(&this.conn.fd()?).set_tcp_nodelay(nodelay).map_err(crate::error::Error::from)?;
    Ok(Outcome::Nothing)
}

fn set_keepalive(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let keepalive = options::keepalive(call.argument(1))?;
    let fd = this.conn.fd()?;
    crate::dial::set_keepalive(&SockRef::from(&fd), keepalive.as_ref())?;
    Ok(Outcome::Nothing)
}

fn fd(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Integer(this.conn.fd()?.as_raw_fd().into())))
}

fn pending(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Integer(this.conn.pending()? as i64)))
}

/// Whether there is something to read that a wait for the descriptor would not see (LuaSocket).
fn dirty(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.conn.pending()? > 0)))
}

/// What to wait for, in the words of poll (cqueues).
fn events(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.conn.transport()?;
    Ok(Outcome::Value(call.string("r")?))
}

/// Seconds until a wait should end by itself: none at all where there is something to read (cqueues).
fn timeout(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let buffered = this.conn.pending()? > 0;
    Ok(Outcome::Value(if buffered { Value::Number(0.0) } else { Value::Nil }))
}
