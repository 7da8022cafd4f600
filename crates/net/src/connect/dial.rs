//! From a name to a connected socket: a host is resolved, and its addresses race; a Unix socket is
//! connected to. Uses `endpoint`, `connect::resolve`, `connect::race`, `connect::unix`,
//! `connect::socket`, `io::step`, `io::deadline`, `error`.

use socket2::SockRef;

use crate::connect::host::family_of;
use crate::connect::race::{Dialed, Race};
use crate::connect::resolve::Resolve;
use crate::connect::socket::ConnectOptions;
use crate::connect::unix::UnixConnect;
use crate::endpoint::{Endpoint, Name};
use crate::error::{Attempt, Code, Result};
use crate::io::deadline::now;
use crate::io::step::{Step, ready};
use crate::socket_options::Domain;

/// Seconds that each phase took; 0 for the name where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    pub dns: f64,
    pub connect: f64,
    /// The dialogue with a proxy, TLS to it included.
    pub proxy: Option<f64>,
    pub starttls: Option<f64>,
    pub tls: Option<f64>,
}

impl Timings {
    pub fn total(self) -> f64 {
        let rest = [self.proxy, self.starttls, self.tls];
        self.dns + self.connect + rest.into_iter().flatten().sum::<f64>()
    }
}

/// Resolves, then connects.
pub struct Dial {
    options: ConnectOptions,
    stage: Stage,
    begun: f64,
    timings: Timings,
}

enum Stage {
    Resolving(Resolve),
    Racing(Race),
    Unix(UnixConnect),
}

impl Dial {
    pub fn start(name: &Name, options: ConnectOptions) -> Result<Self> {
        let begun = now();
        let stage = match name {
            Name::Host(Endpoint { host, port }) => {
                let family = options.family.or(options.bind.map(family_of));
                let resolve = Resolve::start(host, *port, family, options.trace.as_ref())?;
                Stage::Resolving(resolve)
            }
            Name::Unix(address) => {
                Stage::Unix(UnixConnect::start(address, options.trace.as_ref())?)
            }
        };
        Ok(Self { options, stage, begun, timings: Timings::default() })
    }

    /// What became of each address that was tried; of those that are under way, `unfinished`.
    #[cold]
    pub fn attempts(&self, unfinished: Code) -> Vec<Attempt> {
        match &self.stage {
            Stage::Racing(race) => race.attempts(unfinished),
            Stage::Resolving(_) | Stage::Unix(_) => Vec::new(),
        }
    }

    /// Whether the connection is to be reset where it ends.
    pub fn is_reset_on_close(&self) -> bool {
        self.options.socket.reset_on_close == Some(true)
    }

    pub fn timings(&self) -> Timings {
        self.timings
    }

    pub fn step(&mut self) -> Result<Step<Dialed>> {
        if let Stage::Resolving(resolve) = &mut self.stage {
            let addresses = ready!(resolve.step()?);
            if resolve.is_lookup() {
                self.timings.dns = now() - self.begun;
            }
            self.stage = Stage::Racing(Race::new(&self.options, addresses)?);
        }
        let dialed = match &mut self.stage {
            Stage::Racing(race) => ready!(race.step(&self.options)?),
            Stage::Unix(connect) => {
                let dialed = ready!(connect.step()?);
                self.options.socket.apply(&SockRef::from(&dialed.socket), Domain::Unix)?;
                dialed
            }
            Stage::Resolving(_) => unreachable!("resolved above"),
        };
        self.timings.connect = now() - self.begun - self.timings.dns;
        Ok(Step::Done(dialed))
    }
}
