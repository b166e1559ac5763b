//! Checks of the machine's settings: each a judgement about what its files say.

use super::{Check, Finding};
use crate::core_set::CoreSet;
use crate::machine::{Machine, Preemption};

/// Of the time that real-time threads together may take on a core, at least this share: the kernel's
/// default.
const RT_SHARE_MIN: f64 = 0.95;
/// An idle state that takes longer to leave delays a wake-up noticeably, in microseconds.
const IDLE_EXIT_US_MAX: u64 = 50;

fn unknown(check: Check) -> Finding {
    Finding::skipped(check, "this machine does not tell")
}

pub(super) fn kernel(machine: &Machine) -> Finding {
    const CHECK: Check = Check::Kernel;
    let release = machine.release().unwrap_or_else(|| "unknown release".to_owned());
    let Some(preemption) = machine.preemption() else { return unknown(CHECK) };
    let found = format!("Linux {release}, {preemption}");
    let meaning = "the kernel may hold a core for milliseconds; the worst wake-up delay has no bound";
    let install = "install a kernel with PREEMPT_RT (Debian: linux-image-rt-amd64)";
    match preemption {
        Preemption::Realtime => Finding::ok(CHECK, found),
        Preemption::Dynamic => {
            Finding::warning(CHECK, found, meaning, format!("{install}, or boot with preempt=full"))
        }
        Preemption::Full | Preemption::Little => Finding::warning(CHECK, found, meaning, install),
    }
}

pub(super) fn hypervisor(machine: &Machine) -> Finding {
    const CHECK: Check = Check::Hypervisor;
    match machine.is_virtual() {
        None => unknown(CHECK),
        Some(false) => Finding::ok(CHECK, "none"),
        Some(true) => Finding::warning(
            CHECK,
            match machine.stolen_ticks() {
                Some(ticks) => format!("virtual machine; {} s withheld since boot", ticks / 100),
                None => "virtual machine".to_owned(),
            },
            "the host may stop a core at any time, for as long as it likes",
            "run on bare metal, or have the host dedicate and pin the virtual cores",
        ),
    }
}

pub(super) fn throttling(machine: &Machine) -> Finding {
    const CHECK: Check = Check::Throttling;
    let Some(limit) = machine.rt_throttling() else { return unknown(CHECK) };
    let Some(runtime) = limit.runtime else { return Finding::ok(CHECK, "off") };
    let share = runtime.as_secs_f64() / limit.period.as_secs_f64();
    let rest_ms = limit.period.saturating_sub(runtime).as_millis();
    let found = format!(
        "{} of {} ms: a thread that is always busy is stopped for {rest_ms} ms",
        runtime.as_millis(),
        limit.period.as_millis(),
    );
    if share >= RT_SHARE_MIN {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        "control loops are stopped although they are within their own budgets",
        "sysctl kernel.sched_rt_runtime_us=950000",
    )
}

pub(super) fn isolation(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::Isolation;
    let Some(isolated) = machine.isolated_cores() else { return unknown(CHECK) };
    if isolated.contains(core) {
        return Finding::ok(CHECK, format!("core {core} is isolated"));
    }
    let found = match isolated.to_string() {
        none if none.is_empty() => format!("core {core} is not isolated; no core is"),
        others => format!("core {core} is not isolated; {others} are"),
    };
    Finding::warning(
        CHECK,
        found,
        "the scheduler puts other threads on the core; they fill its caches and their kernel work delays \
         the loop",
        format!("boot with isolcpus={core}, or give the agent an isolated cpuset partition"),
    )
}

pub(super) fn tick(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::Tick;
    if machine.tickless_cores().contains(core) {
        return Finding::ok(CHECK, format!("core {core} has none while one thread runs"));
    }
    let periodic = machine.boot_parameter("nohz").as_deref() == Some("off");
    let found = if periodic {
        format!("core {core} is ticked always (nohz=off)")
    } else {
        format!("core {core} is ticked while it works")
    };
    Finding::warning(
        CHECK,
        found,
        "the kernel interrupts a running cycle for some microseconds, 100 to 1000 times a second",
        format!("boot with nohz_full={core} rcu_nocbs={core}, on a kernel with NO_HZ_FULL"),
    )
}

pub(super) fn interrupts(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::Interrupts;
    let lines = machine.interrupts();
    if lines.is_empty() {
        return unknown(CHECK);
    }
    let here: CoreSet =
        lines.iter().filter(|line| line.cores.contains(core)).map(|line| line.number as usize).collect();
    if here.is_empty() {
        return Finding::ok(CHECK, format!("none of {} lines on core {core}", lines.len()));
    }
    Finding::warning(
        CHECK,
        format!("{} of {} lines on core {core}: {here}", here.len(), lines.len()),
        "devices interrupt a running cycle",
        format!(
            "write the other cores to /proc/irq/N/smp_affinity_list, stop irqbalance, or boot with \
             irqaffinity= without core {core}"
        ),
    )
}

pub(super) fn siblings(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::Siblings;
    match machine.siblings(core) {
        None => unknown(CHECK),
        Some(cores) if cores.len() <= 1 => Finding::ok(CHECK, format!("core {core} has its own")),
        Some(cores) => Finding::warning(
            CHECK,
            format!("cores {cores} share them"),
            "work on the sibling slows the loop by up to half",
            "switch simultaneous multithreading off (boot with nosmt), or leave the sibling idle",
        ),
    }
}

pub(super) fn governor(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::Governor;
    match machine.governor(core).as_deref() {
        None => Finding::ok(CHECK, "not controlled by this kernel"),
        Some("performance") => Finding::ok(CHECK, "governor performance"),
        Some(other) => Finding::warning(
            CHECK,
            format!("governor {other}"),
            "a loop that mostly sleeps is run at a low frequency, and a change of it takes time",
            format!("echo performance > /sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
        ),
    }
}

pub(super) fn idle_states(machine: &Machine, core: usize) -> Finding {
    const CHECK: Check = Check::IdleStates;
    let states = machine.idle_states(core);
    let Some(deepest) = states.iter().max_by_key(|state| state.exit_us) else {
        return Finding::ok(CHECK, "not controlled by this kernel");
    };
    let found = format!("deepest is {}, {} us to leave", deepest.name, deepest.exit_us);
    if deepest.exit_us <= IDLE_EXIT_US_MAX {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        "each wake-up of an idle core is late by that time",
        format!(
            "echo 1 > /sys/devices/system/cpu/cpu{core}/cpuidle/stateN/disable for the deep states, or boot \
             with processor.max_cstate=1"
        ),
    )
}

pub(super) fn huge_pages(machine: &Machine) -> Finding {
    const CHECK: Check = Check::HugePages;
    match machine.huge_pages().as_deref() {
        // As are those with PREEMPT_RT.
        None if machine.manages_memory() => Finding::ok(CHECK, "this kernel is built without"),
        None => unknown(CHECK),
        Some("always") => Finding::warning(
            CHECK,
            "always",
            "the kernel merges pages in the background and locks memory for that",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(mode) => Finding::ok(CHECK, mode),
    }
}

pub(super) fn swap(machine: &Machine) -> Finding {
    const CHECK: Check = Check::Swap;
    match machine.swap_bytes() {
        None => unknown(CHECK),
        Some(0) => Finding::ok(CHECK, "none"),
        Some(bytes) => Finding::warning(
            CHECK,
            format!("{} MiB", bytes >> 20),
            "the agent's own memory is locked, but what it talks to can be swapped out and stall it",
            "swapoff -a, and remove the swap from /etc/fstab",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use std::fs;

    /// How a check comes out on a machine with these files.
    fn status_of(check: impl Fn(&Machine) -> Finding, files: &[(&str, &str)]) -> Status {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let finding = check(&Machine::at(root.path()));
        assert!(!finding.found.is_empty());
        let explains = !finding.meaning.is_empty() && !finding.remedy.is_empty();
        assert_eq!(explains, finding.status >= Status::Warning, "{finding:?}");
        finding.status
    }

    #[test]
    fn a_kernel_without_real_time_is_a_warning() {
        let with = |version| status_of(kernel, &[("proc/version", version)]);
        assert_eq!(with("Linux version 6.12 #1 SMP PREEMPT_RT"), Status::Ok);
        assert_eq!(with("Linux version 6.12 #1 SMP PREEMPT_DYNAMIC"), Status::Warning);
        assert_eq!(with("Linux version 6.12 #1 SMP"), Status::Warning);
    }

    #[test]
    fn a_hypervisor_is_a_warning() {
        assert_eq!(status_of(hypervisor, &[("proc/cpuinfo", "flags : hypervisor\n")]), Status::Warning);
        assert_eq!(status_of(hypervisor, &[("proc/cpuinfo", "flags : fpu\n")]), Status::Ok);
    }

    #[test]
    fn throttling_below_the_kernels_default_is_a_warning() {
        let with = |runtime| {
            let files = [
                ("proc/sys/kernel/sched_rt_runtime_us", runtime),
                ("proc/sys/kernel/sched_rt_period_us", "1000000"),
            ];
            status_of(throttling, &files)
        };
        assert_eq!(with("950000"), Status::Ok);
        assert_eq!(with("-1"), Status::Ok);
        assert_eq!(with("500000"), Status::Warning);
    }

    #[test]
    fn only_the_core_of_the_loop_must_be_isolated_and_tickless() {
        let isolated =
            |list| status_of(|machine| isolation(machine, 3), &[("sys/devices/system/cpu/isolated", list)]);
        assert_eq!(isolated("2-3\n"), Status::Ok);
        assert_eq!(isolated("2\n"), Status::Warning);
        assert_eq!(isolated("\n"), Status::Warning);
        let tickless =
            |list| status_of(|machine| tick(machine, 3), &[("sys/devices/system/cpu/nohz_full", list)]);
        assert_eq!(tickless("3\n"), Status::Ok);
        assert_eq!(tickless("(null)\n"), Status::Warning);
    }

    #[test]
    fn an_interrupt_on_the_core_of_the_loop_is_a_warning() {
        let files = [("proc/irq/30/smp_affinity_list", "0-1\n"), ("proc/irq/31/smp_affinity_list", "0\n")];
        assert_eq!(status_of(|machine| interrupts(machine, 1), &files), Status::Warning);
        assert_eq!(status_of(|machine| interrupts(machine, 2), &files), Status::Ok);
    }

    #[test]
    fn a_sibling_is_a_warning() {
        let path = "sys/devices/system/cpu/cpu1/topology/thread_siblings_list";
        assert_eq!(status_of(|machine| siblings(machine, 1), &[(path, "1,5\n")]), Status::Warning);
        assert_eq!(status_of(|machine| siblings(machine, 1), &[(path, "1\n")]), Status::Ok);
    }

    #[test]
    fn a_governor_that_saves_power_is_a_warning() {
        let path = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
        let with = |governor_name| status_of(|machine| governor(machine, 1), &[(path, governor_name)]);
        assert_eq!(with("performance\n"), Status::Ok);
        assert_eq!(with("schedutil\n"), Status::Warning);
        assert_eq!(status_of(|machine| governor(machine, 1), &[]), Status::Ok);
    }

    #[test]
    fn a_deep_idle_state_is_a_warning() {
        let with = |exit_us| {
            let files = [
                ("sys/devices/system/cpu/cpu1/cpuidle/state0/name", "C6"),
                ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", exit_us),
            ];
            status_of(|machine| idle_states(machine, 1), &files)
        };
        assert_eq!(with("2"), Status::Ok);
        assert_eq!(with("133"), Status::Warning);
    }

    #[test]
    fn huge_pages_always_and_swap_are_warnings() {
        let pages = |modes| status_of(huge_pages, &[("sys/kernel/mm/transparent_hugepage/enabled", modes)]);
        assert_eq!(pages("[always] madvise never"), Status::Warning);
        assert_eq!(pages("always [madvise] never"), Status::Ok);
        assert_eq!(status_of(huge_pages, &[("sys/kernel/mm/numa/demotion_enabled", "false")]), Status::Ok);
        let swapping = |total| status_of(swap, &[("proc/meminfo", total)]);
        assert_eq!(swapping("SwapTotal:     2097148 kB\n"), Status::Warning);
        assert_eq!(swapping("SwapTotal:           0 kB\n"), Status::Ok);
    }

    #[test]
    fn what_a_machine_does_not_tell_is_skipped() {
        for check in [kernel, hypervisor, throttling, huge_pages, swap] {
            assert_eq!(status_of(check, &[]), Status::Skipped);
        }
        for check in [isolation, interrupts, siblings] {
            assert_eq!(status_of(|machine| check(machine, 0), &[]), Status::Skipped);
        }
    }
}
