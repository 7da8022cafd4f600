//! A listener as scripts hold it, and `listen`, which makes it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use mlua::{Lua, Table, Value};

use net::connect::Established;
use net::error::{self, Error};
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::listen::{self, Bind};
use net::transport::tls::Server;

use super::call::{Call, Object, Outcome, Result, method};
use super::connection::{Connection, Manner};
use super::info;
use super::options::ListenOptions;
use super::work::{Underway, Work};

pub struct Listener {
    /// None once the script has closed it.
    socket: Option<listen::Listener>,
    sock: SocketAddr,
    /// What its connections are like; their endpoint is their client's.
    manner: Manner,
}

impl Object for Listener {
    const NAME: &'static str = "tcp.Listener";

    fn is_safe(&self) -> bool {
        self.manner.safe
    }

    fn label(&self) -> String {
        self.sock.to_string()
    }
}

impl Listener {
    pub fn socket(&self) -> error::Result<&listen::Listener> {
        let closed = || Error::closed("this listener was closed by the script");
        self.socket.as_ref().ok_or_else(closed)
    }
}

impl Work for (Bind, Manner) {
    type Result = listen::Listener;

    fn step(&mut self) -> error::Result<Step<listen::Listener>> {
        self.0.step()
    }

    fn label(&self) -> String {
        self.1.endpoint.to_string()
    }
}

pub fn listen(call: &mut Call<'_>) -> Result<Outcome> {
    let (socket, Underway { work: (_, manner), .. }) = match Underway::drive(call, begin)? {
        Ok(done) => done,
        Err(again) => return Ok(again),
    };
    let sock = socket.sock();
    let listener = Listener { socket: Some(socket), sock, manner };
    call.object(listener)
}

fn begin(call: &Call<'_>) -> Result<Underway<(Bind, Manner)>> {
    let mut options = ListenOptions::new(call.endpoint(0)?);
    options.apply(call.argument(3))?;
    let ListenOptions { accepted, backlog, reuse_addr, reuse_port, tls } = options;
    let deadline = Deadline::after(accepted.connect_timeout.unwrap_or(accepted.timeout));
    let target = accepted.target;
    let manner = Manner {
        safe: call.safe,
        endpoint: accepted.endpoint.clone(),
        timeout: accepted.timeout,
        json: accepted.json,
    };
    let start = || {
        Bind::start(listen::Settings {
            endpoint: accepted.endpoint,
            family: target.family,
            backlog,
            reuse_addr,
            reuse_port,
            nodelay: target.nodelay,
            keepalive: target.keepalive,
            limits: accepted.limits,
            tls: tls.map(Server::new).transpose()?,
            tracer: call.parking.tracer().clone(),
        })
    };
    let bind = start().map_err(|error| error.during(call.name(), &manner.endpoint))?;
    Ok(Underway::new((bind, manner), deadline))
}

type Method = fn(&mut Call<'_>, &mut Listener) -> Result<Outcome>;

const METHODS: [(&str, Method); 12] = [
    ("accept", accept),
    ("close", close),
    ("dirty", dirty),
    ("events", events),
    ("fd", fd),
    ("getfd", fd),
    ("info", info),
    ("is_open", is_open),
    ("pollfd", fd),
    ("port", port),
    ("timeout", timeout),
    ("tostring", tostring),
];

/// The methods, by name, as the shim calls them; `tostring` among them.
pub fn methods(lua: &Lua) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    for (name, body) in METHODS {
        methods.raw_set(name, method(lua, name, body)?)?;
    }
    // For the iterator, whose failures are those of accept.
    methods.raw_set("next", method(lua, "accept", next)?)?;
    Ok(methods)
}

fn accept(call: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    let deadline = call.deadline(call.argument(1).patience_or(f64::INFINITY)?);
    take(call, this, deadline, listen::Listener::step_accept)
}

/// The same for `connections`.
fn next(call: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    take(call, this, Deadline::NEVER, listen::Listener::step_next)
}

type StepOf = fn(&listen::Listener) -> error::Result<Step<Established>>;

fn take(
    call: &mut Call<'_>,
    this: &mut Listener,
    deadline: Deadline,
    step: StepOf,
) -> Result<Outcome> {
    let connected = match call.drive(deadline, || step(this.socket()?))? {
        Ok(connected) => connected,
        Err(again) => return Ok(again),
    };
    let manner = Manner { endpoint: connected.addresses.peer.into(), ..this.manner.clone() };
    let is_tls = this.socket()?.is_tls();
    call.object(Connection::new(connected, manner, is_tls, call.parking))
}

fn close(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket = None;
    Ok(Outcome::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.socket.is_some())))
}

fn fd(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Integer(this.socket()?.as_fd().as_raw_fd().into())))
}

fn port(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket()?;
    Ok(Outcome::Value(Value::Integer(this.sock.port().into())))
}

fn info(call: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket()?;
    let info = call.lua.create_table()?;
    info.raw_set("host", &*this.manner.endpoint.host)?;
    info.raw_set("sock", info::address(call.lua, this.sock)?)?;
    Ok(Outcome::Value(Value::Table(info)))
}

/// Nothing of a listener waits where poll cannot see it (LuaSocket).
fn dirty(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket()?;
    Ok(Outcome::Value(Value::Boolean(false)))
}

/// What to wait for, in the words of poll (cqueues).
fn events(call: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket()?;
    Ok(Outcome::Value(call.string("r")?))
}

/// A wait need not end by itself (cqueues).
fn timeout(_: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    this.socket()?;
    Ok(Outcome::Value(Value::Nil))
}

fn tostring(call: &mut Call<'_>, this: &mut Listener) -> Result<Outcome> {
    let closed = if this.socket.is_some() { "" } else { " (closed)" };
    Ok(Outcome::Value(call.string(&format!("tcp.Listener: {}{closed}", this.sock))?))
}
