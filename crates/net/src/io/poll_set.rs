//! Several descriptors behind one, for whoever can wait for a single one: it is readable while one
//! of them is ready. Never blocks. Uses `io::step`, `io::system`, `io::wait`, `error`.
//!
//! The set is registered with edge-triggered mio, and its own events are never taken: so the kernel
//! looks at the members again each time it is asked about the set.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};

use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::error::Result;
use crate::io::step::Want;
use crate::io::system::{Poll, Waker};
use crate::io::wait::Member;

pub struct PollSet {
    poll: Poll,
    waker: Waker,
    members: HashMap<RawFd, Interest>,
}

impl PollSet {
    /// Of these members, a descriptor of which may be there more than once.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Result<Self> {
        let mut interests = HashMap::new();
        for Member { fd, want, .. } in members {
            let interest = match want {
                Want::Read => Interest::READABLE,
                Want::Write => Interest::WRITABLE,
            };
            interests.entry(fd).and_modify(|other| *other |= interest).or_insert(interest);
        }
        let poll = Poll::new()?;
        for (fd, interest) in &interests {
            poll.registry().register(&mut SourceFd(fd), Token(0), *interest)?;
        }
        let waker = Waker::new(poll.registry(), Token(0))?;
        Ok(Self { poll, waker, members: interests })
    }

    pub fn contains(&self, fd: RawFd) -> bool {
        self.members.contains_key(&fd)
    }

    /// Makes the set readable: its owner is to look at the members anew.
    pub fn wake(&self) {
        // Where the system refuses that, the owner waits on until its own time is up.
        let _ = self.waker.wake();
    }
}

impl AsRawFd for PollSet {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::deadline::Deadline;
    use crate::io::wait::poll_all;
    use std::io::{Read, Write};

    fn member(fd: &impl AsRawFd, want: Want) -> Member {
        Member { fd: fd.as_raw_fd(), want, from: Deadline::at(0.0) }
    }

    fn is_readable(set: &PollSet) -> bool {
        let ready = poll_all(&[member(set, Want::Read)], Deadline::at(0.0)).expect("polled");
        ready == Some(vec![true])
    }

    #[test]
    fn is_readable_while_a_member_is_ready() {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        let twice = [member(&reader, Want::Read), member(&reader, Want::Read)];
        let set = PollSet::new(twice).expect("a set");
        assert!(set.contains(reader.as_raw_fd()) && !set.contains(writer.as_raw_fd()));
        for _ in 0..2 {
            assert!(!is_readable(&set));
            writer.write_all(b"x").expect("written");
            assert!(is_readable(&set) && is_readable(&set));
            reader.read_exact(&mut [0]).expect("read");
        }
        let set = PollSet::new([member(&writer, Want::Write)]).expect("a set");
        assert!(is_readable(&set));
    }

    #[test]
    fn is_readable_once_it_is_woken() {
        let set = PollSet::new([]).expect("a set");
        assert!(!is_readable(&set));
        set.wake();
        assert!(is_readable(&set));
    }
}
