//! Numbers of the Takt law, as the tuner writes them.

use hal_units::{Meters, MetersPerSecond, Radians, RadiansPerSecond, Watts};

use super::RotorModel;
use crate::turbine::ParameterError;

/// Entries of a schedule over wind speed, from 0 in steps of [`WIND_STEP`].
pub const WIND_LINES: usize = 161;
/// Step of a schedule over wind speed.
pub const WIND_STEP: MetersPerSecond = MetersPerSecond(0.25);
/// Entries of a schedule over pitch.
pub const PITCH_SCHEDULE_LINES: usize = 24;

/// Numbers of the Takt law. Speeds and inertias at the **low-speed shaft**.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaktParameters {
    /// The rotor's aerodynamics.
    pub rotor: RotorModel,
    /// Blade tip to axis.
    pub rotor_radius: Meters,
    /// Density that the rotor model is scaled with, kg/m3.
    pub air_density_kgpm3: f64,
    /// Rotor and generator, kg m2.
    pub inertia_kgm2: f64,
    /// Of the inertia, the rotor's share; the generator has the rest.
    pub rotor_inertia_share: f64,
    /// Electrical over mechanical power.
    pub generator_efficiency: f64,
    /// Speed that the pitch holds at rated power.
    pub rated_rotor_speed: RadiansPerSecond,
    /// Slowest speed in operation.
    pub slowest_rotor_speed: RadiansPerSecond,
    /// Tip-speed ratio of best power.
    pub best_ratio: f64,
    /// Fastest that the pitch law may turn the blades.
    pub pitch_rate_max: RadiansPerSecond,
    /// Whether and how the wind is estimated.
    pub estimate: Estimate,
    /// Above rated wind.
    pub pitch: PitchLoop,
    /// Below rated wind.
    pub torque: TorqueLoop,
    /// What holds back at the edges.
    pub limits: OperatingLimits,
    /// Dampers.
    pub dampers: Dampers,
}

/// How the wind is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimate {
    /// From the rotor's own acceleration, by an extended Kalman filter.
    Kalman {
        /// Intensity of the turbulence that the filter expects, standard deviation over mean.
        turbulence_intensity: f64,
        /// Standard deviation of one reading of the rotor's speed.
        speed_noise: RadiansPerSecond,
    },
    /// Not at all: PI pitch, and torque by the square of the speed.
    None,
}

/// The loop from speed to pitch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PitchLoop {
    /// Natural frequency of the speed loop.
    pub bandwidth: RadiansPerSecond,
    /// Its damping over critical; 0.707 costs the least travel for what it holds.
    pub damping: f64,
    /// Angular acceleration lost per pitch at steady operation (rad/s2 per rad), over pitch.
    pub sensitivity: [f64; PITCH_SCHEDULE_LINES],
    /// The pitch of the schedule's last entry; the first is 0.
    pub sensitivity_to: Radians,
    /// The command stays as long as what is wanted is within this of it: less travel.
    pub play: Radians,
    /// Lag of the drives that the command makes up for, s.
    pub lead_s: f64,
    /// Speed over rated from which the gust guard acts, share of rated.
    pub guard_from: f64,
    /// How far ahead the guard looks, s.
    pub guard_ahead_s: f64,
    /// How fast the guard wants the foreseen excess gone, 1/s.
    pub guard_per_s: f64,
    /// Below rated power the speed may rise by this share of rated before the blades give way.
    pub reserve: f64,
}

/// What the generator does above rated speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AboveRated {
    /// Torque falls as the speed rises.
    ConstantPower,
    /// Torque stays; power swings with the speed.
    ConstantTorque,
}

/// The loop from speed to torque.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TorqueLoop {
    /// How fast the speed follows the wind at the best ratio.
    pub tracking: RadiansPerSecond,
    /// How fast the speed is held at the ends of the speed range.
    pub holding: RadiansPerSecond,
    /// `k` of `k w^2` at the low-speed shaft, N m s2/rad2: where the wind is not estimated.
    pub optimal_gain: f64,
    /// Above rated speed.
    pub above_rated: AboveRated,
    /// Set-point smoothing: while the blades are pitched, full torque down to this share below rated speed.
    pub smoothing_depth: f64,
    /// Pitch above fine at which the smoothing is whole.
    pub smoothing_pitch: Radians,
    /// Rotor speeds to stay out of (from, to), around a resonance; empty if equal.
    pub excluded: (RadiansPerSecond, RadiansPerSecond),
}

/// Least pitch, storm, derating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingLimits {
    /// Finest pitch over wind speed (rad), in steps of [`WIND_STEP`] from 0: peak shaving, best power.
    pub fine_pitch_rad: [f64; WIND_LINES],
    /// From here on the power falls with the wind (soft cut-out).
    pub storm_from: MetersPerSecond,
    /// Here it has fallen to [`OperatingLimits::storm_power_share`].
    pub storm_to: MetersPerSecond,
    /// What is left of rated power at the end of the storm range.
    pub storm_power_share: f64,
    /// Derating: speed at power zero, share of rated. At 1 derating is by torque alone.
    pub derated_speed_share: f64,
    /// Rated electrical power.
    pub rated_power: Watts,
}

/// Gains of the dampers; 0 switches one off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dampers {
    /// Drivetrain: torque at the low-speed shaft per speed of twist, N m s/rad.
    pub drivetrain_nmsprad: f64,
    /// Tower: pitch per speed of the tower top, rad s/m.
    pub tower_radspm: f64,
    /// The tower's first frequency.
    pub tower_frequency: RadiansPerSecond,
    /// The most pitch the tower damper may ask for.
    pub tower_pitch_max: Radians,
}

impl TaktParameters {
    /// Whether the numbers describe a law.
    ///
    /// # Errors
    /// At the first value or pair of values that does not.
    pub fn check(&self) -> Result<(), ParameterError> {
        self.positive()?;
        self.not_negative()?;
        let (limits, torque) = (&self.limits, &self.torque);
        let pairs = [
            (
                ("takt.slowest_rotor_speed", self.slowest_rotor_speed.get()),
                ("takt.rated_rotor_speed", self.rated_rotor_speed.get()),
            ),
            (
                ("takt.limits.storm_from", limits.storm_from.get()),
                ("takt.limits.storm_to", limits.storm_to.get()),
            ),
        ];
        for ((low_name, low), (high_name, high)) in pairs {
            if !(low.is_finite() && high.is_finite() && low < high) {
                return Err(ParameterError::NotBelow { low: low_name, high: high_name });
            }
        }
        if torque.excluded.0 > torque.excluded.1 {
            return Err(ParameterError::NotBelow {
                low: "takt.torque.excluded.0",
                high: "takt.torque.excluded.1",
            });
        }
        let schedules = limits.fine_pitch_rad.iter().all(|pitch| pitch.is_finite());
        if !(self.rotor.is_sound() && schedules) {
            return Err(ParameterError::NotPositive { field: "takt.rotor" });
        }
        Ok(())
    }

    fn positive(&self) -> Result<(), ParameterError> {
        let (pitch, torque) = (&self.pitch, &self.torque);
        let estimate = match self.estimate {
            Estimate::Kalman { turbulence_intensity, speed_noise } => {
                [turbulence_intensity, speed_noise.get()]
            }
            Estimate::None => [1.0, 1.0],
        };
        let [turbulence, noise] = estimate;
        let fields = [
            ("takt.rotor_radius", self.rotor_radius.get()),
            ("takt.air_density_kgpm3", self.air_density_kgpm3),
            ("takt.inertia_kgm2", self.inertia_kgm2),
            ("takt.generator_efficiency", self.generator_efficiency),
            ("takt.best_ratio", self.best_ratio),
            ("takt.pitch_rate_max", self.pitch_rate_max.get()),
            ("takt.estimate.turbulence_intensity", turbulence),
            ("takt.estimate.speed_noise", noise),
            ("takt.pitch.bandwidth", pitch.bandwidth.get()),
            ("takt.pitch.damping", pitch.damping),
            ("takt.pitch.sensitivity_to", pitch.sensitivity_to.get()),
            ("takt.pitch.sensitivity", pitch.sensitivity.iter().copied().fold(f64::INFINITY, f64::min)),
            ("takt.torque.tracking", torque.tracking.get()),
            ("takt.torque.holding", torque.holding.get()),
            ("takt.torque.optimal_gain", torque.optimal_gain),
            ("takt.torque.smoothing_pitch", torque.smoothing_pitch.get()),
            ("takt.limits.rated_power", self.limits.rated_power.get()),
            ("takt.dampers.tower_frequency", self.dampers.tower_frequency.get()),
        ];
        match fields.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((field, _)) => Err(ParameterError::NotPositive { field }),
            None => Ok(()),
        }
    }

    fn not_negative(&self) -> Result<(), ParameterError> {
        let (pitch, torque, limits, dampers) = (&self.pitch, &self.torque, &self.limits, &self.dampers);
        let fields = [
            ("takt.rotor_inertia_share", self.rotor_inertia_share),
            ("takt.pitch.play", pitch.play.get()),
            ("takt.pitch.lead_s", pitch.lead_s),
            ("takt.pitch.guard_from", pitch.guard_from),
            ("takt.pitch.guard_ahead_s", pitch.guard_ahead_s),
            ("takt.pitch.guard_per_s", pitch.guard_per_s),
            ("takt.pitch.reserve", pitch.reserve),
            ("takt.torque.smoothing_depth", torque.smoothing_depth),
            ("takt.limits.storm_power_share", limits.storm_power_share),
            ("takt.limits.derated_speed_share", limits.derated_speed_share),
            ("takt.dampers.drivetrain_nmsprad", dampers.drivetrain_nmsprad),
            ("takt.dampers.tower_radspm", dampers.tower_radspm),
            ("takt.dampers.tower_pitch_max", dampers.tower_pitch_max.get()),
        ];
        match fields.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((field, _)) => Err(ParameterError::Negative { field }),
            None => Ok(()),
        }
    }
}
