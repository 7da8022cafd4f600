//! The options of a TCP socket, which a script may set when it connects or listens, or later. Uses
//! `endpoint`, `error`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::endpoint::Address;
use crate::error::Error;

/// What is to be set; the system's own value stays where there is none.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    pub nodelay: Option<bool>,
    /// The kernel's probes of an idle connection, or none of them.
    pub keepalive: Option<Option<TcpKeepalive>>,
    /// The hop limit of IPv6, too.
    pub ttl: Option<u8>,
    /// The traffic class of IPv6, too.
    pub tos: Option<u8>,
    /// The name of the network interface that all goes through.
    pub device: Option<String>,
    pub user_timeout: Option<Duration>,
    /// In bytes.
    pub send_buffer: Option<usize>,
    /// In bytes.
    pub receive_buffer: Option<usize>,
    /// The connection ends with a reset, and what was not sent is lost. `Tcp` sets it, which must
    /// know.
    pub reset_on_close: Option<bool>,
}

/// What kind of socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    Inet,
    Inet6,
    /// It has buffers, and no other of these options.
    Unix,
}

impl Domain {
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv6() { Self::Inet6 } else { Self::Inet }
    }
}

impl From<&Address> for Domain {
    fn from(address: &Address) -> Self {
        match address {
            Address::Inet(address) => Self::of(*address),
            Address::Unix(_) => Self::Unix,
        }
    }
}

/// Whether this system has the options `device` and `user_timeout`.
pub const HAS_LINUX_OPTIONS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The longest name of a network interface, in bytes. Linux cuts a longer one without a word.
pub const DEVICE_NAME: usize = 15;

impl SocketOptions {
    /// Sets all of a socket that has not connected yet, and does not listen yet.
    pub fn prepare(&self, socket: &SockRef<'_>, domain: Domain) -> Result<(), Refused> {
        if let Some(name) = &self.device {
            named(&format!("device {name}"), set_device(socket, name))?;
        }
        self.apply(socket, domain)
    }

    /// Sets what may be set at any time, except for `reset_on_close`.
    pub fn apply(&self, socket: &SockRef<'_>, domain: Domain) -> Result<(), Refused> {
        if domain != Domain::Unix {
            self.apply_tcp(socket, domain)?;
        }
        if let Some(size) = self.send_buffer {
            named("send_buffer", socket.set_send_buffer_size(size))?;
        }
        if let Some(size) = self.receive_buffer {
            named("receive_buffer", socket.set_recv_buffer_size(size))?;
        }
        Ok(())
    }

    fn apply_tcp(&self, socket: &SockRef<'_>, domain: Domain) -> Result<(), Refused> {
        if let Some(on) = self.nodelay {
            named("nodelay", socket.set_tcp_nodelay(on))?;
        }
        if let Some(keepalive) = &self.keepalive {
            named("keepalive", set_keepalive(socket, keepalive.as_ref()))?;
        }
        if let Some(ttl) = self.ttl {
            named("ttl", set_ttl(socket, ttl.into(), domain))?;
        }
        if let Some(tos) = self.tos {
            named("tos", set_tos(socket, tos.into(), domain))?;
        }
        if let Some(timeout) = self.user_timeout {
            named("user_timeout", set_user_timeout(socket, timeout))?;
        }
        Ok(())
    }
}

/// What a socket's options are now, by LuaSocket's names; 1 is on, and what does not linger has -1
/// seconds. What the socket does not have is left out.
pub fn read(socket: BorrowedFd<'_>) -> Vec<(&'static str, i64)> {
    let socket = SockRef::from(&socket);
    let seconds = |time: io::Result<Duration>| time.map(|time| time.as_secs() as i64);
    let size = |size: io::Result<usize>| size.map(|size| size as i64);
    let linger = socket.linger().map(|time| time.map_or(-1, |time| time.as_secs() as i64));
    let options = [
        ("keepalive", socket.keepalive().map(i64::from)),
        ("reuseaddr", socket.reuse_address().map(i64::from)),
        ("reuseport", socket.reuse_port().map(i64::from)),
        ("tcp-nodelay", socket.tcp_nodelay().map(i64::from)),
        ("tcp-keepidle", seconds(socket.tcp_keepalive_time())),
        ("tcp-keepcnt", socket.tcp_keepalive_retries().map(i64::from)),
        ("tcp-keepintvl", seconds(socket.tcp_keepalive_interval())),
        ("linger", linger),
        ("recv-buffer-size", size(socket.recv_buffer_size())),
        ("send-buffer-size", size(socket.send_buffer_size())),
    ];
    options.into_iter().filter_map(|(name, value)| Some((name, value.ok()?))).collect()
}

/// An option that the system has refused.
pub struct Refused {
    option: String,
    pub error: io::Error,
}

impl From<Refused> for Error {
    #[cold]
    fn from(refused: Refused) -> Self {
        let Refused { option, error } = refused;
        Self::from(error).with_detail(|text| format!("cannot set {option}: {text}"))
    }
}

fn named(option: &str, result: io::Result<()>) -> Result<(), Refused> {
    result.map_err(|error| Refused { option: option.to_owned(), error })
}

fn set_keepalive(socket: &SockRef<'_>, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    socket.set_keepalive(keepalive.is_some())?;
    keepalive.map_or(Ok(()), |keepalive| socket.set_tcp_keepalive(keepalive))
}

/// A socket of IPv6 has both: it may carry IPv4 (RFC 3493, section 3.7), where the system lets it.
fn set_ttl(socket: &SockRef<'_>, ttl: u32, domain: Domain) -> io::Result<()> {
    let result = socket.set_ttl_v4(ttl);
    if domain == Domain::Inet6 { socket.set_unicast_hops_v6(ttl) } else { result }
}

fn set_tos(socket: &SockRef<'_>, tos: u32, domain: Domain) -> io::Result<()> {
    let result = socket.set_tos_v4(tos);
    if domain == Domain::Inet6 { socket.set_tclass_v6(tos) } else { result }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_device(socket: &SockRef<'_>, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_device(_: &SockRef<'_>, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
