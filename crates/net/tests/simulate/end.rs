//! Whether an operation has ended as it must: with the right bytes, neither early nor late, and not
//! without what had come.

use net::error::{Code, Error};
use simulated::{Faults, with};

use crate::connection::{Connection, Skipping};
use crate::content::{Ask, Expected};
use crate::operation::{Connecting, Outcome, Target};
use crate::peers::{Ending, Layer, Plan};

/// Seconds that the calls of a whole round may take.
pub const SLACK: f64 = 0.03;

/// When an operation began, had to be over, and ended.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub begun: f64,
    pub deadline: f64,
    pub now: f64,
}

impl Times {
    /// Whatever it came to: not later than its deadline.
    pub fn check(self, what: &str) {
        let Self { deadline, now, .. } = self;
        assert!(now <= deadline + SLACK, "{what}: {:.6} s past its deadline", now - deadline);
    }

    /// It was done when it could be.
    fn check_prompt(self, what: &str, possible: Option<f64>) {
        let Some(possible) = possible else { return };
        let late = self.now - self.begun.max(possible);
        assert!(late <= SLACK, "{what}: done {late:.6} s after it could have been");
    }

    /// It timed out: not early, and it could not have been done before.
    fn check_timeout(self, what: &str, possible: Option<f64>) {
        assert!(self.now >= self.deadline, "{what}: {:.9} s early", self.deadline - self.now);
        let Some(possible) = possible else { return };
        let missed = self.deadline - self.begun.max(possible);
        assert!(missed <= SLACK, "{what}: timed out {missed:.6} s after it could have been done");
    }
}

/// A read that has ended. What was read counts from now on.
pub fn check_read(
    connection: &mut Connection,
    ask: Ask,
    result: Result<Option<(Vec<u8>, usize)>, Error>,
    times: Times,
    faults: &Faults,
) {
    let what = format!("{} {ask:?}", connection.fd);
    times.check(&what);
    let expected = ask.expected(connection.rest());
    match result {
        Ok(Some((text, size))) => {
            check_item(connection, ask, &expected, &text, size, &what);
            let need = if let Ask::Available(_) = ask { 1 } else { size };
            times.check_prompt(&what, possible(connection, ask, need));
            connection.position += size;
            connection.skipping = Skipping::Nothing;
        }
        Ok(None) => {
            assert_eq!(expected, Expected::Nothing, "{what}: the end, too early");
            assert!(connection.rest().is_empty(), "{what}: the end, before all was read");
            assert!(ends_clean(connection), "{what}: an end that did not come");
            connection.skipping = Skipping::Nothing;
        }
        Err(error) if error.code() == Code::Timeout => {
            let possible = match &expected {
                Expected::Item(_, size) => possible(connection, ask, *size),
                Expected::Nothing => ended_at(connection),
                Expected::TooLarge => possible(connection, ask, 4),
            };
            times.check_timeout(&what, possible);
        }
        Err(error) if error.code() == Code::TooLarge => {
            assert_eq!(expected, Expected::TooLarge, "{what}: {error}");
        }
        Err(error) => {
            check_failure(connection, &error, &what, faults);
            if let Expected::Item(_, size) = expected
                && error.code() == Code::Closed
                && !ask.needs_end(connection.rest())
                && connection.is_open()
            {
                let came = possible(connection, ask, size);
                assert!(came.is_none(), "{what}: {error}, but all had come");
            }
        }
    }
}

fn check_item(
    connection: &Connection,
    ask: Ask,
    expected: &Expected,
    text: &[u8],
    size: usize,
    what: &str,
) {
    let rest = connection.rest();
    if let Ask::Available(most) = ask {
        assert!(size > 0 && size <= most, "{what}: {size} bytes");
        assert!(rest.starts_with(text) && text.len() == size, "{what}: other bytes than were sent");
        return;
    }
    let Expected::Item(range, end) = expected else { panic!("{what}: {expected:?} expected") };
    assert!(text == &rest[range.clone()], "{what}: other bytes than were sent");
    assert_eq!(size, *end, "{what}: other bytes are consumed than were read");
    if ask.needs_end(rest) {
        assert!(ends_clean(connection), "{what}: the end of a stream that has not ended so");
    }
}

/// When a read could be done that needs so many bytes, if it could.
fn possible(connection: &Connection, ask: Ask, need: usize) -> Option<f64> {
    if ask.needs_end(connection.rest()) {
        return ended_at(connection).filter(|_| ends_clean(connection));
    }
    if connection.position + need == 0 {
        return (connection.plan.layer == Layer::Plain).then_some(0.0);
    }
    connection.arrived_at(connection.position + need)
}

fn ended_at(connection: &Connection) -> Option<f64> {
    if connection.plan.layer == Layer::Records {
        return None;
    }
    with(|kernel| kernel.ended_at(connection.file))
}

fn ends_clean(connection: &Connection) -> bool {
    matches!(connection.plan.ending, Ending::Clean | Ending::Gone)
        && with(|kernel| kernel.ended_at(connection.file)).is_some()
}

/// A failure that is neither a timeout nor about what was asked.
pub fn check_failure(connection: &Connection, error: &Error, what: &str, faults: &Faults) {
    let has_ended = with(|kernel| kernel.ended_at(connection.file)).is_some();
    let Faults { transient, no_watch, no_events, .. } = *faults;
    match error.code() {
        Code::Closed if !connection.is_open() || has_ended || connection.is_shut => {}
        Code::Proxy if connection.plan.layer == Layer::Proxied && has_ended => {}
        Code::Io if error.is_transient() && transient > 0 => {}
        Code::Io if no_watch + no_events > 0 => {}
        _ => panic!("{what}: {error}"),
    }
}

/// A connect that has failed.
pub fn check_connect_failure(
    connecting: &Connecting,
    error: &Error,
    times: Times,
    faults: &Faults,
) {
    times.check("connect");
    let is_scarce = faults.full_table + faults.no_watch + faults.no_events > 0;
    // One that resets may have done so before anybody has looked.
    let stays = |plan: &Plan| plan.ending != Ending::Reset;
    let accepts = |target: &Target| target.plan.as_ref().is_some_and(stays);
    let may = connecting.targets.iter().enumerate().filter(|(_, target)| accepts(target));
    // Each has a head start of a quarter of a second at most.
    let soonest = may.map(|(at, target)| times.begun + 0.25 * at as f64 + target.after);
    let soonest = soonest.min_by(f64::total_cmp);
    match error.code() {
        Code::Timeout => times.check_timeout("connect", soonest.filter(|_| !is_scarce)),
        Code::Io if is_scarce || faults.transient > 0 => {}
        Code::Refused | Code::Unreachable => {
            assert!(soonest.is_none() || is_scarce, "connect: {error}, though one accepts");
        }
        _ => panic!("connect: {error}"),
    }
}

/// A connect that is through.
pub fn check_connected(connecting: &Connecting, port: u16, times: Times, faults: &Faults) {
    times.check("connect");
    let target = connecting.targets.iter().position(|target| target.port == port);
    let at = target.expect("one of those that were asked for");
    let after = connecting.targets[at].after;
    if faults.full_table + faults.no_watch + faults.no_events == 0 {
        times.check_prompt("connect", Some(times.begun + 0.25 * at as f64 + after));
    }
}

/// What is told of `Outcome` where only its kind matters.
pub fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Item(Some(_)) => "an item",
        Outcome::Item(None) => "the end",
        Outcome::SkippedPacket(_) => "skipped",
        Outcome::Dialed(_) => "connected",
        Outcome::Accepted(_) => "accepted",
        Outcome::Done => "done",
    }
}
