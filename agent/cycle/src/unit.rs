//! One unit: its controller, its device, and what operators left standing.

use control_loops_controllers::turbine::{
    ModeName, TripSet, TurbineController, TurbineDemand, TurbineInputs, TurbineStep,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, Sample};
use hal_units::{Duration, Instant, MetersPerSecond, Radians, RadiansPerSecond, Watts};

use crate::demand::PlanDemand;
use crate::{Overrides, TurbineBinding, UnitRecord, UnitState};

/// A turbine in a loop group.
#[derive(Debug)]
pub struct Unit {
    device: usize,
    binding: TurbineBinding,
    controller: TurbineController,
    overrides: Overrides,
    reset: bool,
    outputs: DeviceOutputs,
    acknowledged: u32,
    acknowledged_at: Option<Instant>,
    reported: Option<(ModeName, TripSet)>,
    /// What the last step was made from.
    used: (TurbineInputs, TurbineDemand),
}

/// What a unit contributes to its group's cycle record.
pub(crate) struct UnitCycle {
    pub(crate) record: UnitRecord,
    pub(crate) changed: bool,
    pub(crate) blind: bool,
    pub(crate) at_rest: bool,
}

/// How long outputs hold, under which epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTerms {
    pub(crate) expires_at: Instant,
    pub(crate) epoch: u32,
}

impl Unit {
    /// A unit whose device stands at `device` on the group's bus.
    #[must_use]
    pub fn new(
        device: usize,
        binding: TurbineBinding,
        controller: TurbineController,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        Self {
            device,
            binding,
            controller,
            overrides,
            reset: false,
            outputs: initial,
            acknowledged: 0,
            acknowledged_at: None,
            reported: None,
            used: (TurbineInputs::NEVER, TurbineDemand::STOP),
        }
    }

    /// Position of the unit's device on the group's bus.
    #[must_use]
    pub fn device(&self) -> usize {
        self.device
    }

    /// All that is to be known of the unit after its last step.
    #[must_use]
    pub fn state(&self) -> UnitState {
        let (inputs, demand) = self.used;
        UnitState {
            controller: self.controller.state(),
            overrides: self.overrides,
            outputs: self.outputs,
            inputs,
            demand,
        }
    }

    /// Goes on from the state of the node that writes.
    pub(crate) fn follow(&mut self, state: &UnitState) {
        self.controller.restore(state.controller);
        self.overrides = state.overrides;
        self.outputs = state.outputs;
    }

    /// Nobody acknowledges outputs that are not written here: the wait for it begins with the first that is.
    pub(crate) fn await_no_acknowledgement(&mut self) {
        self.acknowledged_at = None;
    }

    pub(crate) fn command(&mut self, action: crate::CommandAction) {
        self.overrides = self.overrides.after(action);
        self.reset |= action == crate::CommandAction::Reset;
    }

    /// Inputs of one scan, as they are to be trusted at `now`.
    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant) -> TurbineInputs {
        if image.outputs_acknowledged != self.acknowledged {
            self.acknowledged = image.outputs_acknowledged;
            self.acknowledged_at = self.acknowledged_at.max(Some(image.acquired_at));
        }
        let unacknowledged_for = now.since(self.acknowledged_at.unwrap_or(now));
        self.binding.inputs(image, now, unacknowledged_for)
    }

    /// One step of the controller under its demand.
    pub(crate) fn step(
        &mut self,
        inputs: &TurbineInputs,
        plan: &PlanDemand,
        group_stops: bool,
        dt: Duration,
    ) -> TurbineStep {
        let demand = self.overrides.over(plan, group_stops, core::mem::take(&mut self.reset));
        self.used = (*inputs, demand);
        self.controller.step(inputs, &demand, dt)
    }

    /// The outputs of this cycle, with the next sequence. None until the controller knows the turbine's
    /// state: outputs that do not follow from measurements would jolt a turbine that is already turning.
    pub(crate) fn write(
        &mut self,
        step: &TurbineStep,
        terms: WriteTerms,
        now: Instant,
    ) -> Option<&DeviceOutputs> {
        if !step.seeded && self.outputs.sequence == 0 {
            return None;
        }
        // Acknowledgements are awaited from the first write on.
        self.acknowledged_at.get_or_insert(now);
        // 0 means "never": the count goes round it.
        self.outputs.sequence = self.outputs.sequence.wrapping_add(1).max(1);
        self.outputs.expires_at = terms.expires_at;
        self.binding.outputs(&step.outputs, terms.epoch, &mut self.outputs);
        Some(&self.outputs)
    }

    pub(crate) fn report(
        &mut self,
        at: (u16, u64, Instant),
        inputs: &TurbineInputs,
        step: &TurbineStep,
        plan: &PlanDemand,
    ) -> UnitCycle {
        let (unit, cycle, now) = at;
        let quality = worst_quality(inputs);
        let changed = self.reported.replace((step.mode, step.trips)) != Some((step.mode, step.trips));
        let record = UnitRecord {
            unit,
            cycle,
            mode: step.mode,
            trips: step.trips,
            quality,
            input_age: inputs.generator_speed.age(now),
            unacknowledged_for: inputs.outputs_unacknowledged_for,
            wind_speed: MetersPerSecond(inputs.wind_speed.value),
            rotor_speed: RadiansPerSecond(inputs.rotor_speed.value),
            power: Watts(inputs.power.value),
            pitch: Radians(inputs.pitch.value),
            torque_command: step.outputs.generator_torque,
            pitch_command: step.outputs.pitch,
            power_limit: self.overrides.over(plan, false, false).power_limit,
        };
        UnitCycle { record, changed, blind: !quality.is_usable(), at_rest: is_at_rest(step.mode) }
    }
}

/// Feathered and off the grid.
fn is_at_rest(mode: ModeName) -> bool {
    match mode {
        ModeName::Idle | ModeName::Parked | ModeName::Service => true,
        ModeName::StartUp
        | ModeName::Run
        | ModeName::Derated
        | ModeName::NormalStop
        | ModeName::EmergencyStop => false,
    }
}

/// The worst quality of the inputs that the field must deliver.
fn worst_quality(inputs: &TurbineInputs) -> Quality {
    let TurbineInputs {
        generator_speed,
        rotor_speed,
        pitch,
        generator_torque,
        power,
        wind_speed,
        // A device may lack these two: their substitute is no fault.
        yaw_error: _,
        plc_state: _,
        tower_acceleration,
        grid_ok,
        outputs_unacknowledged_for: _,
    } = inputs;
    [generator_speed, rotor_speed, pitch, generator_torque, power, wind_speed, tower_acceleration, grid_ok]
        .iter()
        .map(|sample: &&Sample| sample.quality)
        .fold(Quality::Good, Quality::worst)
}
