//! TLS over a TCP transport: the handshake and the records as steps, every outcome of OpenSSL
//! mapped in one place. OpenSSL is spoken to here and in the modules below, nowhere else. Uses
//! `transport::tcp`, `io::step`, `trace`, `error`.

mod ca_store;
mod certificate;
mod context;
mod failure;
mod hints;
mod profile;
mod session;

use std::mem;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, NameType, Ssl, SslContext, SslRef, SslStream, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::verify::X509CheckFlags;

use super::Transport;
use super::tcp::Tcp;
use crate::error::{Code, Error, Pending, Result};
use crate::io::step::{Step, Wait, Want, ready};
use crate::trace::{Phase, Trace};

pub use certificate::{Certificate, parse_pin};
use failure::VerifyFailure;
pub use profile::{Pem, Pin, Profile, Settings, Trust, Version};
use session::Session;

/// Largest plaintext of one record (RFC 8446, section 5.1), and so of one read.
const RECORD: usize = 16 * 1024;

/// OpenSSL's number for its SSL library: other libraries have other reasons under the same numbers.
const SSL_LIBRARY: i32 = 20;

// Reasons of that library, in sslerr.h.
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
const HTTP_REQUEST: i32 = 156;
const UNEXPECTED_EOF_WHILE_READING: i32 = 294;
const WRONG_VERSION_NUMBER: i32 = 267;

/// A client that has everything but its connection.
pub struct Client {
    ssl: Ssl,
    end: End,
}

/// What one end knows besides what OpenSSL does.
struct End {
    settings: Arc<Settings>,
    failure: Arc<VerifyFailure>,
    /// The session that is offered, if any.
    offered: Option<Session>,
}

impl Client {
    /// Prepares a handshake with the server that `settings` name.
    pub fn new(settings: Settings) -> Result<Self> {
        let context = context::client(&settings.profile)?;
        let mut ssl = Ssl::new(&context).map_err(failed)?;
        let failure = Arc::new(VerifyFailure::new(&settings.server_name));
        expect(&mut ssl, &settings, &failure).map_err(failed)?;
        let session = settings.session.as_ref();
        let offered = session.and_then(|bytes| Session::offered(bytes, &settings, &context));
        if let Some(session) = &offered {
            resume(&mut ssl, session).map_err(failed)?;
        }
        let end = End { settings: Arc::new(settings), failure, offered };
        Ok(Self { ssl, end })
    }

    pub fn handshake(mut self, tcp: Tcp, trace: Option<&Trace>) -> Result<Handshake> {
        self.ssl.set_connect_state();
        let stream = SslStream::new(self.ssl, tcp).map_err(failed)?;
        Ok(Handshake { tls: Some(Tls::new(stream, self.end, trace)) })
    }
}

/// Tells a client whom to expect: the name sent, the name or address verified (RFC 9525: the
/// subject's alternative names, never the CN), and where a failure is written down.
fn expect(
    ssl: &mut Ssl,
    settings: &Settings,
    failure: &Arc<VerifyFailure>,
) -> std::result::Result<(), ErrorStack> {
    let name = &settings.server_name;
    let param = ssl.param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    match name.parse::<IpAddr>() {
        Ok(address) => param.set_ip(address)?,
        Err(_) => {
            param.set_host(name)?;
            ssl.set_hostname(name)?;
        }
    }
    let (failure, verify) = (Arc::clone(failure), settings.verify);
    let system = settings.profile.trust.is_system();
    ssl.set_verify_callback(SslVerifyMode::PEER, move |ok, store| {
        if !ok {
            failure.note(store, system);
        }
        ok || !verify
    });
    Ok(())
}

#[allow(unsafe_code)]
fn resume(ssl: &mut SslRef, session: &Session) -> std::result::Result<(), ErrorStack> {
    // SAFETY: the session is decoded from bytes and belongs to no other context; it is offered only
    // with the settings that it was made with.
    unsafe { ssl.set_session(&session.resume) }
}

/// A server's context: certificate, key, and whom it trusts.
#[derive(Clone)]
pub struct Server {
    context: SslContext,
    settings: Arc<Settings>,
}

impl Server {
    pub fn new(settings: Settings) -> Result<Self> {
        let context = context::server(&settings)?;
        Ok(Self { context, settings: Arc::new(settings) })
    }

    /// The server's side of a connection. Its handshake runs with the first read or write, so that
    /// a silent client holds up nobody.
    pub fn accept(&self, mut tcp: Tcp, trace: Option<&Trace>) -> Result<Tls> {
        let mut ssl = Ssl::new(&self.context).map_err(failed)?;
        let failure = Arc::new(VerifyFailure::new("the client"));
        let (note, verify) = (Arc::clone(&failure), self.settings.verify);
        let system = self.settings.profile.trust.is_system();
        let mode = self.context.verify_mode();
        ssl.set_verify_callback(mode, move |ok, store| {
            if !ok {
                note.note(store, system);
            }
            ok || !verify
        });
        ssl.set_accept_state();
        // Whoever reads or writes first makes the handshake, and must not take what another waits
        // for.
        tcp.set_reads_ahead(false);
        let stream = SslStream::new(ssl, tcp).map_err(failed)?;
        let end = End { settings: Arc::clone(&self.settings), failure, offered: None };
        Ok(Tls::new(stream, end, trace))
    }
}

/// A client's handshake under way.
pub struct Handshake {
    /// Taken when the handshake is done.
    tls: Option<Tls>,
}

impl Handshake {
    /// The transport, once both sides are through.
    pub fn step(&mut self) -> Result<Step<Tls>> {
        let Some(tls) = &mut self.tls else { unreachable!("a step after the last") };
        ready!(tls.step_handshake()?);
        Ok(Step::Done(self.tls.take().expect("it was there above")))
    }

    /// What is known of the peer so far.
    pub fn report(&self) -> Option<Report> {
        self.tls.as_ref().map(Tls::report)
    }
}

/// What a handshake came to.
pub struct Report {
    pub version: &'static str,
    pub cipher: Option<&'static str>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
    pub server_name: Option<String>,
    /// Whether there is a certificate, and verification finds nothing wrong with it.
    pub verified: bool,
    /// What it finds wrong, also where it was not asked.
    pub verify_error: Option<String>,
    /// Leaf first.
    pub chain: Vec<Certificate>,
}

pub struct Tls {
    stream: SslStream<Tcp>,
    end: End,
    /// How the handshake ended; none before.
    outcome: Option<Result<()>>,
    tracing: Tracing,
}

/// What is traced of a handshake.
enum Tracing {
    Off,
    NotBegun(Trace),
    Begun(Phase),
}

impl Tls {
    fn new(stream: SslStream<Tcp>, end: End, trace: Option<&Trace>) -> Self {
        let tracing = trace.map_or(Tracing::Off, |trace| Tracing::NotBegun(trace.clone()));
        Self { stream, end, outcome: None, tracing }
    }

    /// Finishes a handshake that is pending. Nothing is read or written before it has ended well.
    pub fn step_handshake(&mut self) -> Result<Step<()>> {
        if let Some(outcome) = &self.outcome {
            return outcome.clone().map(Step::Done);
        }
        if let Tracing::NotBegun(trace) = &self.tracing {
            self.tracing = Tracing::Begun(trace.begin("tls"));
        }
        clear_errors();
        let result = self.stream.do_handshake();
        let outcome = match self.step(result) {
            Ok(Step::Wait(wait)) => return Ok(Step::Wait(wait.pending(Pending::Handshake))),
            Ok(Step::Done(())) => self.check_certificate().and_then(|()| self.check_pin()),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => Err(error),
        };
        self.stream.get_mut().set_reads_ahead(true);
        if let Tracing::Begun(phase) = mem::replace(&mut self.tracing, Tracing::Off) {
            match &outcome {
                Ok(()) => phase.end(self.summary()),
                Err(error) => phase.fail(error.reason()),
            }
        }
        self.outcome.insert(outcome).clone().map(Step::Done)
    }

    /// What the trace says of a handshake that ended well.
    fn summary(&self) -> String {
        let Report { version, cipher, alpn, resumed, verified, verify_error, .. } = self.report();
        let cipher = cipher.unwrap_or("no cipher");
        let session = if resumed { "resumed" } else { "new session" };
        let verified = match (verified, verify_error) {
            (true, _) => "verified".to_owned(),
            (false, Some(why)) => format!("not verified: {why}"),
            (false, None) => "no certificate".to_owned(),
        };
        let alpn = alpn.map(|name| format!(", ALPN {}", name.escape_ascii())).unwrap_or_default();
        format!("{version}, {cipher}, {session}{alpn}, {verified}")
    }

    pub fn report(&self) -> Report {
        let ssl = self.stream.ssl();
        let name = &self.end.settings.server_name;
        let server_name = match ssl.is_server() {
            true => ssl.servername(NameType::HOST_NAME).map(str::to_owned),
            false => Some(name.clone()),
        };
        let (verify_error, chain) = (self.verify_error(), self.chain());
        Report {
            version: ssl.version_str(),
            cipher: ssl.current_cipher().and_then(|cipher| cipher.standard_name()),
            alpn: ssl.selected_alpn_protocol().map(<[u8]>::to_vec),
            resumed: ssl.session_reused(),
            server_name,
            verified: verify_error.is_none() && !chain.is_empty(),
            verify_error,
            chain: chain.iter().filter_map(|each| Certificate::of(each).ok()).collect(),
        }
    }

    /// What resumes this session in a later connection; none before the server has sent it.
    pub fn session(&self) -> Result<Option<Vec<u8>>> {
        // The id is that of a ticket, or of a session that the server keeps.
        let ssl = self.stream.ssl();
        let Some(session) = ssl.session().filter(|session| !session.id().is_empty()) else {
            return Ok(None);
        };
        let resume = session.to_owned();
        let session = Session { resume, chain: self.chain(), failure: self.verify_error() };
        session.to_bytes(&self.end.settings, ssl.ssl_context()).map(Some).map_err(failed)
    }

    fn verify_error(&self) -> Option<String> {
        match self.resumed() {
            Some(session) => session.failure.clone(),
            None => self.end.failure.why().map(str::to_owned),
        }
    }

    /// The session that this connection goes on with.
    fn resumed(&self) -> Option<&Session> {
        self.end.offered.as_ref().filter(|_| self.stream.ssl().session_reused())
    }

    /// The peer's certificates, leaf first.
    fn chain(&self) -> Vec<X509> {
        if let Some(session) = self.resumed() {
            return session.chain.clone();
        }
        let ssl = self.stream.ssl();
        let Some(leaf) = ssl.peer_certificate() else { return self.end.failure.chain().to_vec() };
        // A client's list begins with the leaf, a server's does not.
        let sent = ssl.peer_cert_chain().map(|chain| chain.iter().map(ToOwned::to_owned));
        let others = sent.into_iter().flatten().filter(|other: &X509| *other != leaf);
        [leaf.clone()].into_iter().chain(others).collect()
    }

    /// A server must have shown a certificate if it is to be verified: some ciphers do without.
    fn check_certificate(&self) -> Result<()> {
        let ssl = self.stream.ssl();
        let is_shown = ssl.peer_certificate().is_some() || self.resumed().is_some();
        if self.end.settings.verify && !ssl.is_server() && !is_shown {
            return Err(Error::new(Code::Certificate, "the server showed no certificate"));
        }
        Ok(())
    }

    /// Pins count besides the chain, and also where the chain does not.
    fn check_pin(&self) -> Result<()> {
        let pins = &self.end.settings.pins;
        if pins.is_empty() {
            return Ok(());
        }
        let key = self.chain().first().and_then(|leaf| certificate::pin(leaf).ok());
        if key.is_some_and(|key| pins.contains(&key)) {
            return Ok(());
        }
        let detail = match key {
            Some(key) => {
                let key = openssl::base64::encode_block(&key);
                format!("pin mismatch: the public key's SHA-256 is {key}")
            }
            None => "pin mismatch: there is no certificate".to_owned(),
        };
        Err(Error::new(Code::Certificate, detail))
    }

    /// What an outcome of OpenSSL means: done, a wait in the direction that it asks for (which need
    /// not be the operation's own), or an error.
    fn step<T>(&mut self, result: std::result::Result<T, ssl::Error>) -> Result<Step<T>> {
        let transient = self.stream.get_mut().take_transient();
        let error = match result {
            Ok(value) => return Ok(Step::Done(value)),
            Err(error) => error,
        };
        let wait = |want| match transient {
            Some(errno) => Err(errno.into()),
            None => Ok(Step::Wait(Wait::new(&self.fd(), want))),
        };
        match error.code() {
            ErrorCode::WANT_READ => wait(Want::Read),
            ErrorCode::WANT_WRITE => wait(Want::Write),
            // Over TLS 1.3 a server refuses a client's certificate after the handshake.
            _ if self.stream.ssl().is_init_finished() => Err(self.advised(error)),
            _ => Err(self.handshake_error(error)),
        }
    }

    #[cold]
    fn handshake_error(&self, error: ssl::Error) -> Error {
        if first_reason(&error) == Some(CERTIFICATE_VERIFY_FAILED) {
            let why = self.end.failure.why().unwrap_or("verification failed");
            return Error::new(Code::Certificate, why);
        }
        if is_end(&error) {
            return Error::closed("end of stream in the TLS handshake");
        }
        let is_plain = matches!(first_reason(&error), Some(WRONG_VERSION_NUMBER | HTTP_REQUEST));
        let Profile { min_version, ciphers, .. } = &self.end.settings.profile;
        let old = *min_version < Version::Tls12 && ciphers.is_none();
        let error = if is_plain || old { record_error(error) } else { self.advised(error) };
        let detail = error.detail();
        Error::new(
            error.code(),
            match error.code() {
                Code::Tls if is_plain => format!("the peer does not speak TLS ({detail})"),
                Code::Tls if old => format!(
                    "handshake failed: {detail} (OpenSSL wants ciphers = \
                     \"DEFAULT:@SECLEVEL=0\" besides for a version below 1.2)"
                ),
                Code::Tls => format!("handshake failed: {detail}"),
                _ => format!("{detail} in the TLS handshake"),
            },
        )
    }

    /// A failure, with the option that it may be about.
    #[cold]
    fn advised(&self, error: ssl::Error) -> Error {
        let hints = first_reason(&error).and_then(|reason| match self.stream.ssl().is_server() {
            true => hints::to_server(reason),
            false => hints::to_client(reason, &self.end.settings),
        });
        let error = record_error(error);
        match hints {
            Some(hints) => Error::new(error.code(), format!("{} ({hints})", error.detail())),
            None => error,
        }
    }
}

impl Transport for Tls {
    #[allow(unsafe_code)]
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        let spare = into.spare_capacity_mut();
        let room = spare.len().min(RECORD);
        clear_errors();
        let result = match self.stream.ssl_read_uninit(&mut spare[..room]) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
            Err(error) if is_end(&error) && self.end.settings.ignore_truncation => Ok(0),
            other => other,
        };
        if let Ok(count) = result {
            // SAFETY: OpenSSL has written so many bytes behind those that were there.
            unsafe { into.set_len(into.len() + count) };
        }
        self.step(result)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        clear_errors();
        let result = self.stream.ssl_write(bytes);
        self.step(result)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        ready!(self.step_handshake()?);
        clear_errors();
        let result = self.stream.shutdown();
        Ok(self.step(result)?.map(drop))
    }

    fn part(&mut self) {
        clear_errors();
        // Best effort, as the contract has it: nobody waits for the peer's answer.
        let _ = self.stream.shutdown();
        clear_errors();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().fd()
    }

    fn pending(&self) -> usize {
        self.stream.ssl().pending()
    }

    fn has_unseen(&self) -> bool {
        self.stream.get_ref().has_ahead()
    }

    fn as_tls(&mut self) -> Option<&mut Tls> {
        Some(self)
    }
}

/// OpenSSL's queue of errors belongs to the thread: an entry that another library left there would
/// be taken for the outcome of the next operation.
fn clear_errors() {
    drop(ErrorStack::get());
}

/// Whether the stream ended where TLS does not end it.
fn is_end(error: &ssl::Error) -> bool {
    match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none(),
        ErrorCode::SSL => first_reason(error) == Some(UNEXPECTED_EOF_WHILE_READING),
        _ => false,
    }
}

fn first_reason(error: &ssl::Error) -> Option<i32> {
    let first = error.ssl_error()?.errors().first()?;
    (first.library_code() == SSL_LIBRARY).then(|| first.reason_code())
}

/// A failure of what is carried, or of the carrier.
#[cold]
fn record_error(error: ssl::Error) -> Error {
    if is_end(&error) {
        return Error::closed("end of stream without TLS close_notify");
    }
    if error.code() == ErrorCode::ZERO_RETURN {
        return Error::closed("the peer has closed the connection");
    }
    match error.into_io_error() {
        Ok(error) => error.into(),
        Err(error) => {
            Error::new(Code::Tls, error.ssl_error().map_or_else(|| error.to_string(), reasons))
        }
    }
}

/// OpenSSL's own words for a failure, all of them.
fn reasons(stack: &ErrorStack) -> String {
    let words: Vec<_> = stack.errors().iter().filter_map(|error| error.reason()).collect();
    if words.is_empty() { stack.to_string() } else { words.join(", ") }
}

/// A failure to set something up, before there is a peer.
#[cold]
fn failed(stack: ErrorStack) -> Error {
    Error::new(Code::Tls, reasons(&stack))
}
