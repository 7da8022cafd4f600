//! `tcp.now` and `tcp.sleep`. Uses `ffi`, `pending`, `event_loop`.

use std::rc::Rc;

use net::error;
use net::io::deadline::{self, Deadline};
use net::io::poll_set::PollSet;
use net::io::step::{Step, Wait, Want};

use crate::event_loop::Host;
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::pending::{LongOperation, PendingOp};

pub fn now(_: &mut Call<'_>) -> Result<Reply> {
    Ok(deadline::now().into())
}

struct Sleep {
    until: Deadline,
    host: Rc<Host>,
    /// For a loop that can wait for a descriptor alone: one on which nothing ever comes.
    silent: Option<PollSet>,
    has_waited: bool,
}

pub fn sleep(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let until = Deadline::after(call.argument(1).patience()?);
        let sleep = Sleep { until, host: Rc::clone(call.host), silent: None, has_waited: false };
        Ok(PendingOp::new(sleep, Deadline::NEVER))
    })
}

impl LongOperation for Sleep {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        // Also 0 seconds are a wait: the others run once.
        if std::mem::replace(&mut self.has_waited, true) && self.until.has_passed() {
            return Ok(Step::Done(Reply::Nothing));
        }
        if !self.host.needs_fd() {
            return Ok(Step::Wait(Wait::timer(self.until)));
        }
        let silent = match self.silent.take() {
            Some(silent) => silent,
            None => PollSet::new([])?,
        };
        let silent = self.silent.insert(silent);
        Ok(Step::Wait(Wait::new(silent, Want::Read).waking(self.until)))
    }

    fn label(&self) -> String {
        String::new()
    }
}
