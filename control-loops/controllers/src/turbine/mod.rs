//! Control of a variable-speed, pitch-regulated wind turbine.
//!
//! # Problem
//!
//! Below rated wind the generator torque keeps the rotor at its best tip-speed ratio; above, the blade
//! pitch keeps the speed, and the torque the power. Around that, somebody must start and stop the
//! machine, and somebody who trusts neither must be able to stop it.
//!
//! # Model
//!
//! Layers, from the inside:
//!
//! - [`BaselineLaw`]: speed filter, torque regions and pitch PI of the NREL 5-MW reference turbine
//!   (Jonkman and others 2009, NREL/TP-500-38060, and the public controller of that turbine); or, if the
//!   parameters hold one, the Takt law, see [`TaktState`]: torque and pitch from an estimate of the wind;
//! - [`TurbineController`]: the supervisor. It has eight modes, see [`ModeName`], and reaches the law
//!   only in two of them, run and derated;
//! - [`YawDrive`] and [`CableWatch`] turn the nacelle into the wind, and back before its cables are twisted too far;
//! - [`SafetyInterlock`]: looks at the same inputs, knows nothing of modes, and always wins.
//!
//! Besides, and off unless the parameters hold it, [`IndividualPitch`] leads each blade around the common pitch.
//!
//! Every output passes one last limiter: whatever the layers want, pitch and torque stay within their
//! limits and rates.
//!
//! # Terms
//!
//! Speeds and torques are those of the high-speed shaft unless a name says `rotor`. Pitch 0 is the
//! fine position, 90 degrees is feather. Power is electrical unless a name says `mechanical`.

mod cables;
mod individual;
mod interlock;
mod io;
mod latches;
mod law;
mod mode;
mod parameters;
mod pitch_watch;
mod production;
mod start_up;
mod supervisor;
mod takt;
mod trips;
mod wind;
mod yaw;
mod yaw_parameters;

pub use cables::CableWatch;
/// What the measurements are made of.
pub use hal_process_image::{Quality, Sample};
pub use individual::{BladeLoads, IndividualPitch, IndividualPitchParameters, IndividualPitchStatus};
pub use interlock::{PitchCommand, SafetyInterlock};
pub(crate) use io::usable;
pub use io::{RunRequest, TurbineDemand, TurbineInputs, TurbineOutputs, TurbineStep};
pub use law::{BaselineLaw, LawCommand, LawParameters, LawState, TorqueRegion};
pub use mode::{Mode, ModeName, Operation};
pub use parameters::{ParameterError, SafetyParameters, SupervisionParameters, TurbineParameters};
pub use start_up::StartUp;
pub use supervisor::{CONTROL_STEP_MAX, TurbineController, TurbineState};
pub use takt::{
    AboveRated, Dampers, Estimate, OperatingLimits, PITCH_LINES, PITCH_SCHEDULE_LINES, PitchLoop,
    RATIO_LINES, RotorModel, TaktCommand, TaktFrame, TaktParameters, TaktSight, TaktState, TorqueLoop,
    WIND_LINES, WIND_STEP, WindEstimate,
};
pub use trips::{Trip, TripSet};
pub use wind::{WindBand, WindMonitor};
pub use yaw::{YawDrive, YawStatus};
pub use yaw_parameters::YawParameters;
