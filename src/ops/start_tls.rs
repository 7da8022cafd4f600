//! `connection:start_tls()`: TLS on a connection that began without it. Uses `ffi`, `pending`,
//! `options`.

use std::rc::Rc;

use net::connect::Established;
use net::connect::dial::Timings;
use net::connect::proxy::ProxyFacts;
use net::endpoint::{Address, Addresses};
use net::error;
use net::io::deadline::now;
use net::io::step::{Step, ready};
use net::stream::{Limits, Stream};
use net::trace::Trace;
use net::transport::tls::{Handshake, Report, Setup, Side};
use net::transport::tracing::traced;

use crate::connection::{Connection, ConnectionConfig};
use crate::event_loop::Host;
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::options;
use crate::pending::{LongOperation, PendingOp};

struct Upgrade {
    handshake: Handshake,
    limits: Limits,
    begun: f64,
    trace: Option<Trace>,
    addresses: Addresses,
    via: Option<Box<Address>>,
    side: Side,
    timings: Timings,
    proxy: Option<Box<ProxyFacts>>,
    config: ConnectionConfig,
    host: Rc<Host>,
}

pub fn start_tls(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    if let Some(pending) = call.take_pending() {
        return pending.go_on(call);
    }
    let host = this.config.name.host();
    let (side, settings) = options::start_tls(call.argument(1), this.side, host)?;
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let stream = this.stream()?;
    // What is queued goes out as it was written. Once the work has begun, this handle is closed.
    call.drive(timeout, mode, || {
        ready!(stream.step_header()?);
        stream.step_flush()
    })?;
    // Once: what a pipe had would be gone the second time.
    let setup = Setup::new(side, settings)?;
    let (limits, trace) = (stream.limits(), stream.trace().cloned());
    let trace = trace.or_else(|| call.host.tracer.of(&this.config.name));
    this.settle_peer();
    let handshake = Handshake::new(setup, this.take_carrier()?, trace.as_ref());
    let work = Upgrade {
        handshake,
        limits,
        begun: now(),
        trace,
        addresses: this.addresses.clone(),
        via: this.via.clone(),
        side: this.side,
        timings: this.timings,
        proxy: this.proxy.clone(),
        config: this.config.clone(),
        host: Rc::clone(call.host),
    };
    Box::new(PendingOp::new(work, call.deadline(timeout))).go_on(call)
}

impl LongOperation for Upgrade {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        Ok(self.handshake.step()?.map(|tls| {
            let stream =
                Box::new(Stream::new(traced(Box::new(tls), self.trace.take()), self.limits));
            let timings = Timings { tls: Some(now() - self.begun), ..self.timings };
            let (addresses, proxy, side) = (self.addresses.clone(), self.proxy.take(), self.side);
            let connected = Established { stream, addresses, timings, proxy, starttls: None, side };
            let config = self.config.clone();
            let mut connection = Connection::new(connected, config, true, &self.host);
            connection.via = self.via.clone();
            Reply::Connection(Box::new(connection), false)
        }))
    }

    fn label(&self) -> String {
        self.config.name.to_string()
    }

    fn report(&self) -> Option<Report> {
        self.handshake.report()
    }
}
