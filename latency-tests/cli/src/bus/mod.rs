//! The round trip of a Modbus transaction: the agent's guarded master beside others, against one fixed server.
//!
//! # Model
//!
//! Each master holds a connection to each device, with TCP_NODELAY, and asks the devices in turn for as many registers
//! as a turbine's scan has, one transaction after the other. What it costs is the processor time of its thread.
//!
//! # Map
//!
//! - [`server`]: what is asked.
//! - [`masters`]: those of this process.
//! - [`foreign`]: those of others.

mod foreign;
mod masters;
mod server;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use hal_units::Duration;
use latency_tests_harness::figures::Ratio;
use latency_tests_harness::report::Finding;
use latency_tests_harness::rounds::{self, Comparison, Contender, Turns};
use serde::Serialize;

use self::masters::{Guarded, Master, Raw};
use crate::Options;

/// The guarded master's name.
const SUBJECT: &str = "takt";
const DEVICES: [usize; 3] = [1, 50, 200];
/// Registers of a turbine's scan.
const REGISTERS: u16 = 40;

/// What every master has to do in a turn.
#[derive(Debug, Clone)]
struct Job {
    addresses: Vec<SocketAddr>,
    registers: u16,
    transactions: u32,
    costs: Costs,
}

/// Processor time of so many transactions.
#[derive(Debug, Clone, Copy)]
struct Cost {
    spent: Duration,
    of: u32,
}

/// By master, one for each round.
#[derive(Debug, Clone, Default)]
struct Costs(Rc<RefCell<BTreeMap<String, Vec<f64>>>>);

impl Costs {
    fn add(&self, name: &str, cost: Cost) {
        let us = cost.spent.as_secs_f64() * 1e6 / f64::from(cost.of.max(1));
        self.0.borrow_mut().entry(name.to_owned()).or_default().push(us);
    }
}

/// What a number of devices has shown.
pub(crate) struct Measured {
    pub(crate) devices: usize,
    pub(crate) comparison: Comparison,
    costs: BTreeMap<String, Vec<f64>>,
}

/// A master's cost in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct CostFigures {
    /// Median over the rounds.
    pub(crate) cpu_us: f64,
    /// Transactions in a second, one after the other.
    pub(crate) per_second: f64,
    /// The guarded master's cost over this one's, round by round.
    pub(crate) ratio_cpu: Option<Ratio>,
}

/// Compares all masters for each number of devices.
pub(crate) fn measure(options: &Options, load: &str) -> Result<Vec<Measured>, String> {
    let transactions = if options.quick { 500 } else { options.seconds.saturating_mul(2_000) };
    DEVICES.into_iter().map(|devices| of(devices, transactions, options, load)).collect()
}

fn of(devices: usize, transactions: u32, options: &Options, load: &str) -> Result<Measured, String> {
    let server = server::Server::start(devices).map_err(|error| format!("no server: {error}"))?;
    let costs = Costs::default();
    let job = Job { addresses: server.addresses, registers: REGISTERS, transactions, costs: costs.clone() };
    let mut contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(Master::<Guarded>::new(job.clone())?),
        Box::new(Master::<Raw>::new(job.clone())?),
        Box::new(foreign::Foreign::on_libmodbus(job.clone())),
        Box::new(foreign::Foreign::on_pymodbus(job)),
    ];
    let contenders = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("{devices} devices, round {round} of {}: {name}", options.rounds);
    });
    let title = format!("Modbus TCP round trip, {REGISTERS} registers, {devices} devices in turn");
    let comparison = Comparison { title, load: load.to_owned(), contenders, host_stalls_over_1ms: None };
    let costs = costs.0.borrow().clone();
    Ok(Measured { devices, comparison, costs })
}

impl Measured {
    /// Each master's cost, by name.
    pub(crate) fn costs(&self) -> BTreeMap<String, CostFigures> {
        let ours = self.costs.get(SUBJECT);
        let figures = |(name, costs): (&String, &Vec<f64>)| {
            let turns = self.comparison.contenders.iter().find(|turns| turns.name == *name);
            let ratios =
                ours.map(|ours| ours.iter().zip(costs).map(|(ours, theirs)| ours / theirs).collect());
            let figures = CostFigures {
                cpu_us: median(costs),
                per_second: turns.map_or(0.0, per_second),
                ratio_cpu: ratios.filter(|_| name != SUBJECT).and_then(Ratio::of),
            };
            (name.clone(), figures)
        };
        self.costs.iter().map(figures).collect()
    }
}

fn per_second(turns: &Turns) -> f64 {
    let mean_us = turns.all().mean_us();
    if mean_us > 0.0 { 1e6 / mean_us } else { 0.0 }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// What transactions cost, as a table.
pub(crate) fn finding(all: &[Measured]) -> Finding {
    let columns = ["devices", "master", "cpu us", "in a second", "takt's cpu over it"];
    let rows = all.iter().flat_map(|measured| {
        measured.costs().into_iter().map(|(name, figures)| {
            let ratio = figures.ratio_cpu.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max),
            );
            vec![
                measured.devices.to_string(),
                name,
                format!("{:.1}", figures.cpu_us),
                format!("{:.0}", figures.per_second),
                ratio,
            ]
        })
    });
    Finding {
        title: "Processor time of a Modbus transaction".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: rows.collect(),
        meaning: "Transactions one after the other, so their number in a second is that of the round trips."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Options {
        Options { rounds: 2, seconds: 1, quick: true, ..Options::usual() }
    }

    #[test]
    fn every_master_that_is_there_reads_all_devices_of_the_same_server() {
        let measured = of(3, 30, &quick(), "idle").unwrap();
        let samples = |name: &str| {
            let turns = measured.comparison.contenders.iter().find(|turns| turns.name == name).unwrap();
            (turns.absent.clone(), turns.all().figures().samples)
        };
        assert_eq!(samples("takt"), (None, 60));
        assert_eq!(samples("tokio-modbus"), (None, 60));
        for peer in ["libmodbus", "pymodbus"] {
            let (absent, samples) = samples(peer);
            assert!(absent.is_some() || samples == 60, "{peer}: {absent:?}, {samples}");
        }
        let costs = measured.costs();
        assert!(costs["takt"].cpu_us > 0.0 && costs["tokio-modbus"].ratio_cpu.is_some(), "{costs:?}");
        assert!(finding(&[measured]).rows.len() >= 2);
    }
}
