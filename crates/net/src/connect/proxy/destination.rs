//! Whom a proxy is asked for. Uses `connect::host`, `endpoint`, `error`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::connect::host::{TOO_LONG, ascii, is_plain, literal};
use crate::endpoint::Endpoint;
use crate::error::{Code, Error, Result};

/// The longest name of DNS as text, a dot at its end included.
const LONGEST: usize = 254;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Address(IpAddr, u16),
    /// A name for the proxy to resolve, in ASCII.
    Name(String, u16),
}

impl Destination {
    /// Where names are the proxy's affair.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        let host = endpoint.host.as_str();
        if let Some(ip) = literal(host).or_else(|| without_zone(host)) {
            return Ok(Self::Address(ip, endpoint.port));
        }
        let name = ascii(host)?;
        if name.len() > LONGEST {
            return Err(Error::new(Code::Dns, TOO_LONG));
        }
        // The proxy reads the name as a part of its own syntax.
        match is_plain(&name) && !name.starts_with('.') {
            true => Ok(Self::Name(name, endpoint.port)),
            false => Err(Error::new(Code::Dns, "not a name")),
        }
    }
}

/// An IPv6 address that has a zone, which is a part of this machine alone.
fn without_zone(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let (address, zone) = inner.split_once('%')?;
    literal(address).filter(|ip| ip.is_ipv6() && is_plain(zone))
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address.ip(), address.port())
    }
}

/// As a URI has it (RFC 3986, section 3.2).
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip, port) => SocketAddr::new(*ip, *port).fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_name_or_an_address_without_a_zone() {
        let text = |host: &str| {
            let destination = Destination::new(&Endpoint { host: host.to_owned(), port: 80 });
            destination.map(|destination| destination.to_string())
        };
        let long = "a.".repeat(126) + "a";
        for (host, expected) in [
            ("example.com", "example.com:80"),
            ("example.com.", "example.com.:80"),
            ("bücher.example", "xn--bcher-kva.example:80"),
            ("192.0.2.7", "192.0.2.7:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("fe80::1%eth0", "[fe80::1]:80"),
            ("[fe80::1%eth0]", "[fe80::1]:80"),
            (&long, &format!("{long}:80")),
        ] {
            assert_eq!(text(host).expect(host), expected);
        }
        for host in [
            "",
            "a b",
            "a\r\nb",
            "a/b",
            "127.1",
            &"a.".repeat(150),
            "169.254.169.254]x.example.com",
            "169.254.169.254%.example.com",
            "[::1]x",
            "::1%a/b",
            "127.0.0.1：22",
            "127.0.0.1:22:80",
            "a¨b.example",
            "a／b＃c",
            "\u{ad}",
        ] {
            assert_eq!(text(host).expect_err(host).code(), Code::Dns, "{host}");
        }
    }
}
