//! Clocks and the absolute wait.

use std::ptr;

use super::check_returned;
use crate::errno::CallError;

/// A clock that never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Stands still while the machine is suspended.
    Monotonic,
    /// Runs through a suspension.
    Boot,
    /// The processor time of the calling thread, which the shared page never tells: each reading is a call.
    #[cfg(test)]
    OwnTime,
}

impl Clock {
    fn id(self) -> libc::clockid_t {
        match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boot => libc::CLOCK_BOOTTIME,
            #[cfg(test)]
            Self::OwnTime => libc::CLOCK_THREAD_CPUTIME_ID,
        }
    }
}

/// A time as the kernel takes it. Seconds saturate at the largest value; the kernel refuses none of these.
pub(super) fn timespec(nanos: u64) -> libc::timespec {
    let seconds = nanos / 1_000_000_000;
    let rest = nanos % 1_000_000_000;
    libc::timespec {
        tv_sec: libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::try_from(rest).unwrap_or(0),
    }
}

fn nanos(time: libc::timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Nanoseconds on a clock. No system call where the kernel offers the clock in its shared page.
pub(crate) fn clock_nanos(clock: Clock) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the whole call. The call fails only for an
    // unknown clock or a bad pointer, and both clocks exist since Linux 2.6.39.
    unsafe { libc::clock_gettime(clock.id(), &raw mut time) };
    nanos(time)
}

/// The clock's resolution in nanoseconds: 1 with high-resolution timers, a tick without.
pub(crate) fn clock_resolution_nanos(clock: Clock) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as in `clock_nanos`.
    unsafe { libc::clock_getres(clock.id(), &raw mut time) };
    nanos(time)
}

/// Sleeps until the monotonic clock reaches `deadline_ns`: one system call. Returns at once if that is past.
pub(crate) fn wait_until(deadline_ns: u64) -> Result<(), CallError> {
    let deadline = timespec(deadline_ns);
    // SAFETY: `deadline` is a valid timespec for the whole call; with TIMER_ABSTIME the kernel writes no
    // remaining time, so a null pointer is allowed for it.
    let result = unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const deadline,
            ptr::null_mut(),
        )
    };
    check_returned("clock_nanosleep", result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instant_is_a_valid_timespec() {
        for instant in [0, 1, 999_999_999, 1_000_000_000, u64::MAX] {
            let time = timespec(instant);
            assert!((0..1_000_000_000).contains(&time.tv_nsec), "{instant}");
            assert_eq!(nanos(time), instant);
        }
    }
}
