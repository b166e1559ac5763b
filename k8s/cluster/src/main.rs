//! `takt-cluster`: a real two-node Kubernetes cluster on one machine, with the pair as pods, measured at the devices.
//!
//! # Problem
//!
//! That a pair fails over in milliseconds between two processes says little of two pods: there a kubelet, a
//! container runtime, a CPU manager and an API server have a say, and each of them dies now and then.
//!
//! # Model
//!
//! Two nodes, a control plane and a plant are network namespaces of this machine; everything that runs in them is
//! the real thing, compiled from its own modules: etcd, API server, controllers, scheduler, kubelet, containerd,
//! runc, helm. Takt comes into it as to its users: prepared nodes, the chart, a configuration map. Then things are
//! done to the cluster, and the verdict rests on the simulator's write log, which is what the devices saw.
//!
//! # Map
//!
//! - [`network`], [`control_plane`], [`node`], [`image`], [`plant`]: what the cluster is made of.
//! - [`kubectl`], [`deployment`], [`pair`], [`sidecars`]: Takt in it.
//! - [`processes`]: the same without nodes: API server, and agents and sidecars as plain processes.
//! - [`plans`], [`faults`], [`kills`]: what is done.
//! - [`report`]: what was found.

mod cluster;
mod control_plane;
mod deployment;
mod faults;
mod image;
mod kills;
mod kubectl;
mod network;
mod node;
mod pair;
mod plans;
mod plant;
mod processes;
mod report;
mod sidecars;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use failover_witness::evidence::Evidence;
use failover_witness::takeover::Gaps;
use failover_witness::write_log::LogReader;
use hal_linux_rt::thread::pin_current_thread;
use latency_tests_harness::stalls::HostProbe;

use cluster::{Cluster, Interruption, Parts};
use faults::{Fault, Todo, Trial};
use pair::PodFacts;
use plans::{PlanFindings, Planner};
use processes::Processes;
use report::{Report, Takt, line};
use sidecars::SidecarFacts;

/// A real two-node Kubernetes cluster with the pair as pods, measured at the devices
///
/// Starts etcd, API server, controllers, scheduler, and two nodes with kubelet and containerd in network
/// namespaces, a simulated plant beside them, installs the chart, applies plans, does things to the cluster, and
/// removes all that it started. Needs root. `cargo xtask cluster` builds what it needs and runs it.
#[derive(Debug, Parser)]
#[command(name = "takt-cluster", version, after_help = AFTER_HELP)]
struct Arguments {
    /// Turbines
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(network::TURBINES_MAX)))]
    turbines: u16,
    /// Vehicles that speak VDA 5050
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(0..=1000))]
    agvs: u16,
    /// Plans to apply
    #[arg(long, value_name = "N", default_value_t = 100)]
    plans: u32,
    /// Leave the nodes out: API server and etcd alone, the pair and its sidecars as plain processes; nothing is done to
    /// them but plans. Needs neither root nor containerd
    #[arg(long, conflicts_with_all = ["fault", "image"])]
    api_only: bool,
    /// What to do, in this order [default: all]
    #[arg(long, value_enum, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// How often each
    #[arg(long, value_name = "N", default_value_t = 1)]
    trials: u32,
    /// Kills of a sidecar in each trial of `sidecar`
    #[arg(long, value_name = "N", default_value_t = 20)]
    kills: u32,
    /// Send no commands during faults
    #[arg(long)]
    no_commands: bool,
    /// Seed of the plant, and of the moments of kills
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Write the findings to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep configurations and logs in this folder; a short path, sockets lie in it
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Leave the cluster running until Ctrl-C, and say how to look into it
    #[arg(long)]
    stay: bool,
    /// Folder of etcd, kube-apiserver, kubelet, containerd, helm and the rest
    #[arg(long, value_name = "FOLDER", env = "TAKT_CLUSTER_PROGRAMS")]
    programs: PathBuf,
    /// Folder of takt-agent, takt-sidecar and takt, linked statically, for the image
    #[arg(long, value_name = "FOLDER", env = "TAKT_CLUSTER_IMAGE", required_unless_present = "api_only")]
    image: Option<PathBuf>,
    /// The folder k8s of the checkout
    #[arg(long, value_name = "FOLDER", default_value = "k8s")]
    sources: PathBuf,
}

const AFTER_HELP: &str = "\
Examples:
  cargo xtask cluster --json cluster.json
  cargo xtask cluster --api-only --plans 20
  cargo xtask cluster --plans 0 --fault cut-off --trials 20
  cargo xtask cluster --plans 1000 --fault none
  cargo xtask cluster --plans 0 --fault none --fault sidecar --kills 1000
  cargo xtask cluster --plans 0 --fault none --stay

Exit codes:
  0  every promise was kept
  1  a promise was broken; the last lines say which
  2  wrong usage
  3  the cluster could not be built, or was interrupted";

/// Why there is no finding.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// Namespaces and programs.
    #[error("{0}")]
    Lab(#[from] sim_lab::LabError),
    /// Commands.
    #[error("{0}")]
    Commands(#[from] sim_lab::commands::CommandsError),
    /// The devices' log.
    #[error("{0}")]
    Log(#[from] failover_witness::LogError),
    /// A file.
    #[error("{path}: {why}", path = path.display())]
    File { path: PathBuf, why: String },
    /// kubectl, helm, ctr.
    #[error("{command}: {why}")]
    Tool { command: String, why: String },
    /// An agent that does not answer as it should.
    #[error("the agent in {pod}: {why}")]
    Agent { pod: String, why: String },
    /// Something that does not come.
    #[error("{what} did not come: {why}")]
    Late { what: String, why: String },
    /// This machine.
    #[error("{why}")]
    Machine { why: String },
    /// Nobody drives the devices.
    #[error("no device was written to before the fault")]
    NoWrites,
    /// The user's wish.
    #[error("interrupted")]
    Interrupted,
}

impl ClusterError {
    pub(crate) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), why: error.to_string() }
    }

    pub(crate) fn late(what: &str, limit: Duration) -> Self {
        Self::Late { what: what.to_owned(), why: format!("not within {limit:?}") }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            print!("{}", report.text());
            ExitCode::from(u8::from(!report.broken.is_empty()))
        }
        Err(error) => {
            eprintln!("takt-cluster: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, ClusterError> {
    if arguments.api_only {
        return without_nodes(arguments);
    }
    let signals = Interruption::watch()?;
    // As on a node whose cores are isolated: all but the agents keeps to the first core. What is started inherits
    // it, but for containers, which get their cores from the kubelet.
    pin_current_thread(0).map_err(|error| ClusterError::Machine { why: error.to_string() })?;
    let begin = Instant::now();
    let tell = |what: &str| eprintln!("[{:>4.0} s] {what}", begin.elapsed().as_secs_f64());
    let temporary = tempfile::Builder::new()
        .prefix("takt-cluster-")
        .tempdir()
        .map_err(|error| ClusterError::Machine { why: format!("a temporary folder: {error}") })?;
    let folder = arguments.keep.as_deref().unwrap_or(temporary.path());
    let mut cluster = Cluster::start(folder, parts(arguments)?, signals, &tell)?;
    let mut evidence = Evidence::new(LogReader::open(&cluster.write_log())?);
    let pair = cluster.whole(&mut evidence)?;
    tell("the pair is whole");
    let kubectl = cluster.plane.kubectl();
    let pods = vec![PodFacts::of(&pair.active, &kubectl)?, PodFacts::of(&pair.standby, &kubectl)?];
    let plans = if arguments.plans == 0 {
        PlanFindings::default()
    } else {
        let doors = [pair.active.door(), pair.standby.door()];
        let (kubeconfig, turbines) = (cluster.plane.kubeconfig(), cluster.turbines());
        let planner = Planner::new(&kubeconfig, turbines, doors.each_ref())?;
        plans::run(planner, doors.each_ref(), arguments.plans, &mut || cluster.check(), &tell)?
    };
    let leads = arguments.agvs > 0;
    let sidecars = vec![
        SidecarFacts::of(&pair.active, leads, &kubectl)?,
        SidecarFacts::of(&pair.standby, false, &kubectl)?,
    ];
    let trials = campaign(arguments, &mut cluster, &mut evidence, &tell)?;
    let takt = Takt { turbines: arguments.turbines, vehicles: arguments.agvs, pods, sidecars };
    let report = Report::new(takt, plans, trials);
    keep(&report, arguments.json.as_deref())?;
    if arguments.stay {
        stay(&mut cluster, &report)?;
    }
    tell("removing the cluster");
    Ok(report)
}

/// Writes the report as JSON, if that is wanted.
fn keep(report: &Report, path: Option<&Path>) -> Result<(), ClusterError> {
    let Some(path) = path else { return Ok(()) };
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| ClusterError::Machine { why: error.to_string() })?;
    std::fs::write(path, json + "\n").map_err(ClusterError::file(path))
}

/// Plans through a real API server to a pair of plain processes.
fn without_nodes(arguments: &Arguments) -> Result<Report, ClusterError> {
    let signals = Interruption::watch()?;
    let begin = Instant::now();
    let tell = |what: &str| eprintln!("[{:>4.0} s] {what}", begin.elapsed().as_secs_f64());
    let temporary = tempfile::Builder::new()
        .prefix("takt-api-")
        .tempdir()
        .map_err(|error| ClusterError::Machine { why: format!("a temporary folder: {error}") })?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(ClusterError::file(path));
    let folder = absolute(arguments.keep.as_deref().unwrap_or(temporary.path()))?;
    let (programs, sources) = (absolute(&arguments.programs)?, absolute(&arguments.sources)?);
    let size = plant::Size { turbines: arguments.turbines, vehicles: arguments.agvs, seed: arguments.seed };
    let mut processes = Processes::start(&folder, &programs, &sources, size, signals, &tell)?;
    let doors = processes.whole()?;
    tell("the pair is whole");
    let plans = if arguments.plans == 0 {
        PlanFindings::default()
    } else {
        let planner = Planner::new(&processes.kubeconfig(), arguments.turbines, doors.each_ref())?;
        plans::run(planner, doors.each_ref(), arguments.plans, &mut || processes.check(), &tell)?
    };
    let (pods, sidecars) = (Vec::new(), Vec::new());
    let takt = Takt { turbines: arguments.turbines, vehicles: arguments.agvs, pods, sidecars };
    let report = Report::new(takt, plans, Vec::new());
    keep(&report, arguments.json.as_deref())?;
    if arguments.stay {
        print!("{}", report.text());
        println!(
            "\nall stays until Ctrl-C; look into it with\n  KUBECONFIG={}",
            processes.kubeconfig().display()
        );
        while !matches!(processes.check(), Err(ClusterError::Interrupted)) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    tell("ending all");
    Ok(report)
}

fn parts(arguments: &Arguments) -> Result<Parts, ClusterError> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(ClusterError::file(path));
    let image = absolute(arguments.image.as_deref().unwrap_or(Path::new("")))?;
    let image: Vec<PathBuf> = ["takt-agent", "takt-sidecar", "takt"].map(|name| image.join(name)).to_vec();
    for program in &image {
        if !program.is_file() {
            let why = "is not there; `cargo xtask cluster` builds it".to_owned();
            return Err(ClusterError::File { path: program.clone(), why });
        }
    }
    Ok(Parts {
        programs: absolute(&arguments.programs)?,
        image,
        sources: absolute(&arguments.sources)?,
        turbines: arguments.turbines,
        vehicles: arguments.agvs,
        seed: arguments.seed,
    })
}

/// All trials; each kind is preceded by what the same time looks like without a fault.
fn campaign(
    arguments: &Arguments,
    cluster: &mut Cluster,
    evidence: &mut Evidence,
    tell: &dyn Fn(&str),
) -> Result<Vec<Trial>, ClusterError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let host = HostProbe::start(cores);
    let all = Fault::value_variants().to_vec();
    let faults = if arguments.fault.is_empty() { all } else { arguments.fault.clone() };
    let todo = Todo { kills: arguments.kills, commands: !arguments.no_commands };
    let (mut trials, mut usual) = (Vec::new(), None::<Gaps>);
    for _ in 0..arguments.trials {
        for fault in &faults {
            let trial = faults::run(cluster, evidence, &host, &todo, *fault, usual.as_ref())?;
            tell(&line(&trial, *fault));
            if *fault == Fault::None {
                let before = usual.unwrap_or_default();
                usual = Some(Gaps {
                    count: before.count + trial.gaps.count,
                    late: before.late + trial.gaps.late,
                    max_ms: before.max_ms.max(trial.gaps.max_ms),
                });
            }
            trials.push(trial);
        }
    }
    Ok(trials)
}

/// Leaves the cluster running until the user has seen enough.
fn stay(cluster: &mut Cluster, report: &Report) -> Result<(), ClusterError> {
    print!("{}", report.text());
    println!(
        "\nthe cluster stays until Ctrl-C; look into it with\n  nsenter --net={} env KUBECONFIG={} kubectl get pods -A -o wide",
        cluster.network.plane().display(),
        cluster.plane.kubeconfig().display()
    );
    loop {
        match cluster.check() {
            Ok(()) => std::thread::sleep(Duration::from_millis(200)),
            Err(ClusterError::Interrupted) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
