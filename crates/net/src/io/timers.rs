//! Waits for time alone, which have no descriptor. Each has a place of its own, so that its ticket
//! names it as that of another wait names its descriptor. Uses `io::ticket`, `io::deadline`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::io::deadline::Deadline;
use crate::io::ticket::{DESCRIPTORS, FIRST_TIMER, Moment, Ticket};

#[derive(Default)]
pub struct Timers {
    /// By place.
    waits: Vec<Option<(Ticket, Deadline)>>,
    free: Vec<usize>,
    /// An entry whose ticket has left its place means nothing.
    timeouts: BinaryHeap<Reverse<(Moment, Ticket)>>,
}

impl Timers {
    /// Begins a wait under the ticket that `name` makes of its place; none where all are taken.
    pub fn add(&mut self, until: Deadline, name: impl FnOnce(u64) -> Ticket) -> Option<Ticket> {
        let place = self.free.pop().unwrap_or(self.waits.len());
        if FIRST_TIMER + place as u64 >= DESCRIPTORS {
            return None;
        }
        let ticket = name(FIRST_TIMER + place as u64);
        if place == self.waits.len() {
            self.waits.push(None);
        }
        self.waits[place] = Some((ticket, until));
        if until != Deadline::NEVER {
            self.drop_stale();
            self.timeouts.push(Reverse((Moment(until.seconds()), ticket)));
        }
        Some(ticket)
    }

    /// Where entries that mean nothing are the most, they go: theirs may be in years.
    fn drop_stale(&mut self) {
        if self.timeouts.len() > 2 * self.waits.len() {
            let waits = &self.waits;
            self.timeouts.retain(|Reverse((_, ticket))| is_current(waits, *ticket));
        }
    }

    /// Ends a wait that is not over: until when it was.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<Deadline> {
        let place = place(ticket)?;
        let (_, until) = self.waits.get_mut(place)?.take_if(|(other, _)| *other == ticket)?;
        self.free.push(place);
        Some(until)
    }

    /// Names the waits whose time is up. They are not ended yet.
    pub fn take_expired(&mut self, over: &mut Vec<Ticket>) {
        while let Some(Reverse((moment, ticket))) = self.timeouts.peek().copied() {
            if !Deadline::at(moment.0).has_passed() {
                return;
            }
            self.timeouts.pop();
            if is_current(&self.waits, ticket) {
                over.push(ticket);
            }
        }
    }

    /// Nothing is over before.
    pub fn next_timeout(&self) -> Deadline {
        let next = self.timeouts.peek();
        next.map_or(Deadline::NEVER, |Reverse((moment, _))| Deadline::at(moment.0))
    }
}

fn place(ticket: Ticket) -> Option<usize> {
    (ticket % DESCRIPTORS).checked_sub(FIRST_TIMER).map(|place| place as usize)
}

fn is_current(waits: &[Option<(Ticket, Deadline)>], ticket: Ticket) -> bool {
    let wait = place(ticket).and_then(|place| waits.get(place)?.as_ref());
    wait.is_some_and(|(other, _)| *other == ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_each_once_and_uses_its_place_again() {
        let (mut timers, mut number) = (Timers::default(), 0);
        let mut add = |timers: &mut Timers, until| {
            number += 1;
            timers.add(until, |place| number * DESCRIPTORS + place).expect("a place")
        };
        let late = add(&mut timers, Deadline::after(60.0));
        let past = add(&mut timers, Deadline::at(0.0));
        assert!(timers.next_timeout().has_passed());
        let mut over = Vec::new();
        timers.take_expired(&mut over);
        assert_eq!(over, [past]);
        assert!(timers.cancel(past).is_some() && timers.cancel(past).is_none());
        let again = add(&mut timers, Deadline::NEVER);
        assert_eq!((again % DESCRIPTORS, again == past), (past % DESCRIPTORS, false));
        timers.take_expired(&mut over);
        assert_eq!(over, [past]);
        assert!(timers.cancel(late).is_some() && timers.cancel(again).is_some());
    }

    #[test]
    fn one_that_is_cancelled_takes_no_memory() {
        let mut timers = Timers::default();
        for number in 1..10_000 {
            let until = Deadline::after(1e6);
            let ticket = timers.add(until, |place| number * DESCRIPTORS + place).expect("a place");
            assert_eq!(timers.cancel(ticket), Some(until));
        }
        assert!(timers.timeouts.len() <= 3 && timers.waits.len() == 1);
    }
}
