//! A connection as scripts hold it: the stream, and the script's settings. Its operations are in
//! `ops`. Uses `event_loop`, `json`.

mod own;

use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use net::connect::Established;
use net::connect::dial::Timings;
use net::connect::proxy::ProxyFacts;
use net::connect::starttls;
use net::endpoint::{Address, Addresses, Name};
use net::error::{self, Code, Copied, Error};
use net::framing::text::Item;
use net::io::poller::Registration;
use net::io::step::Wait;
use net::io::wait::WaitMode;
use net::stream::{Stream, Traffic};
use net::transport::tls::{Report, Side};
use net::transport::{Carrier, Origin};

use crate::event_loop::{Host, Suspended};
use crate::ffi::call::Call;
use crate::json;
use crate::line_block::LineBlock;
use crate::owners::{Owner, Owners, Sides};

pub struct Connection {
    /// None once the script has closed it.
    open: Option<Box<Stream>>,
    /// The facts of the stream when it was closed.
    closed: Facts,
    /// The failure of a handshake has closed it, and not the script.
    pub has_failed: bool,
    /// The addresses of the socket.
    pub addresses: Addresses,
    /// Who has connected, where a PROXY header tells who the peer is.
    pub via: Option<Box<Address>>,
    pub timings: Timings,
    pub proxy: Option<Box<ProxyFacts>>,
    /// What the server has said before TLS, where `connect_tls` asked it to begin.
    pub starttls: Option<Box<starttls::Outcome>>,
    /// The default side for `start_tls`.
    pub side: Side,
    pub config: ConnectionConfig,
    pub is_tls: bool,
    /// The block that the iterator of `lines` has, until the next call of any kind.
    pub lent: Option<LineBlock>,
    /// How far the last copy from this connection came.
    pub copied: Copied,
    owners: Owners,
    host: Rc<Host>,
    /// The registration of the descriptor with the poller.
    known: Registration,
}

/// The facts of a stream: its traffic so far, and its TLS.
#[derive(Clone, Default)]
pub struct Facts {
    pub traffic: Traffic,
    pub report: Option<Box<Report>>,
    origin: Origin,
}

/// The settings of a connection.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// Failures are returned and not thrown: the connection was made by `tcp.safe`.
    pub safe: bool,
    /// Whom messages name.
    pub name: Name,
    /// Seconds for each call.
    pub timeout: f64,
    pub json: json::Options,
}

impl Connection {
    pub fn new(
        connected: Established,
        config: ConnectionConfig,
        is_tls: bool,
        host: &Rc<Host>,
    ) -> Self {
        let Established { stream, addresses, timings, proxy, starttls, side } = connected;
        Self {
            open: Some(stream),
            closed: Facts::default(),
            has_failed: false,
            addresses,
            via: None,
            timings,
            proxy,
            starttls,
            side,
            config,
            is_tls,
            lent: None,
            copied: Copied::default(),
            owners: Owners::default(),
            host: Rc::clone(host),
            known: Registration::default(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns the stream; an error once the script has closed it.
    pub fn stream(&mut self) -> error::Result<&mut Stream> {
        let how = if self.has_failed { "when its handshake failed" } else { "by the script" };
        let closed = || Error::closed(format!("this connection was closed {how}"));
        self.open.as_deref_mut().ok_or_else(closed)
    }

    /// The peer's address; none as long as a PROXY header is still to tell it.
    pub fn peer(&self) -> Option<Address> {
        match self.open.as_deref().map_or(self.closed.origin, Stream::origin) {
            Origin::Socket => Some(self.addresses.remote.clone()),
            Origin::Unknown => None,
            Origin::Told(peer) => Some(peer.into()),
        }
    }

    /// The peer as `connect` was given it, or as a PROXY header has told it; none before.
    pub fn name(&self) -> Option<Name> {
        match self.via {
            Some(_) => match self.peer()? {
                Address::Unix(_) => Some(self.addresses.name()),
                told => Some(told.into()),
            },
            None => Some(self.config.name.clone()),
        }
    }

    /// Returns the name of the peer for messages. While the peer is not known, it is the socket's.
    #[cold]
    pub fn label(&self) -> String {
        self.name().as_ref().unwrap_or(&self.config.name).to_string()
    }

    /// Keeps the present peer for later, when TLS replaces the transport that knows the header.
    pub fn settle_peer(&mut self) {
        if let (Some(peer), Some(_)) = (self.peer(), &self.via) {
            self.addresses.remote = peer;
            self.config.name = self.addresses.name();
        }
    }

    /// Returns what is known of a peer with which TLS has failed.
    #[cold]
    pub fn report(&mut self) -> Option<Report> {
        Some(self.stream().ok()?.transport().as_tls()?.report())
    }

    /// The same failure; a timeout, with what the peer has asked for meanwhile and does not get.
    #[cold]
    pub fn explained(&mut self, error: Error) -> Error {
        let tls = self.stream().ok().and_then(|stream| stream.transport().as_tls());
        match tls.and_then(|tls| tls.refused_renegotiation()) {
            Some(hint) if error.code() == Code::Timeout => {
                error.with_detail(|detail| format!("{detail} ({hint})"))
            }
            _ => error,
        }
    }

    /// Closes at once; queued bytes are lost. It may be called again.
    pub fn close(&mut self) {
        self.closed = self.facts();
        // A client decides how large its certificates are, and the script may keep this object for
        // long.
        if self.side == Side::Server
            && let Some(report) = &mut self.closed.report
        {
            report.drop_certificates();
        }
        self.open = None;
    }

    /// Closes, and leaves the descriptor of a plain connection open.
    pub fn give_up(&mut self) {
        self.closed = self.facts();
        let stream = self.open.take();
        std::mem::forget(stream.and_then(|stream| stream.into_carrier()));
    }

    /// Returns the facts of the stream, also after it was closed.
    pub fn facts(&mut self) -> Facts {
        // Of a handshake that came after connecting.
        if let (None, Some(stream)) = (self.timings.tls, &mut self.open) {
            self.timings.tls = stream.transport().as_tls().and_then(|tls| tls.handshake_seconds());
        }
        match &mut self.open {
            Some(stream) => Facts {
                traffic: stream.traffic(),
                report: stream.transport().as_tls().map(|tls| Box::new(tls.report())),
                origin: stream.origin(),
            },
            None => self.closed.clone(),
        }
    }

    /// Takes the carrier, to begin TLS on it; this connection is closed.
    pub fn take_carrier(&mut self) -> error::Result<Carrier> {
        self.stream()?.check_bare()?;
        self.closed = self.facts();
        let carrier = self.open.take().and_then(|stream| stream.into_carrier());
        carrier.ok_or_else(|| Error::new(Code::Tls, "there is no socket to begin TLS on"))
    }

    /// Whether there is something to read. If a coroutine waits to read, the answer is left to it.
    pub fn is_readable(&mut self, call: &Call<'_>) -> error::Result<bool> {
        Ok(self.owners.have_reader(call) || self.stream()?.is_readable())
    }

    /// Whether it is still worth keeping.
    pub fn is_alive(&mut self, call: &Call<'_>) -> error::Result<bool> {
        let has_reader = self.owners.have_reader(call);
        Ok(self.stream()?.is_alive(has_reader))
    }

    /// Refuses a call that needs these sides to itself, where another coroutine waits on one.
    pub fn check_free(&mut self, call: &Call<'_>, sides: Sides) -> error::Result<()> {
        self.owners.check(call, sides)
    }

    /// The call that has these sides waits, or is over.
    pub fn set_owner(&mut self, sides: Sides, owner: Option<Owner>) {
        self.owners.set(sides, owner);
    }

    /// The descriptors for which other coroutines wait that have a side of this connection.
    pub fn awaited(&self, call: &Call<'_>) -> [Option<RawFd>; 2] {
        self.owners.awaited(call)
    }

    /// Returns how a call waits for the descriptor. If the poller watches it already, the first
    /// wait may follow a short read without another recv. A call that waits again must try.
    pub fn wait_mode(&self, call: &Call<'_>) -> WaitMode {
        match self.host.wait_mode() {
            WaitMode::Poller if self.known.is_some() && call.is_first() => WaitMode::Watched,
            mode => mode,
        }
    }

    /// Leaves a wait for its descriptor to the loop.
    pub fn suspend(&mut self, wait: Wait) -> error::Result<Suspended> {
        self.host.suspend(wait, &mut self.known)
    }

    /// The stream, if a read of what is in its buffer need not look at anything else first.
    pub fn idle_stream(&mut self) -> Option<&mut Stream> {
        let is_idle = self.lent.is_none() && self.owners.have_no_reader();
        if is_idle { self.open.as_deref_mut() } else { None }
    }

    /// Returns the bytes of an item that was found.
    pub fn found(&self, item: &Item) -> &[u8] {
        self.open.as_ref().map_or(b"", |stream| stream.text(item))
    }

    /// The stream of a connection that is open, to look at.
    pub fn as_open(&self) -> Option<&Stream> {
        self.open.as_deref()
    }

    /// Consumes `size` bytes of input.
    pub fn consume(&mut self, size: usize) {
        if let Some(stream) = &mut self.open {
            stream.consume(size);
        }
    }

    /// Returns the line that was found, and the whole lines behind it, within `most` bytes.
    pub fn line_block(&self, first: &Item, most: usize) -> &[u8] {
        self.open.as_ref().map_or(b"", |stream| stream.lines(first, most))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.known.is_some()
            && let Some(stream) = &self.open
        {
            self.host.remove_fd(stream.fd().as_raw_fd());
        }
    }
}
