//! What each blade feels on its way round.
//!
//! # Model
//!
//! Each blade is a third of the rotor in the wind of its own place, two thirds of the radius out:
//!
//! - wind shear after the power law, about hub height;
//! - the part of the wind that lies in the rotor's plane, from yaw error and shaft tilt, which a blade meets on one
//!   side and runs from on the other: it changes the blade's own speed.
//!
//! Its root moment is its thrust at that place. Quasi-steady: blades do not swing, and the wake is straight. In a
//! [uniform](Inflow::UNIFORM) inflow torque and thrust are those of the whole rotor at the blades' mean angle.
//!
//! # Terms
//!
//! Azimuth is that of the first blade, 0 upright; the second one is 120 degrees ahead of it.

use core::f64::consts::{FRAC_PI_2, TAU};

use hal_units::{Meters, NewtonMeters, Newtons, Radians};

use super::{RotorLoads, Turbine, TurbinePlantParameters, WIND_MIN, wrapped};

/// Where a blade's thrust acts, over the radius: that of a load that grows with the radius.
const ARM: f64 = 2.0 / 3.0;

/// How the wind differs over the rotor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inflow {
    /// Exponent of the power law of wind over height; 0 is none, 0.2 what IEC 61400-1 designs for.
    pub shear_exponent: f64,
    /// Height of the hub.
    pub hub_height: Meters,
    /// How far the shaft points upwards.
    pub shaft_tilt: Radians,
}

impl Inflow {
    /// The same everywhere. Height of the hub as of the NREL 5-MW (NREL/TP-500-38060, table 1-1).
    pub const UNIFORM: Self =
        Self { shear_exponent: 0.0, hub_height: Meters(90.0), shaft_tilt: Radians::ZERO };

    fn is_uniform(&self) -> bool {
        self.shear_exponent == 0.0 && self.shaft_tilt == Radians::ZERO
    }
}

/// Torque, thrust and root moment of one blade.
struct BladeLoad {
    torque: f64,
    thrust: f64,
}

impl Turbine {
    pub(super) fn step_azimuth(&mut self) {
        let turned = self.shaft.rotor_speed(&self.parameters) * self.advance.substep_s;
        self.azimuth = wrapped(self.azimuth + Radians(turned));
    }

    /// Torque and thrust from the blades one by one, if they do not all feel the same.
    pub(super) fn loads_of_blades(&self) -> Option<RotorLoads> {
        if self.parameters.inflow.is_uniform() {
            return None;
        }
        let mut loads = RotorLoads::default();
        for blade in 0..3 {
            let load = self.blade_load(blade);
            loads.torque += NewtonMeters(load.torque);
            loads.thrust += Newtons(load.thrust);
        }
        Some(loads)
    }

    /// Out-of-plane moment at each root.
    pub(super) fn root_moments(&self) -> [NewtonMeters; 3] {
        let arm = ARM * self.parameters.rotor_radius.get();
        [0, 1, 2].map(|blade| NewtonMeters(self.blade_load(blade).thrust * arm))
    }

    fn blade_load(&self, blade: usize) -> BladeLoad {
        let p = &self.parameters;
        let arm = ARM * p.rotor_radius.get();
        let azimuth = self.azimuth.get() + TAU / 3.0 * blade as f64;
        let yaw_error = (self.wind_direction - self.nacelle_yaw).get();
        let (yaw_sin, yaw_cos) = yaw_error.sin_cos();
        let height = (1.0 + arm / p.inflow.hub_height.get() * azimuth.cos()).max(0.01);
        let free = self.wind.get() * height.powf(p.inflow.shear_exponent);
        let across = free * yaw_cos * p.inflow.shaft_tilt.get().cos();
        let wind = (across - self.tower.velocity).max(WIND_MIN.get());
        let in_plane =
            yaw_sin * azimuth.cos() + p.inflow.shaft_tilt.get().sin() * (FRAC_PI_2 - azimuth).cos();
        let speed = self.shaft.rotor_speed(p) + free * in_plane / arm;
        let pitch = self.pitch.get(blade).map_or(Radians::ZERO, super::PitchDrive::angle);
        let coefficients = self.rotor.coefficients(speed * p.rotor_radius.get() / wind, pitch);
        let push = push(p) * wind * wind / 3.0;
        BladeLoad {
            torque: push * p.rotor_radius.get() * coefficients.torque * p.rotor_power_factor,
            thrust: push * coefficients.thrust,
        }
    }
}

fn push(p: &TurbinePlantParameters) -> f64 {
    0.5 * p.air_density_kgpm3 * p.rotor_area_m2()
}
