//! Checks of the control groups that the process is in, as judgements about [`Facts`].

use super::{Check, Finding};
use crate::cgroup::{CpuLevel, Facts, Kind};
use crate::core_set::CoreSet;

/// An agent with a few dozen devices needs less than this, in bytes.
const MEMORY_BYTES_MIN: u64 = 128 << 20;

pub(super) fn real_time_budget(facts: &Facts) -> Finding {
    const CHECK: Check = Check::RealTimeBudget;
    let with_budget = facts.cpu.iter().filter_map(|level| level.rt_budget.map(|budget| (level, budget)));
    let levels: Vec<_> = with_budget.collect();
    let Some((last, own)) = levels.last() else {
        return Finding::skipped(
            CHECK,
            match facts.kind {
                Kind::V2 => "groups of version 2 have none; see the policy",
                Kind::None => "no control groups here",
                Kind::V1 | Kind::Hybrid => "this kernel has none for groups",
            },
        );
    };
    let zero: Vec<String> = levels
        .iter()
        .filter(|(_, budget)| budget.is_zero())
        .map(|(level, _)| level.directory.display().to_string())
        .collect();
    if zero.is_empty() {
        let runtime =
            own.runtime.map_or("unlimited".to_owned(), |runtime| format!("{} us", runtime.as_micros()));
        let found = format!("{runtime} of {} us in {}", own.period.as_micros(), last.directory.display());
        return Finding::ok(CHECK, found);
    }
    let commands: Vec<String> =
        zero.iter().map(|level| format!("echo 950000 > {level}/cpu.rt_runtime_us")).collect();
    Finding::failure(
        CHECK,
        format!("0 in {}", zero.join(", ")),
        "the kernel refuses real time to every thread of these groups, even to root (RT_GROUP_SCHED)",
        format!(
            "grant it from the top down, also while the process runs: {}; in a pod, on the node, for the \
             levels above the container too",
            commands.join(" && ")
        ),
    )
}

pub(super) fn cores(facts: &Facts, core: usize) -> Finding {
    const CHECK: Check = Check::ExclusiveCores;
    let Some(cpuset) = facts.cpuset else {
        return Finding::skipped(CHECK, "no cpuset controller here");
    };
    let found = format!(
        "cores {}, {}",
        cpuset.cores,
        if cpuset.exclusive { "of this group only" } else { "shared with other groups" }
    );
    if !cpuset.cores.contains(core) {
        return Finding::failure(
            CHECK,
            found,
            format!("core {core} is not among them, so no thread can be pinned to it"),
            "choose one of these cores, or widen cpuset.cpus of the group",
        );
    }
    if cpuset.exclusive {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        "other processes may use the loop's core",
        exclusive_remedy(facts.kind, core),
    )
}

fn exclusive_remedy(kind: Kind, core: usize) -> String {
    let direct = match kind {
        Kind::V2 => format!(
            "make a partition: cpuset.cpus={} and cpuset.cpus.partition=isolated in a group below the root",
            CoreSet::of(core)
        ),
        Kind::V1 | Kind::Hybrid | Kind::None => {
            "set cpuset.cpu_exclusive=1 in the agent's group and in those above".to_owned()
        }
    };
    format!(
        "{direct}; in Kubernetes: a Guaranteed pod with whole cores and the static CPU manager, which keeps \
         other pods off the cores without showing it here"
    )
}

pub(super) fn quota(facts: &Facts) -> Finding {
    const CHECK: Check = Check::Quota;
    if facts.cpu.is_empty() {
        return Finding::skipped(CHECK, "no cpu controller here");
    }
    let limited = |level: &&CpuLevel| level.quota.is_some_and(|quota| quota.quota.is_some());
    let tightest = facts.cpu.iter().filter(limited).min_by(|a, b| {
        let cores = |level: &CpuLevel| level.quota.and_then(|quota| quota.cores()).unwrap_or(f64::MAX);
        cores(a).total_cmp(&cores(b))
    });
    let Some(level) = tightest else { return Finding::ok(CHECK, "unlimited") };
    let share = level.quota.and_then(|quota| quota.cores()).unwrap_or(0.0);
    let throttled = facts.cpu.iter().filter_map(|level| level.throttling).map(|t| t.throttled).max();
    Finding::warning(
        CHECK,
        format!(
            "{share:.2} cores in {}, {} periods throttled",
            level.directory.display(),
            throttled.map_or("unknown".to_owned(), |count| count.to_string())
        ),
        "real-time threads are not held back, but the threads that talk to devices and brokers are, for \
         tens of milliseconds once the quota is used up",
        "remove the quota (a pod whose limits equal its requests in whole cores, with \
         cpu-cfs-quota=false), or raise it",
    )
}

pub(super) fn memory(facts: &Facts) -> Finding {
    const CHECK: Check = Check::MemoryLimit;
    match facts.memory_bytes_max {
        None => Finding::ok(CHECK, "unlimited"),
        Some(bytes) if bytes >= MEMORY_BYTES_MIN => Finding::ok(CHECK, format!("{} MiB", bytes >> 20)),
        Some(bytes) => Finding::warning(
            CHECK,
            format!("{} MiB", bytes >> 20),
            "all memory is locked, so nothing can be reclaimed: at the limit the process is killed",
            format!("raise the limit to at least {} MiB", MEMORY_BYTES_MIN >> 20),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::cgroup::budget::RtBudget;
    use crate::cgroup::{CpuQuota, Cpuset};
    use crate::counters::Throttling;
    use hal_units::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn no_limits(kind: Kind) -> Facts {
        Facts { kind, cpu: Vec::new(), cpuset: None, memory_bytes_max: None }
    }

    fn level(directory: &str, rt_runtime_ms: Option<u32>, quota_ms: Option<u32>) -> CpuLevel {
        CpuLevel {
            directory: directory.into(),
            quota: Some(CpuQuota { quota: quota_ms.map(|ms| MS * ms), period: MS * 100 }),
            rt_budget: rt_runtime_ms.map(|ms| RtBudget { runtime: Some(MS * ms), period: MS * 1000 }),
            throttling: Some(Throttling { periods: 9, throttled: 4, time: MS }),
        }
    }

    #[test]
    fn a_level_without_budget_is_a_failure_that_names_it_and_the_remedy() {
        let cpu = vec![
            level("/cg", Some(950), None),
            level("/cg/pod", Some(0), None),
            level("/cg/pod/c", Some(0), None),
        ];
        let finding = real_time_budget(&Facts { cpu, ..no_limits(Kind::V1) });
        assert_eq!((finding.status, finding.found.as_str()), (Status::Failure, "0 in /cg/pod, /cg/pod/c"));
        let grants = "echo 950000 > /cg/pod/cpu.rt_runtime_us && echo 950000 > /cg/pod/c/cpu.rt_runtime_us";
        assert!(finding.remedy.contains(grants), "{}", finding.remedy);
    }

    #[test]
    fn a_budget_at_every_level_is_fine() {
        let cpu = vec![level("/cg", Some(950), None), level("/cg/pod", Some(300), None)];
        let finding = real_time_budget(&Facts { cpu, ..no_limits(Kind::V1) });
        assert_eq!(
            (finding.status, finding.found.as_str()),
            (Status::Ok, "300000 us of 1000000 us in /cg/pod")
        );
    }

    #[test]
    fn groups_without_budgets_are_skipped() {
        for kind in [Kind::V1, Kind::V2, Kind::None] {
            let facts = Facts { cpu: vec![level("/cg", None, None)], ..no_limits(kind) };
            assert_eq!(real_time_budget(&facts).status, Status::Skipped);
        }
    }

    #[test]
    fn the_core_must_be_in_the_set_and_should_be_exclusive() {
        let with = |list: &str, exclusive| {
            let cpuset = Some(Cpuset { cores: CoreSet::parse(list).unwrap(), exclusive });
            cores(&Facts { cpuset, ..no_limits(Kind::V2) }, 3).status
        };
        assert_eq!(with("2-3", true), Status::Ok);
        assert_eq!(with("2-3", false), Status::Warning);
        assert_eq!(with("0-1", true), Status::Failure);
        assert_eq!(cores(&no_limits(Kind::V2), 3).status, Status::Skipped);
    }

    #[test]
    fn the_tightest_quota_of_all_levels_is_shown() {
        let cpu = vec![level("/cg", None, Some(50)), level("/cg/pod", None, Some(150))];
        let finding = quota(&Facts { cpu, ..no_limits(Kind::V2) });
        assert_eq!(finding.status, Status::Warning);
        assert_eq!(finding.found, "0.50 cores in /cg, 4 periods throttled");
        let cpu = vec![level("/cg", None, None)];
        assert_eq!(quota(&Facts { cpu, ..no_limits(Kind::V2) }).status, Status::Ok);
    }

    #[test]
    fn little_memory_is_a_warning() {
        let with = |memory_bytes_max| memory(&Facts { memory_bytes_max, ..no_limits(Kind::V2) }).status;
        assert_eq!(with(None), Status::Ok);
        assert_eq!(with(Some(1 << 30)), Status::Ok);
        assert_eq!(with(Some(32 << 20)), Status::Warning);
    }
}
