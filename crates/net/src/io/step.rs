//! The shape of every operation: a step that never blocks. It is done, or it says what to wait for
//! before the same step is made again; all progress lives in the buffers. Uses `io::deadline`,
//! `error`.

use std::os::fd::{AsRawFd, RawFd};

use crate::error::Pending;
use crate::io::deadline::Deadline;

/// The descriptor of a wait that has none.
pub const NO_FD: RawFd = -1;

#[derive(Debug)]
pub enum Step<T> {
    Done(T),
    Wait(Wait),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Read,
    Write,
}

/// What a step knows of its descriptor when it must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The last call returned EAGAIN.
    WouldBlock,
    /// It has not tried yet, since an answer cannot have come. It must try before it times out.
    Untried,
    /// It has not tried since a short read, which took all that there was.
    ShortRead,
}

/// Wait until `fd` can be read from or written to, then step again.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub fd: RawFd,
    pub want: Want,
    /// Step again by then even if nothing happened.
    pub wake: Deadline,
    pub look: Look,
    /// What this waits for, should the time run out.
    pub pending: Pending,
}

impl Wait {
    pub fn new(fd: &impl AsRawFd, want: Want) -> Self {
        let pending = Pending::More { have: 0 };
        Self { fd: fd.as_raw_fd(), want, wake: Deadline::NEVER, look: Look::WouldBlock, pending }
    }

    /// Only until a moment.
    pub fn timer(until: Deadline) -> Self {
        let pending = Pending::More { have: 0 };
        Self { fd: NO_FD, want: Want::Read, wake: until, look: Look::WouldBlock, pending }
    }

    /// Lets the deadline be checked, and the interpreter and other coroutines run. A peer that
    /// sends without end must not keep a step busy past its deadline.
    pub fn yield_now(fd: &impl AsRawFd) -> Self {
        Self { wake: Deadline::at(0.0), ..Self::new(fd, Want::Read) }
    }

    /// A wait that comes before the first try.
    pub fn untried(self, was_short: bool) -> Self {
        Self { look: if was_short { Look::ShortRead } else { Look::Untried }, ..self }
    }

    pub fn waking(self, wake: Deadline) -> Self {
        Self { wake, ..self }
    }

    pub fn pending(self, pending: Pending) -> Self {
        Self { pending, ..self }
    }
}

impl<T> Step<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Done(value) => Step::Done(f(value)),
            Self::Wait(wait) => Step::Wait(wait),
        }
    }

    /// The same step; a wait says that it waits for `pending`, unless it is for a header or a
    /// handshake that comes before.
    pub fn pending(self, pending: Pending) -> Self {
        match self {
            Self::Wait(Wait { pending: Pending::ProxyHeader | Pending::Handshake, .. }) => self,
            Self::Wait(wait) => Self::Wait(wait.pending(pending)),
            done => done,
        }
    }
}

/// The value of a step that is done; else returns its wait from the function around.
#[macro_export]
macro_rules! ready {
    ($step:expr) => {
        match $step {
            $crate::io::step::Step::Done(value) => value,
            $crate::io::step::Step::Wait(wait) => return Ok($crate::io::step::Step::Wait(wait)),
        }
    };
}
pub use ready;
