//! Checks that try: each does what the agent would do, on a scratch thread, and reads it back.

use std::thread;

use hal_units::{Duration, Instant};

use super::{Check, Finding, Patient};
use crate::capability::{Capabilities, Capability};
use crate::cgroup::{Facts, Kind};
use crate::clock;
use crate::core_set::CoreSet;
use crate::errno::{CallError, Errno};
use crate::machine::Machine;
use crate::memory;
use crate::sys;
use crate::syscall_gate::{self, Syscall};
use crate::thread::{Found, Policy, Realtime, SpawnError, ThreadSpec, pin_current_thread, spawn};

/// A process that locks all of its memory needs at least this, in bytes.
const LOCK_LIMIT_BYTES_MIN: u64 = 256 << 20;
/// Readings of the clock, to see what one costs.
const READINGS: u32 = 1000;

/// Runs `body` on a scratch thread; `None` if there is none to have.
fn on_a_thread<T: Send>(body: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| thread::Builder::new().spawn_scoped(scope, body).ok()?.join().ok())
}

/// Pins a scratch thread to each core in turn.
pub(super) fn cores(patient: &Patient) -> Finding {
    const CHECK: Check = Check::Cores;
    let wanted = patient.core;
    let online = patient.machine.online_cores().unwrap_or_else(|| CoreSet::of(wanted));
    let pin = |core: usize| -> Result<(), Option<Errno>> {
        pin_current_thread(core).map_err(|shortfall| shortfall.errno)?;
        let found = Found::of_current_thread().map_err(|error| Some(error.errno))?;
        if found.cores == CoreSet::of(core) { Ok(()) } else { Err(None) }
    };
    let tried = |core: usize| on_a_thread(move || pin(core)).unwrap_or(Err(Some(Errno::EAGAIN)));
    let usable: CoreSet = online.iter().filter(|core| tried(*core).is_ok()).collect();
    let found = format!("{usable} of {online} can be pinned to");
    match tried(wanted) {
        Ok(()) => Finding::ok(CHECK, found),
        Err(errno) => Finding::failure(
            CHECK,
            format!("core {wanted} cannot be pinned to; {found}"),
            "the control loop cannot run on its core",
            "choose one of the usable cores, or allow this one: taskset, cpuset.cpus, docker --cpuset-cpus",
        )
        .with_errno(errno),
    }
}

/// Starts a thread as the agent does.
pub(super) fn real_time_policy(patient: &Patient) -> Finding {
    const CHECK: Check = Check::Policy;
    let (core, priority) = (patient.core, patient.priority);
    let spec =
        ThreadSpec { core: None, ..ThreadSpec::fifo("takt-doctor", core, priority, Realtime::Required) };
    match spawn(spec, |_| ()) {
        Ok(thread) => {
            let found = thread.report.found;
            Finding::ok(CHECK, format!("{} at priority {}, read back", found.policy, found.priority))
        }
        Err(SpawnError::Required { shortfall, .. }) => {
            let may = patient.capabilities.effective.contains(Capability::CAP_SYS_NICE);
            let (meaning, remedy) = explain_refusal(may, &patient.groups);
            Finding::failure(CHECK, shortfall.what, meaning, remedy).with_errno(shortfall.errno)
        }
        Err(error) => {
            Finding::failure(CHECK, error.to_string(), "no thread can be started", "free resources")
        }
    }
}

/// Why a real-time policy was refused, and what helps.
fn explain_refusal(may: bool, groups: &Facts) -> (&'static str, &'static str) {
    let is_zero = groups.cpu.iter().any(|level| level.rt_budget.is_some_and(|budget| budget.is_zero()));
    match (may, is_zero, groups.kind) {
        (false, _, _) => (
            "this process may not set a real-time policy",
            "grant CAP_SYS_NICE (to a root process, or as a file capability), or raise the limit rtprio",
        ),
        (true, true, _) => {
            ("the process may, but its control group has no real-time budget", "see the real-time budget")
        }
        (true, false, Kind::V2) => (
            "the process may, but this kernel (RT_GROUP_SCHED) gives real time only to the root group of \
             version 2",
            "boot with rt_group_sched=0, or use a kernel without RT_GROUP_SCHED",
        ),
        (true, false, Kind::V1 | Kind::Hybrid | Kind::None) => (
            "the process may, and something else forbids it: a seccomp profile, or a group above the visible \
             ones without real-time budget",
            "allow sched_setattr in the seccomp profile; grant cpu.rt_runtime_us on the host from the top \
             down",
        ),
    }
}

/// A thread that a real-time thread creates must be a normal one.
pub(super) fn helper_threads(patient: &Patient) -> Finding {
    let (core, priority) = (patient.core, patient.priority);
    let spec =
        ThreadSpec { core: None, ..ThreadSpec::fifo("takt-doctor", core, priority, Realtime::Required) };
    let tried = spawn(spec, |_| policy_of_a_helper()).map(crate::thread::RtThread::join);
    judge_helper(tried.ok().and_then(Result::ok).flatten())
}

/// The policy of a thread that the calling one creates.
pub(super) fn policy_of_a_helper() -> Option<Policy> {
    on_a_thread(Found::of_current_thread)?.ok().map(|found| found.policy)
}

pub(super) fn judge_helper(policy: Option<Policy>) -> Finding {
    const CHECK: Check = Check::HelperThreads;
    match policy {
        Some(Policy::Other) => Finding::ok(CHECK, "do not inherit the real-time policy"),
        Some(inherited) => Finding::failure(
            CHECK,
            format!("inherit {inherited}"),
            "logging and I/O would compete with the control loop",
            "use a kernel with SCHED_FLAG_RESET_ON_FORK (Linux 3.14)",
        ),
        None => Finding::skipped(CHECK, "no real-time thread to try it with"),
    }
}

/// Not used by the agent; told for those who wonder whether it could be.
pub(super) fn deadline_policy(patient: &Patient) -> Finding {
    const CHECK: Check = Check::DeadlinePolicy;
    let core = patient.core;
    let request = || {
        let deadline = sys::Attributes {
            policy: u32::try_from(libc::SCHED_DEADLINE).unwrap_or(0),
            reset_on_fork: true,
            runtime_ns: 1_000_000,
            deadline_ns: 10_000_000,
            period_ns: 10_000_000,
            ..Default::default()
        };
        sys::set_scheduling(&deadline)
    };
    let free = on_a_thread(request);
    let pinned = on_a_thread(|| {
        let _ = pin_current_thread(core);
        request()
    });
    let outcome = |tried: &Option<Result<(), CallError>>| match tried {
        Some(Ok(())) => "granted".to_owned(),
        Some(Err(error)) => format!("refused with {}", error.errno),
        None => "not tried".to_owned(),
    };
    let found = format!("unpinned {}, pinned {}; not used", outcome(&free), outcome(&pinned));
    match free {
        Some(Ok(())) => Finding::ok(CHECK, found),
        refused => {
            Finding::skipped(CHECK, found).with_errno(refused.and_then(Result::err).map(|error| error.errno))
        }
    }
}

pub(super) fn capabilities(held: &Capabilities) -> Finding {
    const CHECK: Check = Check::Capabilities;
    let needed = [Capability::CAP_SYS_NICE, Capability::CAP_IPC_LOCK];
    let missing: Vec<String> =
        needed.iter().filter(|one| !held.effective.contains(**one)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Finding::ok(CHECK, "CAP_SYS_NICE and CAP_IPC_LOCK; the agent drops what it does not need");
    }
    Finding::warning(
        CHECK,
        format!("without {}", missing.join(" and ")),
        "real time and locked memory then depend on the limits rtprio and memlock",
        format!(
            "grant {} to the process: AmbientCapabilities= of systemd, securityContext.capabilities.add of a \
             pod that runs as root, or setcap on the program",
            missing.join(" and ")
        ),
    )
}

/// Locks the memory of this process and unlocks it again.
pub(super) fn memory_lock() -> Finding {
    const CHECK: Check = Check::MemoryLock;
    let locked = || memory::read_back().map(|report| report.locked_bytes);
    match locked() {
        Ok(0) => {}
        Ok(bytes) => return Finding::ok(CHECK, format!("{} MiB are locked already", bytes >> 20)),
        Err(error) => return Finding::skipped(CHECK, error.to_string()),
    }
    let tried = sys::lock_all_memory();
    let found = locked();
    let _ = sys::unlock_all_memory();
    let failure = |found: String| {
        Finding::failure(
            CHECK,
            found,
            "memory can be taken away, and a cycle that touches it waits for a page fault",
            "grant CAP_IPC_LOCK, or raise the limit memlock (LimitMEMLOCK=infinity of systemd, --ulimit \
             memlock=-1 of docker)",
        )
    };
    match (tried, found) {
        (Err(error), _) => failure("mlockall was refused".to_owned()).with_errno(Some(error.errno)),
        (Ok(()), Ok(bytes)) if bytes > 0 => {
            Finding::ok(CHECK, format!("{} KiB locked, read back", bytes >> 10))
        }
        (Ok(()), _) => failure("mlockall succeeded and nothing is locked".to_owned()),
    }
}

pub(super) fn memory_lock_limit(held: &Capabilities) -> Finding {
    const CHECK: Check = Check::MemoryLockLimit;
    let limit = match memory::lock_limit() {
        Ok(limit) => limit.soft_bytes,
        Err(error) => return Finding::skipped(CHECK, error.to_string()),
    };
    let found = limit.map_or("unlimited".to_owned(), |bytes| format!("{} KiB", bytes >> 10));
    let exempt = held.effective.contains(Capability::CAP_IPC_LOCK);
    match limit {
        None => Finding::ok(CHECK, found),
        Some(_) if exempt => Finding::ok(CHECK, format!("{found}, lifted by CAP_IPC_LOCK, which is kept")),
        Some(bytes) if bytes >= LOCK_LIMIT_BYTES_MIN => Finding::ok(CHECK, found),
        Some(_) => Finding::failure(
            CHECK,
            found,
            "once memory is locked, new threads and allocations beyond the limit fail",
            "raise the limit memlock to unlimited, or grant CAP_IPC_LOCK",
        ),
    }
}

/// Counts the system calls of reading the clock.
pub(super) fn clock(machine: &Machine, now: fn() -> Instant) -> Finding {
    const CHECK: Check = Check::Clock;
    let source = machine.clock_source();
    let source = source.map_or("unknown source".to_owned(), |source| source.current);
    let read = || (0..READINGS).fold(Instant::ZERO, |_, _| std::hint::black_box(now()));
    let start = clock::now();
    let cost_ns = read().since(start).as_nanos() / u128::from(READINGS);
    let calls = syscall_gate::count(read).map(|(_, calls)| calls.get(&Syscall::CLOCK_GETTIME).copied());
    let found = format!("{source}, {cost_ns} ns a reading");
    match calls {
        Ok(None) => Finding::ok(CHECK, format!("{found}, without system call")),
        Ok(Some(_)) => Finding::warning(
            CHECK,
            format!("{found}, each a system call"),
            "every reading of the time enters the kernel; a cycle reads it several times",
            "boot with clocksource=tsc tsc=reliable if the processor has a constant one",
        ),
        Err(error) => Finding::skipped(CHECK, format!("{found}; calls cannot be counted: {error}"))
            .with_errno(Some(error.errno)),
    }
}

pub(super) fn timer_resolution(resolution: Duration) -> Finding {
    const CHECK: Check = Check::TimerResolution;
    let found = format!("{} ns", resolution.as_nanos());
    if resolution <= Duration::from_micros(1) {
        return Finding::ok(CHECK, found);
    }
    Finding::failure(
        CHECK,
        found,
        "timers fire on the kernel's tick only: a loop cannot keep its period",
        "boot without highres=off, on a kernel with HIGH_RES_TIMERS",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::CpuLevel;
    use crate::cgroup::budget::RtBudget;

    fn groups(kind: Kind, rt_budget: Option<RtBudget>) -> Facts {
        let level = CpuLevel { directory: "/cg".into(), quota: None, rt_budget, throttling: None };
        Facts { kind, cpu: vec![level], cpuset: None, memory_bytes_max: None }
    }

    #[test]
    fn a_refused_policy_is_explained_by_its_cause() {
        let zero = RtBudget { runtime: Some(Duration::ZERO), period: Duration::from_secs(1) };
        for (may, facts, cause) in [
            (false, groups(Kind::V1, Some(zero)), "may not set"),
            (true, groups(Kind::V1, Some(zero)), "no real-time budget"),
            (true, groups(Kind::V2, None), "RT_GROUP_SCHED"),
            (true, groups(Kind::V1, None), "seccomp"),
        ] {
            assert!(explain_refusal(may, &facts).0.contains(cause), "{cause}");
        }
    }
}
