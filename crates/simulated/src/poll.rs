//! poll(2): the only call that sleeps. Uses `kernel`, `readiness`.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::event::{PollFlags, Timespec};
use rustix::io::Errno;

use crate::kernel::{Kernel, with};

#[derive(Clone, Debug)]
pub struct PollFd<'fd> {
    fd: BorrowedFd<'fd>,
    wanted: PollFlags,
    found: PollFlags,
}

impl<'fd> PollFd<'fd> {
    pub fn from_borrowed_fd(fd: BorrowedFd<'fd>, wanted: PollFlags) -> Self {
        Self { fd, wanted, found: PollFlags::empty() }
    }

    pub fn revents(&self) -> PollFlags {
        self.found
    }
}

/// Time goes on to when one of them is ready, or to the end of the timeout.
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> rustix::io::Result<usize> {
    with(|kernel| {
        kernel.tick();
        let interrupt = kernel.chances().interrupt;
        if kernel.random.chance(interrupt) {
            return Err(Errno::INTR);
        }
        let left = |time: &Timespec| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
        let end = timeout.map(|time| kernel.nanoseconds().saturating_add(left(time)));
        loop {
            let count = kernel.look_at(fds);
            if count > 0 || end.is_some_and(|end| end <= kernel.nanoseconds()) {
                return Ok(count);
            }
            assert!(kernel.sleep(end), "a sleep that nothing ends");
        }
    })
}

impl Kernel {
    fn look_at(&mut self, fds: &mut [PollFd<'_>]) -> usize {
        let mut count = 0;
        for each in fds {
            let always = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
            let found = match self.id(each.fd.as_raw_fd()) {
                Ok(id) => self.mask(id),
                Err(_) => PollFlags::NVAL,
            };
            each.found = found & (each.wanted | always);
            count += usize::from(!each.found.is_empty());
        }
        count
    }
}
