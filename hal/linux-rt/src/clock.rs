//! Monotonic time and the wait of a control cycle.
//!
//! Control uses two clocks that no one can set: the monotonic one for everything, and the boot clock,
//! which also counts a suspension, where a lease must not outlive one. Wall-clock time is not here.

use hal_units::{Duration, Instant};

use crate::errno::{CallError, Errno};
use crate::sys;

/// Now on the monotonic clock. Read from the kernel's shared page: no system call.
#[must_use]
pub fn now() -> Instant {
    Instant::from_nanos(sys::clock_nanos(sys::Clock::Monotonic))
}

/// Now on the boot clock, which goes on while the machine is suspended. Not comparable with [`now`].
#[must_use]
pub fn boot_now() -> Instant {
    Instant::from_nanos(sys::clock_nanos(sys::Clock::Boot))
}

/// The boot clock's reading at a point of the monotonic clock, for deadlines: while the machine is suspended
/// between the readings of the two, the result is early, never late. No system call.
#[must_use]
pub fn to_boot(at: Instant) -> Instant {
    // In this order: what passes in between makes the distance look shorter.
    let boot = boot_now();
    let monotonic = now();
    if at >= monotonic { boot + at.since(monotonic) } else { boot - monotonic.since(at) }
}

/// The monotonic clock's reading at a point of the boot clock; of a point before the last suspension it
/// is early. No system call.
#[must_use]
pub fn from_boot(at: Instant) -> Instant {
    let monotonic = now();
    let boot = boot_now();
    if at >= boot { monotonic + at.since(boot) } else { monotonic - boot.since(at) }
}

/// Resolution of timers on the monotonic clock: 1 ns with high-resolution timers, else one kernel tick.
#[must_use]
pub fn resolution() -> Duration {
    Duration::from_nanos(sys::clock_resolution_nanos(sys::Clock::Monotonic))
}

/// Waits on a grid of absolute times, so that lateness never adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AbsoluteWait;

impl AbsoluteWait {
    /// Sleeps until `deadline` on the monotonic clock and returns the time of waking up.
    ///
    /// One system call, `clock_nanosleep`, unless a signal interrupts it: then it is repeated with the
    /// same deadline, which bounds the loop. A deadline in the past returns at once, after the call.
    ///
    /// # Errors
    /// Whatever the kernel answers apart from an interruption; none is known for valid times.
    pub fn until(deadline: Instant) -> Result<Instant, CallError> {
        loop {
            match sys::wait_until(deadline.as_nanos()) {
                Ok(()) => return Ok(now()),
                Err(error) if error.errno == Errno::EINTR => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let first = now();
        assert!(now() >= first);
    }

    #[test]
    fn the_boot_clock_is_never_behind_the_monotonic_one() {
        let monotonic = now();
        assert!(boot_now() >= monotonic);
    }

    #[test]
    fn a_deadline_on_the_boot_clock_is_never_late() {
        for _ in 0..1000 {
            let span = Duration::from_millis(25);
            let at = now() + span;
            let deadline = to_boot(at);
            let (boot, monotonic) = (boot_now(), now());
            assert!(deadline.since(boot) <= span);
            assert!(from_boot(deadline) <= at);
            // And early by no more than the readings took.
            assert!(deadline.since(boot) + monotonic.since(at - span) * 2 + Duration::from_micros(1) >= span);
        }
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let deadline = now() + Duration::from_millis(5);
        assert!(AbsoluteWait::until(deadline).unwrap() >= deadline);
    }

    #[test]
    fn a_deadline_in_the_past_returns_at_once() {
        let start = now();
        AbsoluteWait::until(Instant::ZERO).unwrap();
        assert!(now().since(start) < Duration::from_millis(500));
    }
}
