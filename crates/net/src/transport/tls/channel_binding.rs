//! Channel bindings: bytes that both ends of a TLS connection know, and nobody between them. Uses
//! `ffi`, `errors`, `stream`, `error`.

use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::ssl::SslVersion;
use openssl::x509::X509;

use super::errors::{clear_errors, openssl_error};
use super::ffi;
use super::stream::Tls;
use crate::error::{Code, Error, Result};

/// The kinds of channel bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Keying material of this connection (RFC 9266).
    Exporter,
    /// The hash of the server's certificate (RFC 5929, section 4).
    ServerEndPoint,
}

impl Tls {
    /// Returns the bytes of a channel binding, once the handshake has ended.
    pub fn channel_binding(&self, kind: ChannelBinding) -> Result<Vec<u8>> {
        self.check_outcome()?;
        match kind {
            ChannelBinding::Exporter => self.exporter(),
            ChannelBinding::ServerEndPoint => self.server_end_point(),
        }
    }

    /// Returns keying material of this connection (RFC 5705), once the handshake has ended. Below
    /// TLS 1.3 an empty context is another one than none.
    pub fn keying_material(
        &self,
        label: &str,
        size: usize,
        context: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        self.check_outcome()?;
        let mut bytes = vec![0; size];
        let ssl = self.stream.ssl();
        ssl.export_keying_material(&mut bytes, label, context).map_err(openssl_error)?;
        Ok(bytes)
    }

    fn check_outcome(&self) -> Result<()> {
        match &self.outcome {
            Some(outcome) => outcome.clone()?,
            None => return Err(none("no channel binding before the handshake has been made")),
        }
        clear_errors();
        Ok(())
    }

    /// Without the extended master secret of RFC 7627, two connections of TLS 1.2 can be made to
    /// have the same keys.
    fn exporter(&self) -> Result<Vec<u8>> {
        let ssl = self.stream.ssl();
        if ssl.version2() != Some(SslVersion::TLS1_3) && ssl.extms_support() != Some(true) {
            let version = ssl.version_str();
            let detail =
                format!("no tls-exporter over {version} without extended master secret (RFC 7627)");
            return Err(none(detail));
        }
        let mut bytes = vec![0; 32];
        // An empty context, which below TLS 1.3 is another one than none (RFC 5705, section 4).
        ssl.export_keying_material(&mut bytes, "EXPORTER-Channel-Binding", Some(&[]))
            .map_err(openssl_error)?;
        Ok(bytes)
    }

    fn server_end_point(&self) -> Result<Vec<u8>> {
        let ssl = self.stream.ssl();
        let certificate = match ssl.is_server() {
            true => ssl.certificate().map(ToOwned::to_owned),
            false => self.chain().into_iter().next(),
        };
        let Some(certificate) = certificate else {
            return Err(none("no tls-server-end-point, the server has shown no certificate"));
        };
        let Some(digest) = digest(&certificate) else {
            let algorithm = certificate.signature_algorithm().object().to_string();
            let detail = format!(
                "no tls-server-end-point, the certificate's signature ({algorithm}) has no hash"
            );
            return Err(none(detail));
        };
        let der = certificate.to_der().map_err(openssl_error)?;
        hash(digest, &der).map(|bytes| bytes.to_vec()).map_err(openssl_error)
    }
}

/// Returns the hash of the certificate's signature; for MD5 and SHA-1, SHA-256 takes their place.
fn digest(certificate: &X509) -> Option<MessageDigest> {
    match ffi::signature_digest(certificate)? {
        Nid::UNDEF => None,
        Nid::MD5 | Nid::SHA1 => Some(MessageDigest::sha256()),
        nid => MessageDigest::from_nid(nid),
    }
}

#[cold]
fn none(detail: impl Into<String>) -> Error {
    Error::new(Code::Tls, detail.into())
}
