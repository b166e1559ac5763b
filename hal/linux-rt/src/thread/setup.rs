//! The steps that make the calling thread real-time, each with its own shortfall.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use super::{Found, Policy, Priority, Realtime, Shortfall, Step, ThreadReport, ThreadSpec};
use crate::core_set::{CORES_MAX, CoreSet};
use crate::counters;
use crate::errno::{CallError, Errno};
use crate::memory::prefault_stack;
use crate::sys;

/// Sets the calling thread up and reads back. With [`Realtime::Required`] the first shortfall is an error.
pub(super) fn set_up(spec: ThreadSpec) -> Result<ThreadReport, Shortfall> {
    let mut shortfalls = Vec::new();
    if let Some(core) = spec.core {
        shortfalls.extend(pin_current_thread(core).err());
    }
    match spec.priority {
        Some(priority) => {
            if let Err(shortfall) = set_fifo(priority) {
                shortfalls.push(shortfall);
                favour_in_normal_policy();
            }
        }
        None => shortfalls.extend(set_reset_on_fork().err()),
    }
    // Real-time policies need no timer slack; for the others the value found tells.
    let _ = sys::raise_timer_precision();
    shortfalls.extend(prefault(spec.stack_prefault_bytes).err());
    let found = Found::of_current_thread().map_err(|error| Shortfall {
        step: Step::ReadBack,
        errno: Some(error.errno),
        what: error.call.to_owned(),
    })?;
    for difference in differences(&spec, &found) {
        if shortfalls.iter().all(|known| known.step != difference.step) {
            shortfalls.push(difference);
        }
    }
    match (spec.realtime, shortfalls.first()) {
        (Realtime::Required, Some(first)) => Err(first.clone()),
        (Realtime::Required, None) | (Realtime::Preferred, _) => {
            Ok(ThreadReport { requested: spec, found, shortfalls })
        }
    }
}

/// Lets the calling thread run on one core only.
///
/// # Errors
/// A core that does not exist or lies outside the process's cpuset: `EINVAL`.
pub fn pin_current_thread(core: usize) -> Result<(), Shortfall> {
    let shortfall = |errno| Shortfall {
        step: Step::Core,
        errno: Some(errno),
        what: format!("core {core} cannot be used; allowed are {}", allowed_cores()),
    };
    // core_affinity indexes a fixed array with the number, and its own list of cores shows only the
    // current mask: so check here, and build the CoreId.
    if core >= CORES_MAX {
        return Err(shortfall(Errno::EINVAL));
    }
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(shortfall(Errno::last()))
    }
}

fn allowed_cores() -> String {
    sys::affinity().map_or_else(|error| error.to_string(), |cores| cores.to_string())
}

/// Gives the calling thread `SCHED_FIFO`, and the normal policy to threads that it will create.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` or `RLIMIT_RTPRIO`, and, on kernels with `RT_GROUP_SCHED`, in a cgroup
/// without real-time budget.
pub fn set_fifo(priority: Priority) -> Result<(), Shortfall> {
    let policy = u32::try_from(libc::SCHED_FIFO).unwrap_or(0);
    let level = u32::from(priority.level());
    let wanted = sys::Attributes { policy, priority: level, reset_on_fork: true, ..Default::default() };
    sys::set_scheduling(&wanted).map_err(|error| Shortfall {
        step: Step::Policy,
        errno: Some(error.errno),
        what: format!("SCHED_FIFO at priority {level} was refused"),
    })
}

/// Keeps the calling thread's policy and gives the normal one to threads that it will create.
///
/// # Errors
/// None is known.
pub fn set_reset_on_fork() -> Result<(), Shortfall> {
    let shortfall = |error: CallError| Shortfall {
        step: Step::ResetOnFork,
        errno: Some(error.errno),
        what: "threads that it creates will inherit its policy".to_owned(),
    };
    let now = sys::scheduling().map_err(shortfall)?;
    sys::set_scheduling(&sys::Attributes { reset_on_fork: true, ..now }).map_err(shortfall)
}

/// Without real time, at least first among the normal threads, if that is permitted. A thread in a cgroup
/// without real-time budget still has the right to it.
fn favour_in_normal_policy() {
    let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    // No shortfall of its own: the refused policy is one already, and the report shows the nice value.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, normal);
    let _ = set_reset_on_fork();
}

/// Touches the stack twice: the second time must not fault.
fn prefault(bytes: usize) -> Result<(), Shortfall> {
    let shortfall = |errno, what| Shortfall { step: Step::Stack, errno, what };
    let faults = || {
        counters::of_current_thread()
            .map(|usage| usage.faults_minor + usage.faults_major)
            .map_err(|error| shortfall(Some(error.errno), error.call.to_owned()))
    };
    prefault_stack(bytes);
    let before = faults()?;
    prefault_stack(bytes);
    match faults()? - before {
        0 => Ok(()),
        count => Err(shortfall(None, format!("{count} page faults in a stack that was touched before"))),
    }
}

/// Every setting that was found different from what was asked for.
fn differences(spec: &ThreadSpec, found: &Found) -> Vec<Shortfall> {
    let mut differences = Vec::new();
    let mut compare = |step, fits: bool, what: String| {
        if !fits {
            differences.push(Shortfall { step, errno: None, what });
        }
    };
    compare(Step::Name, found.name == spec.name, format!("found `{}`", found.name));
    if let Some(core) = spec.core {
        let fits = found.cores == CoreSet::of(core);
        compare(Step::Core, fits, format!("asked for core {core}, found {}", found.cores));
    }
    if let Some(priority) = spec.priority {
        let fits = found.policy == Policy::Fifo && found.priority == u32::from(priority.level());
        let what = format!(
            "asked for SCHED_FIFO at priority {}, found {} at {}",
            priority.level(),
            found.policy,
            found.priority
        );
        compare(Step::Policy, fits, what);
    }
    compare(Step::ResetOnFork, found.reset_on_fork, "found off".to_owned());
    let fits = found.stack_bytes >= spec.stack_bytes;
    compare(Step::Stack, fits, format!("asked for {} bytes, found {}", spec.stack_bytes, found.stack_bytes));
    differences
}
