//! What an epoll watches, edge-triggered: a change is told once, to who looks then. Uses `kernel`,
//! `readiness`, `epoll`.

use std::os::fd::RawFd;

use mio::{Interest, Token};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::epoll::Event;
use crate::kernel::{Kernel, Kind};
use crate::readiness::Edge;

/// What one epoll watches.
#[derive(Default)]
pub(crate) struct Watching {
    members: Vec<Member>,
    /// Those that may have something to tell, by file, in the order of their changes.
    ready: Vec<usize>,
}

pub(crate) struct Member {
    pub file: usize,
    pub token: Token,
    pub interest: PollFlags,
}

impl Watching {
    pub fn members(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.file).collect()
    }

    pub fn forget(&mut self, file: usize) {
        self.members.retain(|member| member.file != file);
        self.ready.retain(|ready| *ready != file);
    }

    /// Whether the change of a file is one that is watched.
    pub fn note(&mut self, file: usize, edge: Edge) -> bool {
        let Some(member) = self.members.iter().find(|member| member.file == file) else {
            return false;
        };
        let mut wanted = Edge::NONE;
        if member.interest.contains(PollFlags::IN) {
            wanted = Edge::READ;
        }
        if member.interest.contains(PollFlags::OUT) {
            wanted = if wanted == Edge::READ { Edge::ANY } else { Edge::WRITE };
        }
        // A change of the whole state is told to all (sock_def_wakeup).
        if edge != Edge::ANY && !edge.meets(wanted) {
            return false;
        }
        if !self.ready.contains(&file) {
            self.ready.push(file);
        }
        true
    }
}

pub(crate) fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::ERR | PollFlags::HUP;
    if interest.is_readable() {
        flags |= PollFlags::IN | PollFlags::RDHUP;
    }
    if interest.is_writable() {
        flags |= PollFlags::OUT;
    }
    flags
}

impl Kernel {
    fn watching(&mut self, id: usize) -> Result<&mut Watching, Errno> {
        match &mut self.files[id].kind {
            Kind::Epoll(watching) => Ok(watching),
            _ => Err(Errno::INVAL),
        }
    }

    /// What of it is watched is true now. What is not true any more leaves the list.
    fn look(&mut self, epoll: usize, file: usize) -> Option<(Token, PollFlags)> {
        let mask = self.mask(file);
        let member = |watching: &Watching| {
            let member = watching.members.iter().find(|member| member.file == file)?;
            Some((member.token, member.interest & mask))
        };
        self.watching(epoll)
            .ok()
            .and_then(|watching| member(watching))
            .filter(|(_, found)| !found.is_empty())
    }

    /// Readable while a member that has changed has something to tell.
    pub(crate) fn epoll_mask(&mut self, id: usize) -> PollFlags {
        let Ok(watching) = self.watching(id) else { return PollFlags::empty() };
        for file in watching.ready.clone() {
            if self.look(id, file).is_some() {
                return PollFlags::IN;
            }
            if let Ok(watching) = self.watching(id) {
                watching.ready.retain(|ready| *ready != file);
            }
        }
        PollFlags::empty()
    }

    /// Adds a member, or changes it.
    pub(crate) fn watch(
        &mut self,
        epoll: RawFd,
        member: Member,
        is_new: bool,
    ) -> Result<(), Errno> {
        self.tick();
        let id = self.id(epoll)?;
        let file = member.file;
        let watching = self.watching(id)?;
        let known = watching.members.iter().position(|other| other.file == file);
        match known {
            Some(_) if is_new => return Err(Errno::EXIST),
            None if !is_new => return Err(Errno::NOENT),
            Some(at) => watching.members[at] = member,
            None => {
                let no_watch = self.chances().no_watch;
                if self.random.chance(no_watch) {
                    return Err(Errno::NOSPC);
                }
                self.watching(id)?.members.push(member);
                self.files[file].watchers.push(id);
            }
        }
        self.watching(id)?.ready.retain(|ready| *ready != file);
        if self.look(id, file).is_some() {
            self.watching(id)?.ready.push(file);
            self.wake(id, Edge::READ);
        }
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, epoll: RawFd, fd: RawFd) -> Result<(), Errno> {
        self.tick();
        let (id, file) = (self.id(epoll)?, self.id(fd)?);
        let watching = self.watching(id)?;
        if !watching.members().contains(&file) {
            return Err(Errno::NOENT);
        }
        watching.forget(file);
        self.files[file].watchers.retain(|watcher| *watcher != id);
        Ok(())
    }

    pub(crate) fn take_events(&mut self, epoll: RawFd, most: usize) -> Result<Vec<Event>, Errno> {
        self.tick();
        let faults = self.chances();
        if self.random.chance(faults.interrupt) {
            return Err(Errno::INTR);
        }
        if self.random.chance(faults.no_events) {
            return Err(Errno::NOMEM);
        }
        let id = self.id(epoll)?;
        let mut events = Vec::new();
        while events.len() < most {
            let watching = self.watching(id)?;
            if watching.ready.is_empty() {
                break;
            }
            let file = watching.ready.remove(0);
            if let Some((token, found)) = self.look(id, file) {
                events.push(Event { token, found });
            }
        }
        Ok(events)
    }

    /// How many files an epoll watches.
    pub fn watch_count(&mut self, epoll: RawFd) -> usize {
        let Ok(id) = self.id(epoll) else { return 0 };
        self.watching(id).map_or(0, |watching| watching.members.len())
    }
}
