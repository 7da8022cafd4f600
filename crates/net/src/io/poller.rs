//! Many waits behind one descriptor, for a loop that watches only that one: it is readable when
//! some of them may be over. Never blocks. Uses `io::slot`, `io::step`, `io::ticket`, `io::timers`,
//! `io::deadline`, `io::fork`, `io::system`, `error`.
//!
//! A descriptor is watched from its first wait until it is closed, and what happens to it is
//! reported once (edge-triggered): a wait costs no system call. An event that comes while nobody
//! waits is kept for the next wait, which may then end early.
//!
//! The kernel watches an open file description, which may outlive the descriptor: a copy or a child
//! of fork may keep it. Its events could then be taken for those of another descriptor with the
//! same number. So each registration has a number, and each event carries it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::io::deadline::Deadline;
use crate::io::fork;
use crate::io::slot::Slot;
use crate::io::step::{NO_FD, Wait, Want};
use crate::io::system::{Events, Poll};
pub use crate::io::ticket::{DESCRIPTORS, Registration, Ticket, descriptor};
use crate::io::ticket::{FIRST_TIMER, Moment, NUMBERS, index_of};
use crate::io::timers::Timers;

/// Events taken in one call of `poll_events`.
const EVENTS: usize = 1024;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub struct Poller {
    poll: Poll,
    /// The process that it belongs to, see [`fork::generation`].
    generation: u64,
    events: Events,
    /// By descriptor.
    slots: Vec<Slot>,
    /// When to look at a descriptor's deadlines. An entry that is not its slot's `timeout` means
    /// nothing.
    timeouts: BinaryHeap<Reverse<(Moment, RawFd)>>,
    timers: Timers,
    /// Waits that are over without an event.
    over: Vec<Ticket>,
    waits: usize,
    last: u64,
    /// The last call of `poll_events` has failed.
    has_failed: bool,
}

impl Poller {
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            generation: fork::generation(),
            events: Events::with_capacity(EVENTS),
            slots: Vec::new(),
            timeouts: BinaryHeap::new(),
            timers: Timers::default(),
            over: Vec::new(),
            waits: 0,
            last: 0,
            has_failed: false,
        })
    }

    /// A child of fork gets a poller of its own: the one that it has inherited belongs to its
    /// parent. All waits end, so that each step is tried again.
    fn adopt(&mut self) -> Result<()> {
        let generation = fork::generation();
        if self.generation == generation {
            return Ok(());
        }
        fork::replace(&mut self.poll, &Poll::new()?)?;
        self.generation = generation;
        for slot in &mut self.slots {
            slot.registration = slot.registration.next();
            self.over.extend(slot.waits.iter().map(|(ticket, _)| ticket));
        }
        Ok(())
    }

    /// Begins a wait. `known` is the registration of this descriptor from an earlier wait, if any;
    /// it is updated.
    pub fn watch(&mut self, wait: Wait, known: &mut Registration) -> Result<Ticket> {
        self.adopt()?;
        if self.has_failed {
            self.poll_events()?;
        }
        self.last = self.last % (NUMBERS - 1) + 1;
        let number = self.last * DESCRIPTORS;
        if wait.fd == NO_FD {
            let ticket = self.timers.add(wait.wake, |place| number + place);
            self.waits += usize::from(ticket.is_some());
            return ticket.ok_or_else(Error::out_of_memory);
        }
        let index = wait.fd as usize;
        if index as u64 >= FIRST_TIMER {
            return Err(Errno::MFILE.into());
        }
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        if !known.is_some() || *known != self.slots[index].registration {
            *known = self.register(wait.fd)?;
        }
        let slot = &mut self.slots[index];
        let ticket = number + index as u64;
        let can = match wait.want {
            Want::Read => std::mem::take(&mut slot.can_read) || slot.is_ended,
            Want::Write => std::mem::take(&mut slot.can_write),
        };
        if can {
            self.over.push(ticket);
        }
        slot.waits.push((ticket, wait));
        self.waits += 1;
        let moment = Moment(wait.wake.seconds());
        if wait.wake != Deadline::NEVER && slot.timeout.is_none_or(|timeout| moment < timeout) {
            slot.timeout = Some(moment);
            self.add_timeout(moment, wait.fd);
        }
        Ok(ticket)
    }

    /// Stale entries are removed when they are the majority, since their time may be far away.
    fn add_timeout(&mut self, moment: Moment, fd: RawFd) {
        if self.timeouts.len() > 2 * self.slots.len() {
            self.timeouts
                .retain(|Reverse((moment, fd))| self.slots[*fd as usize].timeout == Some(*moment));
        }
        self.timeouts.push(Reverse((moment, fd)));
    }

    fn register(&mut self, fd: RawFd) -> Result<Registration> {
        let slot = &mut self.slots[fd as usize];
        let registration = slot.registration.next();
        let token = registration.token(fd as usize);
        let (registry, mut source) = (self.poll.registry(), SourceFd(&fd));
        // The kernel has dropped the registration of a closed descriptor; another one is replaced.
        match registry.reregister(&mut source, token, BOTH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                registry.register(&mut source, token, BOTH)?;
            }
            result => result?,
        }
        slot.registration = registration;
        (slot.can_read, slot.can_write, slot.is_ended) = (false, false, false);
        Ok(registration)
    }

    /// Ends a wait before it is over, and returns it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<Wait> {
        if let Some(until) = self.timers.cancel(ticket) {
            self.waits -= 1;
            return Some(Wait::timer(until));
        }
        let slot = self.slots.get_mut(descriptor(ticket) as usize)?;
        let at = slot.waits.iter().position(|(other, _)| *other == ticket)?;
        self.waits -= 1;
        Some(slot.waits.swap_remove(at).1)
    }

    /// Ends a wait at the next `poll_events`, which is soon: others have done what it waits for.
    pub fn hurry(&mut self, ticket: Ticket) {
        let fd = descriptor(ticket);
        let Some(slot) = self.slots.get(fd as usize) else { return };
        if slot.has(ticket) {
            self.over.push(ticket);
            // What can be read or written now is told once more. Where nothing can, there is time.
            let token = slot.registration.token(fd as usize);
            let _ = self.poll.registry().reregister(&mut SourceFd(&fd), token, BOTH);
        }
    }

    /// The waits for a descriptor that is going to be closed are over.
    pub fn remove_fd(&mut self, fd: RawFd) {
        if let Some(slot) = self.deregister(fd) {
            let tickets: Vec<_> = slot.waits.iter().map(|(ticket, _)| *ticket).collect();
            self.over.extend(tickets);
        }
    }

    /// The kernel forgets a descriptor by itself only when its file is closed everywhere.
    fn deregister(&mut self, fd: RawFd) -> Option<&mut Slot> {
        // If there is no poller of this process, the registration is the parent's.
        let is_own = self.adopt().is_ok();
        let slot = self.slots.get_mut(fd as usize)?;
        if is_own && slot.registration.is_some() {
            // It does no harm if the kernel has dropped it already.
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
            slot.registration = slot.registration.next();
        }
        Some(slot)
    }

    /// Ends the waits that are over, ready or out of time: their tickets, in any order. Where that
    /// fails, each waiter is to look for itself, and `watch` polls again before a wait begins.
    pub fn poll_events(&mut self) -> Result<Vec<Ticket>> {
        self.adopt()?;
        self.has_failed = false;
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.has_failed = true;
                return Err(error.into());
            }
            _ => {}
        }
        let mut over = std::mem::take(&mut self.over);
        for event in &self.events {
            let index = index_of(event.token());
            let slot = self.slots.get_mut(index);
            // The event of a closed descriptor, whose number may have been used again.
            let is_current = |slot: &&mut Slot| slot.registration.token(index) == event.token();
            let Some(slot) = slot.filter(is_current) else { continue };
            let all = event.is_error() || event.is_read_closed() || event.is_write_closed();
            let (can_read, can_write) = (all || event.is_readable(), all || event.is_writable());
            // The event ends the waits of now, or else the next wait.
            slot.can_read |= can_read;
            slot.can_write |= can_write;
            slot.is_ended |= all;
            for (ticket, wait) in &slot.waits {
                let can = match wait.want {
                    Want::Read => (&mut slot.can_read, can_read),
                    Want::Write => (&mut slot.can_write, can_write),
                };
                if can.1 {
                    *can.0 = false;
                    over.push(*ticket);
                }
            }
        }
        self.take_expired(&mut over);
        self.timers.take_expired(&mut over);
        over.retain(|ticket| self.cancel(*ticket).is_some());
        Ok(over)
    }

    fn take_expired(&mut self, over: &mut Vec<Ticket>) {
        while let Some(Reverse((moment, fd))) = self.timeouts.peek().copied() {
            if !Deadline::at(moment.0).has_passed() {
                return;
            }
            self.timeouts.pop();
            let slot = &mut self.slots[fd as usize];
            if slot.timeout != Some(moment) {
                continue;
            }
            let (expired, rest): (Vec<_>, Vec<_>) =
                slot.waits.iter().partition(|(_, wait)| wait.wake.has_passed());
            over.extend(expired.into_iter().map(|(ticket, _)| ticket));
            let next = rest.into_iter().map(|(_, wait)| wait.wake).reduce(Deadline::earlier);
            slot.timeout =
                next.filter(|next| *next != Deadline::NEVER).map(|next| Moment(next.seconds()));
            self.timeouts.extend(slot.timeout.map(|moment| Reverse((moment, fd))));
        }
    }

    /// When `poll_events` is to be called even if the descriptor does not become readable. Nothing
    /// is over before.
    pub fn next_timeout(&self) -> Deadline {
        if self.waits == 0 {
            return Deadline::NEVER;
        } else if !self.over.is_empty() {
            return Deadline::at(0.0);
        }
        let first = self.timeouts.peek();
        let first = first.map_or(Deadline::NEVER, |Reverse((moment, _))| Deadline::at(moment.0));
        first.earlier(self.timers.next_timeout())
    }

    /// How many waits there are.
    pub fn len(&self) -> usize {
        self.waits
    }

    pub fn is_empty(&self) -> bool {
        self.waits == 0
    }
}

impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::io::wait::{Member, poll_all};
    use std::io::{PipeReader, PipeWriter, Read, Write};

    fn pipe() -> (PipeReader, PipeWriter) {
        io::pipe().expect("a pipe")
    }

    fn wait(reader: &PipeReader) -> Wait {
        Wait::new(reader, Want::Read)
    }

    fn new() -> Registration {
        Registration::default()
    }

    #[test]
    fn tells_which_of_many_is_ready() {
        let mut poller = Poller::new().expect("a poller");
        let pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
        let tickets: Vec<_> = pipes
            .iter()
            .map(|(reader, _)| poller.watch(wait(reader), &mut new()).expect("watched"))
            .collect();
        assert!(poller.poll_events().expect("polled").is_empty());
        (&pipes[7].1).write_all(b"x").expect("written");
        assert_eq!(poller.poll_events().expect("polled"), [tickets[7]]);
        assert_eq!(poller.next_timeout(), Deadline::NEVER);
        assert_eq!(poller.len(), 99);
    }

    #[test]
    fn what_is_ready_already_is_told() {
        let (reader, mut writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        writer.write_all(b"xy").expect("written");
        for _ in 0..2 {
            known = new();
            let ticket = poller.watch(wait(&reader), &mut known).expect("watched");
            assert_eq!(poller.poll_events().expect("polled"), [ticket]);
            assert_eq!((&reader).read(&mut [0]).expect("read"), 1);
        }
        poller.watch(wait(&reader), &mut known).expect("watched");
        assert!(poller.poll_events().expect("polled").is_empty());
    }

    #[test]
    fn what_happens_while_nobody_waits_is_noted() {
        let (reader, mut writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        let first = poller.watch(wait(&reader), &mut known).expect("watched");
        assert!(poller.cancel(first).is_some());
        writer.write_all(b"x").expect("written");
        assert!(poller.poll_events().expect("polled").is_empty());
        let second = poller.watch(wait(&reader), &mut known).expect("watched");
        assert!(poller.next_timeout().has_passed());
        assert_eq!(poller.poll_events().expect("polled"), [second]);
        // Once.
        poller.watch(wait(&reader), &mut known).expect("watched");
        assert!(poller.poll_events().expect("polled").is_empty());
    }

    #[test]
    fn a_deadline_that_no_wait_has_any_more_takes_no_memory() {
        let (reader, _writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        for _ in 0..1000 {
            let long = wait(&reader).waking(Deadline::after(1e6));
            let long = poller.watch(long, &mut known).expect("watched");
            assert!(poller.cancel(long).is_some());
            let short = wait(&reader).waking(Deadline::at(0.0));
            let short = poller.watch(short, &mut known).expect("watched");
            assert_eq!(poller.poll_events().expect("polled"), [short]);
        }
        assert!(poller.timeouts.len() <= 2 * poller.slots.len() + 1);
    }

    /// Who has read the bytes before an end may not know of it, and nothing more happens.
    #[test]
    fn an_end_is_told_to_each_that_waits() {
        let (reader, mut writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        let first = poller.watch(wait(&reader), &mut known).expect("watched");
        writer.write_all(b"x").expect("written");
        drop(writer);
        assert_eq!(poller.poll_events().expect("polled"), [first]);
        assert_eq!((&reader).read(&mut [0, 0]).expect("read"), 1);
        for _ in 0..2 {
            let ticket = poller.watch(wait(&reader), &mut known).expect("watched");
            assert_eq!(poller.poll_events().expect("polled"), [ticket]);
        }
    }

    #[test]
    fn a_number_that_is_used_again_is_watched_again() {
        let mut poller = Poller::new().expect("a poller");
        for _ in 0..3 {
            let (reader, mut writer) = pipe();
            let ticket = poller.watch(wait(&reader), &mut new()).expect("watched");
            writer.write_all(b"x").expect("written");
            assert_eq!(poller.poll_events().expect("polled"), [ticket]);
        }
    }

    #[test]
    fn time_ends_a_wait_and_so_does_a_close() {
        let (reader, _writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        let minute = Deadline::after(60.0);
        let soon = poller.watch(wait(&reader).waking(minute), &mut known).expect("watched");
        let late =
            poller.watch(wait(&reader).waking(Deadline::after(-1.0)), &mut known).expect("watched");
        assert_eq!(poller.poll_events().expect("polled"), [late]);
        assert_eq!(poller.next_timeout(), minute);
        poller.remove_fd(reader.as_raw_fd());
        assert!(poller.next_timeout().has_passed());
        let given_up = poller.watch(wait(&reader), &mut known).expect("watched");
        assert_eq!(poller.cancel(given_up).map(|wait| wait.fd), Some(reader.as_raw_fd()));
        assert_eq!(poller.poll_events().expect("polled"), [soon]);
        assert!(poller.is_empty() && poller.next_timeout() == Deadline::NEVER);
    }

    #[test]
    fn one_that_is_hurried_is_over_and_has_the_descriptor_told() {
        let mut poller = Poller::new().expect("a poller");
        let (_reader, writer) = pipe();
        let write = poller.watch(Wait::new(&writer, Want::Write), &mut new()).expect("watched");
        assert_eq!(poller.poll_events().expect("polled"), [write]);
        let ticket = poller.watch(Wait::new(&writer, Want::Read), &mut new()).expect("watched");
        assert!(poller.poll_events().expect("polled").is_empty());
        let its = Member { fd: poller.as_raw_fd(), want: Want::Read, from: Deadline::at(0.0) };
        poller.hurry(ticket);
        poller.hurry(ticket + DESCRIPTORS);
        let ready = poll_all(&[its], Deadline::at(0.0)).expect("polled");
        assert_eq!(ready, Some(vec![true]));
        assert_eq!(poller.poll_events().expect("polled"), [ticket]);
        assert!(poller.is_empty());
    }

    #[test]
    fn a_descriptor_that_no_ticket_has_room_for_is_an_error() {
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        let wait = Wait::new(&(DESCRIPTORS as RawFd), Want::Read);
        assert_eq!(poller.watch(wait, &mut known).unwrap_err().code(), Code::Io);
        assert!(poller.is_empty() && poller.slots.is_empty());
    }

    #[test]
    fn deadlines_that_are_met_leave_nothing_behind() {
        let (reader, _writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let mut known = new();
        for _ in 0..10_000 {
            let wait = wait(&reader).waking(Deadline::after(60.0));
            let ticket = poller.watch(wait, &mut known).expect("watched");
            poller.cancel(ticket);
        }
        assert_eq!(poller.timeouts.len(), 1);
    }

    /// A copy of a descriptor keeps its file, and so the kernel's registration, past its close.
    #[test]
    fn the_end_of_a_copied_file_is_not_that_of_the_next_descriptor_of_its_number() {
        for is_told in [false, true] {
            let mut poller = Poller::new().expect("a poller");
            let (mut reader, writer) = pipe();
            let fd = reader.as_raw_fd();
            poller.watch(wait(&reader), &mut new()).expect("watched");
            let _copy = reader.try_clone().expect("a copy");
            if is_told {
                poller.remove_fd(fd);
                assert_eq!(poller.poll_events().expect("polled").len(), 1);
            }
            let (next, _writer) = pipe();
            fork::replace(&mut reader, &next).expect("closed, and its number used again");
            poller.watch(wait(&reader), &mut new()).expect("watched");
            drop(writer);
            assert!(poller.poll_events().expect("polled").is_empty());
            assert!(!poller.slots[fd as usize].is_ended);
        }
    }

    #[test]
    fn a_child_of_fork_begins_anew_and_leaves_its_parent_what_it_has() {
        let (reader, mut writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let (mut known, fd) = (new(), poller.as_raw_fd());
        let first = poller.watch(wait(&reader), &mut known).expect("watched");
        // What the child has is a poller whose generation is another's.
        poller.generation += 1;
        let before = known;
        let second = poller.watch(wait(&reader), &mut known).expect("watched");
        assert!(known != before && poller.as_raw_fd() == fd);
        assert_eq!(poller.poll_events().expect("polled"), [first]);
        writer.write_all(b"x").expect("written");
        assert_eq!(poller.poll_events().expect("polled"), [second]);
    }
}
