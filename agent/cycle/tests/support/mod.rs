//! A turbine in a steady wind of 18 m/s, for groups that meet it.

// Each test binary uses its own part of this.
#![allow(dead_code, clippy::unwrap_used)]

use agent_cycle::{GroupSettings, Overrides, TurbineBinding, Unit};
use control_loops_controllers::turbine::{TurbineController, TurbineParameters};
use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_units::Duration;

/// What its device shows.
pub(crate) const AT_RATED_POWER: [(&str, f64); 13] = [
    ("generator_speed", 122.9096),
    ("rotor_speed", 122.9096 / 97.0),
    ("pitch_1", 0.2537),
    ("pitch_2", 0.2537),
    ("pitch_3", 0.2537),
    ("generator_torque", 43_093.55),
    ("power", 5e6),
    ("wind_speed", 18.0),
    ("yaw_error", 0.0),
    ("cable_twist", 0.0),
    ("tower_acceleration", 0.0),
    ("grid_ok", 1.0),
    ("plc_state", 0.0),
];

pub(crate) fn profile_of(text: &str) -> DeviceProfile {
    DeviceProfile::parse(&Document::new("profile", text)).unwrap()
}

pub(crate) fn profile() -> DeviceProfile {
    profile_of(include_str!("../../../../profiles/nrel5mw-plc.toml"))
}

/// The turbine under the baseline law, at this position of its group.
pub(crate) fn turbine_at(device: usize) -> Unit {
    let profile = profile();
    let binding = TurbineBinding::of(&profile, false).unwrap();
    let controller = TurbineController::new(TurbineParameters::NREL_5MW);
    Unit::turbine(device, binding, controller, Overrides::default(), profile.initial_outputs())
}

/// A group whose cycles may take all of their period.
pub(crate) fn settings(period: Duration, epoch: u32) -> GroupSettings {
    GroupSettings { period, deadline: period, output_validity: period * 3, consecutive_misses_max: 5, epoch }
}
