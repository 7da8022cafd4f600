//! From a options to a connection: dial, then the TLS handshake where one is wanted, as one step
//! under one deadline. Uses `endpoint`, `connect::race`, `transport`, `stream`, `io::step`,
//! `trace`, `error`.

pub mod race;
pub mod resolve;

use crate::connect::race::{ConnectOptions, Dial, Dialed, Timings};
use crate::endpoint::{Addresses, Endpoint};
use crate::error::Result;
use crate::io::deadline::now;
use crate::io::step::{Step, ready};
use crate::stream::{Limits, Stream};
use crate::trace::Trace;
use crate::transport::Transport;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Handshake, Side};
use crate::transport::tracing::traced;

/// A connection and how it came to be.
pub struct Established {
    pub stream: Box<Stream>,
    pub addresses: Addresses,
    pub timings: Timings,
    /// The part that this side takes in TLS unless it is told otherwise.
    pub side: Side,
}

pub struct ConnectOp {
    dial: Dial,
    limits: Limits,
    /// What waits for the dial, if TLS is wanted.
    setup: Option<tls::Setup>,
    handshake: Option<Box<(Handshake, Addresses)>>,
    trace: Option<Trace>,
}

impl ConnectOp {
    /// Begins. Wrong TLS settings are an error before any byte goes out.
    pub fn start(
        endpoint: &Endpoint,
        options: ConnectOptions,
        tls: Option<Box<tls::Settings>>,
        limits: Limits,
    ) -> Result<Self> {
        let setup = tls.map(|settings| tls::Setup::new(Side::Client, *settings)).transpose()?;
        let trace = options.trace.clone();
        Ok(Self { dial: Dial::start(endpoint, options)?, limits, setup, handshake: None, trace })
    }

    pub fn step(&mut self) -> Result<Step<Established>> {
        let (handshake, addresses) = match self.handshake.as_deref_mut() {
            Some(handshake) => handshake,
            None => {
                let Dialed { socket, addresses } = ready!(self.dial.step()?);
                let tcp = Tcp::new(socket);
                match self.setup.take() {
                    Some(setup) => {
                        let handshake = Handshake::new(setup, tcp, self.trace.as_ref());
                        self.handshake.insert(Box::new((handshake, addresses)))
                    }
                    None => return Ok(Step::Done(self.finish(Box::new(tcp), addresses))),
                }
            }
        };
        let (tls, addresses) = (ready!(handshake.step()?), *addresses);
        Ok(Step::Done(self.finish(Box::new(tls), addresses)))
    }

    /// What is known of a TLS peer whose handshake failed.
    pub fn report(&self) -> Option<tls::Report> {
        self.handshake.as_ref().and_then(|handshake| handshake.0.report())
    }

    fn finish(&mut self, transport: Box<dyn Transport>, addresses: Addresses) -> Established {
        let mut timings = self.dial.timings();
        if self.handshake.is_some() {
            timings.tls = Some(now() - self.dial.begun() - timings.total());
        }
        let stream = Stream::new(traced(transport, self.trace.take()), self.limits);
        Established { stream: Box::new(stream), addresses, timings, side: Side::Client }
    }
}
