//! `takt-sim fleet`: a fleet on a grid map, in virtual time: for ever busy, or with transport orders.

mod input;
mod orders;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use control_loops_fleet::{GoalError, Heading, Motion, Node, Planner, Setup, Vehicle};
use sim_world::fleet::errands::Random;
use sim_world::fleet::{Delays, InStep, Judge, Late, Pace, Pose, Tally};

use crate::failure::Failure;
use crate::number::within;
use crate::text_file;
use input::Input;
use orders::{Dispatch, Orders};
use report::{Plan, Report};

/// Steps of the continuous model in one step of the plan.
const CONTINUOUS_STEPS: f64 = 10.0;
/// How much the speeds of vehicles differ in the continuous model.
const CONTINUOUS_SPREAD: f64 = 0.3;
/// Vehicles that turn are led past each other where there is more than one on so many cells.
const DENSE_CELLS: usize = 4;
const STEPS_MAX: u64 = 100_000_000;

const EXAMPLES: &str = "\
Examples:
  takt-sim fleet --map warehouse-33x36.json --agents 150 --steps 1000 --seed 1 --json out.json
  takt-sim fleet --map MR23-I-04.json --agents 100 --steps 500 --model turning --json -
  takt-sim fleet --map empty.map --agents 50 --steps 100000 --delay 0.2 --stop 0.001:50 --json out.json
  takt-sim fleet --map warehouse-33x36.json --agents 40 --steps 3600 --orders 2000/2000 --json out.json

Maps: MovingAI .map files; JSON with rows under layout (goals alternate between w and e cells, maps without
them take uniform random goals); instances of the League of Robot Runners, whose starts and tasks are taken.

With --orders a step is an action of a vehicle, taken as a second; loads take five to be picked up or put down.
Utilisation is the share of vehicle time in which a load is handled or moved. --dispatch nearest is a simple way
of control to compare with: the first order goes to the nearest idle vehicle, on fixed shortest routes, each
vehicle locks its next cell only, and rings of waiting vehicles are counted and broken up.

Exit status: 0 done, 1 failed (also if vehicles collided or came to a standstill), 2 wrong usage or bad input.";

/// Runs a fleet under the production traffic control, in virtual time
///
/// Every vehicle gets a new goal when it has reached one; with --orders, what is ordered is done. Collisions are judged apart from the planner, from
/// the map and the vehicles' positions alone. Equal arguments give equal plans.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The map, or an instance of the League of Robot Runners
    #[arg(long, value_name = "FILE")]
    map: PathBuf,

    /// How many vehicles; an instance says it itself, and fewer are taken from its beginning
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    agents: Option<u16>,

    /// How many steps
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(1..=STEPS_MAX))]
    steps: u64,

    /// Seed of starts, goals and delays
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,

    /// How vehicles move
    #[arg(long, value_name = "MODEL", value_enum, default_value_t = Model::Pebble)]
    model: Model,

    /// Transport orders instead of goals: how many, and how many come in an hour of 3600 steps
    #[arg(long, value_name = "N/RATE", value_parser = Orders::parse, conflicts_with = "plan_out")]
    orders: Option<Orders>,

    /// Who gives the orders to vehicles
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Dispatch::Both, requires = "orders")]
    dispatch: Dispatch,

    /// The probability that an action takes a step longer, again and again
    #[arg(long, value_name = "P", value_parser = within(0.0, 0.99))]
    delay: Option<f64>,

    /// The probability in each step that a vehicle stops, and for how many steps
    #[arg(long, value_name = "P:STEPS", value_parser = stops)]
    stop: Option<(f64, u32)>,

    /// What moving against a lane's direction costs more, in eighths of a step
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=200))]
    lanes: u8,

    /// Steps planned ahead
    #[arg(long, value_name = "N")]
    window: Option<usize>,

    /// Nodes that searches for better plans may expand in one step
    #[arg(long, value_name = "N")]
    effort: Option<u32>,

    /// From this age of an errand on, in steps, the oldest has the right of way
    #[arg(long, value_name = "STEPS")]
    guard_age: Option<u32>,

    /// Where to write the figures; - is standard output
    #[arg(long, value_name = "FILE")]
    json: PathBuf,

    /// Where to write everybody's way as JSON, for a checker
    #[arg(long, value_name = "FILE")]
    plan_out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// To any neighbour in one step
    Pebble,
    /// Forward, or a quarter turn, in one step
    Turning,
    /// As turning, with speeds of their own, ten steps to a step of the plan
    Continuous,
}

impl Model {
    const fn motion(self) -> Motion {
        match self {
            Self::Pebble => Motion::Pebble,
            Self::Turning | Self::Continuous => Motion::Turning,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Pebble => "pebble",
            Self::Turning => "turning",
            Self::Continuous => "continuous",
        }
    }
}

fn stops(text: &str) -> Result<(f64, u32), String> {
    let wrong = || "give a probability from 0 to 0.99 and a number of steps, as 0.001:50".to_owned();
    let (probability, steps) = text.split_once(':').ok_or_else(wrong)?;
    let probability = within(0.0, 0.99)(probability)?;
    Ok((probability, steps.trim().parse().map_err(|_| wrong())?))
}

impl Arguments {
    fn traffic(&self, rings: bool, usual: Setup) -> Setup {
        Setup {
            rings,
            seed: self.seed,
            window: self.window.unwrap_or(usual.window),
            effort: self.effort.unwrap_or(usual.effort),
            guard_age: self.guard_age.unwrap_or(usual.guard_age),
            ..usual
        }
    }
}

/// A run in either way of keeping time.
enum Run {
    InStep(Box<InStep>),
    Late(Box<Late>),
}

impl Run {
    fn step(&mut self) -> Result<(), (Vehicle, GoalError)> {
        match self {
            Self::InStep(run) => run.step(),
            Self::Late(run) => run.step(),
        }
    }

    fn poses(&self) -> &[Pose] {
        match self {
            Self::InStep(run) => run.poses(),
            Self::Late(run) => run.poses(),
        }
    }

    fn judge(&self) -> &Judge {
        match self {
            Self::InStep(run) => run.judge(),
            Self::Late(run) => run.judge(),
        }
    }

    fn tally(&self) -> Tally {
        match self {
            Self::InStep(run) => run.tally(),
            Self::Late(run) => run.tally(),
        }
    }

    fn planner(&self) -> &Planner {
        match self {
            Self::InStep(run) => run.planner(),
            Self::Late(run) => run.planner(),
        }
    }

    /// Only vehicles between two cells are ever nearer than the cells say.
    fn distance_min(&self) -> Option<f64> {
        match self {
            Self::InStep(_) => None,
            Self::Late(run) => Some(run.distance_min()),
        }
    }
}

/// Runs the fleet and writes the figures.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(orders) = arguments.orders {
        return orders::run(arguments, orders);
    }
    let mut run = set_up(arguments)?;
    let mut plan = arguments.plan_out.as_ref().map(|_| Plan::new(run.poses()));
    let mut step_ms = Vec::with_capacity(usize::try_from(arguments.steps).unwrap_or(0));
    let continuous = arguments.model == Model::Continuous;
    let mut distance_min = f64::INFINITY;
    for _ in 0..arguments.steps {
        let begin = Instant::now();
        run.step().map_err(|(vehicle, error)| unreachable(arguments, vehicle, error))?;
        step_ms.push(begin.elapsed().as_secs_f32() * 1e3);
        if let Some(plan) = &mut plan {
            plan.add(run.poses());
        }
        if continuous {
            distance_min = distance_min.min(run.distance_min().unwrap_or(f64::INFINITY));
        }
    }
    let report = Report::new(run.tally(), run.judge().total(), run.planner().wait_max(), &mut step_ms)
        .with_distance(continuous.then_some(distance_min));
    if let (Some(path), Some(plan)) = (&arguments.plan_out, &plan) {
        text_file::write(path, &plan.to_json(&arguments.map, arguments.model.as_str()))?;
    }
    text_file::write(&arguments.json, &report.to_json())?;
    report.say(&arguments.json);
    report.verdict()
}

fn set_up(arguments: &Arguments) -> Result<Run, Failure> {
    let mut random = Random::new(arguments.seed);
    let Input { grid, starts, errands } = Input::read(&arguments.map, arguments.agents, &mut random)?;
    let file = arguments.map.display().to_string();
    let motion = arguments.model.motion();
    let late = arguments.delay.is_some() || arguments.stop.is_some() || arguments.model == Model::Continuous;
    let setup = arguments.traffic(!late, Setup::usual(motion));
    let starts: Vec<(Node, Heading)> = starts.into_iter().map(|node| (node, Heading::East)).collect();
    let is_dense = starts.len() * DENSE_CELLS > grid.nodes();
    let graph = if motion == Motion::Turning && is_dense {
        grid.guided_graph(&file, arguments.lanes)?
    } else {
        grid.graph(&file, arguments.lanes)?
    };
    let planner = Planner::new(graph, &starts, setup).map_err(|error| input::no_traffic(&file, error))?;
    let turning = motion == Motion::Turning;
    let run = if late {
        let pace = match arguments.model {
            Model::Pebble | Model::Turning => Pace::Random { longer: arguments.delay.unwrap_or(0.0) },
            Model::Continuous => Pace::Continuous { steps: CONTINUOUS_STEPS, spread: CONTINUOUS_SPREAD },
        };
        let (stop_probability, stop_steps) = arguments.stop.unwrap_or((0.0, 0));
        let delays = Delays { pace, stop_probability, stop_steps };
        Late::new(planner, grid, errands, turning, delays, random).map(|run| Run::Late(Box::new(run)))
    } else {
        InStep::new(planner, grid, errands, turning).map(|run| Run::InStep(Box::new(run)))
    };
    run.map_err(|(vehicle, error)| unreachable(arguments, vehicle, error))
}

fn unreachable(arguments: &Arguments, vehicle: Vehicle, error: GoalError) -> Failure {
    let what = match error {
        GoalError::UnknownVehicle | GoalError::UnknownNode => "gets a goal that does not exist",
        GoalError::Unreachable => "cannot reach its goal",
    };
    input::bad(&arguments.map, format!("vehicle {} {what}", vehicle.0), "give a map in one piece")
}
