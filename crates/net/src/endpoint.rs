//! A host and a port, as scripts give them and as messages name them. Uses `connect::host`,
//! `error`.

use std::fmt;
use std::net::SocketAddr;

use crate::connect::host;
use crate::error::{address_text, printable};

#[derive(Clone, Debug)]
pub struct Endpoint {
    /// A name, or an address with or without brackets.
    pub host: String,
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address_text(&address), port: address.port() }
    }
}

/// The addresses of both sides of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// As people read it: `[::1]:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host.contains(':').then(|| host::literal(&self.host)).flatten() {
            Some(ip) => ip.to_string(),
            None => printable(without_brackets(&self.host)),
        };
        // Also around an address with a zone, which is no literal of ours.
        match host.contains(':') && !host.starts_with('[') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

/// An address as it is between brackets; all else as it is.
fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.filter(|inner| inner.contains(':')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_people_write_it() {
        let text = |host: &str| Endpoint { host: host.to_owned(), port: 80 }.to_string();
        assert_eq!(text("example.com"), "example.com:80");
        assert_eq!(text("::1"), "[::1]:80");
        assert_eq!(text("[::1]"), "[::1]:80");
        assert_eq!(text("fe80::1%eth0"), "[fe80::1%eth0]:80");
        assert_eq!(text("[fe80::1%eth0]"), "[fe80::1%eth0]:80");
        assert_eq!(text("[::1]:443"), "[::1]:443:80");
        assert_eq!(text("[]"), "[]:80");
        assert_eq!(text("a\0\n"), "a\\u{0}\\n:80");
    }
}
