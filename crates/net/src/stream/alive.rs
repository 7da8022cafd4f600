//! Whether a connection is still worth keeping, for a pool. Uses `stream`, `io::wait`.

use crate::error::Pending;
use crate::io::step::Step;
use crate::io::wait::has_hung_up;
use crate::stream::{ROOM, ReadEnd, Stream, TURNS};

impl Stream {
    /// False once the peer's end or a failure has come. Does not wait, and what a read would give
    /// stays. Where somebody waits to read, what has come is left to that read.
    pub fn is_alive(&mut self, has_reader: bool) -> bool {
        let is_broken = self.broken.is_some() && !self.is_shut;
        if is_broken || self.end.is_some() || has_hung_up(self.fd()) {
            return false;
        }
        // An end must not be known before all that came before it is in its place.
        if has_reader || self.input.append_late().is_err() {
            return true;
        }
        if self.transport.has_records() {
            self.look_behind_records();
        } else {
            self.look();
        }
        self.end.is_none()
    }

    /// Takes in what has come, a buffer of it at most: close_notify may be behind session tickets,
    /// and behind payload.
    pub(super) fn look_behind_records(&mut self) {
        let has_asked = std::mem::take(&mut self.has_asked);
        for _ in 0..TURNS {
            if self.end.is_some() || self.input.len() >= ROOM {
                break;
            }
            let Ok(Step::Done(())) = self.step_fill(Pending::More { have: 0 }) else { break };
        }
        self.has_asked = has_asked;
    }

    /// The system tells of a failure once: the next read must know it, too.
    fn look(&mut self) {
        match self.transport.peek() {
            Ok(Step::Done(0)) => self.end = Some(ReadEnd::Clean),
            Err(error) if !error.is_transient() => self.end = Some(ReadEnd::Failed(error)),
            _ => {}
        }
    }
}
