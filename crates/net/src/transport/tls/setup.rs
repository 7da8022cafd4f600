//! From the settings of one side to its part in a handshake: the files are read, the context is
//! made or found, and the connection begins. Uses `context`, `pem`, `transport::carrier`,
//! `io::step`, `trace`, `error`.

use std::net::IpAddr;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslRef, SslStream, SslVerifyMode, StatusType};
use openssl::x509::verify::X509CheckFlags;

use super::context::{self, Key};
use super::crl;
use super::errors::openssl_error;
use super::failure::Verification;
use super::ffi::Messages;
use super::loader::Loader;
use super::profile::Settings;
use super::report::Report;
use super::session::Session;
use super::stream::{HandshakeConfig, Tls};
use crate::error::{Code, Error, Result};
use crate::io::step::{Step, ready};
use crate::trace::Trace;
use crate::transport::Carrier;

/// Who begins, and who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// A side whose files are being read.
pub struct Setup {
    side: Side,
    settings: Arc<Settings>,
    /// What a client's context depends on, as it was before its files were read.
    key: Option<Key>,
    /// None where no file has had to be read.
    loader: Option<Loader>,
    config: Option<Config>,
}

impl Setup {
    /// Wrong settings are an error at once. What is a pipe is waited for with [`Setup::step`].
    pub fn new(side: Side, settings: Settings) -> Result<Self> {
        if side == Side::Client && settings.profile.psk.is_some() && !settings.pins.is_empty() {
            let detail = "pin_sha256 is for a certificate, and with psk the server shows none";
            return Err(Error::new(Code::Tls, detail));
        }
        let key = (side == Side::Client).then(|| Key::of(&settings.profile));
        let settings = Arc::new(settings);
        let mut setup = Self { side, settings, key, loader: None, config: None };
        setup.step()?;
        Ok(setup)
    }

    /// The side, once it has everything but its connection.
    pub fn step(&mut self) -> Result<Step<Config>> {
        if self.config.is_none() {
            let context = ready!(self.step_context()?);
            let (side, settings) = (self.side, Arc::clone(&self.settings));
            self.config = Some(Config { side, settings, context });
        }
        Ok(Step::Done(self.config.clone().expect("made above")))
    }

    fn step_context(&mut self) -> Result<Step<SslContext>> {
        if let Some(context) = self.key.as_ref().and_then(context::kept) {
            return Ok(Step::Done(context));
        }
        let profile = &self.settings.profile;
        let loader = self.loader.get_or_insert_with(|| Loader::new(profile.clone()));
        let profile = ready!(loader.step()?);
        Ok(Step::Done(match &self.key {
            Some(key) => context::client(profile, key)?,
            None => context::server(profile, &self.settings)?,
        }))
    }
}

/// A side that has everything but its connection.
#[derive(Clone)]
pub struct Config {
    side: Side,
    settings: Arc<Settings>,
    context: SslContext,
}

impl Config {
    /// The same side again, with its files read anew.
    pub fn setup_again(&self) -> Result<Setup> {
        Setup::new(self.side, Settings::clone(&self.settings))
    }

    /// A connection whose handshake is to be made.
    pub fn begin(&self, carrier: Carrier, trace: Option<&Trace>) -> Result<Tls> {
        match self.side {
            Side::Client => self.connect(carrier, trace),
            Side::Server => self.accept(carrier, trace),
        }
    }

    fn connect(&self, carrier: Carrier, trace: Option<&Trace>) -> Result<Tls> {
        let settings = &self.settings;
        let mut ssl = Ssl::new(&self.context).map_err(openssl_error)?;
        expect(&mut ssl, &settings.server_name, settings.any_name).map_err(openssl_error)?;
        let verification = self.observe(&mut ssl, SslVerifyMode::PEER, &settings.server_name)?;
        if settings.profile.reports_ocsp {
            ssl.set_status_type(StatusType::OCSP).map_err(openssl_error)?;
        }
        // A key is proved anew each time.
        let session = settings.session.as_ref().filter(|_| settings.profile.psk.is_none());
        let offered = session.and_then(|bytes| Session::offered(bytes, settings, &self.context));
        if let Some(session) = &offered {
            resume(&mut ssl, session).map_err(openssl_error)?;
        }
        ssl.set_connect_state();
        let stream = SslStream::new(ssl, carrier).map_err(openssl_error)?;
        Ok(Tls::new(
            stream,
            HandshakeConfig { settings: Arc::clone(settings), verification, offered },
            trace,
        ))
    }

    /// The handshake may run with the first read or write, so that a silent client holds up nobody.
    fn accept(&self, carrier: Carrier, trace: Option<&Trace>) -> Result<Tls> {
        let mut ssl = Ssl::new(&self.context).map_err(openssl_error)?;
        let verification = self.observe(&mut ssl, self.context.verify_mode(), "the client")?;
        ssl.set_accept_state();
        let stream = SslStream::new(ssl, carrier).map_err(openssl_error)?;
        let config =
            HandshakeConfig { settings: Arc::clone(&self.settings), verification, offered: None };
        let mut tls = Tls::new(stream, config, trace);
        tls.share_carrier();
        Ok(tls)
    }

    /// Has written down what OpenSSL forgets: what the verification of `expected` sees, and what
    /// the messages tell.
    fn observe(
        &self,
        ssl: &mut Ssl,
        mode: SslVerifyMode,
        expected: &str,
    ) -> Result<Arc<Verification>> {
        let verification = Arc::new(Verification::new(expected));
        let (noted, settings) = (Arc::clone(&verification), Arc::clone(&self.settings));
        // A server that shows a certificate has not used the key that it should.
        let refuses = settings.profile.psk.is_some() && self.side == Side::Client;
        ssl.set_verify_callback(mode, move |ok, store| {
            let ok = ok || crl::is_ignored(store);
            noted.note(ok, store, &settings.profile);
            (ok || !settings.verify) && !refuses
        });
        Messages::watch(ssl).map_err(openssl_error)?;
        Ok(verification)
    }
}

/// Tells a client whom to expect: the name sent, the name or address verified (RFC 9525: the
/// subject's alternative names, never the CN).
fn expect(ssl: &mut Ssl, name: &str, any_name: bool) -> std::result::Result<(), ErrorStack> {
    if name.is_empty() {
        return Ok(());
    }
    let is_address = name.parse::<IpAddr>().is_ok();
    if any_name {
        return if is_address { Ok(()) } else { ssl.set_hostname(name) };
    }
    let param = ssl.param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    match name.parse::<IpAddr>() {
        Ok(address) => param.set_ip(address),
        Err(_) => {
            param.set_host(name)?;
            ssl.set_hostname(name)
        }
    }
}

#[allow(unsafe_code)]
fn resume(ssl: &mut SslRef, session: &Session) -> std::result::Result<(), ErrorStack> {
    // SAFETY: the session is decoded from bytes and belongs to no other context; it is offered only
    // with the settings that it was made with.
    unsafe { ssl.set_session(&session.resume) }
}

/// A handshake under way, for a caller that waits for nothing else.
pub struct Handshake {
    /// The connection, until it is known how to begin.
    waiting: Option<(Setup, Carrier, Option<Trace>)>,
    /// From then on, until both sides are through.
    tls: Option<Tls>,
}

impl Handshake {
    pub fn new(setup: Setup, carrier: Carrier, trace: Option<&Trace>) -> Self {
        Self { waiting: Some((setup, carrier, trace.cloned())), tls: None }
    }

    /// The transport, once both sides are through.
    pub fn step(&mut self) -> Result<Step<Tls>> {
        ready!(self.step_begin()?);
        let Some(tls) = &mut self.tls else { unreachable!("a step after the last") };
        ready!(tls.step_handshake()?);
        Ok(Step::Done(self.tls.take().expect("it was there above")))
    }

    /// The transport before its handshake, which is left to whoever reads or writes first.
    pub fn step_unshaken(&mut self) -> Result<Step<Tls>> {
        ready!(self.step_begin()?);
        let mut tls = self.tls.take().expect("it has begun");
        tls.share_carrier();
        Ok(Step::Done(tls))
    }

    fn step_begin(&mut self) -> Result<Step<()>> {
        if let Some((setup, ..)) = &mut self.waiting {
            let config = ready!(setup.step()?);
            let begin =
                |(_, carrier, trace): (_, _, Option<Trace>)| config.begin(carrier, trace.as_ref());
            self.tls = self.waiting.take().map(begin).transpose()?;
        }
        Ok(Step::Done(()))
    }

    /// What is known of the peer so far.
    pub fn report(&self) -> Option<Report> {
        self.tls.as_ref().map(Tls::report)
    }
}
