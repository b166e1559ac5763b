//! Vehicles that keep step with the plan.

use control_loops_fleet::{GoalError, Node, Planner, Vehicle};
use control_loops_layouts::grid::Grid;

use super::Tally;
use super::errands::Errands;
use super::judge::{Judge, Pose};

/// Nobody moves for so many steps although there are goals: a standstill.
const STANDSTILL_STEPS: u64 = 50;

/// A run of vehicles that keep step.
#[derive(Debug, Clone)]
pub struct InStep {
    planner: Planner,
    errands: Errands,
    judge: Judge,
    grid: Grid,
    poses: Vec<Pose>,
    since: Vec<u64>,
    still: u64,
    tally: Tally,
}

impl InStep {
    /// Vehicles where the planner has them, each with its first goal.
    ///
    /// # Errors
    /// If a goal cannot be reached, with the vehicle.
    pub fn new(
        mut planner: Planner,
        grid: Grid,
        mut errands: Errands,
        turning: bool,
    ) -> Result<Self, (Vehicle, GoalError)> {
        for vehicle in 0..planner.vehicles() {
            let goal = errands.next(vehicle as usize);
            planner.set_goal(Vehicle(vehicle), goal).map_err(|error| (Vehicle(vehicle), error))?;
        }
        let judge = Judge::new(&grid, turning);
        let since = vec![0; planner.vehicles() as usize];
        let mut run = Self {
            planner,
            errands,
            judge,
            grid,
            poses: Vec::new(),
            since,
            still: 0,
            tally: Tally::default(),
        };
        run.look();
        Ok(run)
    }

    /// One step: plans, moves, judges, hands out goals.
    ///
    /// # Errors
    /// If a goal cannot be reached, with the vehicle.
    pub fn step(&mut self) -> Result<(), (Vehicle, GoalError)> {
        self.planner.plan();
        self.planner.advance();
        self.tally.steps += 1;
        let before = std::mem::take(&mut self.poses);
        self.poses = before.clone();
        self.look();
        self.still = if before == self.poses { self.still + 1 } else { 0 };
        if self.still == STANDSTILL_STEPS {
            self.tally.deadlocks += 1;
            self.still = 0;
        }
        for vehicle in 0..self.planner.vehicles() {
            self.arrive(Vehicle(vehicle)).map_err(|error| (Vehicle(vehicle), error))?;
        }
        Ok(())
    }

    fn arrive(&mut self, vehicle: Vehicle) -> Result<(), GoalError> {
        let Some(since) = self.since.get_mut(vehicle.0 as usize) else { return Ok(()) };
        self.tally.longest_wait = self.tally.longest_wait.max(self.tally.steps - *since);
        if self.planner.goal(vehicle) != Some(self.planner.position(vehicle).0) {
            return Ok(());
        }
        self.tally.goals += 1;
        *since = self.tally.steps;
        let goal = self.errands.next(vehicle.0 as usize);
        self.planner.set_goal(vehicle, goal)
    }

    fn look(&mut self) {
        self.poses.clear();
        for vehicle in 0..self.planner.vehicles() {
            let (node, heading) = self.planner.position(Vehicle(vehicle));
            let cell = self.grid.cell_of(node).unwrap_or(usize::MAX);
            self.poses.push(Pose { cell, from: None, heading: heading.index() });
        }
        self.judge.see(&self.poses);
    }

    /// Where everybody is.
    #[must_use]
    pub fn poses(&self) -> &[Pose] {
        &self.poses
    }

    /// A vehicle's goal.
    #[must_use]
    pub fn goal(&self, vehicle: Vehicle) -> Option<Node> {
        self.planner.goal(vehicle)
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
