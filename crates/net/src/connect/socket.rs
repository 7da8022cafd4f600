//! A socket that is going to be connected, and how it is set up. Uses `connect::host`,
//! `connect::announce`, `socket_options`, `trace`.

use std::io;
use std::net::SocketAddr;

#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Type};

use crate::connect::announce::ProxyProtocol;
use crate::connect::host::Family;
use crate::io::system::Socket;
use crate::socket_options::SocketOptions;
use crate::trace::Trace;

/// How to connect to a host.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub family: Option<Family>,
    /// Local address to connect from; port 0 leaves the port to the system.
    pub bind: Option<SocketAddr>,
    pub socket: SocketOptions,
    /// The PROXY header that goes first, if one is wanted.
    pub proxy_protocol: Option<ProxyProtocol>,
    pub trace: Option<Trace>,
    /// Looks at a connect before the first wait for it: to this machine it is through as soon as it
    /// is begun. In a loop the others are to have their turn.
    pub is_eager: bool,
}

/// A socket in nonblocking mode for this address.
pub fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    new_stream(Domain::for_address(address), Some(Protocol::TCP))
}

/// The same of the Unix domain.
pub fn new_unix_socket() -> io::Result<Socket> {
    new_stream(Domain::UNIX, None)
}

fn new_stream(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    #[cfg(target_os = "linux")]
    let kind = Type::STREAM.nonblocking();
    #[cfg(not(target_os = "linux"))]
    let kind = Type::STREAM;
    let socket = Socket::new(domain, kind, protocol)?;
    #[cfg(not(target_os = "linux"))]
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The same local address, in the peer's zone if it says none: an address of a link alone, such as
/// fe80::1, is one there only.
pub fn in_zone_of(peer: SocketAddr, mut local: SocketAddr) -> SocketAddr {
    if let (SocketAddr::V6(peer), SocketAddr::V6(local)) = (peer, &mut local)
        && local.scope_id() == 0
        && local.ip().is_unicast_link_local()
    {
        local.set_scope_id(peer.scope_id());
    }
    local
}

/// A port may be shared by connects to several addresses, and with connections that have ended.
/// Where none is given, the connect chooses it, and only one to the same peer is in its way.
pub fn bind(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    // Where the option cannot be had, bind does without it, and says what is wrong if anything is.
    match local.port() {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        0 => drop(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)),
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        0 => {}
        _ => drop(socket.set_reuse_address(true)),
    }
    socket.bind(&local.into())
}

/// Whether a connect is through: not yet, connected, or failed.
pub fn outcome(socket: &Socket) -> io::Result<bool> {
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => match socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(false),
        },
        Err(error) => Err(error),
    }
}
