//! The program `takt-latency`: what a machine's real time is worth, beside peers in the same run.

mod bus;
mod centre;
mod command;
mod controllers;
mod cycle;
mod cyclictest;
mod demo;
mod failover;
mod instructions;
mod peer_program;
mod plan;
mod sites;
mod storm;
mod wake;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use latency_tests_harness::limits::{Place, Placed};
use latency_tests_harness::load::{self, LoadError};
use latency_tests_harness::report::{self, Finding};
use latency_tests_harness::rounds::Comparison;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  takt-latency wake                            the agent's wait beside cyclictest and RoboPLC, ten rounds of five seconds
  takt-latency wake --stress all --html wake.html
  takt-latency wake --stress all --limits inside
  takt-latency cycle --json cycle.json         a cycle of 1 to 200 turbines and 10 to 1000 vehicles
  takt-latency bus --html bus.html             the guarded Modbus master beside tokio-modbus, libmodbus and pymodbus
  takt-latency controllers --discon libdiscon.so --discon-config DISCON.IN
  takt-latency command --rounds 10             an agent in a demo of its own
  takt-latency storm                           the agent's wake-ups while its other doors are stormed
  takt-latency plan                            until both nodes of a pair run a plan
  takt-latency failover --rounds 20            takeovers, by `takt drill`; as root
  takt-latency instructions                    the same number in every run, whatever the machine does
  takt-latency all --quick --html report.html

Times depend on the machine, its host and the minute. What to read are the ratios: subject over peer in the same
round, with the median, the least and the greatest. A peer that is not installed is named as absent.

Exit status: 0 measured, 1 the subject could not be measured or a file not be written, 2 wrong usage.";

/// What a machine's real time is worth, beside peers in the same run
#[derive(Debug, Parser)]
#[command(name = "takt-latency", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    probe: Probe,
}

#[derive(Debug, Subcommand)]
enum Probe {
    /// From when a thread is due until it runs: the agent's wait, cyclictest, and RoboPLC's interval
    Wake(Options),
    /// What a cycle costs, by the number of turbines and vehicles
    Cycle(Options),
    /// A Modbus transaction: the agent's guarded master, and others against the same server
    Bus(Options),
    /// A step of a turbine controller: Takt's laws, and a library with Bladed's interface
    Controllers(Options),
    /// From a command over MQTT until a device carries it out, and a message to the broker and back
    Command(Options),
    /// Wake-ups of an agent while plans, refusals and requests for metrics storm it, and without
    Storm(Options),
    /// From the offer of a plan until both nodes of a pair run it, and a question to both
    Plan(Options),
    /// Takeovers as devices see them: killed, stopped and planned
    Failover(Options),
    /// Instructions of a controller's step and of a cycle, counted by callgrind
    Instructions(Options),
    /// All of them
    All(Options),
    /// Executes a subject of `instructions`; not for people
    #[command(hide = true)]
    Execute { subject: instructions::Subject },
}

#[derive(Debug, Args, Clone)]
struct Options {
    /// Rounds; in each, subject and peers take one turn
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of a turn
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Few and short rounds, to see that all works
    #[arg(long)]
    quick: bool,
    /// Core of whoever is measured; without it the last one
    #[arg(long, value_name = "CORE")]
    core: Option<usize>,
    /// SCHED_FIFO priority of whoever is measured
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=97))]
    priority: u8,
    /// Time between two wake-ups
    #[arg(long, value_name = "US", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    period_us: u32,
    /// Load beside all turns
    #[arg(long, value_name = "NAME", default_value = "idle", value_parser = load_name)]
    stress: String,
    /// Limits as of a pod around whoever is measured, and where the load is then; as root
    #[arg(long, value_enum, value_name = "PLACE", default_value_t = Limits::None)]
    limits: Limits,
    #[command(flatten)]
    library: controllers::Library,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report for people to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Limits {
    /// Nobody is limited
    None,
    /// The load is inside: what helpers of the agent could do to its loops
    Inside,
    /// The load is outside: another pod on the node
    Beside,
}

impl Limits {
    const fn place(self) -> Place {
        match self {
            Self::None => Place::Unlimited,
            Self::Inside => Place::Inside,
            Self::Beside => Place::Beside,
        }
    }
}

fn load_name(text: &str) -> Result<String, String> {
    match load::names().contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(LoadError::Unknown(text.to_owned()).to_string()),
    }
}

/// What a probe has found.
#[derive(Default)]
struct Found {
    comparisons: Vec<Comparison>,
    findings: Vec<Finding>,
    json: serde_json::Map<String, Value>,
}

impl Found {
    /// Tells a finding, and keeps it for the report.
    fn finding(&mut self, finding: Finding) {
        println!("{}", report::finding(&finding));
        self.findings.push(finding);
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse().probe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("takt-latency: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(probe: &Probe) -> Result<(), String> {
    let options = match probe {
        Probe::Execute { subject } => return instructions::execute(*subject),
        Probe::Wake(options)
        | Probe::Cycle(options)
        | Probe::Bus(options)
        | Probe::Controllers(options)
        | Probe::Command(options)
        | Probe::Storm(options)
        | Probe::Plan(options)
        | Probe::Failover(options)
        | Probe::Instructions(options)
        | Probe::All(options) => options.settled(),
    };
    let mut found = Found::default();
    if matches!(probe, Probe::Wake(_) | Probe::All(_)) {
        wake(&options, &mut found)?;
    }
    if matches!(probe, Probe::Cycle(_) | Probe::All(_)) {
        let growth = cycle::measure(options.quick);
        found.finding(growth.finding());
        found.json.insert("cycle".to_owned(), json!(growth));
    }
    if matches!(probe, Probe::Bus(_) | Probe::All(_)) {
        bus(&options, &mut found)?;
    }
    if matches!(probe, Probe::Controllers(_) | Probe::All(_)) {
        controllers(&options, &mut found)?;
    }
    if matches!(probe, Probe::Command(_) | Probe::All(_)) {
        command(&options, &mut found)?;
    }
    if matches!(probe, Probe::Storm(_) | Probe::All(_)) {
        storm(&options, &mut found)?;
    }
    if matches!(probe, Probe::Plan(_) | Probe::All(_)) {
        plan(&options, &mut found)?;
    }
    if matches!(probe, Probe::Failover(_) | Probe::All(_)) {
        failover(probe, &options, &mut found)?;
    }
    if matches!(probe, Probe::Instructions(_) | Probe::All(_)) {
        instructions(probe, &mut found)?;
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&found.json).map_err(|error| error.to_string())?;
        write(path, &json)?;
    }
    if let Some(path) = &options.html {
        write(path, &report::html(&machine(), &found.comparisons, &found.findings))?;
        println!("report: {}", path.display());
    }
    Ok(())
}

/// Measures beside the load that is asked for.
fn under_load<T>(options: &Options, measure: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    let load = Placed::start(&options.stress, options.limits.place()).map_err(|error| error.to_string())?;
    measure(&load.words())
}

fn wake(options: &Options, found: &mut Found) -> Result<(), String> {
    let comparison = under_load(options, |load| wake::compare(options, load))?;
    println!("{}", report::table(&comparison));
    if let Some(compared) = comparison.compared() {
        found.json.insert("wake".to_owned(), json!(compared));
    }
    if let Some(why) = comparison.contenders.first().and_then(|subject| subject.absent.as_ref()) {
        return Err(format!("the agent's wait could not be measured: {why}"));
    }
    found.comparisons.push(comparison);
    Ok(())
}

fn bus(options: &Options, found: &mut Found) -> Result<(), String> {
    let all = under_load(options, |load| bus::measure(options, load))?;
    let finding = bus::finding(&all);
    let mut json = serde_json::Map::new();
    for measured in all {
        println!("{}", report::table(&measured.comparison));
        let (compared, costs) = (measured.comparison.compared(), measured.costs());
        let devices = measured.devices.to_string();
        json.insert(devices, json!({ "round_trip": compared, "cost": costs }));
        found.comparisons.push(measured.comparison);
    }
    found.finding(finding);
    found.json.insert("bus".to_owned(), Value::Object(json));
    Ok(())
}

fn controllers(options: &Options, found: &mut Found) -> Result<(), String> {
    let comparison = under_load(options, |load| controllers::compare(options, &options.library, load))?;
    println!("{}", report::table(&comparison));
    found.json.insert("controllers".to_owned(), json!(comparison.compared()));
    found.comparisons.push(comparison);
    Ok(())
}

fn command(options: &Options, found: &mut Found) -> Result<(), String> {
    let comparison = under_load(options, |load| command::compare(options, load))?;
    println!("{}", report::table(&comparison));
    let added = command::added(&comparison);
    if let Some(added) = added {
        found.finding(command::finding(added));
    }
    if let Some(why) = comparison.contenders.first().and_then(|subject| subject.absent.as_ref()) {
        return Err(format!("commands could not be measured: {why}"));
    }
    found.json.insert("command".to_owned(), json!({ "way": comparison.compared(), "added": added }));
    found.comparisons.push(comparison);
    Ok(())
}

fn storm(options: &Options, found: &mut Found) -> Result<(), String> {
    let (comparison, strength) = under_load(options, |load| storm::compare(options, load))?;
    println!("{}", report::table(&comparison));
    found.finding(storm::finding(strength));
    if let Some(why) = comparison.contenders.iter().find_map(|contender| contender.absent.as_ref()) {
        return Err(format!("a storm could not be measured: {why}"));
    }
    found.json.insert("storm".to_owned(), json!({ "wake_up": comparison.compared(), "strength": strength }));
    found.comparisons.push(comparison);
    Ok(())
}

fn plan(options: &Options, found: &mut Found) -> Result<(), String> {
    let (comparison, skew_max) = under_load(options, |load| plan::compare(options, load))?;
    println!("{}", report::table(&comparison));
    found.finding(plan::finding(&comparison, skew_max));
    if let Some(why) = comparison.contenders.first().and_then(|subject| subject.absent.as_ref()) {
        return Err(format!("plans could not be measured: {why}"));
    }
    let way = comparison.compared();
    found.json.insert("plan".to_owned(), json!({ "way": way, "skew_cycles_max": skew_max }));
    found.comparisons.push(comparison);
    Ok(())
}

/// A drill needs root; where all is measured, it is named as absent.
fn failover(probe: &Probe, options: &Options, found: &mut Found) -> Result<(), String> {
    let drills = match (failover::measure(options), probe) {
        (Err(why), Probe::All(_)) => {
            println!("failover: absent: {why}\n");
            return Ok(());
        }
        (drills, _) => drills?,
    };
    found.finding(failover::finding(&drills));
    found.json.insert("failover".to_owned(), Value::Object(drills));
    Ok(())
}

fn instructions(probe: &Probe, found: &mut Found) -> Result<(), String> {
    let counts = match (instructions::measure(), probe) {
        (Err(why), Probe::All(_)) => {
            println!("instructions: absent: {why}\n");
            return Ok(());
        }
        (counts, _) => counts?,
    };
    found.finding(instructions::finding(&counts));
    found.json.insert("instructions".to_owned(), json!(counts));
    Ok(())
}

impl Options {
    /// What `--help` says.
    #[cfg(test)]
    fn usual() -> Self {
        #[derive(Debug, Parser)]
        struct Alone {
            #[command(flatten)]
            options: Options,
        }
        Alone::parse_from(["takt-latency"]).options
    }

    /// With what was left open.
    fn settled(&self) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let core = Some(self.core.unwrap_or(cores - 1));
        let (rounds, seconds) = if self.quick { (2, 1) } else { (self.rounds, self.seconds) };
        Self { core, rounds, seconds, ..self.clone() }
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, kernel {}", kernel.trim())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
