//! The agent within control groups: it stays inside, and what they keep from it shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use hal_linux_rt::CoreSet;
use hal_linux_rt::cgroup::budget::RtBudget;
use hal_linux_rt::cgroup::{CpuQuota, Facts, Group, GroupSpec, Layout, facts};
use hal_linux_rt::signal::Signal;

use crate::agent::{Agent, Site, WITHIN, until};
use crate::field::Field;
use crate::fleet::{HALL, fleet_section};
use crate::pair::Nodes;
use crate::plans::centre;
use crate::{WIND_MPS, broker};

const MS: Duration = Duration::from_millis(1);

/// A name that no other run uses.
fn name(role: &str) -> String {
    format!("takt-site-{role}-{}", std::process::id())
}

/// Removes an empty group as soon as the kernel has seen the last of its processes end.
fn remove(group: &Path) {
    until("the group is empty", WITHIN, || match fs::remove_dir(group) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(()),
        Err(_) => None,
    });
}

/// A group that the agent makes for itself, below the groups of this test.
struct OwnGroup(String);

impl Drop for OwnGroup {
    fn drop(&mut self) {
        for hierarchy in Layout::detect().unwrap().hierarchies {
            remove(&hierarchy.directory.join(&self.0));
        }
    }
}

/// A group around the agent, as a container runtime makes one.
struct Enclosure(Option<Group>);

impl Enclosure {
    fn new(spec: &GroupSpec) -> Self {
        Self(Some(Group::create(&Layout::detect().unwrap(), spec).unwrap().0))
    }

    /// Without real-time budget, which is how a new group begins.
    fn without_budget(role: &str) -> Self {
        Self::new(&GroupSpec {
            name: name(role),
            cores: None,
            memory_bytes_max: None,
            cpu_quota: Some(CpuQuota { quota: None, period: 100 * MS }),
            rt_budget: None,
        })
    }

    fn directory(&self) -> &Path {
        &self.0.as_ref().unwrap().directories()[0]
    }

    fn budget_us(&self) -> String {
        fs::read_to_string(self.directory().join("cpu.rt_runtime_us")).unwrap().trim().to_owned()
    }

    /// The agent, started by a shell that enters the group first.
    fn command(&self, site: &Site) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(self.directory());
        command.arg(env!("CARGO_BIN_EXE_takt-agent")).args(site.arguments());
        command
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        let group = self.0.take().unwrap();
        for directory in group.directories() {
            let inside = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
            inside.filter(|path| path.is_dir()).for_each(|path| remove(&path));
            remove(directory);
        }
    }
}

/// What the kernel says of a thread.
#[derive(Debug)]
struct Thread {
    name: String,
    cores: CoreSet,
    /// `SCHED_OTHER` is 0, `SCHED_FIFO` is 1.
    policy: u32,
    priority: u32,
    groups: String,
}

fn threads_of(process: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let thread = |task: PathBuf| {
        let read = |file: &str| fs::read_to_string(task.join(file)).ok();
        let (status, stat) = (read("status")?, read("stat")?);
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        // From the third on: the second, in parentheses, is the name (proc_pid_stat(5)).
        let (_, stat) = stat.rsplit_once(") ")?;
        let number = |at: usize| stat.split(' ').nth(at - 3).unwrap().parse().unwrap();
        Some(Thread {
            name: field("Name:"),
            cores: CoreSet::parse(&field("Cpus_allowed_list:")).unwrap(),
            priority: number(40),
            policy: number(41),
            groups: read("cgroup")?,
        })
    };
    // One that ends meanwhile is none.
    tasks.flatten().filter_map(|task| thread(task.path())).collect()
}

fn layout_of(process: u32) -> Layout {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    Layout::parse(&groups, &fs::read_to_string("/proc/self/mountinfo").unwrap())
}

fn limits_of(agent: &Agent) -> Facts {
    facts(&layout_of(agent.processes()[0]))
}

fn refused(output: &Output, field: &Field, why: &[&str]) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(why.iter().all(|words| complaint.contains(words)), "{complaint}");
    assert_eq!(field.look(0, |plc| plc.truth().writes_applied), 0);
}

#[test]
#[cfg_attr(not(takt_cgroup_v1), ignore = "needs cgroup v1 with cpu, cpuset and memory")]
fn an_agent_stays_within_the_core_and_the_memory_that_it_laid_on_itself() {
    const MIB: u64 = 96;
    let own = OwnGroup(name("limits"));
    let (field, broker) = (Field::in_wind(4, WIND_MPS), broker());
    let limits = format!("cores = \"0\"\nmemory_max_mib = {MIB}");
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_group(&own.0, &limits);
    let agent = site.start();
    let first = agent.until_all_run();
    agent.until("200 more cycles", |report| report.groups[0].cycles >= first.groups[0].cycles + 200);

    let process = agent.processes()[0];
    let threads = threads_of(process);
    assert!(threads.len() >= 5, "{threads:#?}");
    for thread in &threads {
        assert_eq!(thread.cores, CoreSet::of(0), "{thread:?}");
        for controller in ["cpuset", "memory"] {
            let is_own = |line: &str| line.contains(controller) && line.ends_with(&own.0);
            assert!(thread.groups.lines().any(is_own), "{controller}: {thread:?}");
        }
    }
    let limits = limits_of(&agent);
    assert_eq!(limits.cpuset.unwrap().cores, CoreSet::of(0));
    assert_eq!(limits.memory_bytes_max, Some(MIB << 20));
    let memory = layout_of(process).controller("memory").unwrap().directory.clone();
    let number =
        |file: &str| -> u64 { fs::read_to_string(memory.join(file)).unwrap().trim().parse().unwrap() };
    let most = number("memory.max_usage_in_bytes");
    assert!(most > 1 << 20 && most <= MIB << 20, "{most}");
    assert_eq!(number("memory.failcnt"), 0, "it ran into its limit");
}

#[test]
#[cfg_attr(not(takt_cgroup_v1), ignore = "needs cgroup v1 with cpu, cpuset and memory")]
fn a_memory_limit_that_is_too_small_is_told_before_the_kernel_ends_the_agent() {
    let own = OwnGroup(name("memory"));
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses()).with_group(&own.0, "memory_max_mib = 16");
    let why = ["memory is not locked", "16384 KiB", "memory_max_mib"];
    let site = site.with_realtime("required");
    let arguments = site.arguments();
    let output = Command::new(env!("CARGO_BIN_EXE_takt-agent")).args(arguments).output().unwrap();
    refused(&output, &field, &why);

    let site = site.with_realtime("preferred");
    let agent = site.start();
    let report = agent.until_all_run();
    assert!(!report.realtime.obtained && report.realtime.locked_kib == 0, "{:?}", report.realtime);
    let degraded = report.degradations().join("\n");
    assert!(why.iter().all(|words| degraded.contains(words)), "{degraded}");
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_group_without_real_time_budget_is_named_and_refused_if_real_time_is_required() {
    let group = Enclosure::without_budget("required");
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses()).with_realtime("required");
    let output = group.command(&site).output().unwrap();
    let directory = group.directory().display().to_string();
    refused(&output, &field, &[&directory, "no real-time budget", "rt_runtime_us", "takt doctor"]);
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn in_a_group_without_real_time_budget_the_agent_runs_degraded_and_says_why() {
    let group = Enclosure::without_budget("zero");
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start_as(group.command(&site));
    let report = agent.until_all_run();
    assert_eq!(report.groups[0].thread.policy, "SCHED_OTHER");
    let degraded = report.degradations().join("\n");
    let directory = group.directory().display().to_string();
    for words in [&directory, "no real-time budget", "rt_runtime_us", "EPERM"] {
        assert!(degraded.contains(words), "`{words}` is missing in: {degraded}");
    }
    assert!(agent.get("/metrics").1.contains("takt_realtime_obtained{site=\"test-site\"} 0.0"));
    assert_eq!(group.budget_us(), "0", "nobody permitted to change it");
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn with_permission_the_agent_grants_real_time_from_the_top_down() {
    let group = Enclosure::without_budget("mended");
    let field = Field::in_wind(1, WIND_MPS);
    let own = name("mended-own");
    let site = Site::over(&field.addresses()).with_group(&own, "rt_runtime_us = 100000");
    let agent = site.start_as(group.command(&site));
    let report = agent.until_all_run();
    assert_eq!(report.groups[0].thread.policy, "SCHED_FIFO", "{:?}", report.realtime);
    assert!(report.realtime.degraded.iter().all(|why| !why.contains("budget")), "{:?}", report.realtime);
    assert_eq!(group.budget_us(), "100000");
    let tenth = RtBudget { runtime: Some(100 * MS), period: 1000 * MS };
    let last = limits_of(&agent).cpu.pop().unwrap();
    assert_eq!((last.directory, last.rt_budget), (group.directory().join(&own), Some(tenth)));
}

#[test]
#[cfg_attr(
    not(all(takt_cgroup_v1, takt_sched_fifo)),
    ignore = "needs cgroup v1 with cpu, and permission for SCHED_FIFO"
)]
fn a_quota_that_runs_out_is_named_and_the_loop_keeps_its_grid() {
    let group = Enclosure::new(&GroupSpec {
        name: name("quota"),
        cores: None,
        memory_bytes_max: None,
        cpu_quota: Some(CpuQuota { quota: Some(2 * MS), period: 50 * MS }),
        rt_budget: Some(RtBudget { runtime: Some(100 * MS), period: 1000 * MS }),
    });
    let field = Field::in_wind(4, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start_as(group.command(&site));
    let directory = group.directory().display().to_string();
    let names_it = |why: &String| why.contains(&directory) && why.contains("processor quota ran out");
    let before = agent.until("the quota is named", |report| report.degradations().iter().any(names_it));
    let throttled = limits_of(&agent).cpu.pop().unwrap().throttling.unwrap();
    assert!(throttled.throttled > 0, "{throttled:?}");

    let after = agent.until("3 s have passed", |report| report.uptime_s > before.uptime_s + 3.0);
    let grid = (after.uptime_s - before.uptime_s) / 0.020;
    let cycles = (after.groups[0].cycles - before.groups[0].cycles) as f64;
    assert_eq!(after.groups[0].thread.policy, "SCHED_FIFO");
    assert!(cycles > 0.8 * grid, "{cycles} cycles at {grid} points of the grid");
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn of_all_threads_only_the_loops_and_those_of_the_pair_are_real_time() {
    let (field, broker) = (Field::in_wind(2, WIND_MPS), broker());
    let key = centre().public_pem().unwrap();
    let sites = Site::pair_over(&field.addresses())
        .map(|site| site.with_broker(&broker.url()).with_plans_of(&key).with_fleet(HALL, &fleet_section(1)));
    let nodes = Nodes::start(sites);
    nodes.until_whole();
    for agent in &nodes.nodes {
        // What starts a thread only when it is needed has been needed.
        agent.ask_trace();
        agent.signal(Signal::HangUp);
        agent.until("200 cycles", |report| report.groups[0].cycles > 200);
        let [keeper, kept] = agent.processes()[..] else { panic!("a keeper and what it keeps") };
        for (process, real_time) in
            [(keeper, &[("takt-keeper", 45)][..]), (kept, &[("takt-pair", 45), ("turbines", 50)])]
        {
            let threads = threads_of(process);
            let mut found: Vec<(&str, u32)> = threads
                .iter()
                .filter(|thread| thread.policy != 0 || thread.priority != 0)
                .map(|thread| (thread.name.as_str(), thread.priority))
                .collect();
            found.sort_unstable();
            assert_eq!(found, real_time, "{threads:#?}");
            assert!(threads.iter().all(|thread| thread.policy <= 1), "{threads:#?}");
        }
        let helpers = threads_of(kept);
        for helper in [
            "takt-field",
            "takt-fleet",
            "takt-plans",
            "takt-admin",
            "takt-traces",
            "takt-mqtt",
            "takt-plain-net",
        ] {
            assert!(helpers.iter().any(|thread| thread.name == helper), "{helper}: {helpers:#?}");
        }
    }
}
