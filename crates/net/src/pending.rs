//! What a call waits for: the words of its timeout. Uses `text`.

use std::fmt;
use std::net::SocketAddr;

use crate::text::address_text;

/// What a call waits for: the words of its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// An answer of the resolver, which has not been asked yet if `before` others have to be
    /// answered first.
    Resolution { before: usize },
    /// A connection to this address.
    Connecting(SocketAddr),
    /// Room in the backlog of a Unix socket's listener.
    Backlog,
    /// The end of the file that this option of TLS names, which is a pipe.
    File { option: &'static str },
    /// A proxy at this address: a connection to it, the end of the TLS handshake with it, its
    /// answer.
    Proxy(SocketAddr, ProxyStage),
    /// The addresses of a proxy.
    ProxyResolution,
    /// The PROXY header that comes before all else.
    ProxyHeader,
    /// What the server says before the TLS handshake, of which `have` bytes have come.
    StartTls { awaits: &'static str, have: usize },
    /// The end of the TLS handshake.
    Handshake,
    /// `have` of the `need` bytes of a packet's header have come.
    Header { have: usize, need: usize },
    /// `have` of `need` bytes have come.
    Bytes { have: usize, need: usize },
    /// `have` bytes have come; how many it takes is not known.
    More { have: usize },
    /// `have` of the `need` bytes of a skipped packet have come, and are gone.
    Skipping { have: u64, need: u64 },
    /// `have` bytes of a skipped packet have come, and are gone; how many it has is not known.
    SkippingMore { have: u64 },
    /// `have` of `need` bytes have been taken by the system.
    Sending { have: usize, need: usize },
    /// The rest of a file's certificates, of which `have` are read.
    Certificates { have: usize },
    /// A client of a listener.
    Client,
}

/// Returns the name of the option for the file of `option`, and `file` for the empty name.
pub fn file_option(option: &str) -> String {
    if option.is_empty() { "file".to_owned() } else { format!("{option}_file") }
}

/// How far the way through a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStage {
    Connecting,
    Handshake,
    Answer,
}

impl Pending {
    /// The phase of connecting that this belongs to, if it does.
    pub fn phase(self) -> Option<&'static str> {
        match self {
            Self::Resolution { .. } | Self::ProxyResolution => Some("dns"),
            Self::Connecting(_) | Self::Backlog | Self::Proxy(_, ProxyStage::Connecting) => {
                Some("connect")
            }
            Self::Proxy(..) | Self::ProxyHeader => Some("proxy"),
            Self::StartTls { .. } => Some("starttls"),
            Self::Handshake => Some("tls"),
            _ => None,
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolution { before: 0 } => f.write_str("name resolution"),
            Self::Resolution { before } => {
                write!(f, "name resolution, behind {before} lookups that have no answer yet")
            }
            Self::Connecting(address) => write!(f, "connecting to {}", address_text(address)),
            Self::Backlog => f.write_str("the backlog of its listener is full"),
            Self::File { option } => write!(f, "cannot read {} in time", file_option(option)),
            Self::Proxy(address, stage) => {
                let stage = match stage {
                    ProxyStage::Connecting => "connecting to",
                    ProxyStage::Handshake => "TLS handshake with",
                    ProxyStage::Answer => "answer of",
                };
                write!(f, "{stage} the proxy {address}")
            }
            Self::ProxyResolution => f.write_str("name resolution of the proxy"),
            Self::ProxyHeader => f.write_str("PROXY header"),
            Self::StartTls { awaits, have: 0 } => f.write_str(awaits),
            Self::StartTls { awaits, have } => write!(f, "{awaits}, after {have} bytes"),
            Self::Handshake => f.write_str("TLS handshake"),
            Self::Header { have, need } => write!(f, "{have} of {need} header bytes"),
            Self::Bytes { have, need } => write!(f, "{have} of {need} bytes"),
            Self::More { have } => write!(f, "after {have} bytes"),
            Self::Skipping { have, need } => write!(f, "{have} of {need} bytes skipped"),
            Self::SkippingMore { have } => write!(f, "{have} bytes skipped"),
            Self::Sending { have, need } => write!(f, "{have} of {need} bytes sent"),
            Self::Certificates { have } => write!(f, "after {have} certificates"),
            Self::Client => f.write_str("no client"),
        }
    }
}
