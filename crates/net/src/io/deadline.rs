//! When a call must be over. Made once, at the door of a call, and passed by value to all that the
//! call does. The only clock of the module: monotonic, so that setting the date changes nothing.
//! The time of day is for people to read. Uses `io::system`.

use std::time::{Duration, SystemTime};

use nix::time::ClockId;

use crate::io::system::clock_gettime;

/// Seconds on the module's clock, CLOCK_MONOTONIC of POSIX.
#[inline(never)]
pub fn now() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

/// The date, as file systems count it.
pub fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// How long this day has lasted, in UTC.
pub fn time_of_day() -> Duration {
    let since_1970 = since_1970();
    Duration::new(since_1970.as_secs() % (24 * 60 * 60), since_1970.subsec_nanos())
}

/// A moment on the module's clock; infinity is never. A plain number, so that Lua can carry it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Deadline(f64);

impl Deadline {
    pub const NEVER: Self = Self(f64::INFINITY);

    /// `seconds` from now.
    pub fn after(seconds: f64) -> Self {
        Self(now() + seconds)
    }

    /// The deadline that [`Deadline::seconds`] described.
    pub fn at(seconds: f64) -> Self {
        Self(seconds)
    }

    /// This moment, as [`now`] counts.
    pub fn seconds(self) -> f64 {
        self.0
    }

    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    pub fn has_passed(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// How long is left: zero once it has passed, `None` when it never will.
    pub fn left(self) -> Option<Duration> {
        // Past what a Duration can hold is never, too.
        Duration::try_from_secs_f64((self.0 - now()).max(0.0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_and_the_far_future_leave_no_limit() {
        assert_eq!(Deadline::NEVER.left(), None);
        assert_eq!(Deadline::after(1e300).left(), None);
        assert!(!Deadline::NEVER.has_passed());
    }

    #[test]
    fn what_has_passed_leaves_nothing() {
        assert_eq!(Deadline::after(-1.0).left(), Some(Duration::ZERO));
        assert!(Deadline::after(0.0).has_passed());
    }

    #[test]
    fn a_deadline_survives_the_way_through_a_number() {
        let deadline = Deadline::after(5.0);
        assert_eq!(Deadline::at(deadline.seconds()), deadline);
        let left = deadline.left().expect("finite").as_secs_f64();
        assert!(left > 4.9 && left <= 5.0);
    }

    #[test]
    fn the_earlier_of_two() {
        let (soon, late) = (Deadline::after(1.0), Deadline::after(2.0));
        assert_eq!(late.earlier(soon), soon);
        assert_eq!(soon.earlier(Deadline::NEVER), soon);
    }
}
