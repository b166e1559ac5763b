//! The rotor as three flat plates: rough, but finite and dissipative everywhere.
//!
//! # Model
//!
//! One blade section at three quarters of the radius stands for the blade. Its angle to the rotor
//! plane is the pitch plus a twist; the twist seen is larger at low tip-speed ratios, where the
//! strongly twisted inner blade matters most. The air's force is normal to the plate, with
//! Hoerner's coefficient `CN = sin a / (0.222 + 0.283 |sin a|)` (S. F. Hoerner, Fluid-Dynamic Drag,
//! 1965), plus a friction along the chord. What the rotor does to the wind (induction) is one factor
//! that grows with the load.
//!
//! Both forces oppose the air's motion relative to the plate. In still air they can therefore only
//! brake; and all of it is bounded by the dynamic pressure of wind and rotation together.
//!
//! The constants were chosen so that the model is of the right size (within a factor of two) at the
//! borders of the published table of the NREL 5-MW rotor.

use super::Coefficients;

/// Radius of the section over the rotor's radius.
const SECTION: f64 = 0.75;
/// Blade area over rotor area, effective.
const SOLIDITY: f64 = 0.03;
/// Twist of the section, rad.
const TWIST_RAD: f64 = 0.03;
/// Additional twist that is seen at standstill, rad; half of it at a tip-speed ratio of 3.
const INNER_TWIST_RAD: f64 = 0.08;
/// Friction coefficient along the chord.
const FRICTION: f64 = 0.01;
/// Normal force at which induction halves it: at standstill ...
const INDUCTION_STANDSTILL: f64 = 1.0;
/// ... plus the square of the tip-speed ratio over this.
const INDUCTION_RATIO: f64 = 6.0;

pub(super) fn coefficients(tip_speed_ratio: f64, pitch_rad: f64) -> Coefficients {
    let tangential = SECTION * tip_speed_ratio;
    let pressure = 1.0 + tangential * tangential;
    let inner = INNER_TWIST_RAD / (1.0 + tip_speed_ratio * tip_speed_ratio / 9.0);
    // No twist at all in feather: there a mean blade is what stands along the wind.
    let blade = pitch_rad + (TWIST_RAD + inner) * pitch_rad.cos();
    let (sin_attack, cos_attack) = (1.0_f64.atan2(tangential) - blade).sin_cos();
    let normal = SOLIDITY * pressure * sin_attack / (0.222 + 0.283 * sin_attack.abs());
    let relief = INDUCTION_STANDSTILL + (tip_speed_ratio / INDUCTION_RATIO).powi(2);
    let normal = normal / (1.0 + normal.abs() / relief);
    let friction = SOLIDITY * pressure * FRICTION * cos_attack * cos_attack.abs();
    let (sin_blade, cos_blade) = blade.sin_cos();
    Coefficients {
        torque: SECTION * (normal * sin_blade - friction * cos_blade),
        thrust: normal * cos_blade + friction * sin_blade,
    }
}
