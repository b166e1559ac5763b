//! Measures what the guarded Modbus master makes of faults: wrong values accepted (there must be none),
//! and whether each fault is counted under its own name.
//!
//! Pipes in virtual time carry most of the transactions, sockets and pseudo-terminals in real time the
//! rest. Every value certifies itself: see `tests/support/truth.rs`.
//!
//! ```text
//! cargo run --release -p hal-modbus --example fault_campaign -- --transactions 1000000
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use serde_json::{Map, Value, json};
use support::Framing;
use support::campaign::{Outcome, Setup, run_real, run_virtual};
use support::truth::KINDS;

/// Transactions of one line: a new seed after each.
const CHUNK: u64 = 50_000;
/// Lines at a time in real time.
const REAL_LINES: u64 = 16;

#[derive(Parser)]
#[command(about = "Lies to the guarded Modbus master and counts what it believes")]
struct Arguments {
    /// Transactions in virtual time, half of them TCP, half RTU
    #[arg(long, default_value_t = 1_000_000)]
    transactions: u64,
    /// Transactions over loopback sockets and pseudo-terminals, in real time
    #[arg(long, default_value_t = 20_000)]
    real_transactions: u64,
    /// Of a hundred requests, how many go wrong
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=80))]
    fault_percent: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the figures as JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begin = Instant::now();
    let parts = [
        ("tcp, pipe, virtual time", virtual_part(&arguments, Framing::Tcp)),
        ("rtu, pipe, virtual time", virtual_part(&arguments, Framing::Rtu)),
        ("tcp, loopback socket", real_part(&arguments, Framing::Tcp)),
        ("rtu, pseudo-terminal", real_part(&arguments, Framing::Rtu)),
    ];
    let mut total = Outcome { ended_safe: true, ..Outcome::default() };
    parts.iter().for_each(|(_, outcome)| total.add(outcome));
    if arguments.json {
        let parts: Map<String, Value> =
            parts.iter().map(|(name, outcome)| ((*name).to_owned(), as_json(outcome))).collect();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{:#}", json!({ "total": as_json(&total), "parts": parts, "seconds": seconds }));
    } else {
        for (name, outcome) in &parts {
            print_part(name, outcome);
        }
        print_part("all", &total);
        println!("{:.1} s", begin.elapsed().as_secs_f64());
    }
    let good = total.wrong_count == 0 && (total.misnamed().is_empty() || total.stalls > 0);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lines in virtual time, on as many threads as there are processors.
fn virtual_part(arguments: &Arguments, framing: Framing) -> Outcome {
    let lines = (arguments.transactions / 2).div_ceil(CHUNK);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let next = AtomicU64::new(0);
    let mut total = Outcome { ended_safe: true, ..Outcome::default() };
    std::thread::scope(|scope| {
        let worker = || {
            let mut sum = Outcome { ended_safe: true, ..Outcome::default() };
            loop {
                let line = next.fetch_add(1, Ordering::Relaxed);
                if line >= lines {
                    return sum;
                }
                sum.add(&run_virtual(Setup {
                    framing,
                    kind: KINDS[(line % 3) as usize],
                    real: false,
                    transactions: (arguments.transactions / 2).div_ceil(lines),
                    fault_percent: arguments.fault_percent,
                    seed: arguments.seed.wrapping_mul(1_000_003).wrapping_add(line),
                }));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            total.add(&worker.join().unwrap());
        }
    });
    total
}

fn real_part(arguments: &Arguments, framing: Framing) -> Outcome {
    let mut total = Outcome { ended_safe: true, ..Outcome::default() };
    if arguments.real_transactions == 0 {
        return total;
    }
    let setups = (0..REAL_LINES).map(|line| Setup {
        framing,
        kind: KINDS[(line % 3) as usize],
        real: true,
        transactions: (arguments.real_transactions / 2).div_ceil(REAL_LINES),
        fault_percent: arguments.fault_percent,
        seed: arguments.seed.wrapping_mul(7_000_003).wrapping_add(line),
    });
    run_real(setups.collect()).iter().for_each(|outcome| total.add(outcome));
    total
}

fn print_part(name: &str, outcome: &Outcome) {
    println!("\n{name}");
    println!(
        "  {} requests, {} faults put in; {} scans published, {} writes acknowledged, {} safe writes, \
         {} probes, {} outputs expired, {} phases skipped",
        outcome.requests,
        outcome.faults_injected(),
        outcome.scans,
        outcome.writes,
        outcome.safe_writes,
        outcome.probes,
        outcome.expired_outputs,
        outcome.skipped_phases,
    );
    for (what, count) in &outcome.injected {
        println!("    put in   {what:28} {count:>9}");
    }
    let names: BTreeSet<&str> = outcome.counted.iter().filter(|c| *c.1 > 0).map(|c| *c.0).collect();
    for name in names {
        let expected = match name {
            "late_reply" => outcome.late_sent,
            _ => outcome.expected.get(name).copied().unwrap_or(0),
        };
        println!("    counted  {name:28} {:>9}   to be {expected:>9}", outcome.counted[name]);
    }
    println!(
        "  wrong values or acknowledgements accepted: {}; misnamed: {:?}; stalls of the machine: {}; \
         all ended safe: {}",
        outcome.wrong_count,
        outcome.misnamed(),
        outcome.stalls,
        outcome.ended_safe,
    );
    for wrong in &outcome.wrong {
        println!("    {wrong}");
    }
}

fn as_json(outcome: &Outcome) -> Value {
    let misnamed: Vec<Value> = outcome
        .misnamed()
        .iter()
        .map(|(name, expected, counted)| json!({ "name": name, "expected": expected, "counted": counted }))
        .collect();
    json!({
        "requests": outcome.requests,
        "faults_injected": outcome.faults_injected(),
        "scans": outcome.scans,
        "writes": outcome.writes,
        "safe_writes": outcome.safe_writes,
        "probes": outcome.probes,
        "expired_outputs": outcome.expired_outputs,
        "skipped_phases": outcome.skipped_phases,
        "injected": outcome.injected,
        "expected": outcome.expected,
        "late_sent": outcome.late_sent,
        "counted": outcome.counted,
        "wrong_accepted": outcome.wrong_count,
        "wrong": outcome.wrong,
        "misnamed": misnamed,
        "stalls": outcome.stalls,
        "ended_safe": outcome.ended_safe,
    })
}
