//! What stands in front of a packet's body, decoded. Uses `error`.

use std::ops::Range;

use crate::error::Pending;

/// Where a packet's body is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes in front of the body.
    pub before: usize,
    /// Bytes of the body, as the peer announces them.
    pub length: usize,
    /// Bytes behind the body.
    pub after: usize,
}

impl Head {
    /// The body, where its length is within a limit.
    pub fn body(&self) -> Range<usize> {
        self.before..self.before + self.length
    }

    /// Bytes of the whole packet.
    pub fn size(&self) -> usize {
        self.before + self.length + self.after
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Head(Head),
    /// It takes more bytes.
    NotYet(Pending),
}

/// Up to 16 bytes, in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Few {
    bytes: [u8; Few::MOST],
    count: u8,
}

impl Few {
    pub const MOST: usize = 16;

    /// None where there are more than 16.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut few = Self { count: u8::try_from(bytes.len()).ok()?, ..Self::default() };
        few.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(few)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.count)]
    }
}
