//! What a handshake must have shown besides what OpenSSL checks: a certificate, a pinned key, a key
//! in common. And what it has shown on request, an OCSP response. Uses `certificate`, `ocsp`,
//! `stream`, `error`.

use openssl::x509::X509;

use super::certificate;
use super::ocsp::Ocsp;
use super::profile::Settings;
use super::stream::Tls;
use crate::error::{Code, Error, Result};

impl Tls {
    /// Whether the peer is the one that the settings want, after a handshake that ended well.
    pub(super) fn check_peer(&self) -> Result<()> {
        self.check_certificate()?;
        self.check_pin()
    }

    /// A server must have shown a certificate if it is to be verified, or have used the key in
    /// common: some ciphers do without both.
    fn check_certificate(&self) -> Result<()> {
        let ssl = self.stream.ssl();
        let is_shown = ssl.peer_certificate().is_some() || self.resumed().is_some();
        let Settings { verify, profile, .. } = &*self.config.settings;
        if ssl.is_server() {
            return Ok(());
        }
        if let Some(psk) = &profile.psk {
            return match psk.used(ssl) {
                Some(_) => Ok(()),
                None => Err(Error::new(Code::Tls, "the server does not use psk")),
            };
        }
        if *verify && !is_shown {
            return Err(Error::new(Code::Certificate, "the server showed no certificate"));
        }
        Ok(())
    }

    /// Pins count besides the chain, and also where the chain does not.
    fn check_pin(&self) -> Result<()> {
        let Settings { pins, profile, .. } = &*self.config.settings;
        let ssl = self.stream.ssl();
        // A client that has a key in common needs no certificate.
        let has_key = || profile.psk.as_ref().is_some_and(|psk| psk.used(ssl).is_some());
        if pins.is_empty() || (ssl.is_server() && has_key()) {
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

    /// What the response says that the server has stapled; none if it was not asked for.
    pub(super) fn ocsp(&self, chain: &[X509], path: Option<&[X509]>) -> Option<Ocsp> {
        let ssl = self.stream.ssl();
        let asks = self.config.settings.profile.reports_ocsp && !ssl.session_reused();
        let response = ssl.ocsp_status().filter(|response| asks && !response.is_empty())?;
        Some(Ocsp::of(response, chain, path.unwrap_or_default()))
    }

    /// The identity whose key this connection has used, once the handshake has ended well.
    pub(super) fn psk_identity(&self) -> Option<Vec<u8>> {
        let psk = self.config.settings.profile.psk.as_ref()?;
        matches!(self.outcome, Some(Ok(()))).then(|| psk.used(self.stream.ssl())).flatten()
    }
}
