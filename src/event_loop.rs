//! The state that all calls in one Lua state share, and the waits that an event loop does for a
//! call. With a loop in use (`tcp.use`), an operation that must wait returns the wait, and the shim
//! yields to the loop. The shim keeps the waiting coroutines in a table, where this module looks
//! them up. Uses `ffi`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

use mlua::Lua;

use net::error;
use net::io::deadline::Deadline;
use net::io::poll_set::PollSet;
use net::io::poller::{Poller, Registration};
use net::io::step::Wait;
use net::io::wait::WaitMode;
use net::trace::Tracer;

use crate::connection::Connection;
use crate::ffi::object::Kind;
use crate::listener::Listener;
use crate::owners::{Owner, Sides};
use crate::pending::PendingOp;

/// Seconds after which a call looks again that waits for what a call on the other side may do.
const LOOK_AGAIN: f64 = 0.1;

/// The state that all calls in one Lua state share. It outlives that state, and holds no Lua
/// values.
pub struct Host {
    pub kinds: Kinds,
    pub tracer: Tracer,
    wait_mode: Cell<WaitMode>,
    /// Whether calls wait in place for now, even with a loop in use.
    is_blocking: Cell<bool>,
    /// The claim of the last wait that the poller did not get.
    last_claim: Cell<Claim>,
    /// Whether the next call that is made again fails instead: its task was ended.
    is_cancelling: Cell<bool>,
    /// Whether the loop of the script's own waits for time alone by itself.
    sleeps: Cell<bool>,
    /// What the calls of `tcp.poll` wait for in a loop.
    sets: RefCell<Vec<Weak<PollSet>>>,
    /// What each scheduler of `tcp.run` waits for in a loop of the script's own.
    idle: RefCell<HashMap<usize, Weak<PollSet>>>,
    /// For a loop that watches it for all waits.
    poller: RefCell<Option<Poller>>,
    /// The latest time at which the loop will call `poll_events`.
    armed: Cell<Deadline>,
}

/// The kinds of userdata.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub connections: Kind<Connection>,
    pub listeners: Kind<Listener>,
    pub tokens: Kind<Box<PendingOp>>,
}

/// The number of a suspended wait: the poller's ticket, or a number below 0.
pub type Claim = i64;

/// A wait that an event loop does.
pub struct Suspended {
    pub wait: Wait,
    pub claim: Claim,
}

impl Suspended {
    pub fn is_polled(&self) -> bool {
        self.claim >= 0
    }

    pub fn owner(&self, sides: Sides) -> Owner {
        let is_crossed = sides.is_crossed(self.wait.want);
        Owner { claim: self.claim, fd: self.wait.fd, is_crossed }
    }
}

impl Host {
    pub fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            kinds: Kinds {
                connections: Kind::new(lua)?,
                listeners: Kind::new(lua)?,
                tokens: Kind::new(lua)?,
            },
            tracer: Tracer::from_environment(),
            wait_mode: Cell::new(WaitMode::Blocking),
            is_blocking: Cell::default(),
            last_claim: Cell::default(),
            is_cancelling: Cell::default(),
            sleeps: Cell::default(),
            sets: RefCell::default(),
            idle: RefCell::default(),
            poller: RefCell::default(),
            armed: Cell::new(Deadline::NEVER),
        })
    }

    pub fn set_wait_mode(&self, mode: WaitMode, sleeps: bool) {
        self.wait_mode.set(mode);
        self.sleeps.set(sleeps);
    }

    /// The loop will call `poll_events` by then.
    pub fn set_armed(&self, until: Deadline) {
        self.armed.set(until);
    }

    /// Where a call waits.
    pub fn wait_mode(&self) -> WaitMode {
        if self.is_blocking.get() { WaitMode::Blocking } else { self.wait_mode.get() }
    }

    /// Suspends a wait, for the loop to do. `known` is the registration of this descriptor.
    pub fn suspend(&self, wait: Wait, known: &mut Registration) -> error::Result<Suspended> {
        if self.wait_mode() == WaitMode::Poller {
            let ticket = self.with_poller(|poller| poller.watch(wait, known))?;
            return Ok(Suspended { wait, claim: ticket as Claim });
        }
        self.last_claim.set(self.last_claim.get() - 1);
        Ok(Suspended { wait, claim: self.last_claim.get() })
    }

    /// Returns in how many seconds `poll_events` must be called, if the loop only knows a later
    /// time. From then on the loop knows.
    pub fn new_deadline(&self) -> Option<f64> {
        let next = self.poller.borrow().as_ref().map_or(Deadline::NEVER, Poller::next_timeout);
        if next < self.armed.get() {
            self.armed.set(next);
            return seconds_left(next);
        }
        None
    }

    /// Ends the waits for a descriptor that will be closed, at the next `poll_events`. There are
    /// none unless a script calls finalizers by hand.
    pub fn remove_fd(&self, fd: RawFd) {
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.iter_mut().for_each(|poller| poller.remove_fd(fd));
        }
        self.wake_sets(fd);
    }

    /// Has a set woken when one of its descriptors is going to be closed.
    pub fn add_set(&self, set: &Rc<PollSet>) {
        let mut sets = self.sets.borrow_mut();
        sets.retain(|set| set.strong_count() > 0);
        sets.push(Rc::downgrade(set));
    }

    fn wake_sets(&self, fd: RawFd) {
        if let Ok(sets) = self.sets.try_borrow() {
            let sets = sets.iter().filter_map(Weak::upgrade);
            sets.filter(|set| set.contains(fd)).for_each(|set| set.wake());
        }
    }

    /// A scheduler waits, until `wake_idle` at the latest.
    pub fn add_idle(&self, scheduler: usize, set: &Rc<PollSet>) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, set| set.strong_count() > 0);
        idle.insert(scheduler, Rc::downgrade(set));
    }

    pub fn wake_idle(&self, scheduler: usize) {
        if let Some(set) = self.idle.borrow().get(&scheduler).and_then(Weak::upgrade) {
            set.wake();
        }
    }

    /// The next call that is made again fails with `cancelled`.
    pub fn cancel_next(&self) {
        self.is_cancelling.set(true);
    }

    pub fn take_cancelling(&self) -> bool {
        self.is_cancelling.take()
    }

    /// Whether a wait for time alone needs a descriptor, on which nothing comes.
    pub fn needs_fd(&self) -> bool {
        self.wait_mode() == WaitMode::Loop && !self.sleeps.get()
    }

    /// Ends a wait of the poller early.
    pub fn cancel(&self, claim: Claim) {
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.as_mut().and_then(|poller| poller.cancel(claim.unsigned_abs()));
        }
    }

    /// The same wait of a call that has these sides. Nobody can end one of the script's own loop,
    /// see [`Host::hurry`], so that it looks again now and then where that may be wanted.
    pub fn looking_again(&self, sides: Sides, wait: Wait) -> Wait {
        match sides.is_crossed(wait.want) && self.wait_mode() == WaitMode::Loop {
            true => wait.waking(wait.wake.earlier(Deadline::after(LOOK_AGAIN))),
            false => wait,
        }
    }

    /// Ends a wait soon, if it is the poller's: others have done what it waits for.
    #[cold]
    pub fn hurry(&self, claim: Claim) {
        if let (Ok(mut poller), Ok(ticket)) = (self.poller.try_borrow_mut(), claim.try_into()) {
            poller.iter_mut().for_each(|poller| poller.hurry(ticket));
        }
    }

    pub fn with_poller<T>(
        &self,
        act: impl FnOnce(&mut Poller) -> error::Result<T>,
    ) -> error::Result<T> {
        let mut poller = self.poller.borrow_mut();
        let poller = match &mut *poller {
            Some(poller) => poller,
            empty => empty.insert(Poller::new()?),
        };
        act(poller)
    }

    /// Calls `act`, whose waits are done in place even with a loop in use.
    pub fn blocking<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.is_blocking.replace(true);
        let value = act();
        self.is_blocking.set(before);
        value
    }
}

pub fn seconds_left(until: Deadline) -> Option<f64> {
    until.left().map(|left| left.as_secs_f64())
}
