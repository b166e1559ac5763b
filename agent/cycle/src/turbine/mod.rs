//! A turbine as a unit.

mod binding;

use control_loops_controllers::turbine::{
    IndividualPitchStatus, ModeName, TripSet, TurbineController, TurbineDemand, TurbineInputs,
    TurbineParameters, TurbineState, TurbineStep, YawStatus,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, Sample};
use hal_units::{Duration, Instant, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::unit::{Plant, PlantCycle, Unit};
use crate::{Overrides, PlantRecord, TurbineRecord};
pub use binding::TurbineBinding;

/// All that is to be known of a turbine after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct TurbineUnitState {
    /// What the controller remembers.
    pub controller: TurbineState,
    /// The inputs that were used.
    pub inputs: TurbineInputs,
    /// What was asked of it.
    pub demand: TurbineDemand,
}

impl TurbineUnitState {
    /// What the controller remembers if it makes this state's step from `before`.
    pub(crate) fn repeated(
        &self,
        before: &Self,
        parameters: &TurbineParameters,
        dt: Duration,
    ) -> TurbineState {
        let mut controller = TurbineController::new(*parameters);
        controller.restore(before.controller);
        controller.step(&self.inputs, &self.demand, dt);
        controller.state()
    }
}

/// A turbine with its controller.
#[derive(Debug)]
pub(crate) struct TurbineSide {
    binding: TurbineBinding,
    controller: TurbineController,
    inputs: TurbineInputs,
    shown: (Option<Radians>, Option<bool>),
    demand: TurbineDemand,
    step: Option<TurbineStep>,
    reported: Option<(ModeName, TripSet)>,
}

impl Unit {
    /// A turbine whose device stands at `device` on the group's bus. Allocates: set-up only.
    #[must_use]
    pub fn turbine(
        device: usize,
        binding: TurbineBinding,
        controller: TurbineController,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        let side = TurbineSide {
            binding,
            controller,
            inputs: TurbineInputs::NEVER,
            shown: (None, None),
            demand: TurbineDemand::STOP,
            step: None,
            reported: None,
        };
        Self::of(device, Plant::Turbine(Box::new(side)), overrides, initial)
    }
}

impl TurbineSide {
    pub(crate) fn state(&self) -> TurbineUnitState {
        TurbineUnitState { controller: self.controller.state(), inputs: self.inputs, demand: self.demand }
    }

    pub(crate) fn follow(&mut self, state: &TurbineUnitState) {
        self.controller.restore(state.controller);
    }

    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant, unacknowledged_for: Duration) {
        self.inputs = self.binding.inputs(image, now, unacknowledged_for);
        self.shown = self.binding.shown(image, now);
    }

    pub(crate) fn sees_grid(&self) -> bool {
        self.inputs.grid_ok.quality.is_usable() && self.inputs.grid_ok.value > 0.5
    }

    pub(crate) fn step(&mut self, demand: TurbineDemand, dt: Duration) {
        self.demand = demand;
        self.step = Some(self.controller.step(&self.inputs, &demand, dt));
    }

    /// What it could give within `limit`, and what it gives, if that is known. Who cannot say what he could give counts
    /// with what he gives.
    pub(crate) fn producing(&self, limit: Watts) -> (Watts, Option<Watts>) {
        let power = Watts(self.inputs.power.value);
        let power = (self.inputs.power.quality.is_usable() && power.is_finite()).then_some(power);
        let available = self.controller.available_power().or(power).unwrap_or_default();
        (available.min(limit).max(Watts::ZERO), power)
    }

    /// Where the wind comes from, if the device says where the nacelle looks.
    pub(crate) fn wind_direction(&self) -> Option<Radians> {
        let error = &self.inputs.yaw_error;
        let nacelle = self.shown.0?;
        error.quality.is_usable().then_some(Radians(nacelle.get() + error.value))
    }

    /// Whether outputs follow from what was measured.
    pub(crate) fn is_seeded(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.seeded)
    }

    pub(crate) fn write(&self, epoch: u32, outputs: &mut DeviceOutputs) {
        if let Some(step) = &self.step {
            self.binding.outputs(&step.outputs, epoch, outputs);
        }
    }

    pub(crate) fn report(&mut self, now: Instant, power_limit: Watts) -> PlantCycle {
        let (mode, trips, torque, pitch) = self
            .step
            .as_ref()
            .map_or((ModeName::Idle, TripSet::NONE, Default::default(), Default::default()), |step| {
                (step.mode, step.trips, step.outputs.generator_torque, step.outputs.pitch)
            });
        let individual_pitch =
            self.step.as_ref().map_or(IndividualPitchStatus::Off, |step| step.individual_pitch);
        let inputs = &self.inputs;
        let record = TurbineRecord {
            mode,
            trips,
            wind_speed: MetersPerSecond(inputs.wind_speed.value),
            rotor_speed: RadiansPerSecond(inputs.rotor_speed.value),
            generator_speed: RadiansPerSecond(inputs.generator_speed.value),
            generator_torque: NewtonMeters(inputs.generator_torque.value),
            nacelle_yaw: self.shown.0,
            yaw_error: inputs.yaw_error.quality.is_usable().then_some(Radians(inputs.yaw_error.value)),
            brake_applied: self.shown.1,
            power: Watts(inputs.power.value),
            pitch: Radians(inputs.pitch().value),
            blades: inputs.blades.map(|blade| Radians(blade.value)),
            torque_command: torque,
            pitch_command: pitch,
            power_limit,
            individual_pitch,
            yaw: self.step.as_ref().map_or(YawStatus::Standing, |step| step.yaw),
            cable_twist: inputs
                .cable_twist
                .filter(|twist| twist.quality.is_usable())
                .map(|twist| Radians(twist.value)),
            operating: self.controller.is_operating(),
            twist_lost: self.controller.state().cables.is_lost(),
        };
        PlantCycle {
            record: PlantRecord::Turbine(record),
            quality: worst_quality(inputs),
            input_age: (inputs.generator_speed.sequence > 0).then(|| inputs.generator_speed.age(now)),
            changed: self.reported.replace((mode, trips)) != Some((mode, trips)),
            at_rest: mode.is_at_rest(),
        }
    }
}

/// The worst quality of the inputs that the field must deliver.
fn worst_quality(inputs: &TurbineInputs) -> Quality {
    let TurbineInputs {
        generator_speed,
        rotor_speed,
        blades: [one, two, three],
        generator_torque,
        power,
        wind_speed,
        // A device may lack these two: their substitute is no fault.
        yaw_error: _,
        plc_state: _,
        // A lost twist costs following the wind alone, which says so itself.
        cable_twist: _,
        // Lost loads cost the individual pitch alone, which says so itself.
        blade_loads: _,
        tower_acceleration,
        grid_ok,
        outputs_unacknowledged_for: _,
    } = inputs;
    [
        generator_speed,
        rotor_speed,
        one,
        two,
        three,
        generator_torque,
        power,
        wind_speed,
        tower_acceleration,
        grid_ok,
    ]
    .iter()
    .map(|sample: &&Sample| sample.quality)
    .fold(Quality::Good, Quality::worst)
}
