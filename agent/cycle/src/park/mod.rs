//! A park as a unit: a meter at the grid, and the turbines that feed in through it.
//!
//! # Model
//!
//! A park stands behind its turbines in the group's order. In each cycle it looks at what they made of theirs, steps
//! its dispatch, and leaves each of them a [`Share`]: how much it may give from the next cycle on. Whether they may run at
//! all it says before they step. The shares are part of the turbines' states, so a standby that takes over goes on
//! from those that are in force.

mod binding;
mod share;
mod wake;

use control_loops_controllers::park::{
    ParkController, ParkInputs, ParkParameters, ParkPhase, ParkState, ParkStep, ParkSums, TurbineReport,
    share_out,
};
use control_loops_controllers::turbine::{RunRequest, TurbineDemand};
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::unit::{Plant, PlantCycle, Unit};
use crate::{Overrides, ParkRecord, PlantRecord};
pub use binding::ParkBinding;
pub use share::Share;
pub use wake::WakeTable;

use wake::mean_direction;

/// All that is to be known of a park after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct ParkUnitState {
    /// What the controller remembers.
    pub controller: ParkState,
    /// What the meter says.
    pub inputs: ParkInputs,
    /// What the turbines say together.
    pub sums: ParkSums,
    /// What was asked of it.
    pub demand: TurbineDemand,
}

impl ParkUnitState {
    /// What the controller remembers if it makes this state's step from `before`.
    pub(crate) fn repeated(&self, before: &Self, parameters: &ParkParameters, dt: Duration) -> ParkState {
        let mut controller = ParkController::new(*parameters);
        controller.restore(before.controller);
        controller.step(&self.inputs, &self.sums, &self.demand, dt);
        controller.state()
    }
}

/// A park with its controller.
#[derive(Debug)]
pub(crate) struct ParkSide {
    binding: ParkBinding,
    controller: ParkController,
    /// Positions of its turbines in the group.
    members: Box<[usize]>,
    /// What they say, in the same order, and what each may give.
    reports: Box<[TurbineReport]>,
    limits: Box<[Watts]>,
    inputs: ParkInputs,
    sums: ParkSums,
    demand: TurbineDemand,
    reported: Option<ParkPhase>,
}

impl Unit {
    /// A park whose meter stands at `device` on the group's bus, with the turbines at these positions before it in
    /// the group. Allocates: set-up only.
    #[must_use]
    pub fn park(
        device: usize,
        binding: ParkBinding,
        controller: ParkController,
        members: Box<[usize]>,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        const NOTHING: TurbineReport =
            TurbineReport { available: Watts::ZERO, power: Watts::ZERO, weight: 1.0, wear: 0.0 };
        let side = ParkSide {
            binding,
            controller,
            reports: members.iter().map(|_| NOTHING).collect(),
            limits: members.iter().map(|_| Watts(f64::INFINITY)).collect(),
            members,
            inputs: ParkInputs::NEVER,
            sums: ParkSums::default(),
            demand: TurbineDemand::STOP,
            reported: None,
        };
        Self::of(device, Plant::Park(Box::new(side)), overrides, initial)
    }
}

impl ParkSide {
    pub(crate) fn state(&self) -> ParkUnitState {
        ParkUnitState {
            controller: self.controller.state(),
            inputs: self.inputs,
            sums: self.sums,
            demand: self.demand,
        }
    }

    pub(crate) fn follow(&mut self, state: &ParkUnitState) {
        self.controller.restore(state.controller);
    }

    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant) {
        self.inputs = self.binding.inputs(image, now);
    }

    /// Adds up what the turbines say, shared out by the plan's table for this direction of the wind.
    fn hear(&mut self, units: &[Unit], wake: Option<&WakeTable>) {
        let wake = wake.and_then(|wake| {
            let seen = self.members.iter().filter_map(|at| units.get(*at)?.wind_direction());
            Some((wake, mean_direction(seen)?))
        });
        let rated = self.controller.parameters().rated_power.get() / self.members.len().max(1) as f64;
        let mut sums = ParkSums { complete: true, ..ParkSums::default() };
        for (at, report) in self.members.iter().zip(&mut self.reports) {
            let Some(unit) = units.get(*at) else { continue };
            let (available, power) = unit.producing();
            let weight = wake.map_or(1.0, |(wake, from)| wake.weight(*at, from));
            sums.complete &= power.is_some();
            let power = power.unwrap_or_default();
            *report = TurbineReport { available, power, weight, wear: unit.share().given_j / rated.max(1.0) };
            sums.available += available;
            sums.given += power;
        }
        self.sums = sums;
    }

    /// Whether its turbines may run at all in this cycle.
    pub(crate) fn open(&self, turbines: &mut [Unit], runs: bool, emergency_stop: bool) {
        for at in &self.members {
            if let Some(unit) = turbines.get_mut(*at) {
                let share = unit.share_mut();
                (share.runs, share.emergency_stop) = (runs, emergency_stop);
            }
        }
    }

    /// One cycle, behind its turbines.
    pub(crate) fn step(
        &mut self,
        units: &mut [Unit],
        demand: TurbineDemand,
        wake: Option<&WakeTable>,
        dt: Duration,
    ) {
        self.demand = demand;
        if self.controller.is_due(dt) {
            self.hear(units, wake);
        }
        let decided = self.controller.step(&self.inputs, &self.sums, &demand, dt);
        if let Some(step) = &decided {
            share_out(self.controller.parameters(), step, &self.reports, &mut self.limits);
        }
        let runs = demand.request == RunRequest::Run;
        for ((at, report), limit) in self.members.iter().zip(&self.reports).zip(&mut self.limits) {
            let Some(unit) = units.get_mut(*at) else { continue };
            // A turbine that gives nothing yet is not held at nothing: it would never start.
            if decided.is_some() && report.available <= Watts::ZERO {
                *limit = Watts(f64::INFINITY);
            }
            let share = unit.share_mut();
            if decided.is_some() {
                share.limit = *limit;
            }
            if !runs {
                share.limit = Watts(f64::INFINITY);
            }
            share.given_j += report.power.get().max(0.0) * dt.as_secs_f64();
        }
    }

    pub(crate) fn report(&mut self, now: Instant) -> PlantCycle {
        let phase = self.controller.phase(&self.demand);
        let ParkInputs { power, frequency } = self.inputs;
        let ParkStep { ramped, answer, target, available, shared: _ } = self.controller.last();
        let metered = power.quality.is_usable().then_some(Watts(power.value));
        let record = ParkRecord {
            phase,
            power: metered.unwrap_or(self.sums.given),
            is_metered: metered.is_some(),
            frequency_hz: frequency.quality.is_usable().then_some(frequency.value),
            reference: self.demand.power_limit,
            ramped,
            answer,
            target,
            available,
        };
        PlantCycle {
            record: PlantRecord::Park(record),
            quality: Quality::worst(power.quality, frequency.quality),
            input_age: (power.sequence > 0).then(|| power.age(now)),
            changed: self.reported.replace(phase) != Some(phase),
            // Its turbines come to rest for themselves.
            at_rest: true,
        }
    }
}
