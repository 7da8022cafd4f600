//! Bytes that are thrown away without being gathered: those of a packet, or so many. Where a skip
//! ends early, the next read of any kind finishes it. Uses `stream::buffer`, `framing`, `error`.

use crate::error::{Pending, Result};
use crate::framing::{Few, Framing, Head, delimiter, netstring};
use crate::stream::buffer::Buffer;

/// What was asked to be skipped: the same call goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Packet,
    Bytes(u64),
}

/// What stands behind the bytes that are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Nothing,
    Comma,
    /// All up to here, however much it is.
    Delimiter(Few),
}

/// A skip and how far it has come.
#[derive(Debug, Default)]
pub struct Skip {
    /// It has begun, and no read has ended it yet.
    what: Option<What>,
    /// Bytes that are still to come.
    left: u64,
    /// Bytes of the whole, as far as that is known.
    length: u64,
    end: End,
}

impl Skip {
    /// Begins to skip so many bytes.
    pub fn bytes(size: u64) -> Self {
        let what = Some(What::Bytes(size));
        Self { what, left: size, length: size, end: End::Nothing }
    }

    /// Begins to skip the body of a packet, and what stands behind it.
    pub fn packet(framing: &Framing, head: &Head) -> Self {
        let end = match framing {
            Framing::Netstring => End::Comma,
            Framing::Delimiter(delimiter) => End::Delimiter(*delimiter),
            _ => End::Nothing,
        };
        Self { what: Some(What::Packet), left: head.length, length: head.length, end }
    }

    /// Whether it is this one, which an earlier call has begun.
    pub fn goes_on(&self, what: What) -> bool {
        self.what == Some(what)
    }

    /// Whether nothing is left to be dropped.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.left == 0 && self.end == End::Nothing
    }

    /// Whether it is over and nobody has been told.
    pub fn is_untold(&self) -> bool {
        self.what.is_some() && self.is_over()
    }

    /// Somebody is told, or reads something else.
    #[inline]
    pub fn forget(&mut self) {
        self.what = None;
    }

    /// Whether it is one of bytes and not of a packet.
    pub fn is_of_bytes(&self) -> bool {
        matches!(self.what, Some(What::Bytes(_)))
    }

    /// Bytes of a packet's body.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn pending(&self) -> Pending {
        match self.end {
            End::Delimiter(_) => Pending::SkippingMore { have: self.length },
            _ => Pending::Skipping { have: self.length - self.left, need: self.length },
        }
    }

    /// Drops what has come of it: whether that is all.
    pub fn advance(&mut self, input: &mut Buffer) -> Result<bool> {
        let here = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        input.consume(here);
        self.left -= here as u64;
        match self.end {
            _ if self.left > 0 => return Ok(false),
            End::Nothing => return Ok(true),
            End::Comma => {
                let Some(byte) = input.filled().first() else { return Ok(false) };
                netstring::check_end(*byte)?;
                input.consume(1);
            }
            End::Delimiter(delimiter) => {
                let passed = delimiter::pass(input.filled(), &delimiter);
                input.consume(passed.body + passed.delimiter);
                self.length += passed.body as u64;
                if passed.delimiter == 0 {
                    return Ok(false);
                }
            }
        }
        self.end = End::Nothing;
        Ok(true)
    }

    /// Of what has come, `input` and so many bytes behind it, how much is not to be skipped.
    pub fn unskipped(&mut self, input: &mut Buffer, behind: usize) -> usize {
        let left = usize::try_from(self.left).ok();
        let unskipped = |here: usize| left.map_or(0, |left| here.saturating_sub(left));
        match self.end {
            End::Nothing => unskipped(input.len() + behind),
            End::Comma => unskipped(input.len() + behind).saturating_sub(1),
            // A search for a delimiter does not fail. What is behind it may have the rest of it.
            End::Delimiter(_) => match self.advance(input) {
                Ok(true) => input.len() + behind,
                _ => 0,
            },
        }
    }
}
