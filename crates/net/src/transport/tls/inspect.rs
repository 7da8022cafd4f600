//! What is known of a connection's handshake, at any time. Uses `stream`, `agreed`, `report`.

use openssl::ssl::NameType;
use openssl::x509::X509;

use super::agreed;
use super::failure::Failure;
use super::ffi::{self, Messages};
use super::report::{Chain, Report, owned};
use super::stream::Tls;
use crate::text::excerpt;

impl Tls {
    /// What the trace says of a handshake that ended well.
    pub(super) fn summary(&self) -> String {
        let Report { version, cipher, alpn, resumed, verified, failure, psk_identity, .. } =
            self.report();
        let (version, cipher) = (version.unwrap_or("no version"), cipher.unwrap_or("no cipher"));
        let session = if resumed { "resumed" } else { "new session" };
        let verified = match (verified, failure, psk_identity) {
            (true, ..) => "verified".to_owned(),
            (false, Some(failure), _) => format!("not verified: {}", failure.words),
            (false, None, Some(name)) => format!("the key of '{}'", excerpt(&name)),
            (false, None, None) => "no certificate".to_owned(),
        };
        let alpn = alpn.map(|name| format!(", ALPN {}", name.escape_ascii())).unwrap_or_default();
        format!("{version}, {cipher}, {session}{alpn}, {verified}")
    }

    pub fn report(&self) -> Report {
        let ssl = self.stream.ssl();
        let name = &self.config.settings.server_name;
        let server_name = match ssl.is_server() {
            true => ssl.servername(NameType::HOST_NAME).map(str::to_owned),
            false => Some(name.clone()).filter(|name| !name.is_empty()),
        };
        let (failure, chain) = (self.unverified(), self.chain());
        let cipher = ffi::agreed_cipher(ssl);
        let is_requested = Messages::of(ssl).is_some_and(Messages::has_requested_certificate);
        let is_resumed = ssl.session_reused() && self.config.settings.profile.psk.is_none();
        let path = self.verified_path();
        let signature = || agreed::signature_algorithm(ssl, chain.first().map(|leaf| &**leaf));
        // A peer that has shown a certificate proves that it has the key later in the handshake.
        let is_proved = matches!(self.outcome, Some(Ok(())));
        Report {
            is_pending: self.outcome.is_none() && !ssl.is_server(),
            version: cipher.map(|_| ssl.version_str()),
            cipher: cipher.and_then(|cipher| cipher.standard_name()),
            alpn: ssl.selected_alpn_protocol().map(<[u8]>::to_vec),
            group: agreed::group(ssl),
            signature_algorithm: if is_resumed { None } else { signature() },
            resumed: is_resumed,
            server_name,
            verified: is_proved && failure.is_none() && !chain.is_empty(),
            failure: failure.cloned(),
            ocsp: self.ocsp(&chain, path.as_deref()),
            verified_chain: path.map(Chain),
            chain: Chain(chain),
            psk_identity: self.psk_identity(),
            client_certificate_requested: is_requested,
            acceptable_issuers: (is_requested && !ssl.is_server())
                .then(|| agreed::acceptable_issuers(ssl).ok())
                .flatten(),
        }
    }

    /// Why the peer's certificate does not verify.
    pub(super) fn unverified(&self) -> Option<&Failure> {
        match self.resumed() {
            Some(session) => session.failure.as_ref(),
            None => self.config.verification.failure(),
        }
    }

    fn verified_path(&self) -> Option<Vec<X509>> {
        match self.resumed() {
            Some(session) => session.path.clone(),
            None => self.stream.ssl().verified_chain().map(|path| owned(Some(path))),
        }
    }
}
