//! A connect as the work of a call: with what it is made, and what its connection is like.

use net::connect::{Connect, Established};
use net::error;
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::io::wait::Place;
use net::transport::tls::Report;

use super::connection::{Connection, Manner};
use super::options::Options;
use super::park::Parking;
use super::work::{Underway, Work};

pub struct Connecting {
    connect: Connect,
    manner: Manner,
    is_tls: bool,
}

impl Connecting {
    /// Begins `operation`.
    pub fn begin(
        operation: &'static str,
        options: Options,
        safe: bool,
        parking: &Parking,
    ) -> error::Result<Underway<Self>> {
        let Options { endpoint, timeout, connect_timeout, limits, json, mut target, tls } = options;
        let deadline = Deadline::after(connect_timeout.unwrap_or(timeout));
        let is_tls = tls.is_some();
        target.trace = parking.tracer().of(&endpoint);
        target.is_eager = parking.place() == Place::Here;
        let connect = Connect::start(&endpoint, target, tls, limits)
            .map_err(|error| error.during(operation, &endpoint))?;
        let manner = Manner { safe, endpoint, timeout, json };
        Ok(Underway::new(Self { connect, manner, is_tls }, deadline))
    }

    /// The connection that it came to.
    pub fn connection(self, connected: Established, parking: &Parking) -> Connection {
        Connection::new(connected, self.manner, self.is_tls, parking)
    }
}

impl Work for Connecting {
    type Result = Established;

    fn step(&mut self) -> error::Result<Step<Established>> {
        self.connect.step()
    }

    fn label(&self) -> String {
        self.manner.endpoint.to_string()
    }

    fn report(&self) -> Option<Report> {
        self.connect.report()
    }
}
