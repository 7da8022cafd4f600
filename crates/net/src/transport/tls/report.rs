//! The state of a connection's TLS, as plain data. Uses `certificate`, `memory`, `error`.

use openssl::stack::StackRef;
use openssl::x509::X509;

use super::certificate::{Certificate, not_after};
use super::failure::Failure;
use super::ocsp::Ocsp;
use crate::error::Result;
use crate::memory::reserve;

/// The result of a handshake, or its state so far.
#[derive(Clone)]
pub struct Report {
    /// This is a client whose handshake is still to be made, or to go on.
    pub is_pending: bool,
    /// None before it is negotiated; so is the cipher.
    pub version: Option<&'static str>,
    pub cipher: Option<&'static str>,
    pub alpn: Option<Vec<u8>>,
    /// The group of the key exchange.
    pub group: Option<String>,
    /// The scheme of the peer's signature in the handshake.
    pub signature_algorithm: Option<String>,
    pub resumed: bool,
    pub server_name: Option<String>,
    /// Whether there is a certificate that passes verification.
    pub verified: bool,
    /// Why verification fails, also if `verify` is off.
    pub failure: Option<Failure>,
    /// The chain as the peer has sent it, leaf first; of a resumed session what that carries.
    pub chain: Chain,
    /// The path that verification has built, leaf first, as far as it came; none if nothing was
    /// verified.
    pub verified_chain: Option<Chain>,
    /// What the server's OCSP response says, if it was asked for and has come.
    pub ocsp: Option<Ocsp>,
    /// The identity whose key both sides have.
    pub psk_identity: Option<Vec<u8>>,
    pub client_certificate_requested: bool,
    /// The issuers that a server wants the client's certificate to be from, if it wants one.
    pub acceptable_issuers: Option<Vec<Vec<u8>>>,
}

/// What was made of each certificate of a report.
pub struct Described<T> {
    pub chain: Vec<T>,
    pub verified_chain: Option<Vec<T>>,
}

impl Report {
    pub fn drop_certificates(&mut self) {
        (self.chain, self.verified_chain) = (Chain(Vec::new()), None);
    }

    /// Returns when the first certificate of the path expires, in seconds since 1970. If nothing
    /// has verified, the chain that was sent counts.
    pub fn expires(&self) -> Option<i64> {
        let verified = self.verified_chain.as_ref().filter(|_| self.failure.is_none());
        let path = verified.unwrap_or(&self.chain);
        path.0.iter().filter_map(|certificate| not_after(certificate)).min()
    }

    /// Returns OpenSSL's number for the result of the verification, 0 for a good one; none if there
    /// is no certificate.
    pub fn verify_code(&self) -> Option<i32> {
        let good = (!self.chain.0.is_empty()).then_some(0);
        self.failure.as_ref().map(|failure| failure.code).or(good)
    }

    /// Describes the certificates with `make`, each once: most of the path was sent.
    pub fn describe<T: Clone>(
        &self,
        mut make: impl FnMut(Certificate) -> Result<T>,
    ) -> Result<Described<T>> {
        let chain = self.chain.describe(&[], &mut make)?;
        let known: Vec<_> = self.chain.0.iter().zip(&chain).collect();
        let path = self.verified_chain.as_ref();
        let verified_chain = path.map(|path| path.describe(&known, &mut make)).transpose()?;
        Ok(Described { chain, verified_chain })
    }
}

/// Certificates, leaf first. Their fields are decoded on demand: a closed connection keeps them.
#[derive(Clone)]
pub struct Chain(pub(super) Vec<X509>);

impl Chain {
    /// Describes those that are not among the known ones.
    fn describe<T: Clone>(
        &self,
        known: &[(&X509, &T)],
        make: &mut impl FnMut(Certificate) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut described = Vec::new();
        for certificate in &self.0 {
            reserve(&mut described, 1)?;
            described.push(match known.iter().find(|(other, _)| *other == certificate) {
                Some((_, value)) => (*value).clone(),
                None => make(Certificate::of(certificate)?)?,
            });
        }
        Ok(described)
    }
}

/// Returns the certificates of a stack of OpenSSL's.
pub fn owned(stack: Option<&StackRef<X509>>) -> Vec<X509> {
    stack.map_or(Vec::new(), |stack| stack.iter().map(ToOwned::to_owned).collect())
}
