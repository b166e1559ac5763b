//! `takt demo`: a simulated site with a real agent on loopback.
//!
//! Processes as in the field: `takt-sim` serves the turbines over Modbus TCP, each on a port of its own, and
//! the broker unless one is given; two `takt-agent`s are a hot-standby pair that runs the loops. An
//! operator's script sends a few commands over MQTT, so that the table has something to show; anybody else
//! may send more, and Enter kills the active agent.

mod centre;
mod fleet;
mod nodes;
mod operator;
pub(crate) mod site;
mod summary;
mod takeover;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use agent_status::Report;
use hal_linux_rt::signal::{Signal, Signals};
use serde::Deserialize;
use serde_json::json;
use sim_lab::process::{EndBy, Process};

use crate::view::View;
use fleet::DemoFleet;
use nodes::Nodes;
use operator::Operator;
use sim_lab::commander::{CommanderError, mosquitto_pub};
use sim_lab::site::Law;
use takeover::Takeovers;

/// Waiting for a child to be ready: on an emulated machine it takes longer than one would think. One that ends is seen at once.
const READY_WITHIN: Duration = Duration::from_secs(60);
const SIMULATOR_ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Without a terminal, a line so often.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Run a simulated site with a real agent.
///
/// Control loops at 100 Hz over Modbus TCP and a fleet of vehicles over VDA 5050 and Modbus, by a hot-standby pair of agents,
/// commands over MQTT, all on loopback. Enter, or --kill-after, kills the active agent and shows the takeover.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Turbines to simulate, 1 to 200.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    turbines: u16,
    /// What controls the turbines in operation.
    #[arg(long, value_enum, default_value_t = Law::Takt)]
    law: Law,
    /// Vehicles, 0 to 500.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=500))]
    agvs: u16,
    /// Of the vehicles, so many hang on Modbus, and the others speak VDA 5050.
    #[arg(long, value_name = "N", default_value_t = 4)]
    modbus_agvs: u16,
    /// How long messages are on their way between a vehicle and the broker, each way.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    radio_delay_ms: u32,
    /// The probability that a message between a vehicle and the broker is lost.
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability)]
    radio_loss: String,
    /// Seconds to run before the plant is brought to rest; without it, until Ctrl-C.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(5..=86_400))]
    seconds: Option<u32>,
    /// Wind: const:V, steps:V1,V2,...:SECONDS, eog:V, turb:MEAN:INTENSITY_PERCENT, or a file.
    #[arg(long, value_name = "SPEC", default_value = "turb:14:10")]
    wind: String,
    /// Seed of turbulence and sensor noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the summary's figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use this broker, as mqtt://HOST:PORT, instead of the embedded one.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Keep configuration, logs and reports in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Kill the active agent after so many seconds, and print the takeover as the turbines saw it.
    #[arg(long, value_name = "S", conflicts_with = "alone", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    kill_after: Option<u32>,
    /// Run one agent instead of a pair.
    #[arg(long)]
    alone: bool,
}

const AFTER_HELP: &str = "The turbines are simulated: NREL 5-MW reference turbines behind Modbus TCP servers of \
their own. Everything else is what runs in the field.\n\n\
Exit codes:\n  \
    0  the demo ran, every device was served, the plant came to rest\n  \
    1  a process failed, a device starved, or the plant did not come to rest\n  \
    2  wrong usage";

impl Args {
    /// Vehicles on Modbus; of a small fleet, not more than there are.
    fn modbus_agvs(&self) -> u16 {
        self.modbus_agvs.min(self.agvs)
    }
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A program that does not do what it should.
    #[error("{name}: {why}")]
    Start {
        /// The program.
        name: &'static str,
        /// What happened.
        why: String,
    },
    /// A file.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// A child process.
    #[error("{0}")]
    Process(#[from] sim_lab::LabError),
    /// A file of the site.
    #[error("{0}")]
    Site(#[from] sim_lab::site::FileError),
    /// Signals.
    #[error("signals cannot be watched: {0}")]
    Signals(#[from] hal_linux_rt::CallError),
    /// The operator's script.
    #[error("{0}")]
    Operator(#[from] CommanderError),
}

/// What the simulator says when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    turbines: Vec<ReadyTurbine>,
    broker: Option<SocketAddr>,
}

#[derive(Debug, Deserialize)]
struct ReadyTurbine {
    address: SocketAddr,
}

/// Runs the demo.
pub(crate) fn run(arguments: &Args) -> ExitCode {
    match demonstrate(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("takt demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(arguments: &Args) -> Result<ExitCode, DemoError> {
    let signals = Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt])?;
    let temporary;
    let kept;
    let folder = match &arguments.keep {
        Some(folder) => {
            kept = sim_lab::site::folder(folder)?;
            kept.as_path()
        }
        None => {
            temporary = tempfile::tempdir()
                .map_err(|error| DemoError::File { path: std::env::temp_dir(), why: error.to_string() })?;
            temporary.path()
        }
    };
    let (simulator, ready) = start_simulator(arguments, folder)?;
    let broker = match (&arguments.broker, ready.broker) {
        (Some(broker), _) => broker.clone(),
        (None, Some(address)) => format!("mqtt://{address}"),
        (None, None) => {
            return Err(DemoError::Start { name: "takt-sim", why: "started no broker".to_owned() });
        }
    };
    let addresses: Vec<SocketAddr> = ready.turbines.iter().map(|turbine| turbine.address).collect();
    let mut fleet = DemoFleet::start(folder, &broker, arguments)?;
    let drives = fleet.as_ref().map(DemoFleet::drives).unwrap_or_default();
    let vehicles = (arguments.agvs - arguments.modbus_agvs(), drives);
    let nodes = Nodes::start(folder, (&addresses, arguments.law), &broker, vehicles, arguments.alone)?;
    introduce(&broker, &nodes, folder, arguments);
    let operator = Operator::start(&broker, addresses.len(), arguments.seconds)?;
    let takeovers = Takeovers::watch(&write_log(folder))?;
    if let Some(fleet) = &mut fleet {
        fleet.begin(&broker)?;
    }
    let mut show = Show { nodes, simulator, operator, takeovers, fleet, keys: keys() };
    let watched = show.watch(arguments, &signals);
    println!("\nbringing the plant to rest ...");
    let Show { nodes, mut simulator, operator, takeovers, fleet, .. } = show;
    let sent = operator.end();
    let ended = nodes.end();
    let vehicles = fleet.map(DemoFleet::end).transpose()?;
    simulator.end(SIMULATOR_ENDS_WITHIN)?;
    watched?;
    let (report, at_rest) = ended?;
    let truth = std::fs::read_to_string(folder.join("truth.json")).unwrap_or_default();
    let verdict = summary::print(&report, &sent, &takeovers.seen, vehicles.as_ref(), at_rest);
    if let Some(json) = &arguments.json {
        let seen = summary::Seen { sent: &sent, takeovers: &takeovers.seen, vehicles: vehicles.as_ref() };
        summary::write(json, &report, &seen, &truth, arguments)?;
    }
    Ok(if verdict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn probability(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=0.99).contains(&value) => Ok(text.to_owned()),
        _ => Err("give a probability from 0 to 0.99".to_owned()),
    }
}

fn write_log(folder: &Path) -> PathBuf {
    folder.join("writes.log")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn start_simulator(arguments: &Args, folder: &Path) -> Result<(Process, Ready), DemoError> {
    let ports_file = folder.join("ports.json");
    let _ = std::fs::remove_file(&ports_file);
    let (turbines, seed) = (arguments.turbines.to_string(), arguments.seed.to_string());
    let (ports, truth) = (text(&ports_file), text(&folder.join("truth.json")));
    let writes = text(&write_log(folder));
    let mut options = vec![
        "serve",
        "--turbines",
        &turbines,
        "--wind",
        &arguments.wind,
        "--seed",
        &seed,
        "--ports-file",
        &ports,
        "--json",
        &truth,
        "--until-stdin-closes",
        "--arbiter",
        "1",
        "--connections-max",
        "8",
        "--write-log",
        &writes,
    ];
    if arguments.broker.is_none() {
        options.extend(["--broker", "127.0.0.1:0"]);
    }
    let mut simulator =
        Process::start("takt-sim", &options, EndBy::ClosingStandardInput, &folder.join("simulator.log"))?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        simulator.check()?;
        if let Ok(json) = std::fs::read_to_string(&ports_file) {
            let ready = serde_json::from_str(&json)
                .map_err(|error| DemoError::File { path: ports_file.clone(), why: error.to_string() })?;
            return Ok((simulator, ready));
        }
        if Instant::now() > deadline {
            return Err(DemoError::Start { name: "takt-sim", why: format!("not ready in {READY_WITHIN:?}") });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn introduce(broker: &str, nodes: &Nodes, folder: &Path, arguments: &Args) {
    for socket in nodes.sockets() {
        println!("agent:  takt status --socket {}", socket.display());
    }
    println!("broker: {broker}");
    println!(
        "        {}",
        mosquitto_pub(broker, site::SITE, "WT01", "derate", &json!({ "power_limit_kw": 2000 }))
    );
    println!("        {}", mosquitto_pub(broker, site::SITE, "WT01", "stop", &json!({})));
    let key = folder.join(centre::PRIVATE_KEY);
    println!("plans:  takt plan sign examples/demo-plan.toml --key {} --output plan.json", key.display());
    for socket in nodes.plan_sockets() {
        println!("        takt plan publish plan.json --socket {}", socket.display());
    }
    if arguments.keep.is_some() {
        println!("files:  {}", folder.display());
    }
    println!();
}

/// Lines from the terminal, if there is one: each stands for a pressed Enter.
fn keys() -> Option<Receiver<()>> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let (pressed, keys) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || pressed.send(()).is_err() {
                return;
            }
        }
    });
    Some(keys)
}

/// What is on.
struct Show {
    nodes: Nodes,
    simulator: Process,
    operator: Operator,
    takeovers: Takeovers,
    fleet: Option<DemoFleet>,
    keys: Option<Receiver<()>>,
}

impl Show {
    /// Shows the site until its time is over or a signal comes.
    fn watch(&mut self, arguments: &Args, signals: &Signals) -> Result<(), DemoError> {
        let live = std::io::stdout().is_terminal();
        let started = Instant::now();
        let end = arguments.seconds.map(|seconds| started + Duration::from_secs(u64::from(seconds)));
        let mut kill_at = arguments.kill_after.map(|after| started + Duration::from_secs(u64::from(after)));
        let interval = if live { Duration::from_millis(500) } else { LINE_INTERVAL };
        let mut next_show = started + interval;
        loop {
            let over = end.is_some_and(|end| Instant::now() >= end);
            if signals.wait(Duration::from_millis(100))?.is_some() || over {
                return Ok(());
            }
            self.nodes.check()?;
            self.simulator.check()?;
            self.operator.turn(started.elapsed())?;
            if let Some(fleet) = &mut self.fleet {
                fleet.turn(|| self.nodes.report())?;
            }
            let pressed = self.keys.as_ref().is_some_and(|keys| keys.try_recv().is_ok());
            if pressed && !arguments.alone || kill_at.is_some_and(|at| Instant::now() >= at) {
                kill_at = None;
                self.takeovers.kill(&self.nodes)?;
            }
            self.takeovers.turn()?;
            if Instant::now() >= next_show {
                next_show += interval;
                match self.nodes.report() {
                    Some(report) if live => show_live(&report, &self.takeovers),
                    Some(report) => println!("{}", line(&report)),
                    None => println!("nobody is active"),
                }
            }
        }
    }
}

fn show_live(report: &Report, takeovers: &Takeovers) {
    // Home, text, clear what is left below: no flicker.
    let text = View { rows_max: 12, colour: true }.render(report).replace('\n', "\x1b[K\n");
    print!("\x1b[H\x1b[2J{text}\x1b[J\nCtrl-C brings the plant to rest and prints the summary\n");
    if report.pair.is_some() {
        println!("Enter kills the active agent");
    }
    if let Some(last) = takeovers.seen.last() {
        println!("node {} was killed: {:.1} ms without a write at the most", last.killed, last.takeover_ms);
    }
    let _ = std::io::stdout().flush();
}

fn line(report: &Report) -> String {
    let cycles: u64 = report.groups.iter().map(|group| group.cycles).sum();
    let missed: u64 = report.groups.iter().map(|group| group.missed_deadlines).sum();
    let errors: u64 = report.devices.iter().map(|device| device.errors).sum();
    let power_mw: f64 = report.units.iter().map(|unit| unit.power_kw).sum::<f64>() / 1e3;
    format!(
        "{:>6.1} s  {cycles} cycles, {missed} missed; {power_mw:.2} MW from {} turbines; {errors} bus errors; \
         {} commands executed",
        report.uptime_s,
        report.units.len(),
        report.commands.executed
    )
}

fn read_report(path: &Path) -> Result<Report, DemoError> {
    let failed = |why: String| DemoError::File { path: path.to_owned(), why };
    let json = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&json).map_err(|error| failed(error.to_string()))
}
