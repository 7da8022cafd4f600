//! The only place that waits. Uses `io::step`, `io::deadline`, `io::system`, `error`; knows no Lua.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::event::{PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::io::deadline::Deadline;
use crate::io::step::{Look, NO_FD, Step, Wait, Want};
use crate::io::system::{PollFd, poll};

/// The longest time in one poll(2), in seconds. A signal that lands just before `poll` does not
/// interrupt it: the interpreter's hook runs when the caller gets control back.
const SLICE: f64 = 0.2;

const TOO_MANY: &str = "more descriptors than this process may have, see ulimit -n";

/// How a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    Blocking,
    /// In an event loop.
    Loop,
    /// In an event loop, by way of the poller.
    Poller,
    /// The same, and the poller has watched the descriptor since before the last look at it.
    Watched,
}

/// How a drive ended.
#[derive(Debug)]
pub enum Driven<T> {
    Done(T),
    /// A signal came or the slice is over: let the interpreter run, then drive again.
    Interrupted,
    /// To be waited for elsewhere, until its wake at the latest; then drive again.
    Suspended(Wait),
}

/// Repeats `step` until it is done, at most until `deadline`. Where it must wait, it waits here, or
/// returns the wait, as `mode` says.
///
/// The step is tried before the clock is read, also after the last wait: what can be done is done,
/// however short the timeout.
pub fn drive<T>(
    deadline: Deadline,
    mode: WaitMode,
    mut step: impl FnMut() -> Result<Step<T>>,
) -> Result<Driven<T>> {
    match step()? {
        Step::Done(value) => Ok(Driven::Done(value)),
        Step::Wait(wait) => go_on(wait, deadline, mode, step),
    }
}

/// The same after a first try, which must wait.
pub fn go_on<T>(
    mut wait: Wait,
    deadline: Deadline,
    mode: WaitMode,
    mut step: impl FnMut() -> Result<Step<T>>,
) -> Result<Driven<T>> {
    let mut slice = None;
    loop {
        let is_late = deadline.has_passed();
        // Yielding costs more than one more recv, and the poller is edge-triggered: the step is
        // tried once more before it yields, and once before it times out.
        let may_wait = match wait.look {
            Look::WouldBlock => true,
            Look::Untried => mode == WaitMode::Blocking && !is_late,
            Look::ShortRead => matches!(mode, WaitMode::Blocking | WaitMode::Watched) && !is_late,
        };
        if may_wait {
            if is_late {
                return Err(Error::timeout(wait.pending));
            }
            if mode != WaitMode::Blocking {
                return Ok(Driven::Suspended(wait.waking(deadline.earlier(wait.wake))));
            }
            let slice = *slice.get_or_insert_with(|| Deadline::after(SLICE));
            if slice.has_passed() || !ready(&wait, deadline.earlier(slice))? {
                return Ok(Driven::Interrupted);
            }
        }
        match step()? {
            Step::Done(value) => return Ok(Driven::Done(value)),
            Step::Wait(next) => wait = next,
        }
    }
}

/// Waits for what a step was suspended for, or a slice of it.
pub fn rest(wait: &Wait) -> Result<()> {
    ready(wait, Deadline::after(SLICE)).map(drop)
}

/// Waits for one descriptor until `until` or its own wake. False if a signal came first.
fn ready(wait: &Wait, until: Deadline) -> Result<bool> {
    let has_fd = wait.fd != NO_FD;
    let mut fds = [PollFd::from_borrowed_fd(borrow(wait.fd.max(0)), flag(wait.want))];
    let polled = &mut fds[..usize::from(has_fd)];
    match poll(polled, timespec(until.earlier(wait.wake)).as_ref()) {
        // Readiness, an error or a hang-up: the step finds out which.
        Ok(_) if has_fd && is_invalid(&fds[0]) => Err(Errno::BADF.into()),
        Ok(_) => Ok(true),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the peer has ended its side, or the connection has failed, also behind bytes that nobody
/// has read yet. Some systems cannot tell the first; a read does. Does not wait.
pub fn has_hung_up(fd: BorrowedFd<'_>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let end = PollFlags::RDHUP;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let end = PollFlags::empty();
    let mut fds = [PollFd::from_borrowed_fd(fd, end)];
    poll(&mut fds, Some(&Timespec::default())).is_ok()
        && fds[0].revents().intersects(end | PollFlags::HUP | PollFlags::ERR)
}

/// One of many that are waited for at once.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub fd: RawFd,
    pub want: Want,
    /// Not before this.
    pub from: Deadline,
}

/// Waits until one of the members is ready, at most until `deadline`: which of them are. `None`
/// where the interpreter should run before it goes on.
pub fn poll_all(members: &[Member], deadline: Deadline) -> Result<Option<Vec<bool>>> {
    let now = Deadline::after(0.0);
    let (started, later): (Vec<&Member>, Vec<&Member>) =
        members.iter().partition(|member| member.from <= now);
    let soonest = later.iter().map(|member| member.from).fold(deadline, Deadline::earlier);
    // Each descriptor once: poll takes as many as a process may have, and members may be more.
    let mut flags = HashMap::new();
    for member in started {
        *flags.entry(member.fd).or_insert(PollFlags::empty()) |= flag(member.want);
    }
    let watch = |(fd, flags): (&RawFd, &PollFlags)| PollFd::from_borrowed_fd(borrow(*fd), *flags);
    let mut polled: Vec<_> = flags.iter().map(watch).collect();
    let until = soonest.earlier(Deadline::after(SLICE));
    match poll(&mut polled, timespec(until).as_ref()) {
        Ok(0) if !deadline.has_passed() => return Ok(None),
        Ok(_) if polled.iter().any(is_invalid) => return Err(Errno::BADF.into()),
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(None),
        Err(Errno::INVAL) => return Err(Error::new(Code::Io, TOO_MANY)),
        Err(errno) => return Err(errno.into()),
    }
    for (found, polled) in flags.values_mut().zip(&polled) {
        *found = polled.revents();
    }
    let is_ready =
        |member: &Member| member.from <= now && has_happened(flags[&member.fd], member.want);
    Ok(Some(members.iter().map(is_ready).collect()))
}

/// An end and an error wake readers and writers.
fn has_happened(found: PollFlags, want: Want) -> bool {
    let others = match want {
        Want::Read => PollFlags::OUT,
        Want::Write => PollFlags::IN,
    };
    found.intersects(!others)
}

fn flag(want: Want) -> PollFlags {
    match want {
        Want::Read => PollFlags::IN,
        Want::Write => PollFlags::OUT,
    }
}

fn is_invalid(fd: &PollFd<'_>) -> bool {
    fd.revents().contains(PollFlags::NVAL)
}

fn timespec(until: Deadline) -> Option<Timespec> {
    until.left().and_then(|left| left.try_into().ok())
}

#[allow(unsafe_code)]
fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the borrow ends with the call of poll that it is made for, which owns nothing and
    // reports a closed descriptor as POLLNVAL.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Pending;
    use std::io::Write;

    #[test]
    fn a_step_that_is_done_is_not_timed() {
        let driven = drive(Deadline::after(-1.0), WaitMode::Blocking, || Ok(Step::Done(7)));
        assert!(matches!(driven, Ok(Driven::Done(7))));
    }

    #[test]
    fn a_deadline_ends_the_wait_and_says_for_what() {
        let (reader, _writer) = std::io::pipe().expect("pipe");
        let wait = Wait::new(&reader, Want::Read).pending(Pending::Bytes { have: 1, need: 4 });
        let start = crate::io::deadline::now();
        let error = drive::<()>(Deadline::after(0.05), WaitMode::Blocking, || Ok(Step::Wait(wait)))
            .unwrap_err();
        assert_eq!((error.code(), error.detail()), (Code::Timeout, "1 of 4 bytes"));
        assert!(crate::io::deadline::now() - start >= 0.05);
    }

    #[test]
    fn a_long_wait_comes_back_for_a_moment() {
        let (reader, _writer) = std::io::pipe().expect("pipe");
        let wait = Wait::new(&reader, Want::Read);
        let driven = drive::<()>(Deadline::NEVER, WaitMode::Blocking, || Ok(Step::Wait(wait)));
        assert!(matches!(driven, Ok(Driven::Interrupted)));
    }

    #[test]
    fn a_wait_elsewhere_is_handed_over_with_its_deadline() {
        let (reader, _writer) = std::io::pipe().expect("pipe");
        let (wait, deadline) = (Wait::new(&reader, Want::Read), Deadline::after(5.0));
        let driven = drive::<()>(deadline, WaitMode::Loop, || Ok(Step::Wait(wait)));
        assert!(matches!(driven, Ok(Driven::Suspended(wait)) if wait.wake == deadline));
        let yield_now = Wait::yield_now(&reader);
        let driven = drive::<()>(deadline, WaitMode::Loop, || Ok(Step::Wait(yield_now)));
        assert!(matches!(driven, Ok(Driven::Suspended(wait)) if wait.wake.has_passed()));
        let past = Deadline::after(-1.0);
        assert!(drive::<()>(past, WaitMode::Loop, || Ok(Step::Wait(wait))).is_err());
    }

    #[test]
    fn a_wake_steps_again() {
        let (reader, _writer) = std::io::pipe().expect("pipe");
        let mut steps = 0;
        let driven = drive(Deadline::after(1.0), WaitMode::Blocking, || {
            steps += 1;
            let wait = Wait::new(&reader, Want::Read);
            Ok(if steps == 3 {
                Step::Done(())
            } else {
                Step::Wait(wait.waking(Deadline::after(0.01)))
            })
        });
        assert!(matches!(driven, Ok(Driven::Done(()))));
        assert_eq!(steps, 3);
    }

    #[test]
    fn what_is_ready_is_not_waited_for() {
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        writer.write_all(b"x").expect("write");
        let wait = Wait::new(&reader, Want::Read);
        assert!(ready(&wait, Deadline::NEVER).expect("poll"));
    }

    #[test]
    fn a_descriptor_that_is_none_is_an_error() {
        let wait = Wait::new(&(1_000_000 as RawFd), Want::Read);
        assert_eq!(ready(&wait, Deadline::NEVER).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn a_member_counts_from_its_time_on_however_often_it_is_there() {
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        writer.write_all(b"x").expect("write");
        let member = |fd: &dyn std::os::fd::AsRawFd, want, from| Member {
            fd: fd.as_raw_fd(),
            want,
            from: Deadline::after(from),
        };
        let members = [
            member(&reader, Want::Read, 60.0),
            member(&reader, Want::Read, -1.0),
            member(&reader, Want::Write, -1.0),
            member(&writer, Want::Write, -1.0),
            member(&reader, Want::Read, -1.0),
        ];
        let ready = poll_all(&members, Deadline::NEVER).expect("polled");
        assert_eq!(ready, Some(vec![false, true, false, true, true]));
        let start = crate::io::deadline::now();
        let later = [member(&reader, Want::Read, 0.05)];
        assert_eq!(poll_all(&later, Deadline::NEVER).expect("polled"), None);
        assert!(crate::io::deadline::now() - start < 0.15);
    }
}
