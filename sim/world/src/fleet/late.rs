//! Vehicles that do not keep step: their moves take longer than planned, at random.
//!
//! The planner runs ahead by a few actions; each vehicle begins an action when its dependencies are done
//! ([`Release`]) and holds both nodes until it has arrived.

use control_loops_fleet::{GoalError, Planner, Release, Vehicle};
use control_loops_layouts::grid::Grid;

use super::Tally;
use super::errands::{Errands, Random};
use super::judge::{Judge, Pose};

/// How late vehicles are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// How long actions take.
    pub pace: Pace,
    /// The probability that a vehicle stops for a while, in each step.
    pub stop_probability: f64,
    /// How long it then stops, in steps.
    pub stop_steps: u32,
}

/// How long an action takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// One step, and one more with this probability (0 to below 1), and so on.
    Random {
        /// The probability.
        longer: f64,
    },
    /// As long as a vehicle of its own constant speed needs for a cell, or a quarter turn.
    Continuous {
        /// Steps that the mean vehicle needs for either.
        steps: f64,
        /// The slowest and the fastest vehicle differ from the mean by this share, 0 to below 1.
        spread: f64,
    },
}

/// Actions that a vehicle may be behind the plan.
const AHEAD_MAX: usize = 4;
/// Nobody ends an action for so many steps beyond the longest stop: a standstill.
const STANDSTILL_STEPS: u64 = 200;

#[derive(Debug, Clone, Copy)]
struct State {
    pose: Pose,
    moving: bool,
    stopped: u32,
    /// Steps that its actions take, that the one on the way still takes.
    slowness: f64,
    left: f64,
    /// When the errand on the way began, and those that the planner has begun since.
    since: u64,
}

/// A run of vehicles with delays.
#[derive(Debug, Clone)]
pub struct Late {
    planner: Planner,
    release: Release,
    errands: Errands,
    judge: Judge,
    grid: Grid,
    delays: Delays,
    random: Random,
    states: Vec<State>,
    poses: Vec<Pose>,
    still: u64,
    tally: Tally,
}

impl Late {
    /// Vehicles where the planner has them, each with its first goal. The planner must not plan rings.
    ///
    /// # Errors
    /// If a goal cannot be reached, with the vehicle.
    pub fn new(
        mut planner: Planner,
        grid: Grid,
        mut errands: Errands,
        turning: bool,
        delays: Delays,
        mut random: Random,
    ) -> Result<Self, (Vehicle, GoalError)> {
        let release = Release::new(&planner, AHEAD_MAX);
        let mut states = Vec::new();
        for vehicle in (0..planner.vehicles()).map(Vehicle) {
            let (node, heading) = planner.position(vehicle);
            let cell = grid.cell_of(node).unwrap_or(usize::MAX);
            let pose = Pose { cell, from: None, heading: heading.index() };
            let slowness = match delays.pace {
                Pace::Random { .. } => 1.0,
                Pace::Continuous { steps, spread } => steps * (1.0 + spread * (2.0 * random.unit() - 1.0)),
            };
            states.push(State { pose, moving: false, stopped: 0, slowness, left: 0.0, since: 0 });
            planner.set_goal(vehicle, errands.next(vehicle.0 as usize)).map_err(|error| (vehicle, error))?;
        }
        let judge = Judge::new(&grid, turning);
        let (poses, tally) = (Vec::new(), Tally::default());
        Ok(Self { planner, release, errands, judge, grid, delays, random, states, poses, still: 0, tally })
    }

    /// One step: plans if nobody is too far behind, then everybody does what is released.
    ///
    /// # Errors
    /// If a goal cannot be reached, with the vehicle.
    pub fn step(&mut self) -> Result<(), (Vehicle, GoalError)> {
        if self.release.has_room() {
            self.planner.plan();
            self.planner.advance();
            self.release.take_over(&self.planner);
            for vehicle in (0..self.planner.vehicles()).map(Vehicle) {
                if self.planner.goal(vehicle) == Some(self.planner.position(vehicle).0) {
                    let goal = self.errands.next(vehicle.0 as usize);
                    self.planner.set_goal(vehicle, goal).map_err(|error| (vehicle, error))?;
                }
            }
        }
        self.tally.steps += 1;
        self.still += 1;
        for vehicle in (0..self.planner.vehicles()).map(Vehicle) {
            self.act(vehicle);
        }
        self.poses.clear();
        self.poses.extend(self.states.iter().map(|state| state.pose));
        self.judge.see(&self.poses);
        if self.still > STANDSTILL_STEPS + u64::from(self.delays.stop_steps) {
            self.tally.deadlocks += 1;
            self.still = 0;
        }
        Ok(())
    }

    fn act(&mut self, vehicle: Vehicle) {
        let Some(state) = self.states.get_mut(vehicle.0 as usize) else { return };
        self.tally.longest_wait = self.tally.longest_wait.max(self.tally.steps - state.since);
        if state.stopped > 0 {
            state.stopped -= 1;
            return;
        }
        if self.delays.stop_probability > 0.0 && self.random.unit() < self.delays.stop_probability {
            state.stopped = self.delays.stop_steps;
            return;
        }
        if !state.moving {
            let Some(action) = self.release.begin(vehicle) else { return };
            let cell = self.grid.cell_of(action.node).unwrap_or(usize::MAX);
            if cell != state.pose.cell {
                state.pose.from = Some(state.pose.cell);
                state.pose.cell = cell;
            }
            state.moving = true;
            state.left += state.slowness;
        }
        let over = match self.delays.pace {
            Pace::Random { longer } => self.random.unit() >= longer,
            Pace::Continuous { .. } => {
                state.left -= 1.0;
                // A part of a step that is left over goes to the next action.
                state.left <= 0.0
            }
        };
        if over {
            let Some(action) = self.release.finish(vehicle) else { return };
            state.pose.from = None;
            state.pose.heading = action.heading.index();
            state.moving = false;
            self.still = 0;
            if action.at_goal {
                self.tally.goals += 1;
                state.since = self.tally.steps;
            }
        }
    }

    /// The smallest distance between the centres of two vehicles now, in cells; infinite for one vehicle.
    ///
    /// Between two cells a vehicle is as far as its action is.
    #[must_use]
    pub fn distance_min(&self) -> f64 {
        let width = self.grid.width();
        let place = |cell: usize| [(cell % width) as f64, (cell / width) as f64];
        let centre = |state: &State| {
            let ([x, y], from) = (place(state.pose.cell), state.pose.from.map(place));
            let back = (state.left / state.slowness).clamp(0.0, 1.0);
            from.map_or([x, y], |[x0, y0]| [x + (x0 - x) * back, y + (y0 - y) * back])
        };
        let centres: Vec<[f64; 2]> = self.states.iter().map(centre).collect();
        let mut nearest = f64::INFINITY;
        for (index, [x, y]) in centres.iter().enumerate() {
            for [x1, y1] in centres.iter().skip(index + 1) {
                nearest = nearest.min((x - x1).hypot(y - y1));
            }
        }
        nearest
    }

    /// Where everybody is.
    #[must_use]
    pub fn poses(&self) -> &[Pose] {
        &self.poses
    }

    /// The planner, to look at.
    #[must_use]
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// What the judge has seen.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// What the run has come to.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
