//! What an outcome of OpenSSL means for a connection: done, a wait, or a failure in words. Uses
//! `errors`, `hints`, `io::step`, `error`.

use openssl::ssl::{self, ErrorCode, SslVersion};

use super::errors::*;
use super::ffi::Messages;
use super::hints;
use super::profile::{Profile, Version};
use super::stream::Tls;
use crate::error::{Code, Error, Result};
use crate::io::step::{Step, Wait, Want};
use crate::transport::Transport;
use crate::transport::tcp::Reason;

/// The failure of a client that has a key in common with the server.
const NO_KEY_USED: &str =
    "the server shows a certificate instead of using psk, perhaps it does not know the identity";

impl Tls {
    /// What an outcome of OpenSSL means: done, a wait in the direction that it asks for (which need
    /// not be the operation's own), or an error.
    pub(super) fn step<T>(
        &mut self,
        result: std::result::Result<T, ssl::Error>,
    ) -> Result<Step<T>> {
        let reason = self.stream.get_mut().take_reason();
        let error = match result {
            Ok(value) => return Ok(Step::Done(value)),
            Err(error) => error,
        };
        let want = match error.code() {
            ErrorCode::WANT_READ => Want::Read,
            ErrorCode::WANT_WRITE => Want::Write,
            _ => {
                let broken = match reason {
                    Some(Reason::Broken(error)) => Some(error),
                    _ => None,
                };
                return Err(self.failure(error, broken));
            }
        };
        match reason {
            Some(Reason::Failed(error)) => Err(error),
            Some(Reason::Yield) => Ok(Step::Wait(Wait::yield_now(&self.fd()))),
            Some(Reason::Wait(wait)) => Ok(Step::Wait(*wait)),
            // OpenSSL goes on to read where the peer need not get what was written.
            Some(Reason::Broken(_)) | None => Ok(Step::Wait(Wait::new(&self.fd(), want))),
        }
    }

    /// A failure, with the alert that tells it. `broken` is that of what carries the TLS.
    #[cold]
    fn failure(&self, error: ssl::Error, broken: Option<Error>) -> Error {
        let messages = Messages::of(self.stream.ssl());
        let alert = peers_alert(&error).or_else(|| messages.and_then(Messages::sent_alert));
        let error = match self.outcome {
            // Over TLS 1.3 a server refuses a client's certificate after the handshake.
            Some(_) => self.advised(error, broken),
            None => self.handshake_error(error, broken),
        };
        match error.code() {
            Code::Tls | Code::Certificate => error.with_alert(alert).in_phase_unless_known("tls"),
            _ => error,
        }
    }

    #[cold]
    fn handshake_error(&self, error: ssl::Error, broken: Option<Error>) -> Error {
        if let Some(shortage) = self.config.verification.shortage() {
            return shortage.clone();
        }
        if reason_codes(&error).any(|reason| reason == CERTIFICATE_VERIFY_FAILED) {
            if self.config.settings.profile.psk.is_some() && !self.stream.ssl().is_server() {
                return Error::new(Code::Tls, NO_KEY_USED);
            }
            let failure = self.config.verification.failure();
            let words = failure.map_or("verification failed", |failure| &failure.words);
            return Error::new(Code::Certificate, words);
        }
        if is_end(&error) {
            // Zabbix agents, for one, send no alert.
            return Error::closed(match self.config.settings.profile.psk.is_some() {
                true => "end of stream in the TLS handshake (perhaps psk has another key there)",
                false => "end of stream in the TLS handshake",
            });
        }
        let has_hello = || Messages::of(self.stream.ssl()).is_some_and(Messages::has_hello);
        let is_plain = reason_codes(&error).any(|reason| match reason {
            WRONG_VERSION_NUMBER | HTTP_REQUEST => true,
            // OpenSSL 3.3 looks at the length of a record before its version.
            PACKET_LENGTH_TOO_LONG => !has_hello(),
            _ => false,
        });
        let Profile { min_version, ciphers, security_level, .. } = &self.config.settings.profile;
        let is_restricted = ciphers.is_some() || *security_level == Some(0);
        let is_outdated = self.outdated(&error).is_some();
        let old = *min_version < Version::Tls12 && !is_restricted && !is_outdated;
        let error = match is_plain || old {
            true => record_error(error, broken),
            false => self.advised(error, broken),
        };
        let detail = error.detail();
        let made = Error::new(
            error.code(),
            match error.code() {
                Code::Tls if is_plain => format!("the peer does not speak TLS ({detail})"),
                Code::Tls if old => format!(
                    "handshake failed: {detail} (OpenSSL wants ciphers = \
                     \"DEFAULT:@SECLEVEL=0\", or security_level = 0, besides for a version below 1.2)"
                ),
                Code::Tls => format!("handshake failed: {detail}"),
                _ => format!("{detail} in the TLS handshake"),
            },
        );
        // One of the TLS to a proxy has both.
        let made = made.with_alert(error.alert());
        match error.phase() {
            Some(phase) => made.in_phase(phase),
            None => made,
        }
    }

    /// A failure, with the option that it may be about.
    #[cold]
    fn advised(&self, error: ssl::Error, broken: Option<Error>) -> Error {
        let hint = self.hint(&error);
        let error = record_error(error, broken);
        match hint {
            Some(hint) => error.with_detail(|detail| format!("{detail} ({hint})")),
            None => error,
        }
    }

    fn hint(&self, error: &ssl::Error) -> Option<&'static str> {
        let (ssl, settings) = (self.stream.ssl(), &self.config.settings);
        let is_later = self.outcome.is_some() && ssl.version2() == Some(SslVersion::TLS1_3);
        self.refused_renegotiation().or_else(|| self.outdated(error)).or_else(|| {
            reason_codes(error).find_map(|reason| match ssl.is_server() {
                true if is_later => hints::to_server_later(reason, settings),
                true => hints::to_server(reason, settings),
                false if is_later => hints::to_client_later(reason, settings),
                false => hints::to_client(reason, settings),
            })
        })
    }

    /// The hint for a peer that has asked for a renegotiation, and has sent no payload since.
    pub fn refused_renegotiation(&self) -> Option<&'static str> {
        let ssl = self.stream.ssl();
        Messages::of(ssl)?.has_refused_renegotiation().then(|| match ssl.is_server() {
            true => hints::CLIENT_RENEGOTIATES,
            false => hints::SERVER_RENEGOTIATES,
        })
    }

    fn outdated(&self, error: &ssl::Error) -> Option<&'static str> {
        let has_old_hello = Messages::of(self.stream.ssl()).is_some_and(Messages::has_old_hello);
        reason_codes(error).find_map(|reason| hints::to_outdated(reason, has_old_hello))
    }

    /// What a handshake came to whose write has failed: the peer may have said why before it went.
    /// OpenSSL reads no further while it has something to send, so that is let go.
    #[cold]
    pub(super) fn handshake_refusal(&mut self, error: Error) -> Error {
        if error.code() != Code::Closed || !self.stream.get_mut().abandon_writes() {
            return error;
        }
        clear_errors();
        let result = self.stream.do_handshake();
        match self.step(result) {
            Err(refusal) if refusal.code() == Code::Tls => refusal,
            _ => error,
        }
    }

    /// What a write came to. One that fails because the peer has gone says why, where the peer
    /// does.
    pub(super) fn step_written<T>(
        &mut self,
        result: std::result::Result<T, ssl::Error>,
    ) -> Result<Step<T>> {
        match self.step(result) {
            Err(error) if error.code() == Code::Closed => Err(self.read_refusal().unwrap_or(error)),
            other => other,
        }
    }

    /// The peer's alert, if that is the next thing to be read.
    #[cold]
    pub(super) fn read_refusal(&mut self) -> Option<Error> {
        if self.refusal.is_some() {
            return self.refusal.clone();
        }
        clear_errors();
        let result = self.stream.ssl_peek(&mut [0]);
        self.refusal = self.step(result).err().filter(|error| error.code() == Code::Tls);
        self.refusal.clone()
    }
}
