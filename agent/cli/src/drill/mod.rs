//! `takt drill`: does a fault to a pair, again and again, and measures at the devices what came of it.
//!
//! # Model
//!
//! The pair is a black box. The drill knows of it what the simulator's write log shows, which is what the
//! turbines saw, and what the nodes say at their admin sockets about who is active; the verdict rests on
//! the log alone. Each trial waits until the pair is whole, does the fault at a random phase, watches,
//! heals, and is counted whatever came of it.
//!
//! # Map
//!
//! - [`fault`]: the faults, and the one table of what is promised in each.
//! - [`lab`], [`network`], [`site`]: a site of its own in network namespaces.
//! - [`inject`], [`admin`]: doing things to nodes.
//! - [`failover_witness`]: what the devices saw.
//! - [`latency_tests_harness::stalls`]: what the host is to blame for.
//! - [`trial`], [`report`]: one trial, and all of them.

mod admin;
mod fault;
mod inject;
mod lab;
mod network;
mod report;
mod rig;
mod site;
mod stats;
mod trial;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hal_linux_rt::clock::now;
use hal_linux_rt::signal::{Signal, Signals};
use latency_tests_harness::load::Load as MachineLoad;
use latency_tests_harness::stalls::HostProbe;

use crate::demo::DemoError;
use failover_witness::evidence::Evidence;
use failover_witness::write_log::LogReader;
use fault::Fault;
use lab::{Lab, Plant};
use report::{Circumstances, Report};
use rig::Rig;
use sim_lab::commands::{CommandsError, Destination, Load};
use sim_lab::site::Law;
use site::PairOptions;
use trial::Bench;

/// The nodes start, read the arbiter and settle who is active.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Without a terminal a line of progress for so many trials.
const PROGRESS_EVERY: u32 = 10;

/// Do a fault to a pair and measure the takeover at the turbines.
///
/// Starts a site of its own: two agents, a simulated plant and a broker in network namespaces of their
/// own, all removed at the end. Needs root. Or works on a pair that runs: give both admin sockets and the
/// simulator's write log.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What to do to the pair.
    #[arg(long, value_enum, value_name = "NAME")]
    fault: Fault,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: u32,
    /// Write the findings with every trial to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Turbines of the drill's own site, 1 to 200.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(site::TURBINES_MAX)))]
    turbines: u16,
    /// Seed of the phases at which the fault is done, and of the plant.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Wind of the drill's own site, as `takt-sim serve` takes it.
    #[arg(long, value_name = "SPEC", default_value = "turb:14:10")]
    wind: String,
    /// Devices without function code 23: the arbiter is written first and read second.
    #[arg(long)]
    no_fc23: bool,
    /// The law that drives the turbines of the drill's own site in operation.
    #[arg(long, value_enum, default_value_t = Law::Baseline)]
    law: Law,
    /// The kernel's lease gate: required, preferred or off.
    #[arg(long, value_name = "WISH", default_value = "preferred", value_parser = ["required", "preferred", "off"])]
    gate: String,
    /// Load the machine meanwhile: processor, memory and disk, by the program stress-ng.
    #[arg(long)]
    stress: bool,
    /// Send no commands meanwhile.
    #[arg(long)]
    no_commands: bool,
    /// Admin sockets of both nodes of a pair that runs.
    #[arg(long, num_args = 2, value_names = ["SOCKET_A", "SOCKET_B"], requires = "write_log")]
    sockets: Option<Vec<PathBuf>>,
    /// The file of `takt-sim serve --write-log` of the plant that it drives.
    #[arg(long, value_name = "FILE", requires = "sockets")]
    write_log: Option<PathBuf>,
    /// Keep configurations, logs and the write log of the drill's own site in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Faults, what is promised, and the limits in milliseconds at the slowest device:
  kill      the active node's process crashes            takeover, p99 < 25, max < 60
  stop      it is stopped, and goes on after 0.5 s       takeover, max < 60
  starve    a real-time thread takes its core for 0.5 s  takeover, max < 60
  power     the active node is gone                      takeover, max < 60
  field     the active node is cut from the turbines     takeover, max < 60
  rejoin    the active node dies and comes back          takeover, max < 60; then nothing moves
  planned   a switchover is asked for                    takeover, max < 25, bump < 0.5 % of span
  flap      ten switchovers are asked for in 1.5 s       some are refused; each as planned
  link1     one of the two links is cut                  nothing moves
  links     both links are cut                           nothing moves
  oneway    both links carry one direction only          nothing moves
  arbiter   neither node reaches the arbiter's device    nothing moves
  peer      the standby crashes                          nothing moves
  clock     the machine's wall clock jumps 5 s for 0.1 s nothing moves
  none      nothing, for 10 s                            nothing moves

In every drill: no write of an older epoch is carried out after one of a newer, no command that was
accepted is lost or executed twice.

A takeover is measured where it matters: from the last write of the old term that a turbine carried out to
the first of the new one, at the slowest turbine. It contains the cycle of 10 ms that lies between two
writes anyway. Virtual machines stand still for milliseconds now and then; a probe on each core, above
everything else, sees that, and limits are applied without it. Both figures are shown.

Examples:
  takt drill --fault kill --trials 300 --json kill.json
  takt drill --fault none --trials 180 --stress        (half an hour under load)
  takt drill --fault planned --trials 50 --turbines 20 --wind eog:18
  takt drill --fault stop --trials 20 --sockets /run/a.sock /run/b.sock --write-log writes.csv

Exit codes:
  0  every promise was kept
  1  a promise was broken; the last lines say which
  2  wrong usage
  3  the drill could not be carried out, or was interrupted";

/// Why a drill could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrillError {
    /// A program of the site.
    #[error("{0}")]
    Program(#[from] DemoError),
    /// A file of the site.
    #[error("{0}")]
    Site(#[from] sim_lab::site::FileError),
    /// A file.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        why: String,
    },
    /// The namespaces, cables and processes of the site.
    #[error("{0}")]
    Lab(#[from] sim_lab::LabError),
    /// The write log.
    #[error("{0}")]
    Log(#[from] failover_witness::LogError),
    /// A node does not answer as it should.
    #[error("node {node}: {why}")]
    Node {
        /// Which.
        node: &'static str,
        /// What happened.
        why: String,
    },
    /// A fault that cannot be done here.
    #[error("{why}")]
    Impossible {
        /// Why not.
        why: String,
    },
    /// The commands.
    #[error("{0}")]
    Commands(#[from] CommandsError),
    /// Signals.
    #[error("signals cannot be watched: {0}")]
    Signals(#[from] hal_linux_rt::CallError),
    /// The user's wish.
    #[error("interrupted")]
    Interrupted,
}

/// One of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    fn pick<T>(self, a: T, b: T) -> T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    const fn of<T>(self, [a, b]: &[T; 2]) -> &T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    const fn of_mut<T>(self, [a, b]: &mut [T; 2]) -> &mut T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

/// Runs the drill.
pub(crate) fn run(arguments: &Args) -> ExitCode {
    match drill(arguments) {
        Ok((report, interrupted)) => {
            print!("{}", report.text());
            match (interrupted, report.broken.is_empty()) {
                (true, _) => ExitCode::from(3),
                (false, true) => ExitCode::SUCCESS,
                (false, false) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("takt drill: {error}");
            ExitCode::from(3)
        }
    }
}

/// The findings, and whether the drill was interrupted.
fn drill(arguments: &Args) -> Result<(Report, bool), DrillError> {
    let signals = Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt, Signal::HangUp])?;
    let mut go_on = move || match signals.take()? {
        Some(_) => Err(DrillError::Interrupted),
        None => Ok(()),
    };
    let temporary = tempfile::tempdir().map_err(|error| DrillError::File {
        path: std::env::temp_dir().display().to_string(),
        why: error.to_string(),
    })?;
    let folder = arguments.keep.as_deref().unwrap_or(temporary.path());
    let mut rig = rig(arguments, folder)?;
    let (report, interrupted) = campaign(arguments, &mut rig, &mut go_on)?;
    if let Some(path) = &arguments.json {
        write_json(path, &report)?;
    }
    Ok((report, interrupted))
}

fn rig(arguments: &Args, folder: &Path) -> Result<Rig, DrillError> {
    if let (Some([a, b]), Some(write_log)) = (arguments.sockets.as_deref(), &arguments.write_log) {
        if arguments.fault.needs_lab() {
            let why = format!("--fault {} needs the drill's own site", arguments.fault.name());
            return Err(DrillError::Impossible { why });
        }
        return Ok(Rig::running([a.clone(), b.clone()], write_log));
    }
    let folder = &sim_lab::site::folder(folder).map_err(|error| DrillError::File {
        path: error.path.display().to_string(),
        why: error.error.to_string(),
    })?;
    let wishes = ["required", "preferred", "off"];
    let gate = wishes.into_iter().find(|wish| *wish == arguments.gate).unwrap_or("preferred");
    let function = if arguments.no_fc23 { "fc6" } else { "fc23" };
    let pair = PairOptions { turbines: arguments.turbines, law: arguments.law, function, gate };
    // The hog would take the core from the turbines too, and the load is meant for the nodes.
    let undisturbed = arguments.fault == Fault::Starve || arguments.stress;
    let plant = Plant { wind: &arguments.wind, seed: arguments.seed, undisturbed, pair };
    Lab::start(folder, &plant).map(Rig::of_lab)
}

/// All trials. An interruption ends them early; what was found until then is reported.
fn campaign(
    arguments: &Args,
    rig: &mut Rig,
    go_on: &mut dyn FnMut() -> Result<(), DrillError>,
) -> Result<(Report, bool), DrillError> {
    let mut evidence = Evidence::new(LogReader::open(&rig.write_log)?);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let host = HostProbe::start(cores);
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let first = rig.whole(
        READY_WITHIN,
        |_| Ok(()),
        || {
            evidence.take()?;
            go_on()
        },
    )?;
    let first = first.map_err(|why| DrillError::Impossible { why })?;
    let profile = profile(&first);
    let stress = arguments
        .stress
        .then(|| MachineLoad::start("all"))
        .transpose()
        .map_err(|error| DrillError::Impossible { why: error.to_string() })?;
    let load = start_commands(arguments, rig)?;
    let mut accounted_ns = 0;
    let (mut trials, mut interrupted) = (Vec::new(), false);
    for number in 1..=arguments.trials {
        let mut bench = Bench {
            rig,
            evidence: &mut evidence,
            host: &host,
            random: &mut random,
            go_on,
            accounted_ns: &mut accounted_ns,
        };
        match trial::run(&mut bench, arguments.fault, number) {
            Ok(trial) => {
                progress(&trial, arguments.trials);
                trials.push(trial);
            }
            Err(DrillError::Interrupted) => {
                interrupted = true;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    // A node that came back last must have joined and moved nothing, too.
    let within = if interrupted { Duration::from_secs(2) } else { READY_WITHIN };
    let last = rig.whole(within, |_| Ok(()), || Ok(evidence.take()?))?;
    let moved = evidence.terms_between(accounted_ns, now().as_nanos());
    let commands = load.map(Load::end).transpose()?;
    evidence.take()?;
    let circumstances = Circumstances {
        fault: arguments.fault,
        trials_asked: arguments.trials,
        seed: arguments.seed,
        turbines: arguments.turbines,
        profile,
        dual_writes: evidence.dual.count,
        fenced_off: evidence.fenced_off,
        log_missing: evidence.missing,
        moved_at_the_end: u32::try_from(moved).unwrap_or(u32::MAX),
        broken_at_the_end: last.err().map(|why| format!("after the last trial: {why}")),
        commands,
        stress: stress.as_ref().map(|load| load.words().to_owned()),
        host_probe_blind: host.blind.clone(),
    };
    Ok((Report::new(circumstances, trials), interrupted))
}

/// `fenced` if both nodes are; else what the first says that is not.
fn profile(pair: &inject::Pair) -> String {
    let profiles = pair.standings.iter().map(|standing| standing.profile.as_str());
    profiles.clone().find(|profile| *profile != "fenced").unwrap_or("fenced").to_owned()
}

fn start_commands(arguments: &Args, rig: &Rig) -> Result<Option<Load>, DrillError> {
    // The broker of a pair that runs is not known here.
    let Some(lab) = rig.lab.as_ref().filter(|_| !arguments.no_commands) else { return Ok(None) };
    let destination = Destination {
        broker: format!("mqtt://{}", site::BROKER),
        site: site::SITE.to_owned(),
        units: (0..arguments.turbines).map(site::unit_name).collect(),
        issuer: "takt-drill",
        namespace: Some(lab.field_namespace()),
    };
    Ok(Some(Load::start(destination)?))
}

fn progress(trial: &trial::Trial, of: u32) {
    let mut error = std::io::stderr();
    if error.is_terminal() || of <= PROGRESS_EVERY || trial.trial.is_multiple_of(PROGRESS_EVERY) {
        let _ = writeln!(error, "[{} of {of}] {}", trial.trial, trial.line());
    }
}

fn write_json(path: &Path, report: &Report) -> Result<(), DrillError> {
    let failed = |why: String| DrillError::File { path: path.display().to_string(), why };
    let json = serde_json::to_string_pretty(report).map_err(|error| failed(error.to_string()))?;
    std::fs::write(path, json + "\n").map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn the_help_names_every_fault() {
        for fault in Fault::value_variants() {
            let line = format!("\n  {:<10}", fault.name());
            assert!(AFTER_HELP.contains(&line), "{} is missing in the help", fault.name());
        }
    }
}
