//! What the kernel says about a thread, and how that differs from what was asked for.

use std::fmt;

use super::ThreadSpec;
use crate::core_set::CoreSet;
use crate::errno::{CallError, Errno};
use crate::procfs;
use crate::sys;

/// A scheduling policy as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// `SCHED_OTHER`, the normal one.
    Other,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_RR`.
    RoundRobin,
    /// `SCHED_BATCH`.
    Batch,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_DEADLINE`.
    Deadline,
    /// One that this program does not know, by its number.
    Unknown(u32),
}

impl From<u32> for Policy {
    fn from(number: u32) -> Self {
        match i32::try_from(number) {
            Ok(libc::SCHED_OTHER) => Self::Other,
            Ok(libc::SCHED_FIFO) => Self::Fifo,
            Ok(libc::SCHED_RR) => Self::RoundRobin,
            Ok(libc::SCHED_BATCH) => Self::Batch,
            Ok(libc::SCHED_IDLE) => Self::Idle,
            Ok(libc::SCHED_DEADLINE) => Self::Deadline,
            Ok(_) | Err(_) => Self::Unknown(number),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "SCHED_OTHER",
            Self::Fifo => "SCHED_FIFO",
            Self::RoundRobin => "SCHED_RR",
            Self::Batch => "SCHED_BATCH",
            Self::Idle => "SCHED_IDLE",
            Self::Deadline => "SCHED_DEADLINE",
            Self::Unknown(number) => return write!(f, "policy {number}"),
        })
    }
}

/// What the kernel says about a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The thread's number.
    pub thread_id: i32,
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: Policy,
    /// Its real-time priority, 0 with a normal policy.
    pub priority: u32,
    /// Its nice value with a normal policy, -20 (first) to 19 (last).
    pub nice: i32,
    /// Whether threads that it creates start with the normal policy.
    pub reset_on_fork: bool,
    /// The cores it may run on.
    pub cores: CoreSet,
    /// How late the kernel may fire its timers on purpose, in nanoseconds.
    pub timer_slack_ns: u64,
    /// Its stack in bytes.
    pub stack_bytes: usize,
}

impl Found {
    /// Reads the calling thread's settings from the kernel.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn of_current_thread() -> Result<Self, CallError> {
        let attributes = sys::scheduling()?;
        let comm = procfs::read("/proc/thread-self/comm").map_err(|error| CallError {
            call: "read /proc/thread-self/comm",
            errno: Errno::of(&error).unwrap_or(Errno::ENOENT),
        })?;
        Ok(Self {
            thread_id: sys::current_thread_id(),
            name: comm.trim_end_matches('\n').to_owned(),
            policy: Policy::from(attributes.policy),
            priority: attributes.priority,
            nice: attributes.nice,
            reset_on_fork: attributes.reset_on_fork,
            cores: sys::affinity()?,
            timer_slack_ns: sys::timer_slack_ns()?,
            stack_bytes: sys::stack_bytes()?,
        })
    }
}

/// A setting of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The name.
    Name,
    /// The core.
    Core,
    /// Policy and priority.
    Policy,
    /// No real time for threads that it creates.
    ResetOnFork,
    /// Stack that is present.
    Stack,
    /// Reading the settings back.
    ReadBack,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Core => "core",
            Self::Policy => "policy and priority",
            Self::ResetOnFork => "reset on fork",
            Self::Stack => "stack",
            Self::ReadBack => "reading back",
        })
    }
}

/// A setting that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// Which one.
    pub step: Step,
    /// The kernel's error; `None` if the call succeeded and the setting still differs.
    pub errno: Option<Errno>,
    /// What was asked for and what was found.
    pub what: String,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.what)?;
        if let Some(errno) = self.errno {
            write!(f, ": {errno}")?;
        }
        Ok(())
    }
}

/// What was asked for, and what the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadReport {
    /// The thread that was wanted.
    pub requested: ThreadSpec,
    /// The thread that runs.
    pub found: Found,
    /// The differences; empty if there is none.
    pub shortfalls: Vec<Shortfall>,
}

impl ThreadReport {
    /// Whether everything is as asked.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.shortfalls.is_empty()
    }
}
