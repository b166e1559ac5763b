//! Real-time budgets: the share of time that real-time threads of a group may take.
//!
//! On kernels with `RT_GROUP_SCHED` a new group of the version 1 `cpu` controller has the budget 0, and
//! then `SCHED_FIFO` is refused with `EPERM` even to root with every capability. In a pod three levels
//! start at 0: all pods, the pod, the container. A group's share may not exceed its parent's, so budgets
//! are granted from the top down; that works while the group runs.
//!
//! Source: the kernel's `Documentation/scheduler/sched-rt-group.rst`.

use std::path::{Path, PathBuf};

use hal_units::Duration;

use super::group::{GroupError, Setting, set};
use super::{Layout, Version, is_root};
use crate::procfs;

/// At most `runtime` in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtBudget {
    /// Time in each period; `None` is unlimited.
    pub runtime: Option<Duration>,
    /// The period.
    pub period: Duration,
}

impl RtBudget {
    /// The texts of `cpu.rt_runtime_us`, where -1 is unlimited, and `cpu.rt_period_us`.
    #[must_use]
    pub fn parse(runtime_us: &str, period_us: &str) -> Option<Self> {
        let runtime: i64 = runtime_us.trim().parse().ok()?;
        let period = Duration::from_micros(period_us.trim().parse().ok()?);
        Some(Self { runtime: u64::try_from(runtime).ok().map(Duration::from_micros), period })
    }

    /// Whether real-time threads get nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.runtime == Some(Duration::ZERO)
    }

    /// Whether this budget is a share at least as large as `wanted`.
    #[must_use]
    pub fn covers(&self, wanted: &Self) -> bool {
        match (self.runtime, wanted.runtime) {
            (None, _) => true,
            (Some(_), None) => false,
            // runtime / period >= wanted.runtime / wanted.period, without rounding.
            (Some(own), Some(other)) => {
                own.as_nanos().saturating_mul(wanted.period.as_nanos())
                    >= other.as_nanos().saturating_mul(self.period.as_nanos())
            }
        }
    }
}

/// The budget of a group; `None` if it has no such files: version 2, or no `RT_GROUP_SCHED`.
pub(super) fn read_budget(group: &Path) -> Option<RtBudget> {
    let read = |file: &str| procfs::read(group.join(file)).ok();
    RtBudget::parse(&read("cpu.rt_runtime_us")?, &read("cpu.rt_period_us")?)
}

/// The budgets of this process's groups, topmost visible level first. Empty if groups have none.
#[must_use]
pub fn levels(layout: &Layout) -> Vec<(PathBuf, RtBudget)> {
    let Some(hierarchy) = layout.controller("cpu").filter(|found| found.version == Version::V1) else {
        return Vec::new();
    };
    let with_budget = |level: PathBuf| read_budget(&level).map(|budget| (level, budget));
    hierarchy.levels().into_iter().filter_map(with_budget).collect()
}

/// Grants `wanted` to each level of this process that has less, from the top down, and reads back.
/// Levels above a container's mount are not visible: grant those on the host. The root group is left
/// alone: its share is the whole machine's.
///
/// # Errors
/// At the first level that refuses: `EACCES` or `EROFS` without write access, `EINVAL` if the share is
/// more than its parent has left.
pub fn grant(layout: &Layout, wanted: &RtBudget) -> Result<Vec<Setting>, GroupError> {
    let mut settings = Vec::new();
    for (level, budget) in levels(layout) {
        if !budget.covers(wanted) && !is_root(&level) {
            settings.extend(write_budget(&level, wanted)?);
        }
    }
    Ok(settings)
}

/// Sets a group's budget. The runtime goes to 0 first: a period that shrinks under a runtime is refused.
pub(super) fn write_budget(group: &Path, wanted: &RtBudget) -> Result<Vec<Setting>, GroupError> {
    let runtime_us = wanted.runtime.map_or("-1".to_owned(), |runtime| runtime.as_micros().to_string());
    let period_us = wanted.period.as_micros().to_string();
    let mut settings = Vec::new();
    if read_budget(group).is_some_and(|now| now.period != wanted.period) {
        set(&group.join("cpu.rt_runtime_us"), "0")?;
        settings.push(set(&group.join("cpu.rt_period_us"), &period_us)?);
    }
    settings.push(set(&group.join("cpu.rt_runtime_us"), &runtime_us)?);
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(runtime_us: &str, period_us: &str) -> RtBudget {
        RtBudget::parse(runtime_us, period_us).unwrap()
    }

    #[test]
    fn a_new_group_has_nothing() {
        assert!(budget("0\n", "1000000\n").is_zero());
        assert!(!budget("-1\n", "1000000\n").is_zero());
    }

    #[test]
    fn shares_are_compared_over_their_periods() {
        let tenth = budget("100000", "1000000");
        assert!(budget("1000", "10000").covers(&tenth));
        assert!(budget("-1", "1000000").covers(&tenth));
        assert!(!budget("99999", "1000000").covers(&tenth));
        assert!(!tenth.covers(&budget("-1", "1000000")));
    }

    #[test]
    fn the_root_group_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in
            [("cpu.rt_runtime_us", "0\n"), ("cpu.rt_period_us", "1000000\n"), ("release_agent", "\n")]
        {
            std::fs::write(root.path().join(file), text).unwrap();
        }
        let mounts = format!("32 31 0:29 / {} rw - cgroup cgroup rw,cpu\n", root.path().display());
        let layout = Layout::parse("1:cpu:/\n", &mounts);
        assert_eq!(grant(&layout, &budget("200000", "1000000")), Ok(Vec::new()));
    }

    #[test]
    fn only_levels_with_too_little_are_granted_more() {
        let root = tempfile::tempdir().unwrap();
        let agent = root.path().join("agent");
        std::fs::create_dir(&agent).unwrap();
        for (group, runtime) in [(root.path(), "950000\n"), (agent.as_path(), "0\n")] {
            std::fs::write(group.join("cpu.rt_runtime_us"), runtime).unwrap();
            std::fs::write(group.join("cpu.rt_period_us"), "1000000\n").unwrap();
        }
        let mounts = format!("32 31 0:29 / {} rw - cgroup cgroup rw,cpu\n", root.path().display());
        let layout = Layout::parse("1:cpu:/agent\n", &mounts);
        let settings = grant(&layout, &budget("200000", "1000000")).unwrap();
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].file, agent.join("cpu.rt_runtime_us"));
        assert_eq!(settings[0].found, "200000");
    }
}
