//! The limits that the groups of this process put on it.

use std::io;
use std::path::{Path, PathBuf};

use hal_units::Duration;

use super::budget::{RtBudget, read_budget};
use super::{Kind, Layout, Version, is_root};
use crate::core_set::CoreSet;
use crate::counters::Throttling;
use crate::procfs;

/// Processor time for normal threads: at most `quota` in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Time in each period, over all cores; `None` is unlimited.
    pub quota: Option<Duration>,
    /// The period.
    pub period: Duration,
}

impl CpuQuota {
    /// Version 2's `cpu.max`: `max 100000` or `50000 100000`, in microseconds.
    #[must_use]
    pub fn parse_v2(cpu_max: &str) -> Option<Self> {
        let (quota, period) = cpu_max.trim().split_once(' ')?;
        let quota = match quota {
            "max" => None,
            number => Some(Duration::from_micros(number.parse().ok()?)),
        };
        Some(Self { quota, period: Duration::from_micros(period.parse().ok()?) })
    }

    /// Version 1's `cpu.cfs_quota_us`, where -1 is unlimited, and `cpu.cfs_period_us`.
    #[must_use]
    pub fn parse_v1(quota_us: &str, period_us: &str) -> Option<Self> {
        let quota: i64 = quota_us.trim().parse().ok()?;
        let period = Duration::from_micros(period_us.trim().parse().ok()?);
        Some(Self { quota: u64::try_from(quota).ok().map(Duration::from_micros), period })
    }

    /// The quota in cores; `None` is unlimited.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        self.quota.map(|quota| quota.as_nanos() as f64 / self.period.as_nanos() as f64)
    }
}

/// One level of the processor controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuLevel {
    /// The group.
    pub directory: PathBuf,
    /// Its quota; `None` if it has none to show, as the root has.
    pub quota: Option<CpuQuota>,
    /// Its real-time budget; `None` with version 2, and on kernels without `RT_GROUP_SCHED`.
    pub rt_budget: Option<RtBudget>,
    /// How often it was throttled; `None` if it does not tell.
    pub throttling: Option<Throttling>,
}

impl CpuLevel {
    /// How often it was throttled until now; `None` if it does not tell.
    #[must_use]
    pub fn throttling_now(&self) -> Option<Throttling> {
        Throttling::parse(&procfs::read(self.directory.join("cpu.stat")).ok()?)
    }
}

/// The cores of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpuset {
    /// The cores that the group may use.
    pub cores: CoreSet,
    /// Whether they are its own: no sibling group has them. Never for the root group.
    pub exclusive: bool,
}

/// What limits this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What is mounted.
    pub kind: Kind,
    /// The levels of the processor controller, topmost first; empty without it.
    pub cpu: Vec<CpuLevel>,
    /// The cores; `None` without the controller.
    pub cpuset: Option<Cpuset>,
    /// The tightest memory limit of all levels, in bytes; `None` is unlimited.
    pub memory_bytes_max: Option<u64>,
}

/// Reads the limits of all levels. What a level does not show is `None` there.
#[must_use]
pub fn facts(layout: &Layout) -> Facts {
    let cpu = layout.controller("cpu").map_or_else(Vec::new, |hierarchy| {
        hierarchy.levels().iter().map(|level| cpu_level(level, hierarchy.version)).collect()
    });
    let cpuset =
        layout.controller("cpuset").and_then(|hierarchy| cpuset(&hierarchy.directory, hierarchy.version));
    let memory_bytes_max = layout.controller("memory").and_then(|hierarchy| {
        let file = match hierarchy.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let limit = |level: &PathBuf| parse_memory_limit(&procfs::read(level.join(file)).ok()?);
        hierarchy.levels().iter().filter_map(limit).min()
    });
    Facts { kind: layout.kind(), cpu, cpuset, memory_bytes_max }
}

fn cpu_level(directory: &Path, version: Version) -> CpuLevel {
    let read = |file: &str| procfs::read(directory.join(file));
    let quota = || -> io::Result<Option<CpuQuota>> {
        Ok(match version {
            Version::V1 => CpuQuota::parse_v1(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
            Version::V2 => CpuQuota::parse_v2(&read("cpu.max")?),
        })
    };
    let level = CpuLevel {
        directory: directory.to_path_buf(),
        quota: quota().ok().flatten(),
        rt_budget: read_budget(directory),
        throttling: None,
    };
    CpuLevel { throttling: level.throttling_now(), ..level }
}

fn cpuset(directory: &Path, version: Version) -> Option<Cpuset> {
    let read = |file: &str| procfs::read(directory.join(file)).ok();
    let (cores, exclusive) = match version {
        Version::V1 => (
            read("cpuset.effective_cpus").or_else(|| read("cpuset.cpus"))?,
            // The root group is always exclusive, and yet everybody is in it.
            read("cpuset.cpu_exclusive").is_some_and(|flag| flag.trim() == "1") && !is_root(directory),
        ),
        Version::V2 => (
            read("cpuset.cpus.effective")?,
            // `root` and `isolated` are partitions of their own; an invalid one says so after the word.
            read("cpuset.cpus.partition").is_some_and(|kind| ["root", "isolated"].contains(&kind.trim())),
        ),
    };
    Some(Cpuset { cores: CoreSet::parse(&cores).ok()?, exclusive })
}

/// A memory limit in bytes: version 2 says `max`, version 1 a number near 2^63, for unlimited.
#[must_use]
pub fn parse_memory_limit(text: &str) -> Option<u64> {
    /// Larger than any memory: version 1 rounds 2^63 down to a page.
    const UNLIMITED_BYTES: u64 = 1 << 62;
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn quotas_of_both_versions_are_read_alike() {
        let half = CpuQuota { quota: Some(Duration::from_millis(50)), period: Duration::from_millis(100) };
        assert_eq!(CpuQuota::parse_v2("50000 100000\n"), Some(half));
        assert_eq!(CpuQuota::parse_v1("50000\n", "100000\n"), Some(half));
        assert_eq!(half.cores(), Some(0.5));
    }

    #[test]
    fn no_quota_is_unlimited_in_both_versions() {
        let unlimited = CpuQuota { quota: None, period: Duration::from_millis(100) };
        assert_eq!(CpuQuota::parse_v2("max 100000\n"), Some(unlimited));
        assert_eq!(CpuQuota::parse_v1("-1\n", "100000\n"), Some(unlimited));
    }

    #[test]
    fn an_unlimited_memory_is_no_number() {
        assert_eq!(parse_memory_limit("max\n"), None);
        assert_eq!(parse_memory_limit("9223372036854771712\n"), None);
        assert_eq!(parse_memory_limit("67108864\n"), Some(64 << 20));
    }

    /// A version 2 tree of two levels, as files.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("agent")).unwrap();
        for (file, text) in files {
            fs::write(root.path().join(file), text).unwrap();
        }
        let mounts = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.path().display());
        let layout = Layout::parse("0::/agent\n", &mounts);
        (root, layout)
    }

    #[test]
    fn the_tightest_memory_limit_of_all_levels_counts() {
        let (_root, layout) = tree(&[
            ("agent/cgroup.controllers", "memory"),
            ("agent/memory.max", "max\n"),
            ("memory.max", "1048576\n"),
        ]);
        assert_eq!(facts(&layout).memory_bytes_max, Some(1 << 20));
    }

    #[test]
    fn a_partition_is_exclusive_unless_it_is_invalid() {
        for (partition, exclusive) in
            [("isolated", true), ("root", true), ("member", false), ("root invalid (...)", false)]
        {
            let (_root, layout) = tree(&[
                ("agent/cgroup.controllers", "cpuset"),
                ("agent/cpuset.cpus.effective", "2-3\n"),
                ("agent/cpuset.cpus.partition", partition),
            ]);
            let cpuset = facts(&layout).cpuset.unwrap();
            assert_eq!((cpuset.exclusive, cpuset.cores.to_string()), (exclusive, "2-3".to_owned()));
        }
    }

    #[test]
    fn the_root_group_of_version_1_is_not_exclusive_though_it_says_so() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cpuset.effective_cpus"), "0-1\n").unwrap();
        fs::write(root.path().join("cpuset.cpu_exclusive"), "1\n").unwrap();
        assert!(cpuset(root.path(), Version::V1).unwrap().exclusive);
        fs::write(root.path().join("release_agent"), "\n").unwrap();
        assert!(!cpuset(root.path(), Version::V1).unwrap().exclusive);
    }

    #[test]
    fn each_level_shows_its_own_quota_and_throttling() {
        let (_root, layout) = tree(&[
            ("agent/cgroup.controllers", "cpu"),
            ("agent/cpu.max", "20000 100000\n"),
            ("agent/cpu.stat", "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 700\n"),
        ]);
        let levels = facts(&layout).cpu;
        assert_eq!(levels.len(), 2);
        assert_eq!(levels[0].quota, None);
        assert_eq!(levels[1].quota.unwrap().cores(), Some(0.2));
        let throttled = Throttling { periods: 10, throttled: 3, time: Duration::from_micros(700) };
        assert_eq!(levels[1].throttling, Some(throttled));
    }
}
