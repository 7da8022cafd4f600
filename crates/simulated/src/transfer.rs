//! recv(2) and send(2). Uses `kernel`, `state`, `network`.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::kernel::{Kernel, with};
use crate::state::{Phase, State};

/// Where recv puts what it gives.
pub trait Room {
    fn size(&self) -> usize;
    fn put(self, bytes: &[u8]);
}

/// The room behind the bytes of a vector.
pub struct Spare<'a>(&'a mut Vec<u8>);

pub fn spare_capacity(bytes: &mut Vec<u8>) -> Spare<'_> {
    Spare(bytes)
}

impl Room for Spare<'_> {
    fn size(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    fn put(self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Room for &mut [u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn put(self, bytes: &[u8]) {
        self[..bytes.len()].copy_from_slice(bytes);
    }
}

impl<const SIZE: usize> Room for &mut [u8; SIZE] {
    fn size(&self) -> usize {
        SIZE
    }

    fn put(self, bytes: &[u8]) {
        self[..bytes.len()].copy_from_slice(bytes);
    }
}

impl<const SIZE: usize> Room for &mut [MaybeUninit<u8>; SIZE] {
    fn size(&self) -> usize {
        SIZE
    }

    fn put(self, bytes: &[u8]) {
        for (place, byte) in self.iter_mut().zip(bytes) {
            place.write(*byte);
        }
    }
}

/// The first of what it gives is what rustix gives there, which nobody looks at.
pub fn recv(fd: impl AsFd, room: impl Room, flags: RecvFlags) -> rustix::io::Result<((), usize)> {
    let fd = fd.as_fd().as_raw_fd();
    let bytes = with(|kernel| kernel.receive(fd, room.size(), flags))?;
    room.put(&bytes);
    Ok(((), bytes.len()))
}

pub fn send(fd: impl AsFd, bytes: &[u8], _: SendFlags) -> rustix::io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    with(|kernel| kernel.send(fd, bytes))
}

impl Kernel {
    fn fail_at_random(&mut self) -> rustix::io::Result<()> {
        let faults = self.chances();
        if self.random.chance(faults.interrupt) {
            return Err(Errno::INTR);
        }
        if self.random.chance(faults.transient) { Err(Errno::NOBUFS) } else { Ok(()) }
    }

    fn receive(&mut self, fd: i32, room: usize, flags: RecvFlags) -> rustix::io::Result<Vec<u8>> {
        self.tick();
        self.fail_at_random()?;
        let short_read = self.chances().short_read;
        let is_short = self.random.chance(short_read);
        let state = self.socket(fd)?;
        if state.phase != Phase::Connected {
            return Err(state.error.take().unwrap_or(Errno::NOTCONN));
        }
        let mut count = room.min(state.incoming.len());
        if count == 0 {
            return match (state.error.take(), state.has_ended) {
                (Some(errno), _) => Err(errno),
                (None, true) => Ok(Vec::new()),
                (None, false) => Err(Errno::AGAIN),
            };
        }
        if is_short && state.is_unix {
            count = count.div_ceil(2);
        }
        if flags.contains(RecvFlags::PEEK) {
            return Ok(state.incoming.iter().take(count).copied().collect());
        }
        state.received += count;
        Ok(state.incoming.drain(..count).collect())
    }

    fn send(&mut self, fd: i32, bytes: &[u8]) -> rustix::io::Result<usize> {
        self.tick();
        self.fail_at_random()?;
        let short_write = self.chances().short_write;
        let part = self.random.chance(short_write).then(|| self.random.between(1, bytes.len()));
        let id = self.id(fd)?;
        let state = self.socket(fd)?;
        if state.phase != Phase::Connected {
            return Err(Errno::PIPE);
        }
        if let Some(errno) = state.error.take() {
            return Err(errno);
        }
        if state.is_reset || state.is_shut {
            return Err(Errno::PIPE);
        }
        if state.is_peer_gone {
            self.answer_with_reset(id);
            return Ok(bytes.len());
        }
        let count = state.space().min(part.unwrap_or(bytes.len()));
        state.has_found_no_space |= count < bytes.len();
        if count == 0 {
            return Err(Errno::AGAIN);
        }
        state.take(&bytes[..count]);
        Ok(count)
    }

    /// What a descriptor that is closed leaves to the other side: nothing that is looked at.
    pub(crate) fn hang_up(&mut self, id: usize) {
        if let Some(state) = self.socket_at(id) {
            state.incoming = Default::default();
            state.clients.clear();
        }
    }
}

impl State {
    fn take(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        if !self.takes_all {
            self.untaken += bytes.len();
        }
    }
}
