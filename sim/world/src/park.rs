//! A park in virtual time: turbines in winds of their own under one dispatch.
//!
//! # Model
//!
//! The dispatch steps as often as an agent's with what the turbines report, and its limits reach each turbine's
//! controller at once. Every turbine has the same kind of wind from a seed of its own; there are no wakes.

use control_loops_controllers::park::{
    DISPATCH_PERIOD, ParkDemand, ParkDispatch, ParkParameters, ParkStep, TurbineReport,
};
use hal_units::{Duration, Watts};

use crate::TurbineLoop;

/// Time between two rows.
pub const PARK_PERIOD: Duration = Duration::from_secs(1);

/// What one second came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParkRow {
    /// End of the second, since the start.
    pub t: Duration,
    /// What the dispatch decided last.
    pub step: ParkStep,
    /// Mean power over the second.
    pub power: Watts,
}

/// A park.
#[derive(Debug, Clone)]
pub struct Park {
    /// The turbines; faults may be set between steps.
    pub turbines: Vec<TurbineLoop>,
    parameters: ParkParameters,
    dispatch: ParkDispatch,
    limits: Vec<Watts>,
    worn_j: Vec<f64>,
    now: Duration,
}

impl Park {
    /// A park of turbines as they stand.
    #[must_use]
    pub fn new(turbines: Vec<TurbineLoop>, parameters: ParkParameters) -> Self {
        let power = turbines.iter().fold(Watts::ZERO, |sum, turbine| sum + turbine.row().power);
        Self {
            dispatch: ParkDispatch::from_power(power),
            limits: vec![parameters.rated_power; turbines.len()],
            worn_j: vec![0.0; turbines.len()],
            turbines,
            parameters,
            now: Duration::ZERO,
        }
    }

    /// One second.
    pub fn step(&mut self, demand: &ParkDemand) -> ParkRow {
        let (mut energy_j, until) = (0.0, self.now + PARK_PERIOD);
        loop {
            let step = self.dispatch(demand);
            energy_j += self.turn(DISPATCH_PERIOD);
            if self.now >= until {
                return ParkRow { t: self.now, step, power: Watts(energy_j / PARK_PERIOD.as_secs_f64()) };
            }
        }
    }

    /// One step of the dispatch.
    fn dispatch(&mut self, demand: &ParkDemand) -> ParkStep {
        let rated = self.rated_each().get();
        let reports: Vec<TurbineReport> = self
            .turbines
            .iter()
            .zip(&self.worn_j)
            .map(|(turbine, worn_j)| TurbineReport {
                // Who cannot say counts with what it gives.
                available: turbine.controller().available_power().unwrap_or(turbine.row().power),
                power: turbine.row().power,
                weight: 1.0,
                wear: worn_j / rated,
            })
            .collect();
        self.dispatch.step(&self.parameters, demand, &reports, &mut self.limits, DISPATCH_PERIOD)
    }

    fn rated_each(&self) -> Watts {
        self.parameters.rated_power / self.turbines.len().max(1) as f64
    }

    /// Lets the turbines turn for so long; the energy that they give, J.
    fn turn(&mut self, how_long: Duration) -> f64 {
        self.now += how_long;
        let (rated, mut energy_j) = (self.rated_each(), 0.0);
        for ((turbine, limit), worn_j) in self.turbines.iter_mut().zip(&self.limits).zip(&mut self.worn_j) {
            turbine.demand.power_limit = limit.min(rated);
            while turbine.now() < self.now {
                let before = turbine.now();
                turbine.step();
                let passed_s = turbine.now().saturating_sub(before).as_secs_f64();
                energy_j += turbine.row().power.get() * passed_s;
                *worn_j += turbine.row().power.get() * passed_s;
            }
        }
        energy_j
    }

    /// Energy that each turbine has given, J: the wear that the dispatch evens out.
    #[must_use]
    pub fn energy_j(&self) -> &[f64] {
        &self.worn_j
    }
}
