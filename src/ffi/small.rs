//! A small item, which is copied out of a connection's input before it is pushed. Then nothing is
//! borrowed while Lua takes memory for it: Lua may raise, and its collector may run a finalizer
//! that reads this connection. To copy it takes less time than a protected call. Uses `ffi`,
//! `connection`.

use std::mem::MaybeUninit;
use std::slice;

use net::framing::text::Item;
use net::stream::Stream;

use super::object::{UserdataCell, count_finalized};
use super::*;
use crate::connection::Connection;

/// The size of the largest small item, in bytes.
pub const MOST: usize = 1024;

/// Room for a copy of an item that its stream still has.
pub struct Small {
    bytes: MaybeUninit<[u8; MOST]>,
    original: Option<Original>,
}

/// What was copied.
struct Original {
    /// The connection, and how many objects were finalized before.
    slot: *const UserdataCell<Connection>,
    finalized: usize,
    /// Where the item stands in its stream.
    position: u64,
    length: usize,
    /// What is consumed with it.
    size: usize,
}

impl Small {
    pub fn new() -> Self {
        Self { bytes: MaybeUninit::uninit(), original: None }
    }

    /// Copies an item of this connection; false if it is not small.
    #[inline]
    pub fn copy(&mut self, slot: &UserdataCell<Connection>, stream: &Stream, item: &Item) -> bool {
        let text = stream.text(item);
        let (length, position) = (text.len(), stream.position());
        if length > MOST {
            return false;
        }
        // SAFETY: these bytes are no part of the stream, and there is room for so many.
        unsafe { text.as_ptr().copy_to_nonoverlapping(self.bytes.as_mut_ptr().cast(), length) };
        let (size, finalized) = (item.size, count_finalized());
        self.original = Some(Original { slot, finalized, position, length, size });
        true
    }

    /// Pushes it. May raise for want of memory.
    ///
    /// # Safety
    /// In a C function with a free slot.
    #[inline]
    pub unsafe fn push(&self, state: *mut lua_State) {
        let length = self.original.as_ref().map_or(0, |original| original.length);
        // SAFETY: the caller's; `copy` has filled so many bytes.
        unsafe { push_bytes(state, slice::from_raw_parts(self.bytes.as_ptr().cast(), length)) };
    }

    /// Consumes it; false where a finalizer has used the connection meanwhile.
    ///
    /// # Safety
    /// In the C function in which it was copied.
    #[inline]
    pub unsafe fn consume(&self) -> bool {
        let Some(Original { slot, finalized, position, size, .. }) = self.original else {
            return false;
        };
        if count_finalized() != finalized {
            return false;
        }
        // SAFETY: the caller's. Lua frees no connection that it has not finalized.
        let Ok(mut object) = (unsafe { &*slot }).try_borrow_mut() else { return false };
        let Some(stream) = object.as_mut().and_then(Connection::idle_stream) else { return false };
        let is_next = stream.position() == position;
        if is_next {
            stream.consume(size);
        }
        is_next
    }
}
