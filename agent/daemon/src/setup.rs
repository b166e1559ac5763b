//! Real-time set-up of the process, and what is missing of it.
//!
//! Each step is proved by reading it back; what is missing is either fatal or becomes a reason that
//! status, metrics and log show for as long as the agent runs.

use agent_status::Realtime;
use hal_linux_rt::capability;
use hal_linux_rt::cgroup::budget::RtBudget;
use hal_linux_rt::cgroup::{Facts, Group, GroupSpec, Layout, facts};
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::thread::{Realtime as Wish, ThreadReport};

use hal_units::Duration;

use crate::config::{CgroupConfig, RealtimeWish, SiteConfig};
use crate::limits::GroupWatch;
use crate::supervise::StartError;

/// The period of a control group's real-time budget: the kernel's default.
const RT_PERIOD: Duration = Duration::from_secs(1);

/// What was obtained so far.
#[derive(Debug, Clone)]
pub(crate) struct SetUp {
    wish: RealtimeWish,
    locked_kib: u64,
    missing: Vec<String>,
}

impl SetUp {
    /// Limits the process and locks its memory; with the watch over the groups that it is in. Call before any
    /// thread is created.
    pub(crate) fn process(site: &SiteConfig) -> Result<(Self, GroupWatch), StartError> {
        let mut set_up = Self { wish: site.realtime, locked_kib: 0, missing: Vec::new() };
        if let Some(cgroup) = &site.cgroup {
            set_up.limit(cgroup)?;
        }
        let groups = facts(&Layout::detect().unwrap_or_default());
        set_up.expect_budget(&groups)?;
        let plan = MemoryPlan::default();
        let fits = memory::check_group_limit(&plan, groups.memory_bytes_max);
        match fits.and_then(|()| memory::lock(&plan)) {
            Ok(report) => set_up.locked_kib = report.locked_bytes / 1024,
            Err(error) => set_up.lacks(format!("memory is not locked: {error}"))?,
        }
        Ok((set_up, GroupWatch::new(groups)))
    }

    /// Names the groups without real-time budget: a thread only learns that it was refused.
    fn expect_budget(&mut self, groups: &Facts) -> Result<(), StartError> {
        let without =
            groups.cpu.iter().filter(|level| level.rt_budget.is_some_and(|budget| budget.is_zero()));
        let without: Vec<String> = without.map(|level| level.directory.display().to_string()).collect();
        if without.is_empty() {
            return Ok(());
        }
        self.lacks(format!(
            "control group {} has no real-time budget, so the kernel refuses SCHED_FIFO in it even to root: \
             rt_runtime_us in [cgroup] grants one",
            without.join(" and ")
        ))
    }

    /// Moves the process into a control group of its own, with the limits of the configuration. The group
    /// outlives the process: a crash must not lift limits from what still runs in it.
    fn limit(&mut self, config: &CgroupConfig) -> Result<(), StartError> {
        let spec = GroupSpec {
            name: config.name.clone(),
            cores: config.cores,
            memory_bytes_max: config.memory_max_mib.map(|mib| mib << 20),
            cpu_quota: None,
            rt_budget: config
                .rt_runtime
                .map(|runtime| RtBudget { runtime: Some(runtime), period: RT_PERIOD }),
        };
        let joined = Layout::detect().map_err(|error| error.to_string()).and_then(|layout| {
            let (group, report) = Group::create(&layout, &spec).map_err(|error| error.to_string())?;
            group.join_process(std::process::id()).map_err(|error| error.to_string())?;
            Ok(report)
        });
        match joined {
            Ok(report) => {
                for setting in report.settings {
                    tracing::info!(file = %setting.file.display(), found = %setting.found, "control group");
                }
                Ok(())
            }
            Err(error) => self.lacks(format!("no control group `{}`: {error}", config.name)),
        }
    }

    /// How threads are to be created.
    pub(crate) fn wish(&self) -> Wish {
        match self.wish {
            RealtimeWish::Required => Wish::Required,
            RealtimeWish::Preferred => Wish::Preferred,
        }
    }

    /// Notes what a thread did not get.
    pub(crate) fn thread(&mut self, report: &ThreadReport) -> Result<(), StartError> {
        for shortfall in &report.shortfalls {
            self.lacks(format!("thread {}: {shortfall}", report.requested.name))?;
        }
        Ok(())
    }

    /// Fatal if real time is required, a standing reason otherwise.
    pub(crate) fn lacks(&mut self, what: String) -> Result<(), StartError> {
        match self.wish {
            RealtimeWish::Required => Err(StartError::Realtime { what }),
            RealtimeWish::Preferred => {
                tracing::warn!("degraded: {what}");
                self.missing.push(what);
                Ok(())
            }
        }
    }

    /// The set-up as the report shows it.
    pub(crate) fn status(&self) -> Realtime {
        Realtime {
            wanted: match self.wish {
                RealtimeWish::Required => "required",
                RealtimeWish::Preferred => "preferred",
            }
            .to_owned(),
            obtained: self.missing.is_empty(),
            locked_kib: self.locked_kib,
            degraded: self.missing.clone(),
        }
    }
}

/// Gives up, in the calling thread and in those that it creates, every capability that a running agent
/// does not need.
pub(crate) fn drop_capabilities() {
    drop_capabilities_but(&[]);
}

/// The same, but for what this thread needs besides.
pub(crate) fn drop_capabilities_but(needed: &[capability::Capability]) {
    let mut kept = match memory::lock_limit() {
        Ok(limit) => capability::needed_after_set_up(limit),
        Err(_) => vec![capability::Capability::CAP_IPC_LOCK],
    };
    kept.extend_from_slice(needed);
    if let Err(error) = capability::keep_only(&kept) {
        tracing::warn!("capabilities that are not needed could not be given up: {error}");
    }
}
