//! From options to a connection: dial, also through a proxy, then the PROXY header, what a protocol
//! says before TLS and the TLS handshake where they are wanted, as one step under one deadline.
//! Uses `endpoint`, `connect::{announce, dial, proxy, starttls}`, `unix::given`, `transport`,
//! `stream`, `io::step`, `trace`, `error`.

pub mod announce;
pub mod dial;
mod failed;
pub mod host;
pub mod proxy;
pub mod question;
pub mod race;
pub mod resolve;
pub mod resolver;
pub mod socket;
pub mod starttls;
pub mod unix;

use crate::connect::announce::{Announcement, ProxyProtocol};
use socket2::SockRef;

use crate::connect::dial::{Dial, Timings};
use crate::connect::proxy::{Proxy, ProxyDial, ProxyDialed, ProxyFacts};
use crate::connect::race::Dialed;
use crate::connect::socket::ConnectOptions;
use crate::connect::starttls::StartTls;
use crate::endpoint::{Address, Addresses, Name};
use crate::error::{Attempt, Code, Result};
use crate::io::deadline::now;
use crate::io::step::{Step, ready};
use crate::socket_options::Domain;
use crate::stream::{Limits, Stream};
use crate::trace::Trace;
use crate::transport::tcp::Tcp;
use crate::transport::tls::{self, Handshake, Side};
use crate::transport::tracing::traced;
use crate::transport::{Carrier, Transport};
use crate::unix::given::GivenSocket;

/// A connection and how it came to be.
pub struct Established {
    pub stream: Box<Stream>,
    pub addresses: Addresses,
    pub timings: Timings,
    /// What the way goes through, if not straight to the peer.
    pub proxy: Option<Box<ProxyFacts>>,
    /// What the server has said before TLS, where it was asked to begin.
    pub starttls: Option<Box<starttls::Outcome>>,
    /// The part that this side takes in TLS unless it is told otherwise.
    pub side: Side,
}

impl Established {
    /// Goes on with a connected socket of somebody else's.
    pub fn given(
        given: GivenSocket,
        addresses: Addresses,
        options: &ConnectOptions,
        limits: Limits,
    ) -> Result<Self> {
        let (socket, is_unix) = (given.take()?, addresses.remote.is_unix());
        // Some systems refuse everything to a socket whose peer has gone. A read says so.
        let _ = options.socket.apply(&SockRef::from(&socket), Domain::from(&addresses.local));
        if let Some(trace) = &options.trace {
            trace.note(format_args!("given: at {}", addresses.local));
        }
        let mut tcp = Tcp::new(socket, is_unix);
        if options.socket.reset_on_close == Some(true) {
            tcp.set_reset_on_close(true)?;
        }
        let transport = traced(Box::new(tcp), options.trace.clone());
        let stream = Box::new(Stream::new(transport, limits));
        let (timings, side) = (Timings::default(), Side::Client);
        Ok(Self { stream, addresses, timings, proxy: None, starttls: None, side })
    }
}

pub struct ConnectOp {
    stage: Stage,
    begun: f64,
    timings: Timings,
    proxy: Option<Box<ProxyFacts>>,
    /// Known as soon as the socket is connected.
    addresses: Option<Addresses>,
    proxy_protocol: Option<ProxyProtocol>,
    /// The addresses that failed before, and when the connect to this one began.
    tried: (Vec<Attempt>, f64),
    /// What waits for its stage, if TLS is wanted, and what comes before it.
    setup: Option<Box<tls::Setup>>,
    /// The handshake is left to the first read or write.
    is_handshake_later: bool,
    starttls: Option<Box<starttls::Settings>>,
    /// What that came to.
    outcome: Option<Box<starttls::Outcome>>,
    limits: Limits,
    trace: Option<Trace>,
}

/// One after the other, under one deadline.
enum Stage {
    Dialing(Box<Dial>),
    /// Instead, where there is a proxy.
    DialingProxy(Box<ProxyDial>),
    Announcing(Box<Announcement>),
    StartingTls(Box<StartTls>),
    Handshaking(Box<Handshake>),
}

impl ConnectOp {
    /// Begins. Wrong TLS settings are an error before any byte goes out.
    pub fn start(
        name: &Name,
        options: ConnectOptions,
        proxy: Option<Box<Proxy>>,
        tls: Option<Box<tls::Settings>>,
        starttls: Option<Box<starttls::Settings>>,
        limits: Limits,
    ) -> Result<Self> {
        let is_handshake_later = tls.as_ref().is_some_and(|settings| settings.is_handshake_later);
        let setup = tls.map(|settings| tls::Setup::new(Side::Client, *settings)).transpose()?;
        let setup = setup.map(Box::new);
        let (trace, proxy_protocol) = (options.trace.clone(), options.proxy_protocol);
        let begun = now();
        let facts = proxy.as_ref().map(|proxy| Box::new(proxy.facts()));
        let stage = match (proxy, name) {
            (Some(proxy), Name::Host(peer)) => {
                ProxyDial::start(proxy, peer, options).map(Box::new).map(Stage::DialingProxy)
            }
            // There is no proxy on the way to a Unix socket.
            (_, name) => Dial::start(name, options).map(Box::new).map(Stage::Dialing),
        };
        let stage = stage.map_err(|error| error.with_attempts(Vec::new()))?;
        Ok(Self {
            stage,
            begun,
            timings: Timings::default(),
            proxy: facts,
            addresses: None,
            proxy_protocol,
            tried: (Vec::new(), begun),
            setup,
            is_handshake_later,
            starttls,
            outcome: None,
            limits,
            trace,
        })
    }

    pub fn step(&mut self) -> Result<Step<Established>> {
        let carrier = match &mut self.stage {
            Stage::Dialing(dial) => {
                let Dialed { socket, addresses, begun } = ready!(dial.step()?);
                self.timings = dial.timings();
                self.tried = (dial.attempts(Code::Timeout), begun);
                let mut tcp = Tcp::new(socket, addresses.remote.is_unix());
                if dial.is_reset_on_close() {
                    tcp.set_reset_on_close(true)?;
                }
                return self.step_connected(tcp.into(), addresses);
            }
            Stage::DialingProxy(dial) => {
                let ProxyDialed { carrier, addresses } = ready!(dial.step()?);
                self.timings = dial.timings();
                self.tried = dial.tried();
                return self.step_connected(carrier, addresses);
            }
            Stage::Announcing(announcement) => ready!(announcement.step(self.trace.as_ref())?),
            Stage::StartingTls(talk) => {
                let (transport, outcome) = ready!(talk.step()?);
                self.timings.starttls = Some(now() - self.begun - self.timings.total());
                self.outcome = Some(Box::new(outcome));
                transport.into_carrier().expect("that is what it was")
            }
            Stage::Handshaking(_) => return self.step_handshake(),
        };
        self.go_on(carrier)
    }

    /// The peer, or the way to it, is there.
    fn step_connected(
        &mut self,
        carrier: Carrier,
        addresses: Addresses,
    ) -> Result<Step<Established>> {
        let addresses = self.addresses.insert(addresses);
        match self.proxy_protocol {
            Some(what) => {
                let announcement = Announcement::new(what, addresses, carrier);
                self.stage = Stage::Announcing(Box::new(announcement));
                self.step()
            }
            None => self.go_on(carrier),
        }
    }

    /// The next stage that is wanted, on what the one before has left.
    fn go_on(&mut self, carrier: Carrier) -> Result<Step<Established>> {
        if let Some(settings) = self.starttls.take() {
            let local = match self.addresses.as_ref().map(|addresses| &addresses.local) {
                Some(Address::Inet(local)) => Some(local.ip()),
                _ => None,
            };
            let transport = carrier.into_transport();
            let talk = StartTls::new(&settings, local, transport, self.trace.as_ref());
            self.stage = Stage::StartingTls(Box::new(talk));
            return self.step();
        }
        match self.setup.take() {
            Some(setup) => {
                let handshake = Handshake::new(*setup, carrier, self.trace.as_ref());
                self.stage = Stage::Handshaking(Box::new(handshake));
                self.step_handshake()
            }
            None => Ok(Step::Done(self.finish(carrier.into_transport()))),
        }
    }

    fn step_handshake(&mut self) -> Result<Step<Established>> {
        let Stage::Handshaking(handshake) = &mut self.stage else { unreachable!("it has begun") };
        if self.is_handshake_later {
            let tls = ready!(handshake.step_unshaken()?);
            return Ok(Step::Done(self.finish(Box::new(tls))));
        }
        let tls = ready!(handshake.step()?);
        self.timings.tls = Some(now() - self.begun - self.timings.total());
        Ok(Step::Done(self.finish(Box::new(tls))))
    }

    /// What is known of a TLS peer whose handshake failed.
    pub fn report(&self) -> Option<tls::Report> {
        match &self.stage {
            Stage::Handshaking(handshake) => handshake.report(),
            Stage::DialingProxy(dial) => dial.report(),
            Stage::Dialing(_) | Stage::Announcing(_) | Stage::StartingTls(_) => None,
        }
    }

    /// What became of each address that was tried, in a connect that has failed with this code.
    #[cold]
    pub fn attempts(&self, code: Code) -> Vec<Attempt> {
        match &self.stage {
            Stage::Dialing(dial) => return dial.attempts(code),
            Stage::DialingProxy(dial) => return dial.attempts(code),
            Stage::Announcing(_) | Stage::StartingTls(_) | Stage::Handshaking(_) => {}
        }
        let (mut attempts, begun) = self.tried.clone();
        if let Some(Addresses { remote: Address::Inet(address), .. }) = &self.addresses {
            attempts.push(Attempt { address: *address, code, seconds: now() - begun });
        }
        attempts
    }

    fn finish(&mut self, transport: Box<dyn Transport>) -> Established {
        let addresses = self.addresses.take().expect("the socket is connected");
        let stream = Stream::new(traced(transport, self.trace.take()), self.limits);
        let (timings, proxy, starttls) = (self.timings, self.proxy.take(), self.outcome.take());
        let side = Side::Client;
        Established { stream: Box::new(stream), addresses, timings, proxy, starttls, side }
    }
}
