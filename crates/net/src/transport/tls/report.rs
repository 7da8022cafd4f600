//! The state of a connection's TLS, as plain data.

use openssl::x509::X509;

use super::certificate::Certificate;
use super::ocsp::Ocsp;

/// The result of a handshake, or its state so far.
#[derive(Clone)]
pub struct Report {
    /// None before it is negotiated; so is the cipher.
    pub version: Option<&'static str>,
    pub cipher: Option<&'static str>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
    pub server_name: Option<String>,
    /// Whether there is a certificate that passes verification.
    pub verified: bool,
    /// Why verification fails, also if `verify` is off.
    pub verify_error: Option<String>,
    /// The chain as the peer has sent it, leaf first.
    pub chain: Chain,
    /// The path that verification has built, leaf first; none if this handshake verified nothing.
    pub verified_chain: Option<Chain>,
    /// What the server's OCSP response says, if it was asked for and has come.
    pub ocsp: Option<Ocsp>,
    /// The identity whose key both sides have.
    pub psk_identity: Option<Vec<u8>>,
}

impl Report {
    pub fn drop_certificates(&mut self) {
        (self.chain, self.verified_chain) = (Chain(Vec::new()), None);
    }
}

/// Certificates, leaf first. Their fields are decoded on demand: a closed connection keeps them.
#[derive(Clone)]
pub struct Chain(pub(super) Vec<X509>);

impl Chain {
    pub fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.0.iter().map(|each| Certificate::of(each))
    }
}
