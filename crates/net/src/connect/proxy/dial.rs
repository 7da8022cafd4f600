//! From a proxy to the way through it: the proxy is connected to, TLS to it begins where its kind
//! has that, and it is asked for the peer. Uses `connect::{dial, host, race, resolve, socket}`,
//! `connect::proxy::{approach, destination, dialogue, url}`, `transport`, `io::step`, `trace`,
//! `error`.

use std::net::SocketAddr;
use std::{mem, vec};

use super::approach::{self, Refusal};
use super::destination::Destination;
use super::dialogue::Dialogue;
use super::url::{Kind, Proxy};
use crate::connect::dial::{Dial, Timings};
use crate::connect::host::family_of;
use crate::connect::race::{Dialed, first_address};
use crate::connect::resolve::Resolve;
use crate::connect::socket::ConnectOptions;
use crate::endpoint::{Addresses, Endpoint};
use crate::error::{Attempt, Code, Error, Pending, ProxyStage, Result};
use crate::io::deadline::now;
use crate::io::step::{Step, ready};
use crate::trace::Phase;
use crate::transport::Carrier;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Handshake, Report};
use crate::transport::tunnel::Tunnel;

/// The way to the peer. The addresses are those of the socket: the other end is the proxy.
pub struct ProxyDialed {
    pub carrier: Carrier,
    pub addresses: Addresses,
}

pub struct ProxyDial {
    proxy: Box<Proxy>,
    options: ConnectOptions,
    stage: Stage,
    /// Whom to ask for: several where the peer's name was resolved here.
    destinations: vec::IntoIter<Destination>,
    /// Those that the proxy has no way to, and what it says of them.
    refusals: Vec<Refusal>,
    /// What waits for its stage, to an https proxy.
    setup: Option<tls::Setup>,
    phase: Option<Phase>,
    /// The addresses of the proxy that failed, and when the connect to the last one began.
    tried: (Vec<Attempt>, f64),
    /// The address of the proxy, once it is connected to.
    remote: Option<SocketAddr>,
    /// What was known of TLS to it when it failed.
    report: Option<Report>,
    begun: f64,
    timings: Timings,
}

enum Stage {
    Resolving(Resolve),
    Dialing(Box<Dial>),
    Handshaking(Box<Handshake>, Addresses),
    Asking(Box<Asking>),
    Over,
}

struct Asking {
    carrier: Carrier,
    addresses: Addresses,
    destination: Destination,
    dialogue: Dialogue,
}

impl ProxyDial {
    /// Begins. What the proxy could not be asked for, and wrong settings of TLS to it, are an error
    /// before any byte goes out.
    pub fn start(proxy: Box<Proxy>, peer: &Endpoint, options: ConnectOptions) -> Result<Self> {
        let begun = now();
        let is_tls = proxy.kind == Kind::Https;
        let setup = is_tls.then(|| approach::setup(&proxy)).transpose()?;
        let (stage, destinations) = if proxy.kind == Kind::Socks5 {
            let Endpoint { host, port } = peer;
            let resolve = Resolve::start(host, *port, options.family, options.trace.as_ref())?;
            (Stage::Resolving(resolve), Vec::new())
        } else {
            let dial = approach::dial(&proxy, &proxy.endpoint, &options)?;
            (Stage::Dialing(dial), vec![Destination::new(peer)?])
        };
        Ok(Self {
            proxy,
            options,
            stage,
            destinations: destinations.into_iter(),
            refusals: Vec::new(),
            setup,
            phase: None,
            tried: (Vec::new(), begun),
            remote: None,
            report: None,
            begun,
            timings: Timings::default(),
        })
    }

    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// The addresses of the proxy that failed, and when the connect to the last one began.
    pub fn tried(&mut self) -> (Vec<Attempt>, f64) {
        (mem::take(&mut self.tried.0), self.tried.1)
    }

    /// What became of each address of the proxy, in a connect that has failed with this code.
    #[cold]
    pub fn attempts(&self, code: Code) -> Vec<Attempt> {
        if let Stage::Dialing(dial) = &self.stage {
            return dial.attempts(code);
        }
        let (mut attempts, begun) = self.tried.clone();
        if let Some(address) = self.remote {
            attempts.push(Attempt { address, code, seconds: now() - begun });
        }
        attempts
    }

    /// What is known of a proxy whose handshake failed.
    pub fn report(&self) -> Option<Report> {
        match &self.stage {
            Stage::Handshaking(handshake, _) => handshake.report(),
            _ => self.report.clone(),
        }
    }

    pub fn step(&mut self) -> Result<Step<ProxyDialed>> {
        loop {
            match &mut self.stage {
                Stage::Resolving(_) => ready!(self.step_resolve()?),
                Stage::Dialing(_) => ready!(self.step_dial()?),
                Stage::Handshaking(..) => ready!(self.step_handshake()?),
                Stage::Asking(_) => {
                    if let Some(dialed) = ready!(self.step_ask()?) {
                        return Ok(Step::Done(dialed));
                    }
                }
                Stage::Over => unreachable!("a step after the last"),
            }
        }
    }

    /// The peer's own name.
    fn step_resolve(&mut self) -> Result<Step<()>> {
        let Stage::Resolving(resolve) = &mut self.stage else { unreachable!("it resolves") };
        let addresses = ready!(resolve.step()?);
        if resolve.is_lookup() {
            self.timings.dns = now() - self.begun;
        }
        first_address(&addresses, self.options.family)?;
        let is_of = |address: &SocketAddr| {
            self.options.family.is_none_or(|family| family == family_of(*address))
        };
        let destinations: Vec<_> =
            addresses.into_iter().filter(is_of).map(Destination::from).collect();
        self.destinations = destinations.into_iter();
        self.stage =
            Stage::Dialing(approach::dial(&self.proxy, &self.proxy.endpoint, &self.options)?);
        Ok(Step::Done(()))
    }

    fn step_dial(&mut self) -> Result<Step<()>> {
        let Stage::Dialing(dial) = &mut self.stage else { unreachable!("it dials") };
        let step = dial.step().map_err(|error| approach::failed(&self.proxy, error))?;
        let Dialed { socket, addresses, begun } = ready!(approach::waiting(step));
        self.tried = (dial.attempts(Code::Timeout), begun);
        self.remote = Some(approach::remote(&addresses));
        let mut tcp = Tcp::new(socket, false);
        if dial.is_reset_on_close() {
            tcp.set_reset_on_close(true)?;
        }
        // Another try, for the peer's next address, belongs to the dialogue.
        if self.refusals.is_empty() {
            let Timings { dns, connect, .. } = dial.timings();
            self.timings.dns += dns;
            self.timings.connect = connect;
        }
        let trace = self.options.trace.as_ref();
        self.phase = trace.map(|trace| trace.begin(format!("proxy {}", self.proxy)));
        let carrier = Carrier::from(tcp);
        match self.setup.take() {
            Some(setup) => {
                let handshake = Handshake::new(setup, carrier, None);
                self.stage = Stage::Handshaking(Box::new(handshake), addresses);
            }
            None => self.ask(carrier, addresses),
        }
        Ok(Step::Done(()))
    }

    fn step_handshake(&mut self) -> Result<Step<()>> {
        let Stage::Handshaking(handshake, addresses) = &mut self.stage else {
            unreachable!("it has begun")
        };
        let pending = Pending::Proxy(approach::remote(addresses), ProxyStage::Handshake);
        let tls = match handshake.step() {
            Ok(Step::Done(tls)) => tls,
            // But for a file that is a pipe.
            Ok(Step::Wait(wait)) if wait.pending == Pending::Handshake => {
                return Ok(Step::Wait(wait.pending(pending)));
            }
            Ok(Step::Wait(wait)) => return Ok(Step::Wait(wait)),
            Err(error) => {
                let error = error.prefixed(format_args!("the proxy {}", self.proxy));
                return Err(self.failed(error));
            }
        };
        let addresses = addresses.clone();
        let tunnel = Tunnel::new(Box::new(tls));
        self.ask(Carrier::Tunnel(Box::new(tunnel)), addresses);
        Ok(Step::Done(()))
    }

    /// Begins to ask for the next destination.
    fn ask(&mut self, carrier: Carrier, addresses: Addresses) {
        let Some(destination) = self.destinations.next() else { unreachable!("there is one left") };
        let dialogue = Dialogue::new(&self.proxy, &destination);
        self.stage = Stage::Asking(Box::new(Asking { carrier, addresses, destination, dialogue }));
    }

    /// The way; none where the proxy is asked for another address.
    fn step_ask(&mut self) -> Result<Step<Option<ProxyDialed>>> {
        let Stage::Asking(asking) = &mut self.stage else { unreachable!("it asks") };
        let pending = Pending::Proxy(approach::remote(&asking.addresses), ProxyStage::Answer);
        match asking.dialogue.step(asking.carrier.as_transport()) {
            Ok(Step::Done(())) => {}
            Ok(Step::Wait(wait)) => return Ok(Step::Wait(wait.pending(pending))),
            Err(error) => {
                self.ask_again(error)?;
                return Ok(Step::Done(None));
            }
        }
        let Stage::Asking(asking) = mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("as above")
        };
        let Asking { mut carrier, addresses, destination, dialogue } = *asking;
        if !dialogue.rest().is_empty() {
            carrier.unread(dialogue.rest())?;
        }
        if let Carrier::Tunnel(tunnel) = &mut carrier {
            tunnel.set_label(format!("TLS to the proxy {}", self.proxy));
        }
        if let Some(phase) = self.phase.take() {
            phase.end(format_args!("open to {destination}"));
        }
        self.timings.proxy = Some(now() - self.begun - self.timings.total());
        Ok(Step::Done(Some(ProxyDialed { carrier, addresses })))
    }

    /// Asks for the next address of the peer, on another connection, where the proxy has no way to
    /// this one. Else that was all.
    #[cold]
    fn ask_again(&mut self, error: Error) -> Result<()> {
        let Stage::Asking(asking) = mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("it was asked")
        };
        let Asking { mut carrier, addresses, destination, dialogue } = *asking;
        let Some((code, words)) = dialogue.refusal() else {
            if let Carrier::Tunnel(tunnel) = &mut carrier {
                self.report = tunnel.report();
            }
            return Err(self.failed(error));
        };
        self.refusals.push((destination, *code, words.clone()));
        if self.destinations.len() == 0 {
            let error = if self.refusals.len() == 1 {
                error
            } else {
                approach::all_refused(&self.proxy, &self.refusals)
            };
            return Err(self.failed(error));
        }
        if let Some(phase) = self.phase.take() {
            phase.fail(words);
        }
        let remote = Endpoint::from(approach::remote(&addresses));
        self.stage = Stage::Dialing(approach::dial(&self.proxy, &remote, &self.options)?);
        Ok(())
    }

    #[cold]
    fn failed(&mut self, error: Error) -> Error {
        if let Some(phase) = self.phase.take() {
            phase.fail(error.reason());
        }
        error.in_phase("proxy")
    }
}
