//! A connection with TLS: its handshake, its records and its end as steps. Uses
//! `transport::carrier`, `io::step`, `io::fork`, `trace`, `error`.

use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use openssl::ssl::{self, ErrorCode, SslStream};
use openssl::x509::X509;

use super::errors::*;
use super::failure::Verification;
use super::ffi::Messages;
use super::profile::Settings;
use super::session::Session;
use crate::error::{Code, Error, Pending, Result};
use crate::io::deadline::now;
use crate::io::fork;
use crate::io::step::{Step, ready};
use crate::trace::{Phase, Trace};
use crate::transport::tcp::Tcp;
use crate::transport::{Carrier, Transport};

/// Largest plaintext of one record (RFC 8446, section 5.1), and so of one read.
const RECORD: usize = 16 * 1024;

/// What a handshake needs besides what OpenSSL keeps.
pub struct HandshakeConfig {
    pub settings: Arc<Settings>,
    pub verification: Arc<Verification>,
    /// The session that is offered, if any.
    pub offered: Option<Session>,
}

pub struct Tls {
    pub(super) stream: SslStream<Carrier>,
    pub(super) config: HandshakeConfig,
    /// How the handshake ended; none before.
    pub(super) outcome: Option<Result<()>>,
    /// What has ended the connection: OpenSSL takes what follows for a clean end.
    pub(super) refusal: Option<Error>,
    tracing: Tracing,
    /// When the handshake began, and when it ended.
    pub(super) begun: Option<f64>,
    pub(super) ended: Option<f64>,
    /// The count of forks when this process last shook hands, read or wrote.
    forks: u64,
}

/// What is traced of a handshake.
enum Tracing {
    Off,
    NotBegun(Trace),
    Begun(Phase),
}

impl Tls {
    pub fn new(stream: SslStream<Carrier>, config: HandshakeConfig, trace: Option<&Trace>) -> Self {
        let tracing = trace.map_or(Tracing::Off, |trace| Tracing::NotBegun(trace.clone()));
        let forks = fork::forks();
        let (outcome, refusal, begun, ended) = (None, None, None, None);
        Self { stream, config, outcome, refusal, tracing, begun, ended, forks }
    }

    /// Finishes a handshake that is pending. Nothing is read or written before it has ended well.
    pub fn step_handshake(&mut self) -> Result<Step<()>> {
        self.forks = fork::forks();
        if let Some(outcome) = &self.outcome {
            return outcome.clone().map(Step::Done);
        }
        self.begun.get_or_insert_with(now);
        if let Tracing::NotBegun(trace) = &self.tracing {
            self.tracing = Tracing::Begun(trace.begin("tls"));
        }
        clear_errors();
        let result = self.stream.do_handshake();
        let outcome = match self.step(result) {
            Ok(Step::Wait(wait)) => return Ok(Step::Wait(wait.pending(Pending::Handshake))),
            Ok(Step::Done(())) => self.check_peer(),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => Err(self.handshake_refusal(error)),
        };
        let outcome = outcome.map_err(|error| error.in_phase_unless_known("tls"));
        self.stream.get_mut().set_reads_ahead(true);
        self.outcome = Some(outcome.clone());
        self.ended = Some(now());
        if let Tracing::Begun(phase) = mem::replace(&mut self.tracing, Tracing::Off) {
            match &outcome {
                Ok(()) => phase.end(self.summary()),
                Err(error) => phase.fail(error.reason()),
            }
        }
        outcome.map(Step::Done)
    }

    /// What resumes this session in a later connection; none before the server has sent it.
    pub fn session(&self) -> Result<Option<Vec<u8>>> {
        // The id is that of a ticket, or of a session that the server keeps.
        let ssl = self.stream.ssl();
        let has_key = self.config.settings.profile.psk.is_some();
        let Some(session) = ssl.session().filter(|session| !session.id().is_empty() && !has_key)
        else {
            return Ok(None);
        };
        let resume = session.to_owned();
        let (chain, failure) = (self.chain(), self.unverified().cloned());
        let session = Session { resume, chain, path: None, failure };
        session.to_bytes(&self.config.settings, ssl.ssl_context()).map(Some).map_err(openssl_error)
    }

    /// The session that this connection goes on with.
    pub(super) fn resumed(&self) -> Option<&Session> {
        self.config.offered.as_ref().filter(|_| self.stream.ssl().session_reused())
    }

    /// The peer's certificates, leaf first.
    pub(super) fn chain(&self) -> Vec<X509> {
        if let Some(session) = self.resumed() {
            return session.chain.clone();
        }
        if let Some(sent) = self.config.verification.sent() {
            return sent.to_vec();
        }
        // A session that a server resumes has the leaf alone.
        self.stream.ssl().peer_certificate().into_iter().collect()
    }

    /// Says close_notify, as far as that goes without waiting, unless a reset is to overtake it.
    /// What the peer has said meanwhile is thrown away: unread, it costs the peer what was sent
    /// last. After a fork another process may go on, unless this one has used it since.
    fn say_goodbye(&mut self) {
        if self.forks != fork::forks() || self.stream.get_mut().is_reset_on_close() {
            return;
        }
        if matches!(self.outcome, Some(Ok(()))) {
            clear_errors();
            let _ = self.stream.shutdown();
            clear_errors();
        }
        // Where the handshake failed, what was sent last is the alert that says why.
        if self.outcome.is_some() {
            self.stream.get_mut().discard();
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

impl Transport for Tls {
    #[allow(unsafe_code)]
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        if let Some(error) = &self.refusal {
            return Err(error.clone());
        }
        let spare = into.spare_capacity_mut();
        let room = spare.len().min(RECORD);
        clear_errors();
        let is_clean = |error: &ssl::Error| {
            error.code() == ErrorCode::ZERO_RETURN
                || is_end(error) && self.config.settings.ignore_truncation
        };
        let result = match self.stream.ssl_read_uninit(&mut spare[..room]) {
            // A peer that ends because it may not renegotiate has not sent all that it would.
            Err(error) if is_clean(&error) && self.refused_renegotiation().is_none() => Ok(0),
            other => other,
        };
        if let Ok(count) = result {
            // SAFETY: OpenSSL has written so many bytes behind those that were there.
            unsafe { into.set_len(into.len() + count) };
            if count > 0
                && let Some(messages) = Messages::of(self.stream.ssl())
            {
                messages.note_payload();
            }
        }
        let step = self.step(result);
        // A write that comes later fails for the same reason.
        self.refusal = step.as_ref().err().filter(|error| error.code() == Code::Tls).cloned();
        step
    }

    /// Looks at the socket alone: what has come need not be payload.
    fn peek(&mut self) -> Result<Step<usize>> {
        self.stream.get_mut().as_transport().peek()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        clear_errors();
        let result = self.stream.ssl_write(bytes);
        self.step_written(result)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        ready!(self.step_handshake()?);
        clear_errors();
        let result = self.stream.shutdown();
        Ok(self.step_written(result)?.map(drop))
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

    fn has_begun(&self) -> bool {
        self.outcome.is_some()
    }

    fn has_records(&self) -> bool {
        self.outcome.is_some()
    }

    fn as_tcp(&mut self) -> Option<&mut Tcp> {
        self.stream.get_mut().as_transport().as_tcp()
    }

    fn as_tls(&mut self) -> Option<&mut Tls> {
        Some(self)
    }
}
