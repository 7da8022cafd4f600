//! What a script may set of TLS, checked as far as that goes without a file or a peer.

use std::path::PathBuf;
use std::sync::Arc;

use super::pem::Pem;
use crate::connect::host;
use crate::error::{Code, Error, Result};

/// Versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Version {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// Whose signatures count: the system's store where nothing is named.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    pub certificates: Vec<Pem>,
    /// A folder of PEM certificates, named by hash as `openssl rehash` does.
    pub dir: Option<PathBuf>,
    /// The file of the system's store, where it is a pipe.
    pub pipe: Option<Pem>,
}

impl Trust {
    pub fn is_system(&self) -> bool {
        self.certificates.is_empty() && self.dir.is_none()
    }

    /// Whether certificates are looked for in folders, during the handshake.
    pub fn has_folders(&self) -> bool {
        self.is_system() || self.dir.is_some()
    }
}

/// What an OpenSSL context is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    pub trust: Trust,
    /// Our own certificate, the chain behind it; its key may stand in the same PEM.
    pub certificate: Option<Pem>,
    pub key: Option<Pem>,
    pub key_password: Option<Arc<Vec<u8>>>,
    pub min_version: Version,
    pub max_version: Option<Version>,
    /// For TLS 1.2 and below, in OpenSSL's notation.
    pub ciphers: Option<String>,
    /// For TLS 1.3.
    pub ciphersuites: Option<String>,
    /// Protocol names, preferred first (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Write the keys to the file that `SSLKEYLOGFILE` names.
    pub keylog: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            certificate: None,
            key: None,
            key_password: None,
            min_version: Version::Tls12,
            max_version: None,
            ciphers: None,
            ciphersuites: None,
            alpn: Vec::new(),
            keylog: false,
        }
    }
}

impl Profile {
    /// The names of ALPN as they go over the wire (RFC 7301, section 3.1).
    pub fn alpn_wire(&self) -> Vec<u8> {
        self.alpn.iter().flat_map(|name| [&[name.len() as u8], &**name].concat()).collect()
    }
}

/// SHA-256 of a public key (SPKI).
pub type Pin = [u8; 32];

/// A host as certificates have it: an address without brackets and zone, or a name in ASCII without
/// the dot that may end it.
pub fn server_name(host: &str) -> Result<String> {
    // A zone is this machine's affair.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if let Some(ip) = host::literal(host).or_else(|| host::literal(address)) {
        return Ok(ip.to_string());
    }
    let name = host::ascii(host)?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    // For OpenSSL an empty name is any, one that begins with a dot a whole domain, and a wildcard
    // itself.
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(name.to_owned()),
        false => Err(Error::new(Code::Dns, "not a name")),
    }
}

/// The settings of one end.
#[derive(Clone)]
pub struct Settings {
    /// The name or address that the peer's certificate must be for. A name, in ASCII and without
    /// the dot that may end it, is also sent as SNI (RFC 6066, section 3).
    pub server_name: String,
    /// Refuse a certificate that does not verify.
    pub verify: bool,
    /// One of these must be the peer's key, whatever else is verified; none: any may.
    pub pins: Vec<Pin>,
    /// Take an end of stream without close_notify for the end.
    pub ignore_truncation: bool,
    /// What `Tls::session` gave earlier.
    pub session: Option<Vec<u8>>,
    /// Shared with the context that is kept for it.
    pub profile: Profile,
}

impl Settings {
    /// The defaults for a server of that name: verified, TLS 1.2 or newer.
    pub fn new(server_name: String) -> Self {
        Self {
            server_name,
            verify: true,
            pins: Vec::new(),
            ignore_truncation: false,
            session: None,
            profile: Profile::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_a_host_name_or_an_address() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        for (host, name) in [
            ("example.test", "example.test"),
            ("example.test.", "example.test"),
            ("_service.EXAMPLE.test", "_service.EXAMPLE.test"),
            ("bücher.test", "xn--bcher-kva.test"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            (&long, &long),
        ] {
            assert_eq!(server_name(host).expect(host), name);
        }
        let (longer, label) = (format!("e{long}"), "a".repeat(64));
        for host in ["", ".", "..", ".a", "a..b", "*.test", "a.*", "a b", "a\0b", &longer, &label] {
            assert_eq!(server_name(host).expect_err(host).code(), Code::Dns);
        }
    }
}
