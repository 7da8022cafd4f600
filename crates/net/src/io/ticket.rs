//! What the poller names waits, registrations and moments by.

use std::os::fd::RawFd;

use mio::Token;

/// The name of a wait: a running number, never 0, in the high bits, and the descriptor in the low
/// ones. A double can hold it.
pub type Ticket = u64;
/// Descriptors are less than this. The default limit of Linux is a thousandth of it.
pub const DESCRIPTORS: u64 = 1 << DESCRIPTOR_BITS;
const DESCRIPTOR_BITS: u32 = 24;
/// From here on up to `DESCRIPTORS` the numbers are those of timers.
pub const FIRST_TIMER: u64 = DESCRIPTORS / 2;
pub const NUMBERS: u64 = 1 << 29;

/// The descriptor of a wait.
pub fn descriptor(ticket: Ticket) -> RawFd {
    (ticket % DESCRIPTORS) as RawFd
}

/// Counts the registrations of a descriptor's number with the kernel; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registration(u64);

impl Registration {
    pub fn is_some(self) -> bool {
        self != Self::default()
    }

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// What the events of this registration carry. A usize of 32 bits has room for the last 8 bits
    /// of the number.
    pub fn token(self, index: usize) -> Token {
        Token((self.0 as usize) << DESCRIPTOR_BITS | index)
    }
}

pub fn index_of(token: Token) -> usize {
    token.0 % DESCRIPTORS as usize
}

/// A deadline, in the order of time.
#[derive(Clone, Copy, PartialEq)]
pub struct Moment(pub f64);

impl Eq for Moment {}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
