//! The PROXY header that a new connection begins with. Uses `endpoint`, `transport`, `io::step`,
//! `trace`, `error`.

use crate::endpoint::{Address, Addresses};
use crate::error::{Pending, Result};
use crate::io::step::{Step, ready};
use crate::trace::Trace;
use crate::transport::Carrier;
use crate::transport::proxy_header::{Ends, Version, local, write};

/// Which header it is.
#[derive(Clone, Copy, Debug)]
pub enum ProxyProtocol {
    /// It tells the ends of the connection itself; those of a Unix socket are nothing to tell.
    Own(Version),
    /// It tells that the connection is nobody else's (version 2).
    Local,
    /// It tells the ends of another connection.
    Told(Version, Ends),
}

impl ProxyProtocol {
    fn header(self, addresses: &Addresses) -> Vec<u8> {
        match self {
            Self::Own(version) => match (&addresses.local, &addresses.remote) {
                (&Address::Inet(source), &Address::Inet(destination)) => {
                    write(version, Some(&Ends { source, destination }))
                }
                _ => write(version, None),
            },
            Self::Local => local(),
            Self::Told(version, ends) => write(version, Some(&ends)),
        }
    }
}

/// A header on its way out.
pub struct Announcement {
    /// Taken when all of the header is sent.
    carrier: Option<Carrier>,
    header: Vec<u8>,
    sent: usize,
}

impl Announcement {
    pub fn new(what: ProxyProtocol, addresses: &Addresses, carrier: Carrier) -> Self {
        Self { carrier: Some(carrier), header: what.header(addresses), sent: 0 }
    }

    /// The carrier, once all of the header is sent.
    pub fn step(&mut self, trace: Option<&Trace>) -> Result<Step<Carrier>> {
        let Some(carrier) = &mut self.carrier else { unreachable!("a step after the last") };
        while self.sent < self.header.len() {
            let step = carrier.as_transport().write(&self.header[self.sent..])?;
            self.sent += ready!(step.pending(Pending::ProxyHeader));
        }
        if let Some(trace) = trace {
            trace.note(format_args!("PROXY header: {} bytes sent", self.sent));
        }
        Ok(Step::Done(self.carrier.take().expect("it was there above")))
    }
}
