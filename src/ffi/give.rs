//! Pushes the result of a call, as values that the shim understands (lua/shim.lua). Uses `ffi`,
//! `reply`, `json`.

use std::ffi::c_int;

use net::error::Code;
use net::framing::text::Item;
use net::io::poller::Registration;

use super::again::give_again;
use super::call::{Call, Result, SELF, Stop, TOKEN};
use super::reply::{self, Reply};
use super::*;
use crate::connection::Connection;
use crate::json::{self, Document};

/// The size of a block of lines, in bytes. It is less than any limit of a line, so that no line in
/// a block is over it.
const BLOCK: usize = 64 * 1024;

/// How a call ended. It owns nothing any more.
pub enum Ended {
    /// With an item that was copied, which is to be pushed and consumed.
    Small,
    /// With so many values, which are on the stack.
    Pushed(c_int),
    /// With an error, which is on the stack.
    Raised,
}

/// An error that both modules throw.
pub unsafe fn give_up(state: *mut lua_State, message: &str) -> Ended {
    // SAFETY: the caller's; the body owns nothing.
    let is_pushed = unsafe {
        protected(state, TOKEN, 3, |state| {
            lua_pushboolean(state, 0);
            push_bytes(state, b"throw");
            push_bytes(state, message.as_bytes());
            3
        })
    };
    if is_pushed { Ended::Pushed(3) } else { Ended::Raised }
}

/// Pushes the result of a call, and commits it: what was read is consumed. The reply is matched in
/// place, since moving it takes longer than pushing a line.
pub unsafe fn give(call: &Call<'_>, result: Result<Reply>, this: Option<&mut Connection>) -> Ended {
    let state = call.state;
    // SAFETY: the caller's. What needs no memory of Lua's needs no protected call either; Lua has
    // room for what a C function returns.
    unsafe {
        if result.is_ok() {
            lua_pushboolean(state, 1);
        }
        match result {
            Ok(Reply::Nothing) => {
                if call.safe {
                    lua_pushboolean(state, 1)
                } else {
                    lua_pushnil(state)
                }
                Ended::Pushed(2)
            }
            Ok(Reply::Value(value)) if value.is_plain() => {
                value.push(state);
                Ended::Pushed(2)
            }
            Ok(Reply::Value(value)) => pushed(state, 1, |state| value.push(state)),
            Ok(Reply::Pair(first, second)) => pushed(state, 2, |state| {
                first.push(state);
                second.push(state);
            }),
            Ok(Reply::Item(item)) => {
                let this = owner(this);
                let bytes = this.found(&item);
                let ended = pushed(state, 1, |state| push_bytes(state, bytes));
                committed(ended, this, item.size)
            }
            Ok(Reply::Packet(item)) => {
                let this = owner(this);
                let (bytes, header) = (this.found(&item), found::header(this, &item));
                let ended = found::packet(state, header, |state| push_bytes(state, bytes));
                committed(ended, this, item.size)
            }
            Ok(Reply::Json(document, item)) => {
                let this = owner(this);
                let bytes = this.found(&item);
                let ended = pushed(state, 1, |state| document.push(state, bytes));
                committed(ended, this, item.size)
            }
            Ok(Reply::JsonPacket(document, item)) => {
                let this = owner(this);
                let (bytes, header) = (this.found(&item), found::header(this, &item));
                let ended = found::packet(state, header, |state| document.push(state, bytes));
                committed(ended, this, item.size)
            }
            Ok(Reply::Peeked(item)) => {
                let bytes = owner(this).found(&item);
                pushed(state, 1, |state| push_bytes(state, bytes))
            }
            Ok(Reply::Captures(item)) => {
                let this = owner(this);
                let ended = found::captures(state, this, &item);
                committed(ended, this, item.size)
            }
            Ok(Reply::Lines(item, most)) => give_lines(call, &item, most, owner(this)),
            Ok(Reply::Argument(index)) => {
                lua_pushvalue(state, index);
                Ended::Pushed(2)
            }
            Ok(Reply::Elements(lists)) => give_elements(state, &lists),
            Ok(Reply::Decoded(document)) => give_decoded(call, &document),
            Ok(Reply::Encoded) => give_encoded(call),
            Ok(Reply::Connection(connection, is_last)) => {
                give_connection(call, connection, is_last)
            }
            Ok(Reply::Listener(listener)) => {
                let mut slot = None;
                let kind = call.host.kinds.listeners;
                let ended = pushed(state, 1, |state| slot = Some(kind.push_empty(state)));
                if let (Ended::Pushed(_), Some(slot)) = (&ended, slot) {
                    slot.replace(Some(*listener));
                }
                ended
            }
            Err(Stop::Raised) => Ended::Raised,
            Err(Stop::Again(token, None)) => give_again(call, token, None),
            Err(Stop::Again(token, Some(wait))) => match call
                .host
                .suspend(wait, &mut Registration::default())
            {
                Ok(suspended) => give_again(call, token, Some(suspended)),
                Err(error) => give_failure(call, &Stop::from(error).with_context(call.name, "")),
            },
            Err(Stop::Suspended(token, suspended)) => give_again(call, token, Some(suspended)),
            Err(stop) => give_failure(call, &stop),
        }
    }
}

/// The connection whose input a reply is from.
fn owner(this: Option<&mut Connection>) -> &mut Connection {
    this.unwrap_or_else(|| unreachable!("only a connection has items"))
}

/// Pushes true and then `count` values. `push` owns nothing and does not panic.
pub unsafe fn pushed(
    state: *mut lua_State,
    count: c_int,
    mut push: impl FnMut(*mut lua_State),
) -> Ended {
    // SAFETY: the caller's.
    let is_pushed = unsafe {
        protected(state, TOKEN, count, |state| {
            push(state);
            count
        })
    };
    if is_pushed { Ended::Pushed(1 + count) } else { Ended::Raised }
}

/// Consumes the input that was pushed.
fn committed(ended: Ended, this: &mut Connection, size: usize) -> Ended {
    if let Ended::Pushed(_) = ended {
        this.consume(size);
    }
    ended
}

/// A block of lines: it stays in the buffer, and the iterator counts what it hands out.
unsafe fn give_lines(call: &Call<'_>, item: &Item, most: usize, this: &mut Connection) -> Ended {
    let block = this.line_block(item, most.min(BLOCK));
    // SAFETY: the caller's; the self is in its slot, and the arguments are behind it.
    let lent = unsafe { lines::push_block(call.state, SELF, call.first + 1, block) };
    let is_pushed = lent.is_some();
    this.lent = lent;
    if is_pushed { Ended::Pushed(2) } else { Ended::Raised }
}

/// Pushes two lists: the elements of each argument that have these indices.
unsafe fn give_elements(state: *mut lua_State, lists: &[(c_int, Vec<usize>)]) -> Ended {
    let mut count = 1;
    for (argument, numbers) in lists {
        // SAFETY: the caller's; the argument is in slot 1 of the protected call.
        let is_pushed = unsafe {
            protected(state, *argument, 1, |state| {
                lua_createtable(state, numbers.len() as c_int, 0);
                for (number, index) in numbers.iter().zip(1..) {
                    raw_get_index(state, 1, *number as Index);
                    raw_set_index(state, -2, index as Index);
                }
                1
            })
        };
        if !is_pushed {
            return Ended::Raised;
        }
        count += 1;
    }
    Ended::Pushed(count)
}

unsafe fn give_decoded(call: &Call<'_>, document: &Document) -> Ended {
    // SAFETY: the caller's; the text that was parsed is the first argument.
    unsafe {
        let text = bytes_at(call.state, call.first);
        pushed(call.state, 1, |state| document.push(state, text))
    }
}

unsafe fn give_encoded(call: &Call<'_>) -> Ended {
    let mut walked = Ok(());
    let mut ended = Ended::Raised;
    json::with_spare_text(|out| {
        // SAFETY: the caller's; the value is in slot 1 of the protected call, and on top.
        ended = unsafe {
            let is_pushed = protected(call.state, call.first, 1, |state| {
                walked = json::append(state, 1, out);
                push_bytes(state, if walked.is_ok() { out } else { b"" });
                1
            });
            if is_pushed { Ended::Pushed(2) } else { Ended::Raised }
        };
    });
    match (walked, ended) {
        // SAFETY: the caller's.
        (Err(failure), Ended::Pushed(_)) => unsafe {
            give_failure(call, &Stop::from(failure).with_context(call.name, ""))
        },
        (_, ended) => ended,
    }
}

unsafe fn give_connection(call: &Call<'_>, connection: Box<Connection>, is_last: bool) -> Ended {
    let kind = call.host.kinds.connections;
    let mut slot = None;
    // SAFETY: the caller's.
    let ended = unsafe { pushed(call.state, 1, |state| slot = Some(kind.push_empty(state))) };
    if let (Ended::Pushed(_), Some(slot)) = (&ended, slot) {
        slot.replace(Some(*connection));
        if is_last {
            // SAFETY: the connection is on top. To put it where the last one was needs no memory.
            unsafe { reply::keep_last(call.state) };
        }
    }
    ended
}

/// Pushes how a call failed: whether to throw, the message, the code, and details.
#[cold]
unsafe fn give_failure(call: &Call<'_>, stop: &Stop) -> Ended {
    let (how, message, code, details) = match stop {
        Stop::Failed(error) | Stop::Reported(error, _) => {
            call.host.tracer.failure(error);
            // A task that was ended must not go on by mistake.
            let is_thrown = !call.safe || error.code() == Code::Cancelled;
            let how = if is_thrown { "throw" } else { "return" };
            (how, error.to_string(), Some(error.code().name()), reply::details(stop))
        }
        Stop::Argument(message) => ("throw", message.clone(), None, reply::Value::Nil),
        _ => ("pass", "not enough memory".to_owned(), None, reply::Value::Nil),
    };
    // SAFETY: the caller's; what is pushed is owned out here.
    let is_pushed = unsafe {
        protected(call.state, TOKEN, 5, |state| {
            lua_pushboolean(state, 0);
            push_bytes(state, how.as_bytes());
            push_bytes(state, message.as_bytes());
            match code {
                Some(code) => push_bytes(state, code.as_bytes()),
                None => lua_pushnil(state),
            }
            details.push(state);
            5
        })
    };
    if is_pushed { Ended::Pushed(5) } else { Ended::Raised }
}
