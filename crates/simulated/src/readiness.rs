//! What can be read or written at a moment, and who is told of a change. Uses `kernel`, `state`,
//! `epoll`.

use rustix::event::PollFlags;

use crate::kernel::{Kernel, Kind};
use crate::state::{Phase, State};

/// What a change may be about. Each watcher then looks for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge(u8);

impl Edge {
    pub const NONE: Self = Self(0);
    pub const READ: Self = Self(1);
    pub const WRITE: Self = Self(2);
    pub const ANY: Self = Self(3);

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Kernel {
    /// What is true of a file now, of that which poll(2) tells.
    pub(crate) fn mask(&mut self, id: usize) -> PollFlags {
        match &mut self.files[id].kind {
            Kind::Socket(state) => socket_mask(state),
            Kind::Event(is_readable) => {
                let read = if *is_readable { PollFlags::IN } else { PollFlags::empty() };
                read | PollFlags::OUT
            }
            Kind::Epoll(_) => self.epoll_mask(id),
        }
    }

    /// Something has changed: the epolls that watch the file have it to look at, and who watches
    /// those has them.
    pub(crate) fn wake(&mut self, id: usize, edge: Edge) {
        for watcher in self.files[id].watchers.clone() {
            if let Kind::Epoll(watching) = &mut self.files[watcher].kind
                && watching.note(id, edge)
            {
                self.wake(watcher, Edge::READ);
            }
        }
    }

    /// Whether a wait for this would be over at once. To ask changes nothing.
    pub fn is_ready(&mut self, fd: i32, writes: bool) -> bool {
        let Ok(id) = self.id(fd) else { return true };
        let wanted = if writes { PollFlags::OUT } else { PollFlags::IN };
        let before = self.socket_at(id).map(|state| state.has_found_no_space);
        let is_ready = self.mask(id).intersects(wanted | PollFlags::ERR | PollFlags::HUP);
        if let (Some(before), Some(state)) = (before, self.socket_at(id)) {
            state.has_found_no_space = before;
        }
        is_ready
    }
}

fn socket_mask(state: &mut State) -> PollFlags {
    let mut mask = PollFlags::empty();
    match state.phase {
        Phase::New => return PollFlags::OUT | PollFlags::HUP,
        Phase::Connecting => return mask,
        Phase::Listening => {
            return if state.clients.is_empty() { mask } else { PollFlags::IN };
        }
        Phase::Failed | Phase::Connected => {}
    }
    if state.error.is_some() {
        mask |= PollFlags::ERR;
    }
    if !state.incoming.is_empty() || state.error.is_some() || state.has_ended {
        mask |= PollFlags::IN;
    }
    if state.has_ended || state.phase == Phase::Failed {
        mask |= PollFlags::RDHUP | PollFlags::IN;
    }
    if state.is_reset || state.phase == Phase::Failed || (state.has_ended && state.is_shut) {
        mask |= PollFlags::HUP;
    }
    if state.is_reset || state.is_shut || state.phase == Phase::Failed || state.is_writable() {
        mask |= PollFlags::OUT;
    } else {
        // As tcp_poll does, so that the next space is told.
        state.has_found_no_space = true;
    }
    mask
}
