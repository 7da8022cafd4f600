//! A listener as scripts hold it, and `listen`, which makes it. Uses `ffi`, `pending`, `options`.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use net::connect::Established;
use net::error::{self, Error};
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::listen::{self, Bind};
use net::transport::tls::{Setup, Side};

use crate::connection::{Connection, ConnectionConfig};
use crate::ffi::call::{Body, Call, Operation, Result, Stop};
use crate::ffi::reply::{Reply, Value};
use crate::ops::info;
use crate::options::ListenOptions;
use crate::pending::{LongOperation, PendingOp};

pub struct Listener {
    /// None once the script has closed it.
    socket: Option<listen::Listener>,
    pub sock: SocketAddr,
    /// What its connections are like; their endpoint is their client's.
    pub config: ConnectionConfig,
}

impl Listener {
    pub fn socket(&self) -> error::Result<&listen::Listener> {
        let closed = || Error::closed("this listener was closed by the script");
        self.socket.as_ref().ok_or_else(closed)
    }

    /// Whom messages name.
    pub fn label(&self) -> String {
        self.sock.to_string()
    }
}

struct Binding {
    bind: Bind,
    config: ConnectionConfig,
}

impl LongOperation for Binding {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.bind.step()?.map(|socket| {
            let (sock, config) = (socket.sock(), self.config.clone());
            Reply::Listener(Box::new(Listener { socket: Some(socket), sock, config }))
        }))
    }

    fn label(&self) -> String {
        self.config.endpoint.to_string()
    }
}

pub fn listen(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || begin(call))
}

fn begin(call: &Call<'_>) -> Result<PendingOp> {
    let mut options = ListenOptions::new(call.endpoint(0)?);
    options.apply(call.argument(3))?;
    let ListenOptions { accepted, backlog, reuse_addr, reuse_port, proxy_protocol, tls } = options;
    let deadline = Deadline::after(accepted.connect_timeout.unwrap_or(accepted.timeout));
    let connect = accepted.connect;
    let config = ConnectionConfig {
        safe: call.safe,
        endpoint: accepted.endpoint.clone(),
        timeout: accepted.timeout,
        json: accepted.json,
    };
    let start = || {
        Bind::start(listen::ListenConfig {
            endpoint: accepted.endpoint,
            family: connect.family,
            backlog,
            reuse_addr,
            reuse_port,
            nodelay: connect.nodelay,
            keepalive: connect.keepalive,
            limits: accepted.limits,
            proxy_protocol,
            tls: tls.map(|settings| Setup::new(Side::Server, settings)).transpose()?,
            tracer: call.host.tracer.clone(),
        })
    };
    let bind =
        start().map_err(|error| Stop::from(error.with_context(call.name(), &config.endpoint)))?;
    Ok(PendingOp::new(Binding { bind, config }, deadline))
}

type Method = fn(&mut Call<'_>, &mut Listener) -> Result<Reply>;

const fn method(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Listener(body) }
}

/// `tostring` among them, which is for the metatable alone.
pub static METHODS: [Operation; 12] = [
    method("accept", accept),
    method("close", close),
    method("dirty", dirty),
    method("events", events),
    method("fd", fd),
    method("getfd", fd),
    method("info", info::listener),
    method("is_open", is_open),
    method("pollfd", fd),
    method("port", port),
    method("timeout", timeout),
    method("tostring", tostring),
];

/// For the iterator, whose failures are those of `accept`.
pub static NEXT: Operation = method("accept", next);

fn accept(call: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    let timeout = call.argument(1).patience_or(f64::INFINITY)?;
    take(call, this, timeout, listen::Listener::step_accept)
}

/// The same for `connections`, which waits and goes on where there is no descriptor for a client.
fn next(call: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    take(call, this, f64::INFINITY, listen::Listener::step_next)
}

type StepOf = fn(&listen::Listener) -> error::Result<Step<Established>>;

fn take(call: &Call<'_>, this: &mut Listener, timeout: f64, step: StepOf) -> Result<Reply> {
    let socket = this.socket()?;
    let connected = call.drive(timeout, call.wait_mode(), || step(socket))?;
    let config =
        ConnectionConfig { endpoint: connected.addresses.remote.into(), ..this.config.clone() };
    let via = socket.is_proxied().then_some(connected.addresses.remote);
    let mut connection = Connection::new(connected, config, socket.is_tls(), call.host);
    connection.via = via;
    Ok(Reply::Connection(Box::new(connection), false))
}

fn close(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket = None;
    Ok(Reply::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    Ok(this.socket.is_some().into())
}

fn fd(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    Ok(i64::from(this.socket()?.as_fd().as_raw_fd()).into())
}

fn port(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok(i64::from(this.sock.port()).into())
}

/// Nothing of a listener waits where poll cannot see it (LuaSocket).
fn dirty(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok(false.into())
}

/// What to wait for, in the words of poll (cqueues).
fn events(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok("r".into())
}

/// A wait need not end by itself (cqueues).
fn timeout(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok(Value::Nil.into())
}

fn tostring(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    let closed = if this.socket.is_some() { "" } else { " (closed)" };
    Ok(format!("tcp.Listener: {}{closed}", this.sock).into())
}
