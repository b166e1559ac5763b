//! Transport orders under the fleet controller and under a simple way of control, in one run.

use std::time::Instant;

use clap::ValueEnum;
use control_loops_dispatch::SetupError;
use control_loops_fleet::Node;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use sim_world::fleet::errands::Random;
use sim_world::fleet::transports::body::TICKS;
use sim_world::fleet::transports::nearest::Nearest;
use sim_world::fleet::transports::takt::Takt;
use sim_world::fleet::transports::{Figures, Shift};
use sim_world::fleet::{Delays, Pace};

use super::input::{self, Input};
use super::report::{StepMs, defect};
use super::{Arguments, CONTINUOUS_SPREAD, Model};
use crate::failure::Failure;
use crate::text_file;

/// Actions that taking or putting down a load takes.
const HANDLING_ACTIONS: u32 = 5;
const ORDERS_MAX: usize = 10_000_000;

/// Who gives the orders to vehicles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dispatch {
    /// The production fleet controller
    Takt,
    /// Nearest vehicle, first come, first served, fixed routes, no look-ahead
    Nearest,
    /// One after the other, with the same orders
    Both,
}

/// How many orders come, and how many an hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders {
    count: usize,
    per_hour: f64,
}

impl Orders {
    /// `N/RATE`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "give a number of orders and how many come in an hour, as 500/1200".to_owned();
        let (count, per_hour) = text.split_once('/').ok_or_else(wrong)?;
        let count: usize = count.trim().parse().map_err(|_| wrong())?;
        let per_hour: f64 = per_hour.trim().parse().map_err(|_| wrong())?;
        let sound = (1..=ORDERS_MAX).contains(&count) && per_hour.is_finite() && per_hour > 0.0;
        if sound { Ok(Self { count, per_hour }) } else { Err(wrong()) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    steps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    takt: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
}

#[derive(Debug, Serialize)]
struct Run {
    orders: u64,
    done: u64,
    orders_per_hour: f64,
    /// Share of vehicle time in which a load was handled or moved.
    utilisation: f64,
    /// Share of vehicle time with an order.
    busy: f64,
    order_steps_mean: f64,
    order_steps_max: f64,
    collisions: u64,
    deadlocks: u64,
    interventions: u64,
    cpu_seconds: f64,
    step_ms: StepMs,
}

#[derive(Debug, Serialize)]
struct Ratio {
    orders_per_hour: f64,
    utilisation: f64,
}

/// Runs the orders and writes the figures.
pub(crate) fn run(arguments: &Arguments, orders: Orders) -> Result<(), Failure> {
    let mut random = Random::new(arguments.seed);
    let Input { grid, starts, .. } = Input::read(&arguments.map, arguments.agents, &mut random)?;
    let file = arguments.map.display().to_string();
    let shift = shift(arguments, orders, &grid, starts, &mut random);
    let ticks = arguments.steps * u64::from(TICKS);
    let mut report = Report { steps: arguments.steps, takt: None, nearest: None, ratio: None };
    if arguments.dispatch != Dispatch::Nearest {
        let graph = grid.graph(&file, arguments.lanes)?;
        let traffic = arguments.traffic(false);
        let mut run = Takt::new(graph, grid.clone(), shift.clone(), Some(traffic))
            .map_err(|error| no_fleet(&file, error))?;
        report.takt = Some(measure(ticks, &mut run, Takt::tick, Takt::is_over, Takt::figures));
    }
    if arguments.dispatch != Dispatch::Takt {
        let mut run = Nearest::new(&grid, shift);
        report.nearest = Some(measure(ticks, &mut run, Nearest::tick, Nearest::is_over, Nearest::figures));
    }
    if let (Some(takt), Some(nearest)) = (&report.takt, &report.nearest) {
        report.ratio = Some(Ratio {
            orders_per_hour: takt.orders_per_hour / nearest.orders_per_hour.max(f64::MIN_POSITIVE),
            utilisation: takt.utilisation / nearest.utilisation.max(f64::MIN_POSITIVE),
        });
    }
    // Numbers and names: it cannot fail.
    let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
    text_file::write(&arguments.json, &text)?;
    report.say(arguments);
    report.verdict()
}

fn shift(
    arguments: &Arguments,
    orders: Orders,
    grid: &control_loops_layouts::grid::Grid,
    starts: Vec<Node>,
    random: &mut Random,
) -> Shift {
    let pace = match arguments.model {
        Model::Pebble | Model::Turning => Pace::Random { longer: arguments.delay.unwrap_or(0.0) },
        Model::Continuous => Pace::Continuous { steps: 1.0, spread: CONTINUOUS_SPREAD },
    };
    let (stop_probability, stop_steps) = arguments.stop.unwrap_or((0.0, 0));
    Shift {
        jobs: Shift::draw(grid, orders.count, orders.per_hour / 3.6, random),
        starts,
        turning: arguments.model != Model::Pebble,
        lanes: arguments.lanes,
        delays: Delays { pace, stop_probability, stop_steps },
        handling: HANDLING_ACTIONS,
        seed: arguments.seed,
    }
}

fn measure<T>(
    ticks: u64,
    run: &mut T,
    tick: impl Fn(&mut T),
    is_over: impl Fn(&T) -> bool,
    figures: impl Fn(&T) -> Figures,
) -> Run {
    let cpu = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
    };
    let begin = cpu();
    let mut tick_ms = Vec::new();
    for _ in 0..ticks {
        let begin = Instant::now();
        tick(run);
        tick_ms.push(begin.elapsed().as_secs_f32() * 1e3);
        if is_over(run) {
            break;
        }
    }
    let figures = figures(run);
    Run {
        orders: figures.orders,
        done: figures.done,
        orders_per_hour: figures.orders_per_hour(),
        utilisation: figures.utilisation(),
        busy: figures.busy_share(),
        order_steps_mean: figures.wait_mean_steps(),
        order_steps_max: figures.waited_max as f64 / f64::from(TICKS),
        collisions: figures.faults,
        deadlocks: figures.deadlocks,
        interventions: figures.interventions,
        cpu_seconds: cpu() - begin,
        step_ms: StepMs::of(&mut tick_ms),
    }
}

fn no_fleet(file: &str, error: SetupError) -> Failure {
    match error {
        SetupError::Planner(error) => input::no_traffic(file, error),
        SetupError::Place(_) | SetupError::Places | SetupError::Empty | SetupError::Battery => {
            Failure::arguments("the fleet cannot be controlled", "give other arguments")
        }
    }
}

impl Report {
    /// Goes to standard error where the figures go to standard output.
    fn say(&self, arguments: &Arguments) {
        let mut text = String::new();
        for (name, run) in [("takt", &self.takt), ("nearest", &self.nearest)] {
            let Some(run) = run else { continue };
            text += &format!(
                "{name}: {} of {} orders, {:.0} an hour, utilisation {:.1} %, an order takes {:.0} steps \
                 (longest {:.0}), {} collisions, {} deadlocks, {} interventions, {:.1} s of CPU\n",
                run.done,
                run.orders,
                run.orders_per_hour,
                run.utilisation * 1e2,
                run.order_steps_mean,
                run.order_steps_max,
                run.collisions,
                run.deadlocks,
                run.interventions,
                run.cpu_seconds,
            );
        }
        if let Some(ratio) = &self.ratio {
            text += &format!(
                "takt to nearest: {:.2} times the orders an hour, {:.2} times the utilisation\n",
                ratio.orders_per_hour, ratio.utilisation
            );
        }
        if text_file::is_standard_output(&arguments.json) {
            eprint!("{text}");
        } else {
            text_file::say(text.trim_end());
        }
    }

    /// Only the production controller has to be free of faults.
    fn verdict(&self) -> Result<(), Failure> {
        match &self.takt {
            Some(run) if run.collisions + run.deadlocks > 0 => Err(defect()),
            Some(_) | None => Ok(()),
        }
    }
}
