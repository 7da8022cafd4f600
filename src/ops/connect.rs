//! `connect` and `connect_tls`: from options to a connection. Uses `ffi`, `pending`, `options`.

use std::rc::Rc;

use net::connect::ConnectOp;
use net::error;
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::transport::tls::Report;

use crate::connection::{Connection, ConnectionConfig};
use crate::event_loop::Host;
use crate::ffi::call::{Call, Result, Stop};
use crate::ffi::reply::Reply;
use crate::options::Options;
use crate::pending::{LongOperation, PendingOp, is_eager};

struct Connecting {
    connect: ConnectOp,
    config: ConnectionConfig,
    is_tls: bool,
    host: Rc<Host>,
}

/// The connection is the last one from then on.
pub fn connect(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || begin(call, false))
}

pub fn connect_tls(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || begin(call, true))
}

fn begin(call: &Call<'_>, is_tls: bool) -> Result<PendingOp> {
    let endpoint = call.endpoint(1)?;
    let mut options = match is_tls {
        true => Options::with_tls(endpoint.clone())
            .map_err(|error| error.with_context(call.name(), &endpoint))?,
        false => Options::new(endpoint),
    };
    options.apply(call.argument(3))?;
    let Options { endpoint, timeout, connect_timeout, limits, json, mut connect, tls } = options;
    let deadline = Deadline::after(connect_timeout.unwrap_or(timeout));
    connect.trace = call.host.tracer.of(&endpoint);
    connect.is_eager = is_eager(call.wait_mode());
    let connect = ConnectOp::start(&endpoint, connect, tls, limits)
        .map_err(|error| Stop::from(error.with_context(call.name(), &endpoint)))?;
    let config = ConnectionConfig { safe: call.safe, endpoint, timeout, json };
    let host = Rc::clone(call.host);
    Ok(PendingOp::new(Connecting { connect, config, is_tls, host }, deadline))
}

impl LongOperation for Connecting {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.connect.step()?.map(|connected| {
            let config = self.config.clone();
            let connection = Connection::new(connected, config, self.is_tls, &self.host);
            Reply::Connection(Box::new(connection), !self.is_tls)
        }))
    }

    fn label(&self) -> String {
        self.config.endpoint.to_string()
    }

    fn report(&self) -> Option<Report> {
        self.connect.report()
    }
}
