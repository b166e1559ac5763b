//! `takt prepare-node`: what a node of a cluster needs before it can carry an agent, and no pod can give itself.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hal_linux_rt::CoreSet;
use hal_linux_rt::cgroup::budget::RtBudget;
use hal_linux_rt::cgroup::pods::{PodBudgets, PodPlan};
use hal_linux_rt::signal::{Signal, Signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use serde::Serialize;

/// Prepare a node of a Kubernetes cluster for agents in pods.
///
/// Grants a real-time budget to the pods that ask for whole cores (kernels with RT_GROUP_SCHED refuse
/// SCHED_FIFO inside pods without one), makes room for a pair's datagrams, and moves interrupts off the
/// cores that were isolated at boot. What is there already is left alone; each change is told.
///
/// Run it on the node as root: as a DaemonSet with --watch (k8s/node-preparation.yaml), or at boot.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Go on: new pods get their budget within milliseconds.
    #[arg(long)]
    watch: bool,
    /// Share of a core's time for each pod that asks for whole cores, above 0, below 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.4, value_parser = share)]
    budget: f64,
    /// Share for all such pods together; as much as one gets, unless said.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pods_budget: Option<f64>,
    /// Group of all pods, from the top of the hierarchy.
    #[arg(long, value_name = "PATH", default_value = "kubepods")]
    pods_group: PathBuf,
    /// Where the node's control groups are mounted.
    #[arg(long, value_name = "FOLDER", default_value = "/sys/fs/cgroup")]
    cgroups: PathBuf,
    /// The node's /proc.
    #[arg(long, value_name = "FOLDER", default_value = "/proc")]
    proc: PathBuf,
    /// Tell each change as a line of JSON.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  takt prepare-node
  takt prepare-node --watch --cgroups /host/cgroup
  takt prepare-node --pods-budget 0.8         two pods of two sites on one node

What can only be set at boot (isolcpus, nohz_full, rcu_nocbs, irqaffinity) is left to you: `takt doctor` says
what is missing.

Exit codes:
  0  the node is prepared
  1  something could not be set; it is told
  2  wrong usage";

/// What a pair's datagrams may fill, in bytes: the state of hundreds of vehicles in each cycle.
const SOCKET_BUFFER_BYTES: u64 = 8 << 20;
/// The period of budgets: the kernel's default.
const PERIOD: Duration = Duration::from_secs(1);
/// A group is made first, and what it asks for is written a moment later.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);
/// Between two looks meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(4);
/// A look without any event, in case one was missed.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err("must lie between 0 and 1".to_owned()) }
}

/// Something that was tried.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Change {
    fn set(file: &Path, to: &str) -> Self {
        Self { file: file.display().to_string(), set_to: Some(to.to_owned()), error: None }
    }

    fn refused(file: &Path, error: &dyn fmt::Display) -> Self {
        Self { file: file.display().to_string(), set_to: None, error: Some(error.to_string()) }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.set_to, &self.error) {
            (_, Some(error)) => write!(f, "not set: {}: {error}", self.file),
            (Some(to), None) => write!(f, "set: {} = {to}", self.file),
            (None, None) => write!(f, "left: {}", self.file),
        }
    }
}

/// Prepares the node.
pub(crate) fn run(args: &Args) -> ExitCode {
    match prepare(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("takt prepare-node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(args: &Args) -> io::Result<bool> {
    let mut changes = socket_buffers(&args.proc);
    changes.extend(interrupts(&args.proc, Path::new("/sys/devices/system/cpu")));
    let plan = PodPlan::find_cpu(&args.cgroups)
        .map(|cpu| PodPlan {
            cpu,
            pods: args.pods_group.strip_prefix("/").unwrap_or(&args.pods_group).to_path_buf(),
            all: budget(args.pods_budget.unwrap_or(args.budget)),
            each: budget(args.budget),
        })
        .filter(PodPlan::is_needed);
    let Some(plan) = plan else {
        tell(&changes, args.json);
        println!("this kernel has no real-time budgets for groups: pods need none");
        if args.watch {
            let signals = Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt])?;
            while signals.take()?.is_none() {
                std::thread::sleep(LOOK_ANYWAY);
            }
        }
        return Ok(changes.iter().all(|change| change.error.is_none()));
    };
    let (set, refused) = changes_of(&plan.apply());
    changes.extend(set.into_iter().chain(refused));
    tell(&changes, args.json);
    if args.watch {
        watch(&plan, args.json)?;
    }
    Ok(changes.iter().all(|change| change.error.is_none()))
}

fn budget(share: f64) -> RtBudget {
    RtBudget { runtime: Some(PERIOD.mul_f64(share)), period: PERIOD }
}

/// Looks at once when a group appears, until told to end.
fn watch(plan: &PodPlan, json: bool) -> io::Result<()> {
    let signals = Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt])?;
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let mut refused_before: Vec<Change> = Vec::new();
    let mut look_until = Instant::now();
    while signals.take()?.is_none() {
        let done = plan.apply();
        for group in &done.groups {
            // Watching twice is watching once; a group that is gone meanwhile needs no watch.
            let _ = inotify::add_watch(&events, group, inotify::WatchFlags::CREATE);
        }
        let (set, refused) = changes_of(&done);
        tell(&set, json);
        if Instant::now() < look_until {
            std::thread::sleep(LOOK_INTERVAL);
            continue;
        }
        // A refusal that lasts is told once.
        if refused != refused_before {
            tell(&refused, json);
        }
        refused_before = refused;
        if waits(&events, LOOK_ANYWAY)? {
            look_until = Instant::now() + SETTLES_WITHIN;
        }
    }
    Ok(())
}

/// Whether something happened within `limit`; what it was does not matter.
fn waits(events: &rustix::fd::OwnedFd, limit: Duration) -> io::Result<bool> {
    let limit = rustix::time::Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut polled = [PollFd::new(events, PollFlags::IN)];
    match poll(&mut polled, Some(&limit)) {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        // A signal; the caller looks.
        Err(rustix::io::Errno::INTR) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let mut read = [0_u8; 4096];
    while rustix::io::read(events, &mut read[..]).is_ok_and(|bytes| bytes > 0) {}
    Ok(true)
}

/// What was set, and what was refused.
fn changes_of(done: &PodBudgets) -> (Vec<Change>, Vec<Change>) {
    let set = done.settings.iter().map(|setting| Change::set(&setting.file, &setting.found));
    let refused = done.refused.iter().map(|error| Change::refused(Path::new("real-time budget"), error));
    (set.collect(), refused.collect())
}

fn tell(changes: &[Change], json: bool) {
    for change in changes {
        match serde_json::to_string(change) {
            Ok(line) if json => println!("{line}"),
            _ => println!("{change}"),
        }
    }
}

/// Room for datagrams. The settings belong to the machine: a container with a network of its own does not see
/// them.
fn socket_buffers(proc: &Path) -> Vec<Change> {
    let files = ["rmem_max", "wmem_max"].map(|name| proc.join("sys/net/core").join(name));
    let raised = files.into_iter().filter_map(|file| {
        let now: u64 = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        if now >= SOCKET_BUFFER_BYTES {
            return None;
        }
        let wanted = SOCKET_BUFFER_BYTES.to_string();
        Some(match fs::write(&file, &wanted) {
            Ok(()) => Change::set(&file, &wanted),
            Err(error) => Change::refused(&file, &error),
        })
    });
    raised.collect()
}

/// Interrupts off the isolated cores, as far as each device lets its own be moved.
fn interrupts(proc: &Path, cores: &Path) -> Vec<Change> {
    let read = |name: &str| fs::read_to_string(cores.join(name)).unwrap_or_default();
    let set = |text: &str| CoreSet::parse(text).unwrap_or_default();
    let (isolated, online) = (set(&read("isolated")), set(&read("online")));
    if isolated.is_empty() {
        return Vec::new();
    }
    let mut others = CoreSet::EMPTY;
    for core in online.iter().filter(|core| !isolated.contains(*core)) {
        others.insert(core);
    }
    let Ok(entries) = fs::read_dir(proc.join("irq")) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path().join("smp_affinity_list"));
    let moved = files.filter_map(|file| {
        let serves = set(&fs::read_to_string(&file).ok()?);
        if serves.iter().all(|core| !isolated.contains(core)) {
            return None;
        }
        let wanted = others.to_string();
        // Many cannot be moved: those of each core's own timer. That is no fault of the node.
        fs::write(&file, &wanted).ok().map(|()| Change::set(&file, &wanted))
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_raised_and_never_lowered() {
        let proc = tempfile::tempdir().unwrap();
        let core = proc.path().join("sys/net/core");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("rmem_max"), "212992\n").unwrap();
        fs::write(core.join("wmem_max"), "16777216\n").unwrap();
        let changes = socket_buffers(proc.path());
        assert_eq!(changes, [Change::set(&core.join("rmem_max"), "8388608")]);
        assert_eq!(fs::read_to_string(core.join("wmem_max")).unwrap(), "16777216\n");
    }

    #[test]
    fn interrupts_leave_isolated_cores_alone() {
        let root = tempfile::tempdir().unwrap();
        let (cores, irq) = (root.path().join("cpu"), root.path().join("irq/7"));
        fs::create_dir_all(&cores).unwrap();
        fs::create_dir_all(&irq).unwrap();
        fs::write(cores.join("online"), "0-3\n").unwrap();
        fs::write(irq.join("smp_affinity_list"), "0-3\n").unwrap();
        fs::write(cores.join("isolated"), "\n").unwrap();
        assert_eq!(interrupts(root.path(), &cores), [], "nothing is isolated");
        fs::write(cores.join("isolated"), "2-3\n").unwrap();
        let changes = interrupts(root.path(), &cores);
        assert_eq!(changes, [Change::set(&irq.join("smp_affinity_list"), "0-1")]);
        assert_eq!(interrupts(root.path(), &cores), [], "it is done");
    }

    #[test]
    fn a_share_lies_between_nothing_and_all() {
        assert_eq!(share("0.4"), Ok(0.4));
        for wrong in ["0", "1", "-0.1", "1.5", "much", "NaN"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
