//! A connection as scripts hold it: what it is made of, its life and its settings. What it reads and
//! writes is in `reading` and `writing`.

use std::os::fd::AsRawFd;

use mlua::{Lua, Table, Value};
use socket2::SockRef;

use net::connect::race::Timings;
use net::connect::{Addresses, Established};
use net::endpoint::Endpoint;
use net::error::{self, Code, Error};
use net::io::poller::Registration;
use net::io::step::Wait;
use net::io::wait::Place;
use net::stream::Stream;
use net::transport::tcp::Tcp;
use net::transport::tls::Report;

use super::call::{Call, Failure, Object, Outcome, Result, method};
use super::lent::Lent;
use super::park::{Owners, Parked, Parking, Sides};
use super::raw::fast;
use super::{info, json, options, reading, upgrade, writing};

pub struct Connection {
    /// None once the script has closed it.
    open: Option<Box<Stream>>,
    pub addresses: Addresses,
    pub timings: Timings,
    pub manner: Manner,
    pub is_tls: bool,
    /// What the iterator of `lines` has, and how many bytes of it it has handed out: the buffer
    /// holds them until the next call, from which on the block is no longer true.
    pub lent: Option<Lent>,
    pub owners: Owners,
    pub parking: Parking,
    /// How an operation's fast half failed: the full one, which is called next, says so.
    pub failure: Option<Box<Failure>>,
    /// What the poller knows its descriptor by.
    known: Registration,
}

impl Connection {
    pub fn new(connected: Established, manner: Manner, is_tls: bool, parking: &Parking) -> Self {
        let Established { stream, addresses, timings } = connected;
        Self {
            open: Some(stream),
            addresses,
            timings,
            manner,
            is_tls,
            lent: None,
            owners: Owners::default(),
            parking: parking.clone(),
            failure: None,
            known: Registration::default(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn is_traced(&self) -> bool {
        self.open.as_ref().is_some_and(|stream| stream.trace().is_some())
    }

    /// What is done with a connection, is done with this, as long as the script has not closed it.
    pub fn stream(&mut self) -> error::Result<&mut Stream> {
        let closed = || Error::closed("this connection was closed by the script");
        self.open.as_deref_mut().ok_or_else(closed)
    }

    /// Closes at once; what is queued is lost. Any number of times.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// The bare socket, for TLS to begin anew on it; this connection is closed without it.
    pub fn take_tcp(&mut self) -> error::Result<Tcp> {
        self.stream()?.check_bare()?;
        let tcp = self.open.take().and_then(|stream| stream.into_tcp());
        tcp.ok_or_else(|| Error::new(Code::Tls, "there is no socket to begin TLS on"))
    }

    /// Whether there is something to read. What a coroutine waits for is left to it.
    pub fn is_readable(&mut self) -> Result<bool> {
        Ok(self.owners.have_reader() || self.stream()?.is_readable())
    }

    /// A call that needs these sides of the connection to itself, also while it waits elsewhere.
    pub fn own(&mut self, call: &mut Call<'_>, sides: Sides, body: Method) -> Result<Outcome> {
        if let Some(failure) = self.failure.take() {
            return Err(*failure);
        }
        if call.is_first() {
            self.owners.check(call, sides)?;
        }
        match body(call, self) {
            Ok(Outcome::Again(token, Some(wait))) => {
                let parked = self.park(wait)?;
                self.owners.claim(call, sides, &parked)?;
                Ok(Outcome::Parked(token, parked))
            }
            settled => {
                self.owners.release(call, sides)?;
                settled
            }
        }
    }

    /// Where a call waits for its descriptor.
    pub fn place(&self) -> Place {
        match self.parking.place() {
            Place::Poller if self.known.is_some() => Place::Watched,
            place => place,
        }
    }

    /// Hands a wait for its descriptor over.
    pub fn park(&mut self, wait: Wait) -> error::Result<Parked> {
        self.parking.hand_over(wait, &mut self.known)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.known.is_some()
            && let Some(stream) = &self.open
        {
            self.parking.forget(stream.fd().as_raw_fd());
        }
    }
}

/// How a script wants its connection.
#[derive(Clone)]
pub struct Manner {
    /// Failures are returned and not thrown: the connection was made by `tcp.safe`.
    pub safe: bool,
    pub endpoint: Endpoint,
    /// Seconds for each call.
    pub timeout: f64,
    pub json: json::Options,
}

impl Object for Connection {
    const NAME: &'static str = "tcp.Connection";

    fn is_safe(&self) -> bool {
        self.manner.safe
    }

    fn label(&self) -> String {
        self.manner.endpoint.to_string()
    }

    fn report(&mut self) -> Option<Report> {
        Some(self.stream().ok()?.transport().as_tls()?.report())
    }

    fn settle(&mut self) -> mlua::Result<()> {
        if let Some(lent) = &self.lent {
            let size = lent.take_back()?;
            self.lent = None;
            if let Some(stream) = &mut self.open {
                stream.consume(size);
            }
        }
        Ok(())
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
    ("session", session),
    ("set_keepalive", set_keepalive),
    ("set_nodelay", set_nodelay),
    ("set_timeout", set_timeout),
    ("timeout", timeout),
    ("tostring", tostring),
];

/// What writes without being a write.
const WRITING: [(&str, Method); 1] = [("shutdown", shutdown)];

const HANDSHAKES: [(&str, Method); 2] =
    [("handshake", handshake), ("start_tls", upgrade::start_tls)];

/// The methods, by name, as the shim calls them; the iterators' steps and `tostring` among them.
pub fn methods(lua: &Lua) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    let groups = [
        (Sides::NONE, METHODS.as_slice()),
        (Sides::READ, reading::METHODS),
        (Sides::WRITE, writing::METHODS),
        (Sides::WRITE, &WRITING),
        (Sides::BOTH, &HANDSHAKES),
    ];
    for (sides, group) in groups {
        for (name, body) in group {
            let owned =
                move |call: &mut Call<'_>, this: &mut Connection| this.own(call, sides, *body);
            let full = method(lua, name, owned)?;
            methods.raw_set(*name, fast::half(lua, name, full)?)?;
        }
    }
    Ok(methods)
}

/// The checks that the shim makes before it makes an iterator, a source or a sink.
pub fn checks(lua: &Lua) -> mlua::Result<Table> {
    let checks = lua.create_table()?;
    for name in reading::CHECKED {
        checks.raw_set(name, method(lua, name, reading::check)?)?;
    }
    Ok(checks)
}

fn tostring(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let kind = if this.is_tls { "tcp.TlsConnection" } else { "tcp.Connection" };
    let closed = if this.is_open() { "" } else { " (closed)" };
    let Addresses { sock, peer } = this.addresses;
    Ok(Outcome::Value(call.string(&format!("{kind}: {sock} -> {peer}{closed}"))?))
}

fn close(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.close();
    Ok(Outcome::Nothing)
}

fn is_open(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.is_open())))
}

fn shutdown(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    call.finish(deadline, || this.stream()?.step_shutdown())
}

/// Finishes the TLS handshake that an accepted connection begins with.
fn handshake(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    call.finish(deadline, || match this.stream()?.transport().as_tls() {
        Some(tls) => tls.step_handshake(),
        None => Err(no_tls()),
    })
}

/// What resumes this TLS session later; nil before the server has sent it.
fn session(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let tls = this.stream()?.transport().as_tls().ok_or_else(no_tls)?;
    Ok(Outcome::Value(match tls.session()? {
        Some(session) => Value::String(call.lua.create_string(session)?),
        None => Value::Nil,
    }))
}

fn no_tls() -> Error {
    Error::new(Code::Tls, "this connection has no TLS")
}

fn set_timeout(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.manner.timeout = call.argument(1).seconds()?;
    this.stream()?;
    Ok(Outcome::Nothing)
}

fn set_nodelay(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let nodelay = call.argument(1).boolean()?;
    SockRef::from(&this.stream()?.fd()).set_tcp_nodelay(nodelay).map_err(Error::from)?;
    Ok(Outcome::Nothing)
}

fn set_keepalive(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let keepalive = options::keepalive(call.argument(1))?;
    let fd = this.stream()?.fd();
    net::connect::race::set_keepalive(&SockRef::from(&fd), keepalive.as_ref())
        .map_err(Error::from)?;
    Ok(Outcome::Nothing)
}

fn fd(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Integer(this.stream()?.fd().as_raw_fd().into())))
}

fn pending(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Integer(this.stream()?.pending() as i64)))
}

/// Whether there is something to read that a wait for the descriptor would not see (LuaSocket).
fn dirty(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    Ok(Outcome::Value(Value::Boolean(this.stream()?.has_input())))
}

/// What to wait for, in the words of poll (cqueues).
fn events(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    this.stream()?;
    Ok(Outcome::Value(call.string("r")?))
}

/// Seconds until a wait should end by itself: none at all where there is something to read (cqueues).
fn timeout(_: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let buffered = this.stream()?.has_input();
    Ok(Outcome::Value(if buffered { Value::Number(0.0) } else { Value::Nil }))
}
