//! The calls that need a side of a connection to themselves, also while they are suspended. Uses
//! `owners`, `event_loop`, `pending`.

use net::io::step::Wait;

use super::Connection;
use crate::event_loop::Claim;
use crate::ffi::call::{Call, Method, Result, Stop, Token};
use crate::ffi::reply::Reply;
use crate::owners::Sides;
use crate::pending::PendingOp;

impl Connection {
    /// Makes a call that needs these sides of the connection exclusively, also while it is
    /// suspended.
    #[inline]
    pub fn own(&mut self, call: &mut Call<'_>, sides: Sides, body: Method) -> Result<Reply> {
        if call.is_first() {
            self.owners.check(call, sides)?;
        }
        let crossed = self.owners.crossed(sides);
        let had_begun = crossed.is_none() || self.has_begun();
        let mut result =
            if call.is_cancelled() { Err(PendingOp::cancel(call)) } else { body(call, self) };
        self.owners.set(sides, None);
        if let Some(claim) = crossed {
            self.hurry(claim, had_begun, &result);
        }
        if let Err(Stop::Again(token, Some(wait))) = result {
            result = self.leave(sides, token, wait);
        }
        result
    }

    /// A call on the one side has done what that on the other side may wait for: the handshake, or
    /// a write that a read must make first. What it has received does not come again.
    #[cold]
    fn hurry(&mut self, claim: Claim, had_begun: bool, result: &Result<Reply>) {
        let is_over = !matches!(result, Err(Stop::Again(..)));
        if is_over || had_begun != self.has_begun() {
            self.host.hurry(claim);
        }
    }

    fn has_begun(&self) -> bool {
        self.open.as_ref().is_none_or(|stream| stream.has_begun())
    }

    /// Suspends a call until its wait is over.
    fn leave(&mut self, sides: Sides, token: Token, wait: Wait) -> Result<Reply> {
        let suspended = self.suspend(self.host.looking_again(sides, wait))?;
        self.owners.set(sides, Some(suspended.owner(sides)));
        Err(Stop::Suspended(token, suspended))
    }
}
