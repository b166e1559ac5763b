//! Examines whether this machine, and this process on it, can control in real time.
//!
//! # Model
//!
//! One [`Finding`] per check: what was found, the errno if the kernel refused, what that means for a
//! control loop, and the remedy. What can be tried is tried, on scratch threads that end afterwards: a
//! permission that looks right and fails counts as failed. What can only be read is judged by pure
//! functions over a [`Machine`]'s files. Each check has a test that breaks what it looks at (`broken`).
//!
//! A *failure* means that the agent cannot run in real time here. A *warning* means that it can, but
//! something may delay it or is left undone. *Skipped* means that the check does not apply or could not
//! be made; its `found` says why.

#[cfg(test)]
mod broken;
mod checks;
mod gate;
mod groups;
mod latency;
mod settings;
mod trials;

use std::fmt;

use hal_units::{Duration, Instant};

use crate::capability::{self, Capabilities};
use crate::cgroup::{self, Layout};
use crate::clock;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::thread::{Found, Priority};

pub use checks::Check;
pub use latency::{WakeUps, measure_wake_ups};

/// What to examine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The core that a control loop would run on; `None` takes [`default_core`].
    pub core: Option<usize>,
    /// Its real-time priority.
    pub priority: Priority,
    /// How long to measure wake-ups.
    pub measure_for: Duration,
}

impl Default for Request {
    fn default() -> Self {
        let priority = Priority::new(80).unwrap_or(Priority::MIN);
        Self { core: None, priority, measure_for: Duration::from_secs(1) }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Does not apply, or could not be made.
    Skipped,
    /// As it should be.
    Ok,
    /// Real time is possible, with the drawback that is explained.
    Warning,
    /// Real time is not possible.
    Failure,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        })
    }
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// The kernel's error, if it refused something.
    pub errno: Option<Errno>,
    /// What that means for a control loop; empty if all is well.
    pub meaning: String,
    /// What to do about it; empty if all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(check: Check, found: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            found: found.into(),
            errno: None,
            meaning: String::new(),
            remedy: String::new(),
        }
    }

    fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(check, why) }
    }

    fn warning(
        check: Check,
        found: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (meaning, remedy) = (meaning.into(), remedy.into());
        Self { status: Status::Warning, meaning, remedy, ..Self::ok(check, found) }
    }

    fn failure(
        check: Check,
        found: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status: Status::Failure, ..Self::warning(check, found, meaning, remedy) }
    }

    fn with_errno(self, errno: Option<Errno>) -> Self {
        Self { errno, ..self }
    }
}

/// What the findings come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Fit for real time.
    Fit,
    /// Real time with drawbacks.
    Degraded,
    /// No real time.
    Unfit,
}

impl Verdict {
    /// The worst of the findings decides.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.status).max() {
            Some(Status::Failure) => Self::Unfit,
            Some(Status::Warning) => Self::Degraded,
            Some(Status::Ok | Status::Skipped) | None => Self::Fit,
        }
    }
}

/// What the checks look at.
struct Patient {
    machine: Machine,
    groups: cgroup::Facts,
    capabilities: Capabilities,
    core: usize,
    priority: Priority,
    measure_for: Duration,
    /// The clock that a cycle reads.
    clock: fn() -> Instant,
    timer_resolution: Duration,
}

impl Patient {
    /// This machine, and this process on it.
    fn here(request: &Request) -> Self {
        Self {
            machine: Machine::running(),
            groups: cgroup::facts(&Layout::detect().unwrap_or_default()),
            capabilities: capability::of_current_thread().unwrap_or_default(),
            core: request.core.unwrap_or_else(default_core),
            priority: request.priority,
            measure_for: request.measure_for,
            clock: clock::now,
            timer_resolution: clock::resolution(),
        }
    }

    fn check(&self, check: Check) -> Finding {
        let (machine, core) = (&self.machine, self.core);
        match check {
            Check::Kernel => settings::kernel(machine),
            Check::Hypervisor => settings::hypervisor(machine),
            Check::Cores => trials::cores(self),
            Check::Policy => trials::real_time_policy(self),
            Check::HelperThreads => trials::helper_threads(self),
            Check::RealTimeBudget => groups::real_time_budget(&self.groups),
            Check::Throttling => settings::throttling(machine),
            Check::DeadlinePolicy => trials::deadline_policy(self),
            Check::Capabilities => trials::capabilities(&self.capabilities),
            Check::PacketGate => gate::check(&self.capabilities),
            Check::MemoryLock => trials::memory_lock(),
            Check::MemoryLockLimit => trials::memory_lock_limit(&self.capabilities),
            Check::Clock => trials::clock(machine, self.clock),
            Check::TimerResolution => trials::timer_resolution(self.timer_resolution),
            Check::ExclusiveCores => groups::cores(&self.groups, core),
            Check::Isolation => settings::isolation(machine, core),
            Check::Tick => settings::tick(machine, core),
            Check::Interrupts => settings::interrupts(machine, core),
            Check::Siblings => settings::siblings(machine, core),
            Check::Governor => settings::governor(machine, core),
            Check::IdleStates => settings::idle_states(machine, core),
            Check::HugePages => settings::huge_pages(machine),
            Check::Swap => settings::swap(machine),
            Check::Quota => groups::quota(&self.groups),
            Check::MemoryLimit => groups::memory(&self.groups),
            Check::WakeUps => latency::check(self),
        }
    }
}

/// The last core that this process may use: the first ones serve most interrupts.
#[must_use]
pub fn default_core() -> usize {
    Found::of_current_thread().ok().and_then(|found| found.cores.iter().last()).unwrap_or(0)
}

/// Makes every check. Takes `request.measure_for` and a few milliseconds.
///
/// The calling process is left as it was. Locked memory is tried only if the process has none locked.
#[must_use]
pub fn examine(request: &Request) -> Vec<Finding> {
    let patient = Patient::here(request);
    Check::ALL.map(|check| patient.check(check)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn findings(statuses: &[Status]) -> Vec<Finding> {
        statuses.iter().map(|status| Finding { status: *status, ..Finding::ok(Check::Swap, "") }).collect()
    }

    #[test]
    fn no_check_is_left_out_or_shown_twice() {
        let names: BTreeSet<_> = Check::ALL.iter().map(|check| check.name()).collect();
        assert_eq!((names.len(), Check::ALL.len()), (broken::TESTS.len(), broken::TESTS.len()));
    }

    #[test]
    fn the_worst_finding_decides() {
        use Status::{Failure, Ok, Skipped, Warning};
        assert_eq!(Verdict::of(&findings(&[Ok, Skipped])), Verdict::Fit);
        assert_eq!(Verdict::of(&findings(&[Ok, Warning, Skipped])), Verdict::Degraded);
        assert_eq!(Verdict::of(&findings(&[Warning, Failure, Ok])), Verdict::Unfit);
        assert_eq!(Verdict::of(&[]), Verdict::Fit);
    }
}
