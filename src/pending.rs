//! Operations that are not a connection's own and may take long: connecting, resolving, listening,
//! upgrading. One that must wait is kept in the token of its call. Uses `ffi`.

use std::rc::Rc;

use net::error;
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::io::wait::{Driven, WaitMode, drive};
use net::transport::tls::Report;

use crate::event_loop::{Claim, Host, Suspended};
use crate::ffi::call::{Call, Result, Stop, Token};
use crate::ffi::reply::Reply;

pub trait LongOperation {
    fn step(&mut self) -> error::Result<Step<Reply>>;

    /// Returns the peer's name for messages.
    fn label(&self) -> String;

    /// What is known of the failure besides.
    fn with_details(&self, error: error::Error) -> error::Error {
        error
    }

    /// Returns what is known of a peer with which TLS has failed.
    fn report(&self) -> Option<Report> {
        None
    }
}

/// An operation in progress, and its deadline.
pub struct PendingOp {
    operation: Box<dyn LongOperation>,
    deadline: Deadline,
    left: Option<Left>,
}

/// A wait that a loop does. It is cancelled when the operation continues or is dropped.
struct Left {
    host: Rc<Host>,
    claim: Claim,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.host.cancel(self.claim);
    }
}

impl PendingOp {
    pub fn new(operation: impl LongOperation + 'static, deadline: Deadline) -> Self {
        Self { operation: Box::new(operation), deadline, left: None }
    }

    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub fn suspended(&mut self, host: &Rc<Host>, suspended: &Suspended) {
        let left = || Left { host: Rc::clone(host), claim: suspended.claim };
        self.left = suspended.is_polled().then(left);
    }

    /// Continues the operation of an earlier call, or begins the one that `make` returns. If it
    /// fails, it is dropped, and so closed, at once and not by the collector.
    pub fn drive(call: &Call<'_>, make: impl FnOnce() -> Result<Self>) -> Result<Reply> {
        match call.take_pending() {
            Some(pending) => pending.go_on(call),
            None => Box::new(make()?).go_on(call),
        }
    }

    pub fn go_on(mut self: Box<Self>, call: &Call<'_>) -> Result<Reply> {
        self.left = None;
        let (operation, mode) = (&mut self.operation, call.wait_mode());
        match drive(self.deadline, mode, || operation.step()) {
            Ok(Driven::Done(reply)) => Ok(reply),
            Ok(Driven::Interrupted) => Err(Stop::Again(Token::Pending(self), None)),
            Ok(Driven::Suspended(wait)) => Err(Stop::Again(Token::Pending(self), Some(wait))),
            Err(error) => Err(self.failure(call, error)),
        }
    }

    /// The failure of a call whose task was ended.
    #[cold]
    pub fn cancel(call: &Call<'_>) -> Stop {
        match call.take_pending() {
            Some(pending) => pending.failure(call, error::Error::cancelled()),
            None => error::Error::cancelled().into(),
        }
    }

    #[cold]
    fn failure(&self, call: &Call<'_>, error: error::Error) -> Stop {
        let error = error.with_context(call.name(), self.operation.label());
        let error = self.operation.with_details(error);
        Stop::from(error).reported(|| self.operation.report())
    }
}

/// Whether a connect may check its socket before the first wait. In a loop it may not: the other
/// coroutines come first.
pub fn is_eager(mode: WaitMode) -> bool {
    mode == WaitMode::Blocking
}
