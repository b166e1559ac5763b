//! A timer on a fixed grid of absolute times, as a file descriptor.
//!
//! An asynchronous runtime's own timers tick once a millisecond and count from "now"; a bus poll in
//! phase with a control cycle needs microseconds, and a grid that does not drift. This timer is a
//! descriptor that becomes readable on each grid point: the runtime waits for it like for a socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use hal_units::{Duration, Instant};

use crate::errno::CallError;
use crate::sys;

/// An absolute timer on the monotonic clock. Closed on drop.
#[derive(Debug)]
pub struct GridTimer(OwnedFd);

impl GridTimer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn new() -> Result<Self, CallError> {
        sys::timer_descriptor().map(Self)
    }

    /// A timer that fires at `first`, `first + period`, `first + 2 period`, and so on.
    ///
    /// # Errors
    /// As [`GridTimer::new`].
    pub fn periodic(first: Instant, period: Duration) -> Result<Self, CallError> {
        let timer = Self::new()?;
        timer.arm(first, period)?;
        Ok(timer)
    }

    /// Moves the grid: fires at `first` and then each `period`. A period of zero fires once. A start in
    /// the past fires at once, and the missed grid points count as expirations.
    ///
    /// # Errors
    /// None is known for an open timer.
    pub fn arm(&self, first: Instant, period: Duration) -> Result<(), CallError> {
        // A start of 0 would disarm; nothing is earlier than 1 ns after the clock's origin.
        let start_ns = first.as_nanos().max(1);
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        sys::timer_set(self.0.as_fd(), start_ns, period_ns)
    }

    /// Fires once, at `at`.
    ///
    /// # Errors
    /// As [`GridTimer::arm`].
    pub fn arm_once(&self, at: Instant) -> Result<(), CallError> {
        self.arm(at, Duration::ZERO)
    }

    /// Stops the timer.
    ///
    /// # Errors
    /// As [`GridTimer::arm`].
    pub fn disarm(&self) -> Result<(), CallError> {
        sys::timer_set(self.0.as_fd(), 0, 0)
    }

    /// Expirations since the last read: 1 if every grid point was met, more if some were missed.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the timer has not fired since; the call never blocks.
    pub fn read(&self) -> io::Result<u64> {
        sys::read_u64(self.0.as_fd()).map_err(Into::into)
    }
}

impl AsFd for GridTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for GridTimer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<GridTimer> for OwnedFd {
    fn from(timer: GridTimer) -> Self {
        timer.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{AbsoluteWait, now};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_timer_that_has_not_fired_would_block() {
        let timer = GridTimer::periodic(now() + MS * 10_000, MS).unwrap();
        assert_eq!(timer.read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn grid_points_in_the_past_count_as_expirations() {
        let timer = GridTimer::periodic(now() - MS * 1000, MS * 100).unwrap();
        assert!((11..=12).contains(&timer.read().unwrap()));
    }

    #[test]
    fn the_grid_does_not_drift_with_late_reads() {
        let start = now();
        let timer = GridTimer::periodic(start + MS * 5, MS * 5).unwrap();
        let mut fired = 0;
        for late in [7, 23, 41] {
            AbsoluteWait::until(start + MS * late).unwrap();
            fired += timer.read().unwrap();
        }
        let elapsed = u64::try_from(now().since(start).as_millis()).unwrap();
        assert!((8..=elapsed / 5).contains(&fired), "{fired} in {elapsed} ms");
    }

    #[test]
    fn a_single_shot_fires_once() {
        let timer = GridTimer::new().unwrap();
        timer.arm_once(now()).unwrap();
        assert_eq!(timer.read().unwrap(), 1);
        AbsoluteWait::until(now() + MS * 3).unwrap();
        assert!(timer.read().is_err());
    }

    #[test]
    fn a_disarmed_timer_does_not_fire() {
        let timer = GridTimer::periodic(now() - MS, MS).unwrap();
        timer.disarm().unwrap();
        assert!(timer.read().is_err());
    }
}
