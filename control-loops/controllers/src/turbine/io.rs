//! What goes into a turbine controller and what comes out.

use hal_process_image::Sample;
use hal_units::{Duration, NewtonMeters, Radians, RadiansPerSecond, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::{BladeLoads, IndividualPitchStatus, ModeName, TorqueRegion, TripSet, WindBand, YawStatus};

/// Measurements, in SI units, already aged: a sample that is too old comes in as bad.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct TurbineInputs {
    /// High-speed shaft, rad/s.
    pub generator_speed: Sample,
    /// Low-speed shaft, rad/s.
    pub rotor_speed: Sample,
    /// Angle of each blade, rad.
    pub blades: [Sample; 3],
    /// High-speed shaft, N m.
    pub generator_torque: Sample,
    /// Electrical, W.
    pub power: Sample,
    /// At the nacelle, m/s.
    pub wind_speed: Sample,
    /// Wind direction minus nacelle heading, rad: positive asks for a positive yaw rate.
    pub yaw_error: Sample,
    /// How far the nacelle is from where its cables hang straight, turns counted, rad: positive after positive yaw
    /// rates; from a device that counts.
    pub cable_twist: Option<Sample>,
    /// Fore-aft at the tower's top, m/s2.
    pub tower_acceleration: Sample,
    /// 1.0 if the grid takes power, 0.0 if not.
    pub grid_ok: Sample,
    /// What the device makes of our writes: 0 normal, 1 watchdog hold, 2 its own safe state.
    pub plc_state: Sample,
    /// What the blades feel, from a device that measures it.
    pub blade_loads: Option<BladeLoads>,
    /// Time since the device last acknowledged a write.
    pub outputs_unacknowledged_for: Duration,
}

impl TurbineInputs {
    /// The inputs of a device that was never read and never written.
    pub const NEVER: Self = Self {
        generator_speed: Sample::NEVER,
        rotor_speed: Sample::NEVER,
        blades: [Sample::NEVER; 3],
        generator_torque: Sample::NEVER,
        power: Sample::NEVER,
        wind_speed: Sample::NEVER,
        yaw_error: Sample::NEVER,
        cable_twist: None,
        tower_acceleration: Sample::NEVER,
        grid_ok: Sample::NEVER,
        plc_state: Sample::NEVER,
        blade_loads: None,
        outputs_unacknowledged_for: Duration::MAX,
    };

    /// Mean of the blades, rad; as trustworthy as the worst of them.
    #[must_use]
    pub fn pitch(&self) -> Sample {
        let [first, second, third] = self.blades;
        Sample {
            value: (first.value + second.value + third.value) / 3.0,
            quality: first.quality.worst(second.quality).worst(third.quality),
            ..first
        }
    }
}

/// The value of a sample that may be used as a measurement.
pub(crate) fn usable(sample: &Sample) -> Option<f64> {
    (sample.quality.is_usable() && sample.value.is_finite()).then_some(sample.value)
}

/// What the turbine shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Schema)]
pub enum RunRequest {
    /// Stand still, feathered, braked.
    #[default]
    Stop,
    /// Produce whenever there is wind.
    Run,
    /// Stand still for people to work on it.
    Service,
}

/// The demand of plan and operator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct TurbineDemand {
    /// What the turbine shall do.
    pub request: RunRequest,
    /// Electrical power not to be exceeded. Taken between 0 and rated power; a value that is not a number
    /// leaves the last one.
    pub power_limit: Watts,
    /// Stop as fast as possible. Trips the interlock.
    pub emergency_stop: bool,
    /// Release the interlock: takes effect on its rising edge, for causes that are gone.
    pub reset: bool,
}

impl TurbineDemand {
    /// Run without a limit.
    pub const RUN: Self =
        Self { request: RunRequest::Run, power_limit: Watts(f64::MAX), emergency_stop: false, reset: false };

    /// Stop normally.
    pub const STOP: Self = Self { request: RunRequest::Stop, ..Self::RUN };
}

/// Commands to the turbine's PLC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineOutputs {
    /// High-speed shaft.
    pub generator_torque: NewtonMeters,
    /// All blades; with individual pitch what they turn around.
    pub pitch: Radians,
    /// Each blade, if they are led one by one.
    pub blades: Option<[Radians; 3]>,
    /// Of the nacelle.
    pub yaw_rate: RadiansPerSecond,
    /// Brake closed.
    pub brake: bool,
    /// Generator on the grid. While it is off, the torque is 0.
    pub generator_connected: bool,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineStep {
    /// What to write.
    pub outputs: TurbineOutputs,
    /// Mode after the step.
    pub mode: ModeName,
    /// Latched causes of the interlock.
    pub trips: TripSet,
    /// What the slow wind measurement allows.
    pub wind: WindBand,
    /// Region of the torque curve, in operation only.
    pub region: Option<TorqueRegion>,
    /// Electrical power limit in force now: it moves towards the demand on a ramp.
    pub power_limit: Watts,
    /// Whether the state stems from measurements. Until then the outputs are the safe ones: whoever
    /// takes over a turning turbine waits for this before the first write.
    pub seeded: bool,
    /// The speed is unknown: torque and pitch hold until it is back or the interlock trips.
    pub holding: bool,
    /// Whether the blades are led one by one.
    pub individual_pitch: IndividualPitchStatus,
    /// What the yaw drive does.
    pub yaw: YawStatus,
}
