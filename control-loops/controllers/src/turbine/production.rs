//! Production: the law under a power limit that moves on a ramp.

use control_loops_blocks::{RateLimit, RateLimits};
use hal_units::{Duration, NewtonMeters, Radians};

use super::mode::Situation;
use super::{BaselineLaw, Operation, TaktSight, TurbineParameters};

/// Law and power ramp; an unknown speed holds both outputs.
pub(super) fn produce(
    operation: &mut Operation,
    s: &Situation,
    p: &TurbineParameters,
    law: &BaselineLaw,
    dt: Duration,
) -> (Radians, NewtonMeters) {
    let Some(speed) = s.speed else { return (s.pitch, s.torque) };
    let (limits, rules) = (law.parameters(), &p.supervision);
    if speed < limits.cut_in_speed && s.pitch >= limits.constant_power_pitch {
        // Constant power at a crawl would be more torque than the pitched blades have: it would brake
        // the rotor to a stand. Start over from no power.
        operation.power_share = RateLimit::new(0.0);
    }
    let ramp = RateLimits { rise_per_s: rules.power_rise_per_s, fall_per_s: rules.power_fall_per_s };
    let share = operation.power_share.step(s.power_share_wanted, ramp, dt);
    let (Some(takt), Some(parameters)) = (&mut operation.takt, &p.takt) else {
        let command = law.step(&mut operation.law, speed, share, dt);
        return (command.pitch, command.torque);
    };
    let sight = TaktSight {
        generator_speed: speed,
        rotor_speed: s.rotor_speed,
        pitch: Radians(believed(s.measured_pitch.map(Radians::get), s.pitch.get(), PITCH_APART_MAX.get())),
        generator_torque: NewtonMeters(believed(
            s.measured_torque.map(NewtonMeters::get),
            s.torque.get(),
            limits.torque_max.get() * TORQUE_APART_MAX,
        )),
        tower_acceleration_mps2: s.tower_acceleration_mps2,
    };
    let command = takt.step(parameters, &p.takt_frame(), &sight, share, dt);
    operation.law.torque = command.torque;
    operation.law.pitch = command.pitch;
    operation.law.region = command.region;
    (command.pitch, command.torque)
}

/// Drives follow their commands within this, even over a slow bus: a reading farther away is the sensor's.
const PITCH_APART_MAX: Radians = Radians::from_degrees(6.0);
/// Likewise, share of the largest torque.
const TORQUE_APART_MAX: f64 = 0.2;

/// The measurement, or the last command if it is missing or contradicts that.
fn believed(measured: Option<f64>, commanded: f64, apart_max: f64) -> f64 {
    measured.filter(|measured| (measured - commanded).abs() <= apart_max).unwrap_or(commanded)
}
