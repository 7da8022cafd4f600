//! What a script may set of TLS, checked as far as that goes without a file or a peer.

use std::fs;
use std::path::PathBuf;

use crate::error::{Code, Error, Result, system_text};

/// PEM text, or a file of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    File(PathBuf),
    Text(Vec<u8>),
}

impl Pem {
    /// The text; `option` is its name in messages, which never show what is in it.
    pub fn read(&self, option: &str) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => fs::read(path).map_err(|error| {
                let (path, why) = (path.display(), system_text(&error));
                Error::new(Code::Io, format!("cannot read {option}_file '{path}': {why}"))
            }),
        }
    }

    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }
}

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
}

impl Trust {
    pub fn is_system(&self) -> bool {
        self.certificates.is_empty() && self.dir.is_none()
    }
}

/// What an OpenSSL context is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    pub trust: Trust,
    /// Our own certificate, the chain behind it; its key may stand in the same PEM.
    pub certificate: Option<Pem>,
    pub key: Option<Pem>,
    pub key_password: Option<Vec<u8>>,
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
