//! A listener as scripts hold it, and what makes it: `listen`, `listen_unix` and
//! `listener_from_fd`. Uses `ffi`, `pending`, `options`.

use std::os::fd::{AsFd, AsRawFd};

use net::connect::Established;
use net::endpoint::{Address, Name};
use net::error::{self, Error};
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::listen::{self, Bind, Source};
use net::transport::tls::{Reload, Setup, Side};
use net::unix::given::{GivenSocket, Role};

use crate::connection::{Connection, ConnectionConfig};
use crate::ffi::call::{Body, Call, Operation, Result, Stop};
use crate::ffi::reply::{Reply, Value};
use crate::ops::info;
use crate::options::ListenOptions;
use crate::pending::{LongOperation, PendingOp};

pub struct Listener {
    /// Seconds that reading its certificates may take.
    patience: f64,
    /// None once the script has closed it.
    socket: Option<listen::Listener>,
    pub local: Address,
    /// What its connections are like; their name is their client's.
    pub config: ConnectionConfig,
}

impl Listener {
    pub fn socket(&self) -> error::Result<&listen::Listener> {
        let closed = || Error::closed("this listener was closed by the script");
        self.socket.as_ref().ok_or_else(closed)
    }

    /// Closes, and leaves the descriptor open.
    pub fn give_up(&mut self) {
        std::mem::forget(self.socket.take());
    }

    /// Whom messages name.
    pub fn label(&self) -> String {
        self.local.to_string()
    }
}

struct Binding {
    bind: Bind,
    patience: f64,
    config: ConnectionConfig,
}

impl LongOperation for Binding {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.bind.step()?.map(|socket| {
            let (local, config) = (socket.local().clone(), self.config.clone());
            let (patience, socket) = (self.patience, Some(socket));
            Reply::Listener(Box::new(Listener { patience, socket, local, config }))
        }))
    }

    fn label(&self) -> String {
        self.config.name.to_string()
    }
}

pub fn listen(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let mut options = ListenOptions::new(Name::Host(call.endpoint(0)?));
        options.apply(call.argument(3))?;
        begin(call, options, None)
    })
}

pub fn listen_unix(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let mut options = ListenOptions::new(Name::Unix(call.unix_address()?));
        options.apply(call.argument(2))?;
        begin(call, options, None)
    })
}

pub fn listener_from_fd(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let given = call.given_socket(Role::Listening)?;
        let name = given.local().map_err(|error| call.with_descriptor(error))?;
        let mut options = ListenOptions::new(name.into());
        options.accepted.is_given = true;
        options.apply(call.argument(2))?;
        begin(call, options, Some(given))
    })
}

fn begin(call: &Call<'_>, options: ListenOptions, given: Option<GivenSocket>) -> Result<PendingOp> {
    let ListenOptions { accepted, backlog, reuse_addr, reuse_port, proxy_protocol, tls, file } =
        options;
    let patience = accepted.connect_timeout.unwrap_or(accepted.timeout);
    let deadline = Deadline::after(patience);
    let (connect, name) = (accepted.connect, accepted.name);
    let source = match (given, &name) {
        (Some(given), _) => Source::Given(given),
        (None, Name::Host(endpoint)) => Source::Host(endpoint.clone(), connect.family),
        (None, Name::Unix(address)) => Source::Unix(address.clone(), file),
    };
    let config =
        ConnectionConfig { safe: call.safe, name, timeout: accepted.timeout, json: accepted.json };
    let start = || {
        let config = listen::ListenConfig {
            backlog,
            reuse_addr,
            reuse_port,
            socket: connect.socket,
            limits: accepted.limits,
            proxy_protocol,
            tls: tls.map(|settings| Setup::new(Side::Server, settings)).transpose()?,
            tracer: call.host.tracer.clone(),
        };
        Bind::start(source, config)
    };
    let bind =
        start().map_err(|error| Stop::from(error.with_context(call.name(), &config.name)))?;
    Ok(PendingOp::new(Binding { bind, patience, config }, deadline))
}

type Method = fn(&mut Call<'_>, &mut Listener) -> Result<Reply>;

const fn method(name: &'static str, body: Method) -> Operation {
    Operation { name, body: Body::Listener(body) }
}

/// `tostring` among them, which is for the metatable alone.
pub static METHODS: [Operation; 13] = [
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
    method("reload_tls", reload_tls),
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
    let config = ConnectionConfig { name: connected.addresses.name(), ..this.config.clone() };
    let via = socket.is_proxied().then(|| Box::new(connected.addresses.remote.clone()));
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

/// Nil of a Unix socket.
fn port(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok(match &this.local {
        Address::Inet(address) => Value::Integer(address.port().into()),
        Address::Unix(_) => Value::Nil,
    }
    .into())
}

struct Reloading {
    reload: Reload,
    label: String,
}

impl LongOperation for Reloading {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.reload.step()?.map(|()| Reply::Nothing))
    }

    fn label(&self) -> String {
        self.label.clone()
    }
}

/// Reads the files of its TLS again. Where that fails, nothing changes.
fn reload_tls(call: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    if let Some(pending) = call.take_pending() {
        return pending.go_on(call);
    }
    let work = Reloading { reload: this.socket()?.reload_tls()?, label: this.label() };
    Box::new(PendingOp::new(work, call.deadline(this.patience))).go_on(call)
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
    Ok(format!("tcp.Listener: {}{closed}", this.local).into())
}
