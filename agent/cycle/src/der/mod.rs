//! A plant that controls itself, as a unit.

mod binding;

use control_loops_controllers::der::{DerController, DerInputs, DerParameters, DerPhase, DerState, DerStep};
use control_loops_controllers::turbine::TurbineDemand;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::unit::{Plant, PlantCycle, Unit};
use crate::{DerRecord, Overrides, PlantRecord};
pub use binding::DerBinding;

/// All that is to be known of such a plant after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DerUnitState {
    /// What the controller remembers.
    pub controller: DerState,
    /// The inputs that were used.
    pub inputs: DerInputs,
    /// What was asked of it.
    pub demand: TurbineDemand,
}

impl DerUnitState {
    /// What the controller remembers if it makes this state's step from `before`.
    pub(crate) fn repeated(&self, before: &Self, parameters: &DerParameters, dt: Duration) -> DerState {
        let mut controller = DerController::new(*parameters);
        controller.restore(before.controller);
        controller.step(&self.inputs, &self.demand, dt);
        controller.state()
    }
}

/// A plant with its controller.
#[derive(Debug)]
pub(crate) struct DerSide {
    binding: DerBinding,
    controller: DerController,
    inputs: DerInputs,
    demand: TurbineDemand,
    step: Option<DerStep>,
    reported: Option<DerPhase>,
}

impl Unit {
    /// A plant whose device stands at `device` on the group's bus. Allocates: set-up only.
    #[must_use]
    pub fn der(
        device: usize,
        binding: DerBinding,
        controller: DerController,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        let side = DerSide {
            binding,
            controller,
            inputs: DerInputs::NEVER,
            demand: TurbineDemand::STOP,
            step: None,
            reported: None,
        };
        Self::of(device, Plant::Der(Box::new(side)), overrides, initial)
    }
}

impl DerSide {
    pub(crate) fn state(&self) -> DerUnitState {
        DerUnitState { controller: self.controller.state(), inputs: self.inputs, demand: self.demand }
    }

    pub(crate) fn follow(&mut self, state: &DerUnitState) {
        self.controller.restore(state.controller);
    }

    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant) {
        self.inputs = self.binding.inputs(image, now);
    }

    pub(crate) fn step(&mut self, demand: TurbineDemand, dt: Duration) {
        self.demand = demand;
        self.step = Some(self.controller.step(&self.inputs, &demand, dt));
    }

    /// Whether there is anything to write: nothing to a device that somebody else has in hand.
    pub(crate) fn may_write(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.outputs.is_some())
    }

    pub(crate) fn write(&self, epoch: u32, outputs: &mut DeviceOutputs) {
        if let Some(told) = self.step.as_ref().and_then(|step| step.outputs) {
            self.binding.outputs(&told, epoch, outputs);
        }
    }

    pub(crate) fn report(&mut self, now: Instant, power_limit: Watts) -> PlantCycle {
        let phase = self.step.as_ref().map_or(DerPhase::Blind, |step| step.phase);
        let inputs = &self.inputs;
        let quality = [inputs.local, inputs.power, inputs.alarms, inputs.limit_scale]
            .iter()
            .map(|sample| sample.quality)
            .fold(Quality::Good, Quality::worst);
        PlantCycle {
            record: PlantRecord::Der(DerRecord { phase, power: Watts(inputs.power.value), power_limit }),
            quality,
            input_age: (inputs.local.sequence > 0).then(|| inputs.local.age(now)),
            changed: self.reported.replace(phase) != Some(phase),
            // In local control it is at rest as far as this agent is concerned: it may not bring it to rest.
            at_rest: matches!(phase, DerPhase::Stopped | DerPhase::Local),
        }
    }
}
