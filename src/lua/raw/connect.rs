//! The fast half of `connect`: to a host and a port, with a timeout at most, where the call waits here and
//! nothing is traced. A connect is not made again as a step is: what has failed, or is not through with its first
//! step, is handed to the full half, as the token of the call. Uses `raw`, `object`, `connecting`, `work`.

use std::cell::Ref;
use std::ffi::c_int;

use mlua::{Function, Lua, Table};

use net::connect::resolve;
use net::endpoint::Endpoint;
use net::io::wait::Place;

use super::object::{Kind, Slot};
use super::*;
use crate::lua::connecting::Connecting;
use crate::lua::connection::Connection;
use crate::lua::options::Options;
use crate::lua::park::Parking;
use crate::lua::work::Underway;

// The slots that `connect` is called with, see shim.lua; behind them the userdata of its connection.
const TOKEN: c_int = 1;
const HOST: c_int = 2;
const PORT: c_int = 3;
const TIMEOUT: c_int = 4;
const CONNECTION: c_int = 5;

// Upvalues.
const MAKER: c_int = OWN;
const LAST: c_int = OWN + 1;

/// What makes the connections of one module.
struct Maker {
    safe: bool,
    parking: Parking,
    connections: Kind<Connection>,
    tokens: Kind<Underway<Connecting>>,
}

/// The fast half in front of the full one. What it made last is the first in `last`, where something must be
/// already.
pub fn half(lua: &Lua, safe: bool, last: Table, full: Function) -> mlua::Result<Function> {
    let (parking, connections, tokens) = (Parking::of(lua)?, Kind::of(lua)?, Kind::of(lua)?);
    let maker = Kind::of(lua)?.create(lua, Maker { safe, parking, connections, tokens })?;
    fast_half(lua, connect, full, (maker, last))
}

unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; the upvalues are as `half` made them. Where Lua has no memory for the userdata,
    // nothing is owned yet.
    unsafe {
        let count = lua_gettop(state).min(TIMEOUT);
        lua_settop(state, TIMEOUT);
        let Some(connections) = plain(state) else {
            return attempt(state, count, |_| Ended::Declined);
        };
        let slot = connections.push_empty(state);
        attempt(state, count, |state| try_connect(state, slot).unwrap_or(Ended::Declined))
    }
}

/// What connections are made of, where it is the first call, which may wait here, and nothing is traced.
unsafe fn plain(state: *mut lua_State) -> Option<Kind<Connection>> {
    // SAFETY: `connect`'s.
    let (is_first, maker) = unsafe { (lua_type(state, TOKEN) == LUA_TNIL, maker(state)?) };
    let may_wait = maker.parking.place() == Place::Here;
    (is_first && may_wait && !maker.parking.tracer().is_on()).then_some(maker.connections)
}

/// None at the state's end, when the collector has it.
unsafe fn maker<'a>(state: *mut lua_State) -> Option<Ref<'a, Maker>> {
    // SAFETY: the upvalues are as `half` made them.
    let slot = unsafe { &*lua_touserdata(state, lua_upvalueindex(MAKER)).cast::<Slot<Maker>>() };
    Ref::filter_map(slot.try_borrow().ok()?, Option::as_ref).ok()
}

/// Owns what is begun; none where the full half is to begin.
unsafe fn try_connect(state: *mut lua_State, slot: &Slot<Connection>) -> Option<Ended> {
    // SAFETY: `connect`'s.
    let maker = unsafe { maker(state) }?;
    let mut slot = slot.try_borrow_mut().ok()?;
    // SAFETY: the slots are there.
    let options = unsafe { options(state) }?;
    let begun = Connecting::begin("connect", options, maker.safe, &maker.parking);
    // Nothing has gone out yet.
    let Ok(mut underway) = begun else { return None };
    let Some(connected) = underway.first_step() else {
        // SAFETY: `underway` is owned by this frame.
        return Some(unsafe { hand_over(state, maker.tokens, underway) });
    };
    *slot = Some(underway.work.connection(connected, &maker.parking));
    // SAFETY: Lua has room for what a C function returns, and for one more. To set what is there needs no memory.
    unsafe {
        lua_pushvalue(state, CONNECTION);
        raw_set_index(state, lua_upvalueindex(LAST), 1);
        lua_pushboolean(state, 1);
        lua_pushvalue(state, CONNECTION);
    }
    Some(Ended::Given(2))
}

/// To be called again with what is under way for a token.
#[cold]
unsafe fn hand_over<T: 'static>(state: *mut lua_State, kind: Kind<T>, underway: T) -> Ended {
    let mut underway = Some(underway);
    // SAFETY: what is owned is in this frame, whatever is raised in the protected call.
    let is_given = unsafe {
        protected(state, TOKEN, 2, |state| {
            lua_pushnil(state);
            kind.push_empty(state).replace(underway.take());
            2
        })
    };
    if is_given { Ended::Given(2) } else { Ended::Raised }
}

/// What is plain: none where it is not.
unsafe fn options(state: *mut lua_State) -> Option<Options> {
    // SAFETY: as above.
    unsafe {
        if lua_type(state, HOST) != LUA_TSTRING {
            return None;
        }
        let host = resolve::host(bytes_at(state, HOST));
        let port = u16::try_from(whole_at(state, PORT)?).ok().filter(|port| *port > 0)?;
        let mut options = Options::new(Endpoint { host, port });
        match lua_type(state, TIMEOUT) {
            LUA_TNIL => {}
            LUA_TNUMBER if float_at(state, TIMEOUT) > 0.0 => {
                options.timeout = float_at(state, TIMEOUT);
            }
            _ => return None,
        }
        Some(options)
    }
}
