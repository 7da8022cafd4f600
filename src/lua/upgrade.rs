//! `connection:start_tls()`: TLS on a connection that began without it.

use net::connect::Established;
use net::endpoint::Endpoint;
use net::error;
use net::io::deadline::now;
use net::io::step::{Step, ready};
use net::stream::{Limits, Stream};
use net::trace::Trace;
use net::transport::tls::{Handshake, Report, Setup};
use net::transport::tracing::traced;

use super::call::{Call, Outcome, Result};
use super::connection::Connection;
use super::options;
use super::work::{Underway, Work};

struct Upgrade {
    handshake: Handshake,
    limits: Limits,
    begun: f64,
    trace: Option<Trace>,
    endpoint: Endpoint,
}

impl Work for Upgrade {
    type Result = Box<Stream>;

    fn step(&mut self) -> error::Result<Step<Box<Stream>>> {
        let tls = ready!(self.handshake.step()?);
        let stream = Stream::new(traced(Box::new(tls), self.trace.take()), self.limits);
        Ok(Step::Done(Box::new(stream)))
    }

    fn label(&self) -> String {
        self.endpoint.to_string()
    }

    fn report(&self) -> Option<Report> {
        self.handshake.report()
    }
}

pub fn start_tls(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let deadline = call.deadline(this.manner.timeout);
    let mut tls = None;
    // What is queued goes out as it was written. Once the work has begun, this handle is closed.
    if call.token.as_userdata().is_none() {
        let host = &this.manner.endpoint.host;
        tls = Some(options::start_tls(call.argument(1), this.side, host)?);
        this.stream()?;
        if let Err(again) = call.drive(deadline, || this.stream()?.step_flush())? {
            return Ok(again);
        }
    }
    let begin = |call: &Call<'_>| {
        let (side, settings) = tls.expect("made where the work is not begun");
        // Once: what a pipe had would be gone the second time.
        let setup = Setup::new(side, settings)?;
        let stream = this.stream()?;
        let (limits, trace) = (stream.limits(), stream.trace().cloned());
        let trace = trace.or_else(|| call.parking.tracer().of(&this.manner.endpoint));
        let handshake = Handshake::new(setup, this.take_tcp()?, trace.as_ref());
        let endpoint = this.manner.endpoint.clone();
        let work = Upgrade { handshake, limits, begun: now(), trace, endpoint };
        Ok(Underway::new(work, deadline))
    };
    let (stream, Underway { work, .. }) = match Underway::drive(call, begin)? {
        Ok(done) => done,
        Err(again) => return Ok(again),
    };
    let mut timings = this.timings;
    timings.tls = Some(now() - work.begun);
    let connected = Established { stream, addresses: this.addresses, timings, side: this.side };
    call.object(Connection::new(connected, this.manner.clone(), true, call.parking))
}
