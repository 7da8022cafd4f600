//! What a scheduler of `tcp.run` waits for in a loop of the script's own: the poller's descriptor,
//! or a word of another scheduler that has taken its events. Uses `ffi`, `pending`, `event_loop`.

use std::os::fd::AsRawFd;
use std::rc::Rc;

use net::error;
use net::io::deadline::Deadline;
use net::io::poll_set::PollSet;
use net::io::step::{Step, Wait, Want};
use net::io::wait::Member;

use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::pending::{LongOperation, PendingOp};

/// Of one scheduler, as long as it waits.
struct Idle {
    set: Rc<PollSet>,
    until: Deadline,
    has_waited: bool,
}

/// `native.idle(scheduler, seconds)`: waits until the poller may have something, at most so many
/// seconds. `scheduler` is a number of its own.
pub fn idle(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let scheduler = call.argument(1).integer(1, usize::MAX)?;
        let until = Deadline::after(call.argument(2).patience_or(f64::INFINITY)?);
        let fd = call.host.with_poller(|poller| Ok(poller.as_raw_fd()))?;
        let set =
            Rc::new(PollSet::new([Member { fd, want: Want::Read, from: Deadline::at(0.0) }])?);
        call.host.add_idle(scheduler, &set);
        Ok(PendingOp::new(Idle { set, until, has_waited: false }, Deadline::NEVER))
    })
}

impl LongOperation for Idle {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        if std::mem::replace(&mut self.has_waited, true) {
            return Ok(Step::Done(Reply::Nothing));
        }
        Ok(Step::Wait(Wait::new(&*self.set, Want::Read).waking(self.until)))
    }

    fn label(&self) -> String {
        String::new()
    }
}

/// `native.wake(scheduler)`: ends its wait.
pub fn wake(call: &mut Call<'_>) -> Result<Reply> {
    call.host.wake_idle(call.argument(1).integer(1, usize::MAX)?);
    Ok(Reply::Nothing)
}
