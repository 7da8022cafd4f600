//! What an operation is, and what it knows of its call. An operation is safe code: it may own
//! values and fail, and never raises. Uses `ffi`, `connection`, `listener`, `event_loop`, `json`.

use std::ffi::c_int;
use std::rc::Rc;

use net::connect::host::is_unusual_address;
use net::endpoint::Endpoint;
use net::error::Error;
use net::io::deadline::Deadline;
use net::io::step::{Step, Wait};
use net::io::wait::{Driven, WaitMode, go_on};
use net::unix::address::UnixAddress;
use net::unix::given::{GivenSocket, Role};

pub use super::stop::{Result, Stop, Token};

use super::argument::Argument;
use super::reply::Reply;
use super::stop::{finalized, in_use};
use super::*;
use crate::connection::Connection;
use crate::event_loop::{Claim, Host};
use crate::json;
use crate::listener::Listener;
use crate::owners::Sides;
use crate::pending::PendingOp;

// The stack slots of an operation's arguments: see lua/shim.lua.
pub const TOKEN: c_int = 1;
pub const SELF: c_int = 2;

/// How many arguments an operation has when it is called again, its self among them: what it needs
/// of further ones is done in the first call.
#[cfg(not(any(feature = "lua51", feature = "luajit")))]
pub const AGAIN_COUNT: c_int = 4;

/// What scripts call, under its name in messages.
pub struct Operation {
    pub name: &'static str,
    pub body: Body,
}

/// What an operation does: a function of the module, or a method.
#[derive(Clone, Copy)]
pub enum Body {
    Function(fn(&mut Call<'_>) -> Result<Reply>),
    /// On a connection, of which it needs these sides to itself.
    Connection(Sides, Method),
    /// The same on the connection that `connect` made last.
    Last(Sides, Method),
    Listener(fn(&mut Call<'_>, &mut Listener) -> Result<Reply>),
}

pub type Method = fn(&mut Call<'_>, &mut Connection) -> Result<Reply>;

pub struct Call<'a> {
    pub(super) state: *mut lua_State,
    pub(super) name: &'static str,
    /// Where the arguments begin on the stack.
    pub(super) first: c_int,
    /// Where they end.
    pub(super) last: c_int,
    /// The deadline, if the call is made again.
    pub(super) deadline: Option<Deadline>,
    /// It is made again in a task that was ended: it fails.
    pub(super) is_cancelled: bool,
    /// Failures are returned and not thrown.
    pub safe: bool,
    pub host: &'a Rc<Host>,
}

impl<'a> Call<'a> {
    pub fn state(&self) -> *mut lua_State {
        self.state
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn first(&self) -> c_int {
        self.first
    }

    /// Whether this is the first time that this call is made.
    pub fn is_first(&self) -> bool {
        self.deadline.is_none()
    }

    /// Whether this call is made again in a task that was ended. It fails then, and what it was
    /// left with goes.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// The deadline of this call: `timeout` seconds after it was made first, however often it is
    /// made again.
    pub fn deadline(&self, timeout: f64) -> Deadline {
        self.deadline.unwrap_or_else(|| Deadline::after(timeout))
    }

    /// Drives a step until it is done, at most for `timeout` seconds from when the call was first
    /// made. The step is tried before the clock is read.
    #[inline(always)]
    pub fn drive<T>(
        &self,
        timeout: f64,
        mode: WaitMode,
        mut step: impl FnMut() -> net::error::Result<Step<T>>,
    ) -> Result<T> {
        match step()? {
            Step::Done(value) => Ok(value),
            Step::Wait(wait) => self.drive_on(wait, timeout, mode, step),
        }
    }

    /// The same after a first try, which must wait.
    #[inline(never)]
    fn drive_on<T>(
        &self,
        wait: Wait,
        timeout: f64,
        mode: WaitMode,
        step: impl FnMut() -> net::error::Result<Step<T>>,
    ) -> Result<T> {
        let deadline = self.deadline(timeout);
        match go_on(wait, deadline, mode, step)? {
            Driven::Done(value) => Ok(value),
            Driven::Interrupted => Err(Stop::Again(Token::Deadline(deadline), None)),
            Driven::Suspended(wait) => Err(Stop::Again(Token::Deadline(deadline), Some(wait))),
        }
    }

    /// How a call waits that is not for a connection.
    pub fn wait_mode(&self) -> WaitMode {
        self.host.wait_mode()
    }

    // Arguments, counted from 1; a method's self is not counted.

    pub fn argument(&self, at: usize) -> Argument<'_> {
        Argument::new(self, at)
    }

    pub fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        (1..=self.argument_count()).map(|at| self.argument(at))
    }

    pub fn argument_count(&self) -> usize {
        (self.last - self.first + 1).max(0) as usize
    }

    /// The first two arguments, the port from `low` on.
    pub fn endpoint(&self, low: usize) -> Result<Endpoint> {
        Ok(Endpoint { host: self.host()?, port: self.argument(2).integer(low, 65535)? as u16 })
    }

    /// The first argument, the descriptor of a socket of somebody else's.
    pub fn given_socket(&self, role: Role) -> Result<GivenSocket> {
        let given = GivenSocket::new(self.argument(1).descriptor()?, role);
        given.map_err(|error| self.with_descriptor(error))
    }

    /// A failure that names the descriptor which is the first argument.
    #[cold]
    pub fn with_descriptor(&self, error: Error) -> Stop {
        let label = String::from_utf8_lossy(self.argument(1).bytes().unwrap_or_default());
        error.with_context(self.name, label).into()
    }

    /// The first argument, the path of a Unix socket or an abstract name.
    pub fn unix_address(&self) -> Result<UnixAddress> {
        let path = self.argument(1);
        UnixAddress::parse(path.bytes()?).map_err(|why| path.wrong(why))
    }

    /// The first argument, a name or an address.
    pub fn host(&self) -> Result<String> {
        let host = self.argument(1).host()?;
        match is_unusual_address(&host) {
            true => {
                Err(self.argument(1).wrong("a name, or an address in its usual form, expected"))
            }
            false => Ok(host),
        }
    }

    /// Whether the value at this index of the stack is the self of the call.
    pub fn is_self(&self, index: c_int) -> bool {
        // SAFETY: the self is in its slot, and the value stays on the stack.
        unsafe { lua_touserdata(self.state, index) == lua_touserdata(self.state, SELF) }
    }

    /// Calls `act` with the connection at this index of the stack; none if the value is something
    /// else.
    pub fn with_connection<R>(
        &self,
        index: c_int,
        act: impl FnOnce(&mut Connection) -> Result<R>,
    ) -> Result<Option<R>> {
        // SAFETY: the value stays on the stack.
        let slot = unsafe { self.host.kinds.connections.at(self.state, index) };
        let Some(slot) = slot else { return Ok(None) };
        let mut object = slot.try_borrow_mut().map_err(|_| in_use())?;
        let this = object.as_mut().ok_or_else(finalized)?;
        // SAFETY: the connection is at that index.
        unsafe { lines::take_back(self.state, index, this) };
        act(this).map(Some)
    }

    /// The same with a listener.
    pub fn with_listener<R>(
        &self,
        index: c_int,
        act: impl FnOnce(&mut Listener) -> Result<R>,
    ) -> Result<Option<R>> {
        // SAFETY: the value stays on the stack.
        let slot = unsafe { self.host.kinds.listeners.at(self.state, index) };
        let Some(slot) = slot else { return Ok(None) };
        let mut object = slot.try_borrow_mut().map_err(|_| in_use())?;
        act(object.as_mut().ok_or_else(finalized)?).map(Some)
    }

    /// Appends the JSON text of the first argument, in a protected call, since lua_checkstack may
    /// raise.
    pub fn append_json(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut walked = Ok(());
        // SAFETY: the value is in slot 1 of the protected call, and on top; what `append` owns is
        // out here.
        let is_done = unsafe {
            protected(self.state, self.first, 0, |state| {
                walked = json::append(state, 1, out);
                0
            })
        };
        if is_done { Ok(walked?) } else { Err(Stop::Raised) }
    }

    /// Marks the table at this index as an array: false where it has another metatable.
    pub fn mark_array(&self, index: c_int) -> Result<bool> {
        let mut is_marked = false;
        // SAFETY: the table is in slot 1 of the protected call; nothing is owned.
        let is_done = unsafe {
            protected(self.state, index, 0, |state| {
                is_marked = json::mark(state, 1);
                0
            })
        };
        if is_done { Ok(is_marked) } else { Err(Stop::Raised) }
    }

    /// Keeps the function at this index for the lines of the trace.
    pub fn keep_sink(&self, index: c_int) {
        // SAFETY: the function stays on the stack.
        unsafe { sink::keep(self.state, index) };
    }

    /// Whether a coroutine other than the one that runs waits with this claim.
    pub fn is_claimed(&self, claim: Claim) -> bool {
        // SAFETY: a C function has the slots.
        unsafe { waiting::is_waiting(self.state, claim) }
    }

    /// The operation that the first call began, if this one is made again.
    pub fn take_pending(&self) -> Option<Box<PendingOp>> {
        // SAFETY: the token stays in its slot.
        unsafe { self.host.kinds.tokens.at(self.state, TOKEN) }?.take()
    }
}
