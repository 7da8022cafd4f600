//! What is known of a connection's TLS, as plain data.

use openssl::x509::X509;

use super::alert::Alert;
use super::certificate::Certificate;

/// What a handshake came to, or how far it got.
#[derive(Clone)]
pub struct Report {
    /// None before it is agreed upon, as the cipher.
    pub version: Option<&'static str>,
    pub cipher: Option<&'static str>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
    pub server_name: Option<String>,
    /// Whether there is a certificate, and verification finds nothing wrong with it.
    pub verified: bool,
    /// What it finds wrong, also where it was not asked.
    pub verify_error: Option<String>,
    /// As the peer has sent it, leaf first.
    pub chain: Chain,
    /// The path that verification has built of it, leaf first; none where none was built in this
    /// handshake.
    pub verified_chain: Option<Chain>,
    /// The alert that has ended the connection.
    pub alert: Option<Alert>,
}

impl Report {
    pub fn drop_certificates(&mut self) {
        (self.chain, self.verified_chain) = (Chain(Vec::new()), None);
    }
}

/// Certificates, leaf first. What they say is looked up when somebody asks: a connection that is
/// closed keeps them.
#[derive(Clone)]
pub struct Chain(pub(super) Vec<X509>);

impl Chain {
    pub fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.0.iter().map(|each| Certificate::of(each))
    }
}
