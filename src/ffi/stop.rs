//! Why an operation has no reply: it has failed, or is to be called again.

use net::error::{Code, Error};
use net::io::deadline::Deadline;
use net::io::step::Wait;
use net::transport::tls::Report;

use crate::event_loop::Suspended;
use crate::json;
use crate::pending::PendingOp;

/// Why an operation has no reply.
pub enum Stop {
    Failed(Error),
    /// The same in a TLS handshake: with what is known of the peer.
    Reported(Error, Box<Report>),
    /// The script's own mistake, thrown by both modules.
    Argument(String),
    /// There is no memory.
    Memory,
    /// What Lua raised is on top of the stack.
    Raised,
    /// It must be called again with this token, after the wait if there is one.
    Again(Token, Option<Wait>),
    /// The same after a wait that an event loop does.
    Suspended(Token, Suspended),
}

/// What an operation goes on with when it is called again.
pub enum Token {
    Deadline(Deadline),
    Pending(Box<PendingOp>),
}

pub type Result<T> = std::result::Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if error.is_out_of_memory() { Self::Memory } else { Self::Failed(error) }
    }
}

impl From<json::Failure> for Stop {
    #[cold]
    fn from(failure: json::Failure) -> Self {
        match failure {
            json::Failure::Invalid(text) => Self::Failed(Error::new(Code::Json, text)),
            json::Failure::Memory => Self::Memory,
        }
    }
}

impl Stop {
    /// The same failure, naming what was done to whom where that is not known yet.
    pub fn with_context(self, operation: &'static str, peer: &str) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.with_context(operation, peer)),
            Self::Reported(error, report) => {
                Self::Reported(error.with_context(operation, peer), report)
            }
            other => other,
        }
    }

    /// The same failure, with what `report` has to say if it is one of TLS.
    pub fn reported(self, report: impl FnOnce() -> Option<Report>) -> Self {
        match self {
            Self::Failed(error) if matches!(error.code(), Code::Certificate | Code::Tls) => {
                match report() {
                    Some(report) => Self::Reported(error, Box::new(report)),
                    None => Self::Failed(error),
                }
            }
            other => other,
        }
    }
}

/// The connection is borrowed by a call further down the stack, within which a hook or a finalizer
/// runs.
pub(super) fn in_use() -> Stop {
    Error::new(Code::Busy, "another call is using this connection").into()
}

pub(super) fn finalized() -> Stop {
    Error::closed("the collector has closed this object").into()
}
