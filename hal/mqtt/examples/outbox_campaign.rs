//! Measures the outbox against a real Mosquitto that is restarted and killed, while the publisher is killed, too.
//!
//! ```text
//! cargo run --release -p hal-mqtt --example outbox_campaign -- --messages 100000 --restarts 20 --kills 20 --own-kills 20
//! ```
//!
//! `--json` prints the figures as JSON instead of a table; `--folder DIR` keeps outbox and broker there. The exit
//! status is 0 if every phase shows what it must.
// The campaign's modules serve the tests, too.
#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../campaign/mod.rs"]
mod campaign;

use std::path::PathBuf;
use std::process::ExitCode;

use campaign::{PhaseReport, Plan};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("publisher").is_some() {
        return campaign::publisher::main(arguments);
    }
    match measure(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("outbox_campaign: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut plan = Plan {
        messages: 100_000,
        restarts: 20,
        own_kills: 20,
        kills: 20,
        payload_bytes: 64,
        folder: temporary.path().to_owned(),
        publisher: vec![this.display().to_string(), "publisher".to_owned()],
    };
    let mut as_json = false;
    while let Some(name) = arguments.next() {
        if name == "--json" {
            as_json = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number =
            || value.parse::<u64>().map_err(|_| format!("{name} must be a whole number, not {value:?}"));
        match name.as_str() {
            "--messages" => plan.messages = number()?.max(3),
            "--restarts" => plan.restarts = number()?,
            "--own-kills" => plan.own_kills = number()?,
            "--kills" => plan.kills = number()?,
            "--payload-bytes" => plan.payload_bytes = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--folder" => plan.folder = PathBuf::from(value),
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    let reports = campaign::run(&plan).map_err(|error| error.to_string())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&reports).map_err(|error| error.to_string())?);
    } else {
        print_table(&reports);
    }
    let shortcomings: Vec<_> = reports.iter().flat_map(campaign::shortcomings).collect();
    for shortcoming in &shortcomings {
        eprintln!("{shortcoming}");
    }
    Ok(shortcomings.is_empty())
}

fn print_table(reports: &[PhaseReport]) {
    type Row = (&'static str, fn(&PhaseReport) -> String);
    let rows: [Row; 15] = [
        ("disturbances", |report| report.disturbances.to_string()),
        ("messages", |report| report.messages.to_string()),
        ("acknowledged", |report| report.acknowledged.to_string()),
        ("rejected", |report| report.rejected.to_string()),
        ("lost from the outbox", |report| report.lost_from_outbox.to_string()),
        ("sent first", |report| report.first_sends.to_string()),
        ("sent again, marked", |report| report.resends.to_string()),
        ("connections", |report| report.connects.to_string()),
        ("torn bytes cut", |report| report.torn_bytes.to_string()),
        ("outbox found full", |report| report.found_full.to_string()),
        ("missing at subscriber", |report| report.missing_at_subscriber.to_string()),
        ("duplicates there", |report| report.duplicates.to_string()),
        ("of them unmarked", |report| report.duplicates_unmarked.to_string()),
        ("wrong payloads", |report| report.wrong_payloads.to_string()),
        ("seconds", |report| format!("{:.1}", report.seconds)),
    ];
    print!("{:<24}", "");
    reports.iter().for_each(|report| print!("{:>20}", report.phase));
    println!();
    for (name, value) in rows {
        print!("{name:<24}");
        reports.iter().for_each(|report| print!("{:>20}", value(report)));
        println!();
    }
}
