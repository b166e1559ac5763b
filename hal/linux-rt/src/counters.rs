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
