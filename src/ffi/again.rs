//! A call that is to be made again, and what to wait for first, as the shim understands it
//! (lua/shim.lua). Uses `ffi`, `event_loop`.

use std::ffi::c_int;

use net::io::step::Want;

use super::call::{Call, TOKEN, Token};
use super::give::{Ended, pushed};
use super::*;
use crate::event_loop::{Host, Suspended, seconds_left};

/// Pushes a token to call again with, and what to wait for first: see lua/shim.lua.
pub unsafe fn give_again(call: &Call<'_>, mut token: Token, suspended: Option<Suspended>) -> Ended {
    let state = call.state;
    if let (Token::Pending(pending), Some(suspended)) = (&mut token, &suspended) {
        pending.suspended(call.host, suspended);
    }
    let mut slot = None;
    // SAFETY: the caller's. The work stays where it was begun.
    unsafe {
        lua_pushnil(state);
        match &token {
            Token::Deadline(deadline) => lua_pushnumber(state, deadline.seconds()),
            Token::Pending(_) => match call.host.kinds.tokens.at(state, TOKEN) {
                Some(old) => {
                    slot = Some(old);
                    lua_pushvalue(state, TOKEN);
                }
                None => {
                    let kind = call.host.kinds.tokens;
                    let make = |state| slot = Some(kind.push_empty(state));
                    if let Ended::Raised = pushed(state, 1, make) {
                        return Ended::Raised;
                    }
                }
            },
        }
        if let (Token::Pending(pending), Some(slot)) = (token, slot) {
            slot.replace(Some(pending));
        }
        let Some(suspended) = suspended else { return Ended::Pushed(2) };
        Ended::Pushed(2 + push_suspended(state, call.host, &suspended))
    }
}

/// Pushes the claim, and in how many seconds `poll_events` is to be called if that is sooner than
/// the loop knows; or the claim, for how many seconds to wait, nil being for ever, the descriptor,
/// and whether to write. Gives the number of values.
unsafe fn push_suspended(state: *mut lua_State, host: &Host, suspended: &Suspended) -> c_int {
    let Suspended { wait, claim } = suspended;
    let seconds = if suspended.is_polled() { host.new_deadline() } else { seconds_left(wait.wake) };
    // SAFETY: the caller's.
    unsafe {
        push_integer(state, *claim);
        match seconds {
            Some(seconds) => lua_pushnumber(state, seconds),
            None => lua_pushnil(state),
        }
        if suspended.is_polled() {
            return 2;
        }
        push_integer(state, wait.fd.into());
        lua_pushboolean(state, (wait.want == Want::Write).into());
        4
    }
}
