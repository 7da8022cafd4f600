//! A buffer for received or queued bytes: filled at the end, consumed from the front. It grows with
//! the bytes that have come, never by an announced length, and has no memory while it is empty. It
//! knows no socket and no Lua. Uses `memory`, `error`.

use std::cell::Cell;
use std::mem;

use crate::error::Result;
use crate::memory::reserve;

/// The largest spare buffer, in bytes.
const SMALL: usize = 256 * 1024;
/// The largest spare for buffers over that size.
const LARGE: usize = 16 * 1024 * 1024;

/// A buffer of over `SMALL` bytes is replaced once its rest is at most this share of it. Copying
/// such a rest costs little compared with the bytes that went through.
const SHARE: usize = 64;

/// The offset of the first byte. Lua strings have the same offset, and with equal alignment glibc
/// copies a gigabyte in two thirds of the time.
const HEAD: usize = 24;

thread_local! {
    /// The memory of the last buffer that was emptied, for the next one. So thousands of idle
    /// connections need none, and a busy one does not allocate for each packet.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The same for a large buffer: its cost is mostly that of fresh pages.
    static SPARE_LARGE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// The offset of the first byte that is not consumed.
    start: usize,
    /// Bytes that were read while the buffer was full; they belong at its end.
    late: Vec<u8>,
}

impl Buffer {
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves bytes from the front behind those in `into`, at most its spare capacity: how many.
    pub fn take_into(&mut self, into: &mut Vec<u8>) -> usize {
        let count = self.len().min(into.capacity() - into.len());
        into.extend_from_slice(&self.filled()[..count]);
        self.consume(count);
        count
    }

    /// Drops `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        self.release_if_empty();
        if self.bytes.capacity() > SMALL {
            self.move_rest();
        }
    }

    /// Moves a small rest out of a large buffer, since no more may come for hours. Without memory
    /// for that, the rest stays.
    #[cold]
    fn move_rest(&mut self) {
        if self.len() > self.bytes.capacity() / SHARE {
            return;
        }
        let mut small = Vec::new();
        if reserve(&mut small, HEAD + self.len()).is_ok() {
            small.extend_from_slice(&[0; HEAD]);
            small.extend_from_slice(self.filled());
            self.start = HEAD;
            keep(mem::replace(&mut self.bytes, small));
        }
    }

    /// Releases the memory if the buffer is empty.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() {
            self.start = 0;
            keep(mem::take(&mut self.bytes));
        }
    }

    /// Calls `read` with a vector that has room for at least `room` bytes. A large full buffer only
    /// grows once bytes have come: at the end of the stream its copy would be for nothing. Bytes
    /// that have come then wait for [`Buffer::append_late`].
    pub fn fill<T>(
        &mut self,
        room: usize,
        read: impl FnOnce(&mut Vec<u8>) -> Result<T>,
    ) -> Result<Result<T>> {
        let is_full = self.bytes.capacity() - self.bytes.len() < room;
        if !is_full || self.len() <= SMALL {
            let result = read(self.spare(room)?);
            self.release_if_empty();
            return Ok(result);
        }
        if self.late.capacity() == 0 {
            self.late = SPARE.take();
        }
        reserve(&mut self.late, room)?;
        let result = read(&mut self.late);
        if self.late.is_empty() {
            keep(mem::take(&mut self.late));
        }
        Ok(result)
    }

    /// Appends the bytes that were read while the buffer was full; returns whether there were any.
    /// Without memory for them, they stay where they are.
    pub fn append_late(&mut self) -> Result<bool> {
        if self.late.is_empty() {
            return Ok(false);
        }
        self.spare(self.late.len())?;
        self.bytes.append(&mut self.late);
        keep(mem::take(&mut self.late));
        Ok(true)
    }

    /// Returns the vector to append to, with room for at least `room` more bytes. Consumed bytes
    /// are removed first, if this moves fewer bytes than it frees.
    pub fn spare(&mut self, room: usize) -> Result<&mut Vec<u8>> {
        if self.start > self.len() + HEAD {
            self.bytes.drain(HEAD..self.start);
            self.start = HEAD;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        let is_new = self.bytes.is_empty();
        let room = if is_new { HEAD + room } else { room };
        let size = self.bytes.len() + room;
        if size > self.bytes.capacity().max(SMALL) {
            let mut large = SPARE_LARGE.take();
            if large.capacity() >= size {
                large.extend_from_slice(&self.bytes);
                keep(mem::replace(&mut self.bytes, large));
            }
        }
        reserve(&mut self.bytes, room)?;
        if is_new {
            self.bytes.resize(HEAD, 0);
            self.start = HEAD;
        }
        Ok(&mut self.bytes)
    }
}

/// Keeps the memory for the next buffer.
fn keep(mut bytes: Vec<u8>) {
    bytes.clear();
    match bytes.capacity() {
        0 => {}
        1..=SMALL => SPARE.set(bytes),
        size if size <= LARGE => SPARE_LARGE.set(bytes),
        _ => drop(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut buffer = Buffer::default();
        buffer.spare(3).expect("memory").extend_from_slice(b"abc");
        buffer.consume(2);
        buffer.spare(2).expect("memory").extend_from_slice(b"de");
        assert_eq!(buffer.filled(), b"cde");
        assert_eq!(buffer.len(), 3);
        buffer.consume(3);
        assert!(buffer.is_empty());
    }

    #[test]
    fn consumed_room_is_used_again() {
        let mut buffer = Buffer::default();
        buffer.spare(1024).expect("memory").extend_from_slice(&[7; 1024]);
        for _ in 0..10_000 {
            buffer.consume(1000);
            buffer.spare(1000).expect("memory").extend_from_slice(&[7; 1000]);
        }
        assert_eq!(buffer.len(), 1024);
        assert!(buffer.bytes.capacity() < 8 * 1024);
    }

    #[test]
    fn a_full_buffer_grows_when_more_has_come() {
        let mut buffer = Buffer::default();
        let full = buffer.spare(2 * SMALL).expect("memory");
        full.resize(full.capacity(), 7);
        let (size, capacity) = (buffer.len(), buffer.bytes.capacity());
        for text in ["", "more"] {
            let append = |more: &mut Vec<u8>| {
                more.extend_from_slice(text.as_bytes());
                Ok(more.len())
            };
            let read = buffer.fill(1024, append).expect("memory").expect("read");
            assert_eq!(buffer.append_late().expect("memory"), !text.is_empty());
            assert_eq!((read, buffer.len()), (text.len(), size + text.len()));
            assert_eq!(buffer.bytes.capacity() == capacity, text.is_empty());
            assert!(buffer.filled().ends_with(text.as_bytes()));
        }
    }

    #[test]
    fn a_backlog_that_never_ends_keeps_its_size() {
        let mut buffer = Buffer::default();
        for _ in 0..10_000 {
            buffer.spare(0).expect("memory").extend_from_slice(&[7; 1000]);
            if buffer.len() > 4000 {
                buffer.consume(1000);
            }
        }
        assert!(buffer.bytes.capacity() < 32 * 1024);
    }

    #[test]
    fn no_memory_is_an_error() {
        let mut buffer = Buffer::default();
        let error = buffer.spare(isize::MAX as usize).expect_err("there is not so much");
        assert!(error.is_out_of_memory());
    }

    #[test]
    fn large_idle_memory_is_for_the_next_that_is_large() {
        let mut buffer = Buffer::default();
        let bytes = buffer.spare(2 * SMALL).expect("memory");
        bytes.resize(HEAD + 2 * SMALL, 0);
        let at = bytes.as_ptr();
        buffer.consume(2 * SMALL);
        assert_eq!(buffer.bytes.capacity(), 0);
        assert_ne!(buffer.spare(1000).expect("memory").as_ptr(), at);
        buffer.spare(1000).expect("memory").extend_from_slice(b"abc");
        assert_eq!(buffer.spare(SMALL).expect("memory").as_ptr(), at);
        assert_eq!(buffer.filled(), b"abc");
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_buffer() {
        for (size, rest) in [(2 * SMALL, 1), (2 * SMALL, SMALL / 64), (LARGE + 1, 1)] {
            let mut buffer = Buffer::default();
            let bytes = buffer.spare(size).expect("memory");
            bytes.resize(HEAD + size, 7);
            let at = bytes.as_ptr();
            buffer.consume(size - rest);
            assert_eq!(buffer.filled(), vec![7; rest]);
            assert!(buffer.bytes.capacity() <= 2 * (HEAD + rest));
            buffer.spare(3).expect("memory").extend_from_slice(b"abc");
            assert_eq!(buffer.filled(), [&vec![7; rest][..], b"abc"].concat());
            let large = SPARE_LARGE.take();
            assert_eq!((large.as_ptr() == at, large.capacity() == 0), (size < LARGE, size > LARGE));
        }
    }

    #[test]
    fn a_rest_that_is_not_small_stays_where_it_is() {
        let mut buffer = Buffer::default();
        let bytes = buffer.spare(2 * SMALL).expect("memory");
        bytes.resize(HEAD + 2 * SMALL, 7);
        let at = bytes.as_ptr();
        buffer.consume(SMALL);
        assert_eq!((buffer.bytes.as_ptr(), buffer.len()), (at, SMALL));
    }

    #[test]
    fn huge_idle_memory_is_given_back() {
        let mut buffer = Buffer::default();
        buffer.spare(LARGE + 1).expect("memory").resize(HEAD + 1, 0);
        buffer.consume(1);
        assert_eq!((buffer.bytes.capacity(), SPARE_LARGE.take().capacity()), (0, 0));
    }

    #[test]
    fn an_empty_buffer_lends_its_memory_to_the_next() {
        let (mut one, mut other) = (Buffer::default(), Buffer::default());
        let bytes = one.spare(1000).expect("memory");
        bytes.extend_from_slice(b"abc");
        let at = bytes.as_ptr();
        one.consume(3);
        assert_eq!(one.bytes.capacity(), 0);
        assert_eq!(other.spare(1000).expect("memory").as_ptr(), at);
        other.release_if_empty();
        assert_eq!((other.bytes.capacity(), one.spare(10).expect("memory").as_ptr()), (0, at));
    }
}
