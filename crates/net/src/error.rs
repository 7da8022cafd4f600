//! Every failure of the module, as data: a code that scripts compare, and the words that people
//! read. Only here do codes and system errors become text. Uses `alert`,
//! `code`, `pending`, `errno`, `text`.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::alert::Alert;
pub use crate::code::Code;
use crate::errno::is_transient;
pub use crate::pending::{Pending, ProxyStage};
use crate::text::system_text;

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
    alert: Option<Alert>,
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

impl Error {
    #[cold]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            operation: "",
            peer: String::new(),
            detail: detail.into(),
            phase: None,
            alert: None,
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

    /// The same failure, which belongs to this phase unless it has one of its own.
    #[cold]
    pub fn in_phase_unless_known(mut self, phase: &'static str) -> Self {
        self.0.phase = self.0.phase.or(Some(phase));
        self
    }

    /// The same failure, with the alert that the peer or this end has sent, if there is one.
    #[cold]
    pub fn with_alert(mut self, alert: Option<Alert>) -> Self {
        self.0.alert = alert.or(self.0.alert);
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

    /// For a timeout while connecting, a failure before or in the handshake, and one of TLS behind
    /// it: `dns`, `connect`, `proxy`, `starttls` or `tls`.
    pub fn phase(&self) -> Option<&'static str> {
        self.0.phase
    }

    /// For a failure of TLS: the alert that tells it.
    pub fn alert(&self) -> Option<Alert> {
        self.0.alert
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, getrlimit};

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
