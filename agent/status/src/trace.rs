//! The last cycles of a loop group, as the black box writes them to a file.
//!
//! Plain data. A cycle's times count from its grid point, the grid points' from that of the first cycle.

use serde::{Deserialize, Serialize};

/// The form that this version writes and reads.
pub const FORMAT: u32 = 1;

/// What a black box held when something happened, and what came shortly after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the agent.
    pub version: String,
    /// Name of the site.
    pub site: String,
    /// The loop group.
    pub group: String,
    /// The group's period.
    pub period_us: u64,
    /// Its deadline, from the grid point.
    pub deadline_us: u64,
    /// Its thread's settings as read back.
    pub thread: super::Thread,
    /// `overrun`, `safe-state`, `trip` or `asked`.
    pub occasion: String,
    /// What happened, in a sentence.
    pub why: String,
    /// When the first of it was known, RFC 3339.
    pub at: String,
    /// The cycle in which it happened.
    pub cycle: u64,
    /// Further occasions that fell into this trace.
    pub more: Vec<String>,
    /// Telemetry records that did not fit into their ring since the agent's start: cycles may be missing.
    pub records_dropped: u64,
    /// Oldest first.
    pub cycles: Vec<TracedCycle>,
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracedCycle {
    /// Its number.
    pub cycle: u64,
    /// Its grid point.
    pub scheduled_us: f64,
    /// From the grid point until its thread ran.
    pub wake_up_us: f64,
    /// From then until the last output was handed over.
    pub run_us: f64,
    /// Grid points that passed without a cycle before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u32,
    /// Whether it ended after its deadline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Units with an input that is not usable.
    #[serde(default, skip_serializing_if = "is_none")]
    pub units_blind: u16,
    /// Age of the oldest scan that it used.
    pub input_age_us: f64,
    /// `running`, `stopping` or `safe`.
    pub mode: String,
    /// Epoch of the plan in force.
    pub plan_epoch: u32,
    /// What the kernel counted for the thread from the last cycle with such counts to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelCounts>,
    /// Why it was late, or grid points passed after it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
}

/// What the kernel counted for a thread and its core.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct KernelCounts {
    /// Time that the thread was ready and another ran on its core.
    pub run_queue_us: f64,
    /// Times that it was taken off its core.
    pub switches_involuntary: u64,
    /// Page faults that needed no disk.
    pub faults_minor: u64,
    /// Page faults that did.
    pub faults_major: u64,
    /// Time that the host gave the thread's core to somebody else, in steps of 10 ms.
    pub stolen_us: f64,
    /// Time that the thread's core was in interrupts, in steps of 10 ms.
    #[serde(default)]
    pub interrupts_us: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_none(count: &u16) -> bool {
    *count == 0
}
