//! Every failure of the module, as data: a code that scripts compare, and the words that people
//! read. Only here do codes and system errors become text. May use nothing of ours.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

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
    fn of(error: &io::Error) -> Self {
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
    Skipping { have: usize, need: usize },
    /// `have` bytes of a skipped packet have come, and are gone; how many it has is not known.
    SkippingMore { have: usize },
    /// `have` of `need` bytes have been taken by the system.
    Sending { have: usize, need: usize },
    /// A client of a listener.
    Client,
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
            Self::File { option } => write!(f, "cannot read {option}_file in time"),
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
            Self::Client => f.write_str("no client"),
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// One failure. One pointer wide, so that the good path carries nothing.
#[derive(Clone, Debug)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    operation: &'static str,
    peer: String,
    detail: String,
    phase: Option<&'static str>,
    attempts: Option<Vec<Attempt>>,
    copied: Option<Copied>,
    lasting: Lasting,
    /// A write failed because the way out is closed: see [`Error::is_broken_pipe`].
    is_broken_pipe: bool,
    /// See [`Error::unfit`].
    unfit_argument: Option<usize>,
}

/// An address that a connect has tried, what became of it, and how long that took.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub address: SocketAddr,
    pub code: Code,
    pub seconds: f64,
}

/// How far a copy came, and the side of it that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub side: CopySide,
    /// Bytes that were taken from the one connection and given to the other.
    pub bytes: u64,
}

/// The connection that a copy reads from, or that it writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopySide {
    #[default]
    Read,
    Write,
}

/// Whether the same call may go well at another moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Permanent,
    /// The system had no memory. Nothing has happened.
    Transient,
    /// This process had none. Nothing has happened, and scripts see Lua's own memory error.
    OutOfMemory,
}

/// Whether a call that failed so would have gone well at another moment, and has done nothing: the
/// system had no memory.
pub fn is_transient(errno: Errno) -> bool {
    matches!(errno, Errno::NOBUFS | Errno::NOMEM)
}

/// Whether a call failed for the want of descriptors or memory, here or in the whole system.
pub fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE) || is_transient(errno))
}

/// Whether accept failed for one client, and not for the listener: the client was gone before it
/// was accepted, or its network has failed (accept(2)).
pub fn is_of_client(error: &io::Error) -> bool {
    const OF_CLIENT: [Errno; 13] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        #[cfg(target_os = "linux")]
        Errno::NONET,
        #[cfg(not(target_os = "linux"))]
        Errno::NOTCONN,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OF_CLIENT.contains(&errno))
}

impl Error {
    #[cold]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            operation: "",
            peer: String::new(),
            detail: detail.into(),
            phase: None,
            attempts: None,
            copied: None,
            lasting: Lasting::Permanent,
            is_broken_pipe: false,
            unfit_argument: None,
        }))
    }

    #[cold]
    pub fn cancelled() -> Self {
        Self::new(Code::Cancelled, "the task was ended")
    }

    #[cold]
    pub fn closed(detail: impl Into<String>) -> Self {
        Self::new(Code::Closed, detail)
    }

    /// What a script gave cannot be sent, whatever the peer does: scripts see a bad argument, of
    /// this number.
    #[cold]
    pub fn unfit(argument: usize, detail: impl Into<String>) -> Self {
        let mut error = Self::new(Code::Io, detail);
        error.0.unfit_argument = Some(argument);
        error
    }

    /// An allocation that grows with data was refused. In Rust it would end the process otherwise.
    #[cold]
    pub fn out_of_memory() -> Self {
        let mut error = Self::new(Code::Io, "not enough memory");
        error.0.lasting = Lasting::OutOfMemory;
        error
    }

    #[cold]
    pub fn timeout(pending: Pending) -> Self {
        // A file is read or not: to make the call again would find less of it.
        let code = match pending {
            Pending::File { .. } => Code::Io,
            _ => Code::Timeout,
        };
        let mut error = Self::new(code, pending.to_string());
        error.0.phase = pending.phase();
        error
    }

    /// The same failure, with what was done to whom where that is not known yet.
    #[cold]
    pub fn with_context(mut self, operation: &'static str, peer: impl fmt::Display) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
            self.0.peer = peer.to_string();
        }
        self
    }

    /// The same failure, with words before its own.
    #[cold]
    pub fn prefixed(mut self, words: impl fmt::Display) -> Self {
        self.0.detail = format!("{words}: {}", self.0.detail);
        self
    }

    /// The same failure, which belongs to this phase of connecting.
    #[cold]
    pub fn in_phase(mut self, phase: &'static str) -> Self {
        self.0.phase = Some(phase);
        self
    }

    /// The same failure, with what `reword` makes of its detail.
    #[cold]
    pub fn with_detail(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        self.0.detail = reword(&self.0.detail);
        self
    }

    /// The same failure, with all addresses that were tried.
    #[cold]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// The same failure, with how far the copy came.
    #[cold]
    pub fn with_copied(mut self, copied: Copied) -> Self {
        self.0.copied = Some(copied);
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Code and detail, without what was done to whom.
    pub fn reason(&self) -> String {
        format!("{}: {}", self.0.code.name(), self.0.detail)
    }

    /// What was done to whom, and the code.
    pub fn summary(&self) -> String {
        let Parts { code, operation, peer, .. } = &*self.0;
        let blank = if peer.is_empty() { "" } else { " " };
        format!("{operation}{blank}{peer}: {}", code.name())
    }

    /// Whether nothing has happened, so that the same may be tried again.
    pub fn is_transient(&self) -> bool {
        self.0.lasting != Lasting::Permanent
    }

    /// Whether it is to be raised as Lua's own memory error.
    pub fn is_out_of_memory(&self) -> bool {
        self.0.lasting == Lasting::OutOfMemory
    }

    /// Whether a write that failed so says nothing of how reading ends: the peer may have ended its
    /// stream before it reset the connection.
    pub fn is_broken_pipe(&self) -> bool {
        self.0.is_broken_pipe
    }

    /// The number of the script's argument that is to blame.
    pub fn unfit_argument(&self) -> Option<usize> {
        self.0.unfit_argument
    }

    /// For a timeout while connecting, and a failure before or in the handshake: `dns`, `connect`,
    /// `proxy`, `starttls` or `tls`.
    pub fn phase(&self) -> Option<&'static str> {
        self.0.phase
    }

    /// For a failed connect.
    pub fn attempts(&self) -> Option<&[Attempt]> {
        self.0.attempts.as_deref()
    }

    /// For a failed copy.
    pub fn copied(&self) -> Option<Copied> {
        self.0.copied
    }
}

impl From<io::Error> for Error {
    #[cold]
    fn from(error: io::Error) -> Self {
        // One of our own, which has come through OpenSSL.
        let error = match error.downcast::<Self>() {
            Ok(own) => return own,
            Err(error) => error,
        };
        // The standard library's refused allocation, which no system call has reported.
        if error.kind() == io::ErrorKind::OutOfMemory && error.raw_os_error().is_none() {
            return Self::out_of_memory();
        }
        let mut made = Self::new(Code::of(&error), system_text(&error));
        made.0.is_broken_pipe =
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected);
        made
    }
}

impl From<Errno> for Error {
    #[cold]
    fn from(errno: Errno) -> Self {
        let mut error = Self::from(io::Error::from(errno));
        if is_transient(errno) {
            error.0.lasting = Lasting::Transient;
        }
        error
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { code, operation, peer, detail, .. } = &*self.0;
        f.write_str(operation)?;
        if !peer.is_empty() {
            write!(f, " {peer}")?;
        }
        write!(f, ": {}: {detail}", code.name())
    }
}

/// The system's words for a failed call, as they read in the middle of a sentence.
pub fn system_text(error: &io::Error) -> String {
    let full = error.to_string();
    let text = full.split(" (os error ").next().unwrap_or(&full);
    if Errno::from_io_error(error) == Some(Errno::MFILE) {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        return format!("too many open files (the limit is {limit}, see ulimit -n)");
    }
    let mut letters = text.chars();
    match (letters.next(), letters.as_str()) {
        (Some(first), rest) if rest.starts_with(char::is_lowercase) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

/// An address without its port, with its zone: one of a link alone is not reached without it.
pub fn address_text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}

/// Text that a script or a peer gave, without what would disturb a terminal or a log, and no longer
/// than a host name can be (RFC 1035, section 2.3.4).
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len().min(255));
    for letter in text.chars().take(255) {
        match letter.is_control() {
            true => printable.extend(letter.escape_default()),
            false => printable.push(letter),
        }
    }
    printable
}

/// The same of bytes, however many there are.
pub fn excerpt(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(&bytes[..bytes.len().min(255)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn a_message_names_operation_peer_code_and_detail() {
        let error = Error::closed("12 of 40 bytes").with_context("read", "[::1]:80");
        assert_eq!(error.to_string(), "read [::1]:80: closed: 12 of 40 bytes");
        let error = Error::new(Code::Json, "line 1 column 2").with_context("json.decode", "");
        assert_eq!(error.to_string(), "json.decode: json: line 1 column 2");
    }

    #[test]
    fn the_first_context_stays() {
        let error = Error::closed("x").with_context("connect", "a:1").with_context("read", "b:2");
        assert_eq!(error.to_string(), "connect a:1: closed: x");
    }

    #[test]
    fn system_errors_keep_their_words_and_lose_their_number() {
        let refused = Error::from(rustix::io::Errno::CONNREFUSED);
        assert_eq!((refused.code(), refused.detail()), (Code::Refused, "connection refused"));
        let dead = Error::from(rustix::io::Errno::TIMEDOUT);
        assert_eq!((dead.code(), dead.detail()), (Code::Closed, "connection timed out"));
        let full = Error::from(rustix::io::Errno::MFILE);
        let limit = getrlimit(Resource::Nofile).current.expect("a process has a limit");
        let detail = format!("too many open files (the limit is {limit}, see ulimit -n)");
        assert_eq!((full.code(), full.detail()), (Code::Io, &*detail));
    }

    #[test]
    fn a_timeout_says_what_was_waited_for() {
        let error = Error::timeout(Pending::Connecting(([192, 0, 2, 7], 5432).into()));
        assert_eq!(error.detail(), "connecting to 192.0.2.7");
        assert_eq!(error.phase(), Some("connect"));
        let link = "[fe80::1%7]:9".parse().expect("address");
        assert_eq!(Error::timeout(Pending::Connecting(link)).detail(), "connecting to fe80::1%7");
        assert_eq!(
            Error::timeout(Pending::Bytes { have: 12, need: 40 }).detail(),
            "12 of 40 bytes"
        );
    }
}
