//! epoll(7) as mio shows it. Uses `kernel`, `readiness`, `watching`.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::kernel::{Kind, with};
use crate::readiness::Edge;
use crate::watching::{Member, Watching, flags};

#[derive(Debug)]
pub struct Registry(RawFd);

impl Registry {
    pub fn register(
        &self,
        source: &mut SourceFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.watch(*source.0, token, interest, true)
    }

    pub fn reregister(
        &self,
        source: &mut SourceFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.watch(*source.0, token, interest, false)
    }

    fn watch(&self, fd: RawFd, token: Token, interest: Interest, is_new: bool) -> io::Result<()> {
        Ok(with(|kernel| {
            let member = Member { file: kernel.id(fd)?, token, interest: flags(interest) };
            kernel.watch(self.0, member, is_new)
        })?)
    }

    pub fn deregister(&self, source: &mut SourceFd<'_>) -> io::Result<()> {
        Ok(with(|kernel| kernel.unwatch(self.0, *source.0))?)
    }
}

#[derive(Debug)]
pub struct Poll(Registry);

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(with(|kernel| {
            kernel.tick();
            kernel.open(Kind::Epoll(Watching::default())).map(|fd| Self(Registry(fd)))
        })?)
    }

    pub fn registry(&self) -> &Registry {
        &self.0
    }

    /// Never waits, which is all that `crates/net` asks for.
    pub fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        assert_eq!(timeout, Some(Duration::ZERO));
        events.found.clear();
        events.found = with(|kernel| kernel.take_events(self.0.0, events.most))?;
        Ok(())
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        with(|kernel| kernel.close(self.0.0));
    }
}

impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0
    }
}

pub struct Events {
    found: Vec<Event>,
    most: usize,
}

impl Events {
    pub fn with_capacity(most: usize) -> Self {
        Self { found: Vec::new(), most }
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.iter()
    }
}

pub struct Event {
    pub(crate) token: Token,
    pub(crate) found: PollFlags,
}

impl Event {
    pub fn token(&self) -> Token {
        self.token
    }

    pub fn is_readable(&self) -> bool {
        self.found.intersects(PollFlags::IN | PollFlags::PRI)
    }

    pub fn is_writable(&self) -> bool {
        self.found.contains(PollFlags::OUT)
    }

    pub fn is_error(&self) -> bool {
        self.found.contains(PollFlags::ERR)
    }

    pub fn is_read_closed(&self) -> bool {
        self.found.contains(PollFlags::HUP) || self.found.contains(PollFlags::IN | PollFlags::RDHUP)
    }

    pub fn is_write_closed(&self) -> bool {
        self.found.contains(PollFlags::HUP)
            || self.found.contains(PollFlags::OUT | PollFlags::ERR)
            || self.found == PollFlags::ERR
    }
}

/// An eventfd that an epoll watches.
#[derive(Debug)]
pub struct Waker(RawFd);

impl Waker {
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let fd = with(|kernel| {
            kernel.tick();
            kernel.open(Kind::Event(false))
        })?;
        let waker = Self(fd);
        registry.watch(fd, token, Interest::READABLE, true)?;
        Ok(waker)
    }

    pub fn wake(&self) -> io::Result<()> {
        Ok(with(|kernel| {
            kernel.tick();
            let id = kernel.id(self.0)?;
            kernel.files[id].kind = Kind::Event(true);
            kernel.wake(id, Edge::READ);
            Ok::<_, Errno>(())
        })?)
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        with(|kernel| kernel.close(self.0));
    }
}
