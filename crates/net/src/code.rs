//! The codes of failures. Uses no other module.

use std::io;

/// What a failure is, in one word. The list is closed and part of the module's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A local address or port that cannot be bound.
    Address,
    /// Another coroutine is reading, or writing, this connection.
    Busy,
    /// The task that makes the call was ended by `tcp.run` or `tcp.map`.
    Cancelled,
    /// Verification of the peer's certificate failed.
    Certificate,
    /// End of stream before what was asked for, a reset, or a handle closed by the script.
    Closed,
    /// The name does not resolve.
    Dns,
    /// Anything else, in the system's own words.
    Io,
    /// Not valid JSON, or a value that has no JSON form.
    Json,
    /// A proxy, or a PROXY header, refused or spoke nonsense.
    Proxy,
    /// Nobody listens there.
    Refused,
    /// Handshake or record failure.
    Tls,
    /// The call's own deadline passed. Not fatal: the same call may be made again.
    Timeout,
    /// Over a limit that the script or the module sets.
    TooLarge,
    /// The peer said something else than what was asked for.
    Unexpected,
    /// No way to the address.
    Unreachable,
}

impl Code {
    /// The word that scripts see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Certificate => "certificate",
            Self::Closed => "closed",
            Self::Dns => "dns",
            Self::Io => "io",
            Self::Json => "json",
            Self::Proxy => "proxy",
            Self::Refused => "refused",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Unexpected => "unexpected",
            Self::Unreachable => "unreachable",
        }
    }

    /// The code of a failed system call on a socket.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::AddrInUse | Kind::AddrNotAvailable => Self::Address,
            Kind::ConnectionRefused => Self::Refused,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            // The kernel's own ETIMEDOUT is a connection that died, not our deadline.
            Kind::BrokenPipe
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::NotConnected
            | Kind::TimedOut => Self::Closed,
            _ => Self::Io,
        }
    }
}
