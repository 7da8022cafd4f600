//! A host to its addresses. Uses `connect::host`, `connect::question`, `connect::resolver`,
//! `io::step`, `trace`, `error`.

use std::net::SocketAddr;

use crate::connect::host::{Family, ascii, literal};
use crate::connect::question::Question;
use crate::connect::resolver::Request;
use crate::error::Result;
use crate::io::step::Step;
use crate::text::address_text;
use crate::trace::{Phase, Trace};

/// The addresses of a host, whichever way it is given.
pub enum Resolve {
    Literal(SocketAddr),
    Lookup(Lookup),
}

impl Resolve {
    /// The addresses will have this port. A name is asked for those of this family alone, where
    /// there is one.
    pub fn start(
        host: &str,
        port: u16,
        family: Option<Family>,
        trace: Option<&Trace>,
    ) -> Result<Self> {
        match literal(host) {
            Some(ip) => Ok(Self::Literal((ip, port).into())),
            None => Lookup::start(host, port, family, trace).map(Self::Lookup),
        }
    }

    /// Whether there is a name to look up.
    pub fn is_lookup(&self) -> bool {
        matches!(self, Self::Lookup(_))
    }

    /// The addresses, in the order in which the system prefers them (RFC 6724).
    pub fn step(&mut self) -> Result<Step<Vec<SocketAddr>>> {
        match self {
            Self::Literal(address) => Ok(Step::Done(vec![*address])),
            Self::Lookup(lookup) => lookup.step(),
        }
    }
}

/// A name being looked up.
pub struct Lookup {
    request: Request,
    port: u16,
    phase: Option<Phase>,
}

impl Lookup {
    fn start(host: &str, port: u16, family: Option<Family>, trace: Option<&Trace>) -> Result<Self> {
        let request = Request::new(Question { host: ascii(host)?, family })?;
        Ok(Self { request, port, phase: trace.map(|trace| trace.begin("dns")) })
    }

    fn step(&mut self) -> Result<Step<Vec<SocketAddr>>> {
        let Some(answer) = self.request.answer()? else {
            return Ok(Step::Wait(self.request.wait()));
        };
        let answer = answer.map(|mut addresses| {
            addresses.iter_mut().for_each(|address| address.set_port(self.port));
            addresses
        });
        if let Some(phase) = self.phase.take() {
            match &answer {
                Ok(addresses) => phase.end(texts(addresses)),
                Err(error) => phase.fail(error.detail()),
            }
        }
        answer.map(Step::Done)
    }
}

fn texts(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(address_text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::io::deadline::Deadline;
    use crate::io::wait::{Driven, WaitMode, drive};

    fn resolve(host: &str) -> Result<Vec<SocketAddr>> {
        let mut lookup = Resolve::start(host, 0, None, None)?;
        let deadline = Deadline::after(10.0);
        loop {
            if let Driven::Done(addresses) = drive(deadline, WaitMode::Blocking, || lookup.step())?
            {
                return Ok(addresses);
            }
        }
    }

    #[test]
    fn localhost_is_this_machine() {
        let addresses = resolve("localhost").expect("resolves");
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(!addresses.is_empty());
    }

    #[test]
    fn a_name_that_is_none_is_a_dns_error() {
        for host in ["", "a\0b", "\u{ad}"] {
            assert_eq!(resolve(host).unwrap_err().code(), Code::Dns, "{host:?}");
        }
    }
}
