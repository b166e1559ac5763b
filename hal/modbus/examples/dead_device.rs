//! Measures what one dead device does to 49 others: round trips and ages of their inputs, with and without
//! it, in turns. The dead one accepts connections and never answers.
//!
//! ```text
//! cargo run --release -p hal-modbus --example dead_device -- --rounds 5 --seconds 10
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;
use serde_json::json;
use support::fleet::{Master, Run, devices, run};

#[derive(Parser)]
#[command(about = "Measures what one dead Modbus device does to the others")]
struct Arguments {
    #[arg(long, default_value_t = 50)]
    devices: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// 99th percentiles over all devices but the first.
struct Figures {
    round_trip_us: f64,
    age_us: f64,
    interval_us: f64,
    scans: u64,
    faults_of_first: u64,
}

fn figures(run: &Run) -> Figures {
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    // The 99th percentile of each device, and of these the median: one device's bad luck is not a trend.
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let p99 = |mut ages: Vec<Duration>| {
        ages.sort_unstable();
        ages[(ages.len() - 1) * 99 / 100]
    };
    Figures {
        round_trip_us: median(run.round_trips[1..].iter().map(|d| micros(d.quantile(0.99))).collect()),
        age_us: median(run.ages[1..].iter().map(|ages| micros(p99(ages.clone()))).collect()),
        interval_us: median(run.input_intervals[1..].iter().map(|d| micros(d.quantile(0.99))).collect()),
        scans: run.input_intervals[1..].iter().map(|d| d.count()).sum(),
        faults_of_first: run.faults,
    }
}

fn main() {
    let arguments = Arguments::parse();
    let healthy = devices(arguments.devices, None);
    let with_dead = devices(arguments.devices, Some(0));
    let period = Duration::from_millis(10);
    let rounds: Vec<(Figures, Figures)> = (0..arguments.rounds)
        .map(|_| {
            let measure = |addresses: &Vec<_>| {
                figures(&run(Master::Guarded, addresses.clone(), period, arguments.seconds))
            };
            (measure(&with_dead), measure(&healthy))
        })
        .collect();
    let ratios = |of: fn(&Figures) -> f64| -> Vec<f64> {
        let mut ratios: Vec<f64> = rounds.iter().map(|(dead, healthy)| of(dead) / of(healthy)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    let spread = |ratios: &[f64]| json!({ "min": ratios[0], "median": ratios[ratios.len() / 2], "max": ratios[ratios.len() - 1] });
    let report = json!({
        "p99_round_trip_ratio": spread(&ratios(|f| f.round_trip_us)),
        "p99_age_ratio": spread(&ratios(|f| f.age_us)),
        "p99_interval_ratio": spread(&ratios(|f| f.interval_us)),
        "scans_ratio": spread(&ratios(|f| f.scans as f64)),
    });
    if arguments.json {
        println!("{report:#}");
        return;
    }
    println!("            one of {} dead                   all healthy", arguments.devices);
    println!(
        "round  p99 trip   p99 age  interval    p99 trip   p99 age  interval   [us]   faults of the dead"
    );
    for (at, (dead, healthy)) in rounds.iter().enumerate() {
        println!(
            "{at:>5} {:>9.0} {:>9.0} {:>9.0}   {:>9.0} {:>9.0} {:>9.0}          {}",
            dead.round_trip_us,
            dead.age_us,
            dead.interval_us,
            healthy.round_trip_us,
            healthy.age_us,
            healthy.interval_us,
            dead.faults_of_first - healthy.faults_of_first.min(dead.faults_of_first),
        );
    }
    println!("{report:#}");
}
