//! What stands in front of a packet's body, decoded. Uses `error`.

use crate::error::Pending;

/// Where a packet's body is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes in front of the body.
    pub before: usize,
    /// Bytes of the body, as the peer announces them: more, perhaps, than memory has addresses.
    pub length: u64,
    /// Bytes behind the body.
    pub after: usize,
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
