//! Examines whether this machine, and this process on it, can control in real time.
//!
//! # Model
//!
//! One [`Finding`] per check: what was found, the errno if the kernel refused, what that means for a
//! control loop, and the remedy. What can be tried is tried, on scratch threads that end afterwards: a
//! permission that looks right and fails counts as failed. What can only be read is judged by pure
//! functions over a [`Machine`]'s files.
//!
//! A *failure* means that the agent cannot run in real time here. A *warning* means that it can, but
//! something may delay it or is left undone. *Skipped* means that the check does not apply or could not
//! be made; its `found` says why.

mod gate;
mod groups;
mod latency;
mod settings;
mod trials;

use std::fmt;

use hal_units::Duration;

use crate::capability::{self, Capabilities};
use crate::cgroup::{self, Layout};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::thread::{Found, Priority};

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
    /// The check's name.
    pub check: &'static str,
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
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            found: found.into(),
            errno: None,
            meaning: String::new(),
            remedy: String::new(),
        }
    }

    fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(check, why) }
    }

    fn warning(
        check: &'static str,
        found: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (meaning, remedy) = (meaning.into(), remedy.into());
        Self { status: Status::Warning, meaning, remedy, ..Self::ok(check, found) }
    }

    fn failure(
        check: &'static str,
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
    let patient = Patient {
        machine: Machine::running(),
        groups: cgroup::facts(&Layout::detect().unwrap_or_default()),
        capabilities: capability::of_current_thread().unwrap_or_default(),
        core: request.core.unwrap_or_else(default_core),
        priority: request.priority,
    };
    let (machine, core) = (&patient.machine, patient.core);
    vec![
        settings::kernel(machine),
        settings::hypervisor(machine),
        trials::cores(&patient),
        trials::real_time_policy(&patient),
        trials::helper_threads(&patient),
        groups::real_time_budget(&patient.groups),
        settings::throttling(machine),
        trials::deadline_policy(&patient),
        trials::capabilities(&patient.capabilities),
        gate::check(&patient.capabilities),
        trials::memory_lock(),
        trials::memory_lock_limit(&patient.capabilities),
        trials::clock(machine),
        trials::timer_resolution(),
        groups::cores(&patient.groups, core),
        settings::isolation(machine, core),
        settings::tick(machine, core),
        settings::interrupts(machine, core),
        settings::siblings(machine, core),
        settings::governor(machine, core),
        settings::idle_states(machine, core),
        settings::huge_pages(machine),
        settings::swap(machine),
        groups::quota(&patient.groups),
        groups::memory(&patient.groups),
        latency::check(&patient, request.measure_for),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(statuses: &[Status]) -> Vec<Finding> {
        statuses.iter().map(|status| Finding { status: *status, ..Finding::ok("x", "") }).collect()
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
