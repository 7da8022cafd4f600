//! `connect`, `connect_tls`, `connect_unix` and `from_fd`: from options to a connection. Uses
//! `ffi`, `pending`, `options`.

use std::rc::Rc;

use net::connect::{ConnectOp, Established};
use net::endpoint::Name;
use net::error;
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::transport::tls::Report;
use net::unix::given::Role;

use crate::connection::{Connection, ConnectionConfig};
use crate::event_loop::Host;
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::options::Options;
use crate::pending::{LongOperation, PendingOp, is_eager};

struct Connecting {
    connect: ConnectOp,
    config: ConnectionConfig,
    is_tls: bool,
    /// The connection is the last one from then on.
    is_last: bool,
    host: Rc<Host>,
}

pub fn connect(call: &mut Call<'_>) -> Result<Reply> {
    connect_as(call, true)
}

/// The same, and the last connection stays what it was.
pub fn dial(call: &mut Call<'_>) -> Result<Reply> {
    connect_as(call, false)
}

fn connect_as(call: &mut Call<'_>, is_last: bool) -> Result<Reply> {
    PendingOp::drive(call, || {
        let mut options = Options::new(Name::Host(call.endpoint(1)?));
        options.apply(call.argument(3))?;
        begin(call, options, is_last)
    })
}

pub fn connect_tls(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let endpoint = call.endpoint(1)?;
        let mut options = Options::with_tls(endpoint.clone())
            .map_err(|error| error.with_context(call.name(), &endpoint))
            .map_err(|error| error.with_attempts(Vec::new()))?;
        options.apply(call.argument(3))?;
        begin(call, options, false)
    })
}

pub fn connect_unix(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let mut options = Options::new(Name::Unix(call.unix_address()?));
        options.apply(call.argument(2))?;
        begin(call, options, false)
    })
}

fn begin(call: &Call<'_>, options: Options, is_last: bool) -> Result<PendingOp> {
    let starttls = options.starttls(call.argument(3))?;
    let Options { name, timeout, connect_timeout, limits, json, mut connect, proxy, tls, .. } =
        options;
    let is_tls = tls.is_some();
    let deadline = Deadline::after(connect_timeout.unwrap_or(timeout));
    connect.trace = call.host.tracer.of(&name);
    connect.is_eager = is_eager(call.wait_mode());
    let proxy = match (proxy, name.host()) {
        (Some(proxy), Some(host)) => proxy.for_host(host),
        _ => Ok(None),
    };
    let connect = proxy
        .map_err(|error| error.with_attempts(Vec::new()))
        .and_then(|proxy| ConnectOp::start(&name, connect, proxy, tls, starttls, limits))
        .map_err(|error| error.with_context(call.name(), &name))?;
    let config = ConnectionConfig { safe: call.safe, name, timeout, json };
    let host = Rc::clone(call.host);
    Ok(PendingOp::new(Connecting { connect, config, is_tls, is_last, host }, deadline))
}

impl LongOperation for Connecting {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.connect.step()?.map(|connected| {
            let config = self.config.clone();
            let connection = Connection::new(connected, config, self.is_tls, &self.host);
            Reply::Connection(Box::new(connection), self.is_last)
        }))
    }

    fn label(&self) -> String {
        self.config.name.to_string()
    }

    fn with_details(&self, error: error::Error) -> error::Error {
        // The one address of a Unix socket is told anyway.
        if self.config.name.is_unix() {
            return error;
        }
        let attempts = self.connect.attempts(error.code());
        error.with_attempts(attempts)
    }

    fn report(&self) -> Option<Report> {
        self.connect.report()
    }
}

/// Goes on with a connected socket of somebody else's.
pub fn from_fd(call: &mut Call<'_>) -> Result<Reply> {
    let given = call.given_socket(Role::Connected)?;
    let addresses = given.addresses().map_err(|error| call.with_descriptor(error))?;
    let mut options = Options::new(addresses.name());
    options.is_given = true;
    options.apply(call.argument(2))?;
    let Options { name, timeout, limits, json, mut connect, .. } = options;
    connect.trace = call.host.tracer.of(&name);
    let connected = Established::given(given, addresses, &connect, limits)
        .map_err(|error| call.with_descriptor(error))?;
    let config = ConnectionConfig { safe: call.safe, name, timeout, json };
    let connection = Connection::new(connected, config, false, call.host);
    Ok(Reply::Connection(Box::new(connection), false))
}
