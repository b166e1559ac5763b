//! Control groups on the kernel that runs this test. Each test enters groups in a process of its own and
//! removes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process;
use std::time::Duration;

use common::in_own_process;
use hal_linux_rt::cgroup::budget::{self, RtBudget};
use hal_linux_rt::cgroup::{CpuQuota, Group, GroupError, GroupSpec, Layout, facts};
use hal_linux_rt::thread::{Found, Policy, Priority, Realtime, SpawnError, Step, ThreadSpec, spawn};
use hal_linux_rt::{CoreSet, Errno};

const MS: Duration = Duration::from_millis(1);

fn spec(role: &str) -> GroupSpec {
    GroupSpec {
        name: format!("takt-test-{role}-{}", process::id()),
        cores: None,
        memory_bytes_max: None,
        cpu_quota: None,
        rt_budget: None,
    }
}

/// The machine's hierarchies, as a process at their top sees them.
fn at_the_top() -> Layout {
    let mut layout = Layout::detect().unwrap();
    for hierarchy in &mut layout.hierarchies {
        hierarchy.directory = hierarchy.mount.clone();
    }
    layout
}

/// A group of the processor controller without limits of its own, in which this process is.
struct Entered(Option<Group>);

impl Entered {
    fn new(spec: &GroupSpec) -> Self {
        Self::at(&Layout::detect().unwrap(), spec)
    }

    fn at(layout: &Layout, spec: &GroupSpec) -> Self {
        let (group, _) = Group::create(layout, spec).unwrap();
        let entered = Self(Some(group));
        entered.0.as_ref().unwrap().join_process(process::id()).unwrap();
        entered
    }

    /// As a container runtime makes it: no real-time budget.
    fn without_budget(role: &str) -> Self {
        Self::new(&GroupSpec { cpu_quota: Some(CpuQuota { quota: None, period: 100 * MS }), ..spec(role) })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let group = self.0.take().unwrap();
        group.release_process(process::id()).unwrap();
        group.remove().unwrap();
    }
}

fn try_fifo(realtime: Realtime) -> Result<Found, SpawnError> {
    let spec = ThreadSpec { core: None, ..ThreadSpec::fifo("takt-group", 0, Priority::MIN, realtime) };
    let thread = spawn(spec, |_| ())?;
    let found = thread.report.found.clone();
    thread.join().unwrap();
    Ok(found)
}

fn a_tenth() -> RtBudget {
    RtBudget { runtime: Some(100 * MS), period: 1000 * MS }
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_group_without_budget_refuses_real_time_to_root() {
    in_own_process("a_group_without_budget_refuses_real_time_to_root", || {
        let _group = Entered::without_budget("zero");
        let SpawnError::Required { shortfall, .. } = try_fifo(Realtime::Required).unwrap_err() else {
            panic!("not a shortfall");
        };
        assert_eq!((shortfall.step, shortfall.errno), (Step::Policy, Some(Errno::EPERM)));
        assert!(budget::levels(&Layout::detect().unwrap()).last().unwrap().1.is_zero());
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_thread_without_budget_runs_degraded_but_first_among_the_normal_ones() {
    in_own_process("a_thread_without_budget_runs_degraded_but_first_among_the_normal_ones", || {
        let _group = Entered::without_budget("degraded");
        let found = try_fifo(Realtime::Preferred).unwrap();
        assert_eq!((found.policy, found.nice, found.reset_on_fork), (Policy::Other, -20, true));
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_budget_is_granted_to_a_running_process_through_all_levels() {
    in_own_process("a_budget_is_granted_to_a_running_process_through_all_levels", || {
        let _pod = Entered::without_budget("pod");
        let _container = Entered::without_budget("container");
        let layout = Layout::detect().unwrap();
        let zero = |(_, budget): &&(_, RtBudget)| budget.is_zero();
        assert_eq!(budget::levels(&layout).iter().filter(zero).count(), 2);
        assert_eq!(budget::grant(&layout, &a_tenth()).unwrap().len(), 2);
        assert_eq!(try_fifo(Realtime::Required).unwrap().policy, Policy::Fifo);
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_group_made_with_a_budget_gives_real_time_at_once() {
    in_own_process("a_group_made_with_a_budget_gives_real_time_at_once", || {
        let _group = Entered::new(&GroupSpec { rt_budget: Some(a_tenth()), ..spec("budget") });
        assert_eq!(try_fifo(Realtime::Required).unwrap().policy, Policy::Fifo);
        let facts = facts(&Layout::detect().unwrap());
        assert_eq!(facts.cpu.last().unwrap().rt_budget, Some(a_tenth()));
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn more_time_than_there_is_is_refused_and_leaves_no_group_behind() {
    let double = RtBudget { runtime: Some(2000 * MS), period: 1000 * MS };
    let spec = GroupSpec { rt_budget: Some(double), ..spec("greedy") };
    let layout = Layout::detect().unwrap();
    let above = layout.controller("cpu").unwrap().directory.clone();
    let error = Group::create(&layout, &spec).unwrap_err();
    assert!(matches!(error, GroupError::Refused { errno: Some(Errno::EINVAL), .. }), "{error}");
    assert!(!above.join(&spec.name).exists());
}

#[test]
#[cfg_attr(not(all(takt_cgroup_v1, takt_two_cores)), ignore = "needs cgroup v1 and two cores")]
fn a_process_in_a_group_with_one_core_finds_no_other() {
    in_own_process("a_process_in_a_group_with_one_core_finds_no_other", || {
        let cores: Vec<usize> = Found::of_current_thread().unwrap().cores.iter().collect();
        let _group = Entered::new(&GroupSpec { cores: Some(CoreSet::of(cores[1])), ..spec("cores") });
        assert_eq!(Found::of_current_thread().unwrap().cores, CoreSet::of(cores[1]));
        assert_eq!(facts(&Layout::detect().unwrap()).cpuset.unwrap().cores, CoreSet::of(cores[1]));
        let error = hal_linux_rt::thread::pin_current_thread(cores[0]).unwrap_err();
        assert_eq!(error.errno, Some(Errno::EINVAL));
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1), ignore = "needs cgroup v1")]
fn a_quota_is_read_back() {
    in_own_process("a_quota_is_read_back", || {
        let half = CpuQuota { quota: Some(50 * MS), period: 100 * MS };
        let _group = Entered::new(&GroupSpec { cpu_quota: Some(half), ..spec("quota") });
        assert_eq!(facts(&Layout::detect().unwrap()).cpu.last().unwrap().quota, Some(half));
    });
}

#[test]
#[cfg_attr(not(takt_cgroup_v1), ignore = "needs cgroup v1")]
fn a_busy_process_is_throttled_by_its_quota_and_the_counter_tells() {
    in_own_process("a_busy_process_is_throttled_by_its_quota_and_the_counter_tells", || {
        let little = CpuQuota { quota: Some(2 * MS), period: 10 * MS };
        let _group = Entered::new(&GroupSpec { cpu_quota: Some(little), ..spec("busy") });
        let start = std::time::Instant::now();
        while start.elapsed() < 200 * MS {
            std::hint::spin_loop();
        }
        let level = facts(&Layout::detect().unwrap()).cpu.pop().unwrap();
        assert!(level.throttling.unwrap().throttled > 0, "{level:?}");
    });
}

/// Not entered: a machine may watch over a process by the memory group that it is in.
#[test]
#[cfg_attr(not(takt_cgroup_v1), ignore = "needs cgroup v1")]
fn a_memory_limit_is_read_back_in_whole_pages() {
    let spec = GroupSpec { memory_bytes_max: Some((64 << 20) + 5), ..spec("memory") };
    let (group, report) = Group::create(&at_the_top(), &spec).unwrap();
    assert_eq!(report.settings[0].found, (64 << 20).to_string());
    group.remove().unwrap();
}

#[test]
#[cfg_attr(not(takt_cgroup_v2), ignore = "needs cgroup v2 with controllers")]
fn on_version_2_cores_memory_and_quota_are_read_back() {
    in_own_process("on_version_2_cores_memory_and_quota_are_read_back", || {
        let core = Found::of_current_thread().unwrap().cores.iter().last().unwrap();
        let half = CpuQuota { quota: Some(50 * MS), period: 100 * MS };
        let spec = GroupSpec {
            cores: Some(CoreSet::of(core)),
            cpu_quota: Some(half),
            memory_bytes_max: Some(512 << 20),
            ..spec("v2")
        };
        // At the top, where no other process is in the way.
        let _group = Entered::at(&at_the_top(), &spec);
        let facts = facts(&Layout::detect().unwrap());
        assert_eq!(facts.cpuset.unwrap().cores, CoreSet::of(core));
        assert_eq!(facts.cpu.last().unwrap().quota, Some(half));
        assert_eq!(facts.memory_bytes_max, Some(512 << 20));
    });
}
