//! A block of whole lines that a connection has lent. May use nothing of ours.

/// A block of whole lines that the iterator of `lines` has: the buffer holds them until the next
/// call, from which on the block is no longer true. Where the iterator is Lua, it counts by itself
/// (ffi/lines.rs).
#[cfg_attr(any(feature = "lua51", feature = "luajit"), allow(dead_code))]
pub struct LineBlock {
    /// Where Lua has the block's bytes: what tells it from others.
    at: *const u8,
    size: usize,
    /// How many bytes of it are handed out.
    taken: usize,
}

#[cfg_attr(any(feature = "lua51", feature = "luajit"), allow(dead_code))]
impl LineBlock {
    pub fn new(block: &[u8]) -> Self {
        Self { at: block.as_ptr(), size: block.len(), taken: 0 }
    }

    /// So many bytes, of what somebody has counted.
    pub fn at_most(&self, count: usize) -> usize {
        count.min(self.size)
    }

    pub fn taken(&self) -> usize {
        self.at_most(self.taken)
    }

    /// The next line of the block, if it is this one: where it begins and ends without its `\n` or
    /// `\r\n`, and where the line after it begins.
    pub fn next_line(&self, block: &[u8]) -> Option<(usize, usize, usize)> {
        if block.as_ptr() != self.at {
            return None;
        }
        let rest = block.get(self.taken..)?;
        let newline = memchr::memchr(b'\n', rest)?;
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        Some((self.taken, self.taken + line.len(), self.taken + newline + 1))
    }

    /// Counts what was handed out, from there to there; false where that is no longer so.
    pub fn hand_out(&mut self, block: &[u8], from: usize, to: usize) -> bool {
        let is_next = block.as_ptr() == self.at && self.taken == from && to <= self.size;
        if is_next {
            self.taken = to;
        }
        is_next
    }
}
