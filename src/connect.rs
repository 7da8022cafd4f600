//! From a target to a connection: dial, then the TLS handshake where one is wanted, as one step
//! under one deadline. Uses `dial`, `transport`, `conn`, `step`, `trace`, `error`.

use std::net::SocketAddr;

use crate::conn::{Conn, Limits};
use crate::deadline::now;
use crate::dial::{Dial, Dialed, Target, Timings};
use crate::error::Result;
use crate::step::{Step, ready};
use crate::trace::Trace;
use crate::transport::Transport;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Handshake};
use crate::transport::traced::traced;

/// A connection and how it came to be.
pub struct Connected {
    pub conn: Conn,
    pub ends: Ends,
    pub timings: Timings,
}

/// The addresses of the two ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// This side's.
    pub sock: SocketAddr,
    pub peer: SocketAddr,
}

pub struct Connect {
    begun: f64,
    dial: Dial,
    limits: Limits,
    /// What waits for the dial, if TLS is wanted.
    client: Option<tls::Client>,
    handshake: Option<(Handshake, Ends)>,
    trace: Option<Trace>,
}

impl Connect {
    /// Begins. Wrong TLS settings are an error before any byte goes out.
    pub fn start(target: Target, tls: Option<tls::Settings>, limits: Limits) -> Result<Self> {
        let begun = now();
        let client = tls.map(tls::Client::new).transpose()?;
        let trace = target.trace.clone();
        Ok(Self { begun, dial: Dial::start(target)?, limits, client, handshake: None, trace })
    }

    pub fn step(&mut self) -> Result<Step<Connected>> {
        let (handshake, ends) = match &mut self.handshake {
            Some(handshake) => handshake,
            none => {
                let Dialed { socket, sock, peer } = ready!(self.dial.step()?);
                let (tcp, ends) = (Tcp::new(socket), Ends { sock, peer });
                match self.client.take() {
                    Some(client) => {
                        none.insert((client.handshake(tcp, self.trace.as_ref())?, ends))
                    }
                    None => return Ok(Step::Done(self.finish(Box::new(tcp), ends))),
                }
            }
        };
        let (tls, ends) = (ready!(handshake.step()?), *ends);
        Ok(Step::Done(self.finish(Box::new(tls), ends)))
    }

    /// What is known of a TLS peer whose handshake failed.
    pub fn report(&self) -> Option<tls::Report> {
        self.handshake.as_ref().and_then(|(handshake, _)| handshake.report())
    }

    fn finish(&mut self, transport: Box<dyn Transport>, ends: Ends) -> Connected {
        let mut timings = self.dial.timings();
        timings.total = now() - self.begun;
        if self.handshake.is_some() {
            timings.tls = Some(timings.total - timings.dns - timings.connect);
        }
        let transport = traced(transport, self.trace.take());
        Connected { conn: Conn::new(transport, self.limits), ends, timings }
    }
}
