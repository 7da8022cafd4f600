//! Tasks, and how they wait: in place, by way of the module's poller, or in a loop that polls their
//! descriptors itself. It does what the module's glue does above `net`.

use std::os::fd::{AsRawFd, RawFd};

use net::error::Result;
use net::io::deadline::{Deadline, now};
use net::io::poller::{Registration, Ticket};
use net::io::step::{NO_FD, Step, Wait, Want};
use net::io::wait::{Driven, Member, WaitMode, drive, go_on, poll_all};
use net::stream::Stream;
use simulated::with;

use crate::operation::{Operation, Outcome};
use crate::runner::is_told;
use crate::world::World;

/// How tasks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Blocking,
    Poller,
    Own,
}

#[derive(Default)]
pub struct Task {
    pub operation: Option<Operation>,
    pub begun: f64,
    pub timeout: f64,
    /// From the first wait on.
    pub deadline: Option<Deadline>,
    pub wait: Option<(Ticket, Wait)>,
    pub left: usize,
}

impl Task {
    pub fn is_over(&self) -> bool {
        self.operation.is_none() && self.left == 0
    }
}

/// Goes on with an operation until it must wait elsewhere, or is over.
pub fn advance(world: &mut World, at: usize) -> Option<Result<Outcome>> {
    let mut task = std::mem::take(&mut world.tasks[at]);
    let mode = world.wait_mode(&task);
    let mut operation = task.operation.take().expect("a task that has something to do");
    let sides = operation.sides();
    let had_begun = world.have_begun(sides);
    let mut step = || operation.step(&mut world.connections, world.listener.as_ref());
    let driven = match task.deadline {
        // As `Call::drive` does.
        None => match step() {
            Ok(Step::Done(outcome)) => Ok(Driven::Done(outcome)),
            Ok(Step::Wait(wait)) => {
                let deadline = *task.deadline.insert(Deadline::after(task.timeout));
                go_on(wait, deadline, mode, step)
            }
            Err(error) => Err(error),
        },
        Some(deadline) => drive(deadline, mode, step),
    };
    task.operation = Some(operation);
    world.tasks[at] = task;
    let is_over = !matches!(driven, Ok(Driven::Suspended(_) | Driven::Interrupted));
    if is_over || had_begun != world.have_begun(sides) {
        world.hurry_others(at, sides);
    }
    match driven {
        Ok(Driven::Done(outcome)) => Some(Ok(outcome)),
        Ok(Driven::Interrupted) => None,
        Ok(Driven::Suspended(wait)) => world.suspend(at, wait).err().map(Err),
        Err(error) => Some(Err(error)),
    }
}

impl World {
    fn wait_mode(&self, task: &Task) -> WaitMode {
        let is_first = task.deadline.is_none();
        let sides = task.operation.as_ref().map_or((None, None), Operation::sides);
        let is_known = |at: usize| self.connections[at].known.is_some();
        match self.mode {
            Mode::Blocking => WaitMode::Blocking,
            Mode::Own => WaitMode::Loop,
            Mode::Poller if is_first && sides.0.or(sides.1).is_some_and(is_known) => {
                WaitMode::Watched
            }
            Mode::Poller => WaitMode::Poller,
        }
    }

    fn suspend(&mut self, at: usize, wait: Wait) -> Result<()> {
        let ticket = match self.mode {
            Mode::Poller => {
                let (reads, writes) =
                    self.tasks[at].operation.as_ref().map_or((None, None), Operation::sides);
                let mut sides = [reads, writes].into_iter().flatten();
                let its = sides.find(|at| self.connections[*at].fd == wait.fd);
                let mut unknown = Registration::default();
                let known = match its {
                    Some(its) => &mut self.connections[its].known,
                    None => &mut unknown,
                };
                self.poller.as_mut().expect("there is one").watch(wait, known)?
            }
            _ => 0,
        };
        if is_told() {
            println!(
                "    task {at} waits for {}: {:?}, {:?}, ticket {ticket}",
                wait.fd, wait.want, wait.look
            );
        }
        self.tasks[at].wait = Some((ticket, wait));
        Ok(())
    }

    fn have_begun(&self, (reads, writes): (Option<usize>, Option<usize>)) -> bool {
        let mut sides = [reads, writes].into_iter().flatten();
        let has_begun =
            |at: usize| self.connections[at].stream.as_ref().is_none_or(Stream::has_begun);
        sides.all(has_begun)
    }

    /// Who waits in the direction that is not its own waits for what this task may have done.
    fn hurry_others(&mut self, but: usize, (reads, writes): (Option<usize>, Option<usize>)) {
        let Some(poller) = &mut self.poller else { return };
        for (at, task) in self.tasks.iter().enumerate() {
            let (Some((ticket, wait)), Some(operation)) = (task.wait, &task.operation) else {
                continue;
            };
            let (its_reads, its_writes) = operation.sides();
            let shares = |its: Option<usize>| its.is_some() && (its == reads || its == writes);
            let is_foreign = match wait.want {
                Want::Read => its_reads.is_none() && shares(its_writes),
                Want::Write => its_writes.is_none() && shares(its_reads),
            };
            if at != but && is_foreign {
                poller.hurry(ticket);
            }
        }
    }

    /// Waits until some of the tasks may go on, which then have no wait any more.
    pub fn wait(&mut self) {
        match self.mode {
            Mode::Blocking => {}
            Mode::Poller => self.wait_by_poller(),
            Mode::Own => self.wait_by_polling(),
        }
    }

    fn wait_by_poller(&mut self) {
        with(|kernel| kernel.set_frozen(true));
        self.check_sleep();
        with(|kernel| kernel.set_frozen(false));
        let poller = self.poller.as_mut().expect("there is one");
        let until = poller.next_timeout();
        let its = Member { fd: poller.as_raw_fd(), want: Want::Read, from: Deadline::at(0.0) };
        poll_all(&[its], until).expect("the poller can be waited for");
        let Ok(over) = self.poller.as_mut().expect("there is one").poll_events() else {
            // As the glue does: each looks for itself.
            for at in 0..self.tasks.len() {
                self.cancel_wait(at);
            }
            return;
        };
        for ticket in over {
            if is_told() {
                println!("    ticket {ticket} is over");
            }
            let mut tasks = self.tasks.iter_mut();
            let found = tasks.find(|task| task.wait.is_some_and(|(other, _)| other == ticket));
            found.expect("the ticket of a wait that is not over").wait = None;
        }
    }

    /// Ends a wait early.
    pub fn cancel_wait(&mut self, at: usize) {
        let Some((ticket, _)) = self.tasks[at].wait.take() else { return };
        if let Some(poller) = &mut self.poller {
            assert!(poller.cancel(ticket).is_some(), "a wait that the poller has lost");
        }
    }

    /// Before the loop sleeps: who waits for what is there is going to be woken.
    fn check_sleep(&mut self) {
        let poller = self.poller.as_ref().expect("there is one");
        let waits: Vec<Wait> = self.tasks.iter().filter_map(|task| Some(task.wait?.1)).collect();
        assert_eq!(poller.len(), waits.len(), "the poller has other waits than there are");
        let next = poller.next_timeout();
        let fd = poller.as_raw_fd();
        if next.has_passed() || with(|kernel| kernel.is_ready(fd, false)) {
            return;
        }
        for Wait { fd, want, wake, .. } in waits {
            assert!(next <= wake, "{fd}: a deadline that the poller does not know");
            let is_ready = fd != NO_FD && with(|kernel| kernel.is_ready(fd, want == Want::Write));
            assert!(!is_ready, "{fd}: nobody wakes who waits to {want:?}, which is possible");
        }
        for at in 0..self.tasks.len() {
            self.check_progress(at);
        }
    }

    fn wait_by_polling(&mut self) {
        let members: Vec<(usize, Member)> = (0..self.tasks.len())
            .filter_map(|at| {
                let wait = self.tasks[at].wait?.1;
                let member = Member { fd: wait.fd, want: wait.want, from: Deadline::at(0.0) };
                (wait.fd != NO_FD).then_some((at, member))
            })
            .collect();
        let wakes = self.tasks.iter().filter_map(|task| Some(task.wait?.1.wake));
        let until = wakes.fold(Deadline::NEVER, Deadline::earlier);
        let polled: Vec<Member> = members.iter().map(|(_, member)| *member).collect();
        let ready = poll_all(&polled, until).expect("all are open").unwrap_or_default();
        for ((at, _), is_ready) in members.iter().zip(ready) {
            if is_ready {
                self.tasks[*at].wait = None;
            }
        }
        let now = Deadline::at(now());
        for task in &mut self.tasks {
            task.wait.take_if(|(_, wait)| wait.wake <= now);
        }
    }

    /// A descriptor is going to be closed: who waits for it looks again.
    pub fn announce(&mut self, fd: RawFd) {
        if let Some(poller) = &mut self.poller {
            poller.remove_fd(fd);
            return;
        }
        for task in &mut self.tasks {
            task.wait.take_if(|(_, wait)| wait.fd == fd);
        }
    }
}
