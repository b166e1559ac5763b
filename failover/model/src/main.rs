//! `takt-model`: explores the pair protocol, and says what was found.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use failover_model::mutants::MUTANTS;
use failover_model::runs::RUNS;
use failover_model::sim::{FAULTS_PER_SITE, campaign};
use failover_model::space::Violation;

/// States of a run of the sound protocol, and of the hunt for a mutant.
const FULL: (usize, usize) = (3_000_000, 4_000_000);
const QUICK: (usize, usize) = (200_000, 1_000_000);

/// From how many states of a run fair time is tried.
const TRIES: usize = 400;

/// Explore the pair protocol.
///
/// Drives the production state machine of the pair through every order of loss, delay, drift, pauses and
/// crashes, breadth first, and checks that never two nodes write. Then takes out one rule after the other,
/// and must catch each such mutant. Ends with 1 if an invariant is broken or a mutant is missed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask model", bin_name = "cargo xtask model")]
struct Arguments {
    /// Fewer states: what CI runs
    #[arg(long)]
    quick: bool,
    /// Look at so many states in each run
    #[arg(long, value_name = "N")]
    states: Option<usize>,
    /// Instead of exploring, let simulated sites suffer N random faults in fine time
    #[arg(long, value_name = "N", conflicts_with_all = ["quick", "states", "ways"])]
    faults: Option<u64>,
    /// The first seed of the simulated sites, one for each thousand faults
    #[arg(long, value_name = "S", default_value_t = 1, requires = "faults")]
    seed: u64,
    /// Show the way to each violation, those of the mutants included
    #[arg(long)]
    ways: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(faults) = arguments.faults {
        return simulate(faults, arguments.seed);
    }
    let (states, hunt) = if arguments.quick { QUICK } else { FULL };
    let sound = runs(arguments.states.unwrap_or(states), arguments.ways);
    let caught = mutants(hunt, arguments.ways);
    if sound && caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lets simulated sites suffer; says which seeds.
fn simulate(faults: u64, seed: u64) -> ExitCode {
    let started = Instant::now();
    let report = match campaign(faults, seed) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tally = report.tally;
    let last = seed + faults.div_ceil(FAULTS_PER_SITE) - 1;
    println!(
        "seeds {seed} to {last}: {} faults, {} terms, {} writes applied, {} stopped by a gate, {} events, {:.0} s",
        tally.faults,
        tally.terms,
        tally.writes,
        tally.gated,
        tally.events,
        started.elapsed().as_secs_f64()
    );
    match report.broken {
        None => {
            println!("never two writers, no old write after a newer, one Active after each rest");
            ExitCode::SUCCESS
        }
        Some((seed, what)) => {
            println!("BROKEN with seed {seed}: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Explores the sound protocol; true if nothing is wrong with it.
fn runs(states_max: usize, ways: bool) -> bool {
    println!("invariants, checked in every state:");
    for (_, words) in Violation::ALL {
        println!("  {words}");
    }
    println!("  without further faults one node becomes Active (tried from samples)\n");
    println!("{:<50}{:>11}{:>13}{:>7}{:>9}  result", "explored", "states", "transitions", "depth", "tried");
    let mut good = true;
    let (mut states, mut transitions, mut depth) = (0, 0, 0);
    let started = Instant::now();
    for run in RUNS {
        let outcome = match run.explore(states_max, TRIES, ways) {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("error: {error}");
                return false;
            }
        };
        let found = &outcome.findings;
        let extent = if found.complete { "complete" } else { "to this depth" };
        let verdict = match (&found.violation, &outcome.stuck) {
            (Some((violation, _)), _) => format!("BROKEN: {}", violation.words()),
            (None, Some(world)) => format!("STUCK: {world:?}"),
            (None, None) => format!("holds, {extent}"),
        };
        println!(
            "{:<50}{:>11}{:>13}{:>7}{:>9}  {verdict}",
            run.name, found.states, found.transitions, found.depth, outcome.tried
        );
        if let Some((_, way)) = &found.violation {
            show(way);
        }
        good &= outcome.is_good();
        states += found.states;
        transitions += found.transitions;
        depth = depth.max(found.depth);
    }
    let took = started.elapsed().as_secs_f64();
    println!("\n{states} states, {transitions} transitions, depth {depth}, in {took:.0} s\n");
    good
}

/// Hunts the mutants; true if each was caught.
fn mutants(states_max: usize, ways: bool) -> bool {
    let mut all = true;
    for mutant in MUTANTS {
        let found = mutant.hunt(states_max);
        match &found.violation {
            Some((violation, way)) => {
                let (steps, words) = (way.len(), violation.words());
                println!("CAUGHT  {:<62} {steps:>2} steps, broken: {words}", mutant.name);
                if ways {
                    show(way);
                }
            }
            None => {
                all = false;
                println!("MISSED  {:<62} in {} states", mutant.name, found.states);
            }
        }
    }
    all
}

fn show(way: &[failover_model::space::Action]) {
    for (step, action) in way.iter().enumerate() {
        println!("    {:>3}  {action:?}", step + 1);
    }
}
