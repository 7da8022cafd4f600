//! The TLS options of a script, checked as far as this needs no file and no peer.

use std::path::PathBuf;
use std::sync::Arc;

use super::pem::Pem;
use super::psk::Psk;
use crate::connect::host;
use crate::error::{Code, Error, Result};

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Version {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// The trusted certificates: those of the system's store if none are named.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    pub certificates: Vec<Pem>,
    /// A folder of PEM certificates, named by hash as `openssl rehash` does.
    pub dir: Option<PathBuf>,
    /// The file of the system's store if it is a FIFO.
    pub pipe: Option<Pem>,
}

impl Trust {
    pub fn is_system(&self) -> bool {
        self.certificates.is_empty() && self.dir.is_none()
    }

    /// Whether OpenSSL looks for certificates in folders during the handshake.
    pub fn has_folders(&self) -> bool {
        self.is_system() || self.dir.is_some()
    }
}

/// A certificate of a server for one name, or for several.
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    /// In ASCII, in lower case, without a final dot; `*.` in front stands for one label.
    pub name: String,
    pub certificate: Option<Pem>,
    pub key: Option<Pem>,
    pub key_password: Option<Arc<Vec<u8>>>,
}

/// The options that an OpenSSL context is made from.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    pub trust: Trust,
    /// The certificate of this end, with its chain; the same PEM may hold the key.
    pub certificate: Option<Pem>,
    pub key: Option<Pem>,
    pub key_password: Option<Arc<Vec<u8>>>,
    /// Certificates of a server that are for some names alone.
    pub names: Vec<Named>,
    pub min_version: Version,
    pub max_version: Option<Version>,
    /// The ciphers of TLS 1.2 and below, in OpenSSL's notation.
    pub ciphers: Option<String>,
    /// The cipher suites of TLS 1.3.
    pub ciphersuites: Option<String>,
    /// The groups for the key exchange, in OpenSSL's notation.
    pub groups: Option<String>,
    /// The algorithms for signatures in the handshake, in OpenSSL's notation.
    pub signature_algorithms: Option<String>,
    /// How weak keys, signatures and ciphers may be: OpenSSL's levels, 0 to 5.
    pub security_level: Option<u8>,
    /// Each trusted certificate ends the path, root or not.
    pub partial_chain: bool,
    /// Lists of revoked certificates; that of the leaf's issuer must be among them. If empty,
    /// revocation is not checked.
    pub lists: Vec<Pem>,
    /// Ask the server for its OCSP response, which is then reported.
    pub reports_ocsp: bool,
    /// The keys that stand for certificates.
    pub psk: Option<Psk>,
    /// Connect to servers without secure renegotiation (RFC 5746).
    pub legacy_renegotiation: bool,
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
            names: Vec::new(),
            min_version: Version::Tls12,
            max_version: None,
            ciphers: None,
            ciphersuites: None,
            groups: None,
            signature_algorithms: None,
            security_level: None,
            partial_chain: false,
            lists: Vec::new(),
            reports_ocsp: false,
            psk: None,
            legacy_renegotiation: false,
            alpn: Vec::new(),
            keylog: false,
        }
    }
}

impl Profile {
    /// Returns the ALPN names in their wire format (RFC 7301, section 3.1).
    pub fn alpn_wire(&self) -> Vec<u8> {
        self.alpn.iter().flat_map(|name| [&[name.len() as u8], &**name].concat()).collect()
    }
}

/// SHA-256 of a public key (SPKI).
pub type Pin = [u8; 32];

/// Returns a host in the form that certificates use: an address without brackets and zone, or a
/// name in ASCII without a final dot.
pub fn server_name(host: &str) -> Result<String> {
    // The zone has a meaning on this machine only.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if let Some(ip) = host::literal(host).or_else(|| host::literal(address)) {
        return Ok(ip.to_string());
    }
    let name = host::ascii(host)?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    // OpenSSL takes an empty name for any, one with a leading dot for a domain, and * for a
    // wildcard.
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(name.to_owned()),
        false => Err(Error::new(Code::Dns, "not a name")),
    }
}

/// The settings of one end of a connection.
#[derive(Clone)]
pub struct Settings {
    /// The name or address that the peer's certificate must be for. A name is in ASCII without a
    /// final dot, and is also sent as SNI (RFC 6066, section 3). Empty: none is sent or verified.
    pub server_name: String,
    /// Refuse a certificate that does not verify.
    pub verify: bool,
    /// Leave the name out of what is verified.
    pub any_name: bool,
    /// A client need not show a certificate; one that it shows is verified.
    pub is_optional: bool,
    /// The peer must have one of these keys, also if nothing else is verified; if empty, any key.
    pub pins: Vec<Pin>,
    /// Treat an end of stream without close_notify as a clean end.
    pub ignore_truncation: bool,
    /// Connecting leaves the handshake to the first read or write.
    pub is_handshake_later: bool,
    /// The session that `Tls::session` returned for an earlier connection.
    pub session: Option<Vec<u8>>,
    /// The profile, which cached contexts share.
    pub profile: Profile,
}

impl Settings {
    /// Returns the defaults for a server of this name: verified, TLS 1.2 or newer.
    pub fn new(server_name: String) -> Self {
        Self {
            server_name,
            verify: true,
            any_name: false,
            is_optional: false,
            pins: Vec::new(),
            ignore_truncation: false,
            is_handshake_later: false,
            session: None,
            profile: Profile::default(),
        }
    }

    /// Whether a client must show a certificate. A pin is met by none.
    pub fn demands_certificate(&self) -> bool {
        self.verify && !self.is_optional || !self.pins.is_empty()
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
