//! Pushes what was found in a connection's input and has more than one part. Uses `ffi`,
//! `connection`.

use std::ffi::c_int;
use std::ops::Range;

use net::framing::pattern::Capture;
use net::framing::text::Item;

use super::give::{Ended, pushed};
use super::*;
use crate::connection::Connection;

/// The header of a packet that was found.
pub fn header<'a>(this: &'a Connection, item: &Item) -> Option<&'a [u8]> {
    this.as_open()?.header(item)
}

/// Pushes true, a value and the header behind it, if there is one.
///
/// # Safety
/// As for `pushed`.
pub unsafe fn packet(
    state: *mut lua_State,
    header: Option<&[u8]>,
    mut push: impl FnMut(*mut lua_State),
) -> Ended {
    // SAFETY: the caller's.
    unsafe {
        pushed(state, 1 + c_int::from(header.is_some()), |state| {
            push(state);
            if let Some(header) = header {
                push_bytes(state, header);
            }
        })
    }
}

/// Pushes what a pattern captured: the match where it has no captures, a table where several.
///
/// # Safety
/// As for `pushed`.
pub unsafe fn captures(state: *mut lua_State, this: &Connection, item: &Item) -> Ended {
    let whole = this.found(item);
    let captures = this.as_open().map_or(&[][..], |stream| stream.captures());
    let bytes = |at: &Range<usize>| this.found(&Item { text: at.clone(), size: at.end });
    // SAFETY: called below, in a protected call.
    let push = |state, capture: &Capture| unsafe {
        match capture {
            Capture::Text(text) => push_bytes(state, bytes(text)),
            Capture::Position(at) => push_integer(state, *at as i64 + 1),
        }
    };
    // SAFETY: the caller's.
    unsafe {
        pushed(state, 1, |state| match captures {
            [] => push_bytes(state, whole),
            [capture] => push(state, capture),
            captures => {
                lua_createtable(state, captures.len() as c_int, 0);
                for (capture, index) in captures.iter().zip(1..) {
                    push(state, capture);
                    raw_set_index(state, -2, index as Index);
                }
            }
        })
    }
}
