//! What the poller knows of one descriptor. Uses `io::step`, `io::ticket`.

use crate::io::step::Wait;
use crate::io::ticket::{Moment, Registration, Ticket};

#[derive(Default)]
pub struct Slot {
    /// The last of this number.
    pub registration: Registration,
    /// Seldom more than one to read and one to write.
    pub waits: Vec<(Ticket, Wait)>,
    pub can_read: bool,
    pub can_write: bool,
    /// The end of the stream has come, perhaps behind bytes: each wait to read is over at once.
    pub is_ended: bool,
    pub timeout: Option<Moment>,
}

impl Slot {
    pub fn has(&self, ticket: Ticket) -> bool {
        self.waits.iter().any(|(other, _)| *other == ticket)
    }
}
