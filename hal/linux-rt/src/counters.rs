//! Counters that explain a late cycle: page faults, context switches, processor time, throttling.

use hal_units::Duration;

use crate::errno::CallError;
use crate::sys;

/// What a thread used since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadCounters {
    /// Page faults that needed no disk.
    pub faults_minor: u64,
    /// Page faults that waited for a disk.
    pub faults_major: u64,
    /// Times that it waited for something.
    pub switches_voluntary: u64,
    /// Times that it was taken off its core.
    pub switches_involuntary: u64,
    /// Time in its own code.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
}

impl ThreadCounters {
    /// The increase since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            faults_minor: self.faults_minor.saturating_sub(earlier.faults_minor),
            faults_major: self.faults_major.saturating_sub(earlier.faults_major),
            switches_voluntary: self.switches_voluntary.saturating_sub(earlier.switches_voluntary),
            switches_involuntary: self.switches_involuntary.saturating_sub(earlier.switches_involuntary),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The calling thread's counters. One system call.
///
/// # Errors
/// None is known on Linux.
pub fn of_current_thread() -> Result<ThreadCounters, CallError> {
    let usage = sys::thread_usage()?;
    Ok(ThreadCounters {
        faults_minor: usage.faults_minor,
        faults_major: usage.faults_major,
        switches_voluntary: usage.switches_voluntary,
        switches_involuntary: usage.switches_involuntary,
        user: Duration::from_micros(usage.user_us),
        system: Duration::from_micros(usage.system_us),
    })
}

/// How often a control group had used up its processor time. Normal threads only: real-time threads have
/// a budget of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttling {
    /// Periods in which the group ran.
    pub periods: u64,
    /// Periods in which it was stopped.
    pub throttled: u64,
    /// Time for which it was stopped, over all cores.
    pub time: Duration,
}

impl Throttling {
    /// Reads the text of a group's `cpu.stat`, of either version: the time is `throttled_usec` in version
    /// 2, and `throttled_time`, in nanoseconds, in version 1. `None` if the group does not count.
    #[must_use]
    pub fn parse(cpu_stat: &str) -> Option<Self> {
        let value = |name: &str| {
            let fits =
                |line: &str| line.split_once(' ').filter(|(key, _)| *key == name)?.1.trim().parse().ok();
            cpu_stat.lines().find_map(fits)
        };
        let time = value("throttled_usec")
            .map(Duration::from_micros)
            .or_else(|| value("throttled_time").map(Duration::from_nanos))?;
        Some(Self { periods: value("nr_periods")?, throttled: value("nr_throttled")?, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_of_both_versions_is_read_in_its_unit() {
        let wanted = Throttling { periods: 10, throttled: 3, time: Duration::from_micros(700) };
        let v1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 700000\n";
        let v2 = "usage_usec 5\nnr_periods 10\nnr_throttled 3\nthrottled_usec 700\n";
        assert_eq!(Throttling::parse(v1), Some(wanted));
        assert_eq!(Throttling::parse(v2), Some(wanted));
    }

    #[test]
    fn a_group_that_does_not_count_is_not_taken_for_one_that_never_stopped() {
        assert_eq!(Throttling::parse("usage_usec 5\nuser_usec 3\n"), None);
    }

    #[test]
    fn touching_new_memory_is_counted_as_faults() {
        let before = of_current_thread().unwrap();
        std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(of_current_thread().unwrap().since(&before).faults_minor > 0);
    }
}
