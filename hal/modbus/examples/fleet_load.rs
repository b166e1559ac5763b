//! Measures what a fleet costs: one TCP line to each of 50 devices, a split exchange at 100 Hz, that is
//! 10,000 transactions per second on one thread, against the same requests by tokio-modbus alone.
//!
//! The two take turns in one run, because the machine's speed changes with its neighbours.
//!
//! ```text
//! cargo run --release -p hal-modbus --example fleet_load -- --rounds 5 --seconds 10
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;
use serde_json::json;
use support::fleet::{Master, Run, devices, run};

#[derive(Parser)]
#[command(about = "Measures processor time per Modbus transaction, guarded against raw")]
struct Arguments {
    #[arg(long, default_value_t = 50)]
    devices: usize,
    /// Cycles per second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=500))]
    hz: u64,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let addresses = devices(arguments.devices, None);
    let period = Duration::from_nanos(1_000_000_000 / arguments.hz);
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let guarded = run(Master::Guarded, addresses.clone(), period, arguments.seconds);
        let raw = run(Master::Raw, addresses.clone(), period, arguments.seconds);
        rounds.push((guarded, raw));
    }
    let micros = |run: &Run| run.cpu.as_secs_f64() * 1e6 / run.transactions as f64;
    let share = |run: &Run| run.cpu.as_secs_f64() / run.elapsed.as_secs_f64();
    let rate = |run: &Run| run.transactions as f64 / run.elapsed.as_secs_f64();
    if arguments.json {
        let rounds: Vec<_> = rounds
            .iter()
            .map(|(guarded, raw)| {
                json!({
                    "guarded_us_per_transaction": micros(guarded),
                    "raw_us_per_transaction": micros(raw),
                    "guarded_core_share": share(guarded),
                    "raw_core_share": share(raw),
                    "guarded_per_second": rate(guarded),
                    "raw_per_second": rate(raw),
                    "guarded_faults": guarded.faults,
                    "guarded_skipped_phases": guarded.skipped,
                })
            })
            .collect();
        println!("{:#}", json!({ "rounds": rounds }));
        return;
    }
    println!("          guarded                            tokio-modbus alone");
    println!("round  us/transaction  core  per second   us/transaction  core  per second   ratio");
    for (at, (guarded, raw)) in rounds.iter().enumerate() {
        println!(
            "{at:>5}  {:>14.2} {:>4.0}% {:>11.0}   {:>14.2} {:>4.0}% {:>11.0}   {:>5.2}   faults {} skipped {}",
            micros(guarded),
            100.0 * share(guarded),
            rate(guarded),
            micros(raw),
            100.0 * share(raw),
            rate(raw),
            micros(guarded) / micros(raw),
            guarded.faults,
            guarded.skipped,
        );
    }
}
