//! The ends of connections and listeners: as scripts give them, as messages name them, and as the
//! system knows them. Uses `connect::host`, `unix::address`, `unix::credentials`, `error`.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

use crate::connect::host;
use crate::io::system::Socket;
use crate::text::{address_text, printable};
use crate::unix::address::UnixAddress;
use crate::unix::credentials::{self, Credentials};

/// A host and a port.
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

/// What a script has named, and messages do: a host, or a Unix socket.
#[derive(Clone, Debug)]
pub enum Name {
    Host(Endpoint),
    Unix(UnixAddress),
}

impl Name {
    /// None of a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Host(endpoint) => Some(&endpoint.host),
            Self::Unix(_) => None,
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl From<Address> for Name {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(address) => Self::Host(address.into()),
            Address::Unix(address) => Self::Unix(address),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(endpoint) => endpoint.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

/// One end of a socket, as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Inet(SocketAddr),
    Unix(UnixAddress),
}

impl Address {
    /// None of a family that is neither.
    pub fn from_system(address: &SockAddr) -> Option<Self> {
        let unix = || UnixAddress::from_system(address).map(Self::Unix);
        address.as_socket().map(Self::Inet).or_else(unix)
    }

    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

/// The addresses of both sides of a connection.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub local: Address,
    pub remote: Address,
    /// Who the other side is, over a Unix socket.
    pub credentials: Option<Credentials>,
}

impl Addresses {
    /// What the system tells of a connected socket.
    pub fn of(socket: &Socket) -> io::Result<Self> {
        let known = |address: SockAddr| {
            Address::from_system(&address)
                .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
        };
        let (local, remote) = (socket.local_addr()?, socket.peer_addr()?);
        Ok(Self::new(socket, known(local)?, known(remote)?))
    }

    pub fn inet(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local: local.into(), remote: remote.into(), credentials: None }
    }

    /// Of a Unix socket with what the system tells of the other side besides.
    pub fn new(socket: &Socket, local: Address, remote: Address) -> Self {
        let credentials = if remote.is_unix() { credentials::of_peer(socket) } else { None };
        Self { local, remote, credentials }
    }

    /// Whom messages name. Most clients of a Unix socket have no name: it is the server's then.
    pub fn name(&self) -> Name {
        match &self.remote {
            Address::Unix(UnixAddress::Unnamed) => self.local.clone().into(),
            remote => remote.clone().into(),
        }
    }
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
