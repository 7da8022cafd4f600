//! Many waits behind one descriptor, for a loop that watches only that one: it is readable when
//! some of them may be over. Watches nothing by itself and never blocks. Uses `step`, `deadline`, `error`.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::deadline::Deadline;
use crate::error::Result;
use crate::step::{Wait, Want};

/// Events taken in one turn.
const EVENTS: usize = 1024;

pub struct Poller {
    poll: Poll,
    events: Events,
    waits: HashMap<u64, Wait>,
    /// The waits for each descriptor: seldom more than one.
    tickets: HashMap<RawFd, Vec<u64>>,
    deadlines: BTreeSet<(Moment, u64)>,
    last: u64,
}

/// A deadline in the order of time.
#[derive(Clone, Copy, PartialEq)]
struct Moment(f64);

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

impl Poller {
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            waits: HashMap::new(),
            tickets: HashMap::new(),
            deadlines: BTreeSet::new(),
            last: 0,
        })
    }

    /// Begins a wait: its ticket, by which a turn names it.
    pub fn watch(&mut self, wait: Wait) -> Result<u64> {
        let others = self.tickets.entry(wait.fd).or_default();
        let wants = others.iter().filter_map(|ticket| self.waits.get(ticket)).map(|wait| wait.want);
        let interest = wants.fold(interest(wait.want), |all, want| all.add(interest(want)));
        let (registry, mut source) = (self.poll.registry(), SourceFd(&wait.fd));
        let token = Token(wait.fd as usize);
        // Each wait is told anew: what is reported is reported once, and a number that is watched may
        // have become another descriptor's.
        match registry.reregister(&mut source, token, interest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                registry.register(&mut source, token, interest)?;
            }
            result => result?,
        }
        self.last += 1;
        others.push(self.last);
        self.deadlines.insert((Moment(wait.wake.seconds()), self.last));
        self.waits.insert(self.last, wait);
        Ok(self.last)
    }

    /// Ends a wait that is not over.
    pub fn unwatch(&mut self, ticket: u64) {
        let Some(wait) = self.waits.remove(&ticket) else { return };
        self.deadlines.remove(&(Moment(wait.wake.seconds()), ticket));
        if let Some(others) = self.tickets.get_mut(&wait.fd) {
            others.retain(|other| *other != ticket);
            if others.is_empty() {
                self.tickets.remove(&wait.fd);
            }
        }
    }

    /// The waits for a descriptor that is going to be closed are over.
    pub fn close(&mut self, fd: RawFd) {
        for ticket in self.tickets.get(&fd).into_iter().flatten() {
            if let Some(wait) = self.waits.get_mut(ticket) {
                self.deadlines.remove(&(Moment(wait.wake.seconds()), *ticket));
                wait.wake = Deadline::at(0.0);
                self.deadlines.insert((Moment(0.0), *ticket));
            }
        }
    }

    /// Ends the waits that are over, ready or out of time: their tickets, in any order.
    pub fn turn(&mut self) -> Result<Vec<u64>> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut over = Vec::new();
        for event in &self.events {
            let all = event.is_error() || event.is_read_closed() || event.is_write_closed();
            let tickets = self.tickets.get(&(event.token().0 as RawFd));
            over.extend(tickets.into_iter().flatten().copied().filter(|ticket| {
                all || match self.waits[ticket].want {
                    Want::Read => event.is_readable(),
                    Want::Write => event.is_writable(),
                }
            }));
        }
        let late =
            self.deadlines.iter().take_while(|(moment, _)| Deadline::at(moment.0).has_passed());
        over.extend(late.map(|(_, ticket)| *ticket));
        over.iter().for_each(|ticket| self.unwatch(*ticket));
        Ok(over)
    }

    /// When the next turn is due even if the descriptor does not become readable.
    pub fn next(&self) -> Deadline {
        self.deadlines.first().map_or(Deadline::NEVER, |(moment, _)| Deadline::at(moment.0))
    }
}

impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

fn interest(want: Want) -> Interest {
    match want {
        Want::Read => Interest::READABLE,
        Want::Write => Interest::WRITABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, PipeWriter, Read, Write};

    fn pipe() -> (PipeReader, PipeWriter) {
        io::pipe().expect("a pipe")
    }

    fn wait(reader: &PipeReader) -> Wait {
        Wait::new(reader, Want::Read)
    }

    #[test]
    fn tells_which_of_many_is_ready() {
        let mut poller = Poller::new().expect("a poller");
        let pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
        let tickets: Vec<_> =
            pipes.iter().map(|(reader, _)| poller.watch(wait(reader)).expect("watched")).collect();
        assert!(poller.turn().expect("a turn").is_empty());
        (&pipes[7].1).write_all(b"x").expect("written");
        assert_eq!(poller.turn().expect("a turn"), [tickets[7]]);
        assert_eq!(poller.next(), Deadline::NEVER);
    }

    #[test]
    fn what_is_ready_already_is_told() {
        let (reader, mut writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        writer.write_all(b"xy").expect("written");
        for _ in 0..2 {
            let ticket = poller.watch(wait(&reader)).expect("watched");
            assert_eq!(poller.turn().expect("a turn"), [ticket]);
            assert_eq!((&reader).read(&mut [0]).expect("read"), 1);
        }
        poller.watch(wait(&reader)).expect("watched");
        assert!(poller.turn().expect("a turn").is_empty());
    }

    #[test]
    fn a_number_that_is_used_again_is_watched_again() {
        let mut poller = Poller::new().expect("a poller");
        for _ in 0..3 {
            let (reader, mut writer) = pipe();
            let ticket = poller.watch(wait(&reader)).expect("watched");
            writer.write_all(b"x").expect("written");
            assert_eq!(poller.turn().expect("a turn"), [ticket]);
        }
    }

    #[test]
    fn time_ends_a_wait_and_so_does_a_close() {
        let (reader, _writer) = pipe();
        let mut poller = Poller::new().expect("a poller");
        let late = poller.watch(wait(&reader).waking(Deadline::after(-1.0))).expect("watched");
        let soon = poller.watch(wait(&reader).waking(Deadline::after(60.0))).expect("watched");
        assert_eq!(poller.turn().expect("a turn"), [late]);
        assert!(poller.next() > Deadline::after(50.0));
        poller.close(reader.as_raw_fd());
        assert!(poller.next().has_passed());
        let given_up = poller.watch(wait(&reader)).expect("watched");
        poller.unwatch(given_up);
        assert_eq!(poller.turn().expect("a turn"), [soon]);
        assert!(
            poller.waits.is_empty() && poller.tickets.is_empty() && poller.deadlines.is_empty()
        );
    }
}
