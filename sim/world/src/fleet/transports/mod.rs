//! Transport orders on a grid map: the same ones for the fleet controller and for a simple way of control.
//!
//! Both move vehicles of the same kind ([`body`]) at the same pace, get the same orders at the same times
//! ([`Shift`]), and are measured alike ([`Figures`]).
//!
//! - [`takt`]: the production fleet controller.
//! - [`nearest`]: nearest vehicle, first come, first served, on fixed routes without look-ahead.

pub mod body;
pub mod nearest;
pub mod takt;

use control_loops_fleet::Node;
use control_loops_layouts::grid::{Cell, Grid};

use super::errands::Random;
use super::late::Delays;
use body::TICKS;

/// An order, and when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// In ticks from the beginning.
    pub at: u64,
    /// Where the load is.
    pub pick: Node,
    /// Where it goes.
    pub drop: Node,
}

/// Orders and vehicles of a run.
#[derive(Debug, Clone)]
pub struct Shift {
    /// In the order in which they come.
    pub jobs: Vec<Job>,
    /// Where the vehicles begin, facing east.
    pub starts: Vec<Node>,
    /// Whether vehicles turn on the spot.
    pub turning: bool,
    /// What moving against a lane's direction costs more, in eighths of a step.
    pub lanes: u8,
    /// How late vehicles are.
    pub delays: Delays,
    /// Actions that taking or putting down a load takes.
    pub handling: u32,
    /// Seed of the delays and of the planner.
    pub seed: u64,
}

impl Shift {
    /// Draws `count` orders that come at random times, so many in a thousand steps on average. On a map with
    /// work stations and endpoints they lead from the one kind to the other, in turn; otherwise anywhere.
    #[must_use]
    pub fn draw(grid: &Grid, count: usize, per_thousand_steps: f64, random: &mut Random) -> Vec<Job> {
        let kinds = [Cell::Workstation, Cell::Endpoint].map(|kind| grid.nodes_on(kind).collect::<Vec<_>>());
        let every: Vec<Node> = (0..grid.nodes() as u32).map(Node).collect();
        let draw = |from: &[Node], random: &mut Random| {
            from.get(random.below(from.len() as u64) as usize).copied().unwrap_or(Node(0))
        };
        let mut at = 0.0;
        let mut jobs = Vec::with_capacity(count);
        for number in 0..count {
            let [first, second] = match &kinds {
                [work, ends] if !work.is_empty() && !ends.is_empty() => [work, ends],
                _ => [&every, &every],
            };
            let (from, to) = if number % 2 == 0 { (second, first) } else { (first, second) };
            let pick = draw(from, random);
            let mut drop = draw(to, random);
            while drop == pick && grid.nodes() > 1 {
                drop = draw(&every, random);
            }
            jobs.push(Job { at: at as u64, pick, drop });
            // Times between arrivals that know nothing of each other.
            at += -(1.0 - random.unit()).ln() * 1_000.0 / per_thousand_steps * f64::from(TICKS);
        }
        jobs
    }
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Ticks done, and vehicles.
    pub ticks: u64,
    /// How many vehicles there are.
    pub vehicles: u64,
    /// Orders that have come, and that are done.
    pub orders: u64,
    /// Orders done.
    pub done: u64,
    /// Vehicle ticks in which a load was taken, put down, or moved.
    pub productive: u64,
    /// Vehicle ticks in which a vehicle had an order.
    pub busy: u64,
    /// From an order's coming to its end, in ticks: the sum over those done, and the longest of all.
    pub waited_sum: u64,
    /// The longest, over those that are not done as well.
    pub waited_max: u64,
    /// Rings of vehicles that waited for each other, and were resolved.
    pub deadlocks: u64,
    /// Of these, how many needed a person.
    pub interventions: u64,
    /// Two vehicles on one cell, changes of places, impossible moves.
    pub faults: u64,
}

impl Figures {
    /// Share of vehicle time in which a load was handled or moved.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        self.productive as f64 / (self.ticks * self.vehicles).max(1) as f64
    }

    /// Share of vehicle time with an order.
    #[must_use]
    pub fn busy_share(&self) -> f64 {
        self.busy as f64 / (self.ticks * self.vehicles).max(1) as f64
    }

    /// Orders done in an hour, if an action takes a second.
    #[must_use]
    pub fn orders_per_hour(&self) -> f64 {
        self.done as f64 * 3_600.0 * f64::from(TICKS) / self.ticks.max(1) as f64
    }

    /// Steps from an order's coming to its end, on average over those done.
    #[must_use]
    pub fn wait_mean_steps(&self) -> f64 {
        self.waited_sum as f64 / self.done.max(1) as f64 / f64::from(TICKS)
    }

    pub(crate) fn end_order(&mut self, waited: u64) {
        self.done += 1;
        self.waited_sum += waited;
        self.waited_max = self.waited_max.max(waited);
    }
}
