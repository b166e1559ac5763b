//! The wind as the rotor feels it, from the rotor's own acceleration.
//!
//! # Model
//!
//! An extended Kalman filter with two states, rotor speed `w` and wind `v`:
//!
//! ```text
//! J dw/dt = Q(v, w, theta) - N Tg        dv/dt = white noise
//! measured: w
//! ```
//!
//! The noise that drives the wind is that of a first-order turbulence with intensity `I` and length
//! `L = 340.2 m` (IEC 61400-1 edition 3, Kaimal's longitudinal scale above 60 m): `2 I^2 v^3 / L` per
//! second. The wind it finds is the one that moves with the tower and that is averaged over the rotor:
//! just the wind that the pitch has to answer to. If air density or blades differ from the model, so does
//! the estimate, and in such a way that torque and acceleration agree: the pitch that follows from it
//! holds the speed without an error.
//!
//! After Knudsen, Bak, Soltani: Prediction models for wind speed at turbine locations in a wind farm, Wind
//! Energy 14 (2011), and Abbas and others, Wind Energ. Sci. 7 (2022), whose filter has a third state.

use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::TaktParameters;

/// Kaimal's longitudinal length scale, m.
const LENGTH_M: f64 = 340.2;
/// The wind is believed within these, m/s.
const WIND_RANGE: (f64, f64) = (1.0, 60.0);
/// More wind is more torque, even if a stalled cell of the rotor model says otherwise: at least this share of
/// what a constant coefficient gives.
const SLOPE_SHARE_MIN: f64 = 0.2;
/// The filter's time step; longer ones are cut into pieces.
const STEP_S_MAX: f64 = 0.05;
const PIECES_MAX: u32 = 4;

/// What the filter knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct WindEstimate {
    /// Low-speed shaft.
    pub speed: RadiansPerSecond,
    /// Relative to the tower's top, averaged over the rotor.
    pub wind: MetersPerSecond,
    /// Variances of speed and wind, and what they share.
    covariance: Covariance,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
struct Covariance {
    speed: f64,
    shared: f64,
    wind: f64,
}

/// The model's torque at a state, with its slopes.
pub(super) struct Aerodynamics {
    /// At the low-speed shaft, N m.
    pub(super) torque_nm: f64,
    per_wind: f64,
    per_speed: f64,
}

impl TaktParameters {
    /// `1/2 rho pi R^3`, N m per (m/s)^2.
    pub(super) fn push(&self) -> f64 {
        let radius = self.rotor_radius.get();
        0.5 * self.air_density_kgpm3 * core::f64::consts::PI * radius * radius * radius
    }

    pub(super) fn aerodynamics(&self, wind_mps: f64, speed_radps: f64, pitch: Radians) -> Aerodynamics {
        let ratio = speed_radps * self.rotor_radius.get() / wind_mps;
        let cq = self.rotor.torque(ratio, pitch);
        let push = self.push();
        let per_wind = push * wind_mps * (2.0 * cq.value - ratio * cq.per_ratio);
        Aerodynamics {
            torque_nm: push * wind_mps * wind_mps * cq.value,
            per_wind: per_wind.max(SLOPE_SHARE_MIN * push * wind_mps * 2.0 * cq.value.abs()),
            per_speed: push * wind_mps * self.rotor_radius.get() * cq.per_ratio,
        }
    }

    /// The wind in which the rotor carries this torque at this speed and pitch, nearest to `near`.
    fn steady_wind(&self, speed_radps: f64, torque_nm: f64, pitch: Radians, near_mps: f64) -> f64 {
        let mut wind = near_mps.clamp(WIND_RANGE.0, WIND_RANGE.1);
        // Newton; the torque rises steadily with the wind, so that few steps do.
        for _ in 0..12 {
            let air = self.aerodynamics(wind, speed_radps, pitch);
            if air.per_wind <= 0.0 {
                break;
            }
            let step = ((torque_nm - air.torque_nm) / air.per_wind).clamp(-3.0, 3.0);
            wind = (wind + step).clamp(WIND_RANGE.0, WIND_RANGE.1);
        }
        wind
    }
}

impl WindEstimate {
    /// The wind in which a turbine at this speed, pitch and torque is in balance. `near` is where to look.
    pub(super) fn in_balance(
        p: &TaktParameters,
        speed: RadiansPerSecond,
        pitch: Radians,
        shaft_torque: NewtonMeters,
        near: Option<MetersPerSecond>,
    ) -> Self {
        let near = near.map_or(speed.get() * p.rotor_radius.get() / p.best_ratio, MetersPerSecond::get);
        let wind = p.steady_wind(speed.get(), shaft_torque.get(), pitch, near);
        Self { speed, wind: MetersPerSecond(wind), covariance: Covariance::NEW }
    }

    /// Goes on by `dt` under this torque (low-speed shaft) and pitch, then takes the measured speed.
    pub(super) fn step(
        &mut self,
        p: &TaktParameters,
        noise: (f64, RadiansPerSecond),
        seen: (RadiansPerSecond, Radians, NewtonMeters),
        dt: Duration,
    ) {
        let (measured, pitch, torque) = seen;
        let (intensity, reading) = noise;
        let before = *self;
        let dt_s = dt.as_secs_f64();
        let pieces = ((dt_s / STEP_S_MAX) as u32 + 1).min(PIECES_MAX);
        let piece_s = dt_s / f64::from(pieces);
        for _ in 0..pieces {
            self.predict(p, intensity, pitch, torque, piece_s);
        }
        self.correct(measured, reading);
        if !(self.speed.is_finite() && self.wind.is_finite() && self.covariance.is_sound()) {
            // Numbers that no turbine makes: begin anew from what is measured, rather than freeze.
            let speed = if measured.is_finite() { measured } else { before.speed };
            *self = Self { speed, wind: before.wind, covariance: Covariance::NEW };
        }
    }

    fn predict(
        &mut self,
        p: &TaktParameters,
        intensity: f64,
        pitch: Radians,
        torque: NewtonMeters,
        dt_s: f64,
    ) {
        let (speed, wind) = (self.speed.get(), self.wind.get());
        let air = p.aerodynamics(wind, speed, pitch);
        self.speed.0 += (air.torque_nm - torque.get()) / p.inertia_kgm2 * dt_s;
        // Covariance: P' = F P F' + Q with F = [[1 + a dt, b dt], [0, 1]].
        let keeps = 1.0 + air.per_speed / p.inertia_kgm2 * dt_s;
        let gains = air.per_wind / p.inertia_kgm2 * dt_s;
        let c = self.covariance;
        let drive = 2.0 * intensity * intensity * wind * wind * wind / LENGTH_M;
        self.covariance = Covariance {
            speed: keeps * keeps * c.speed + 2.0 * keeps * gains * c.shared + gains * gains * c.wind,
            shared: keeps * c.shared + gains * c.wind,
            wind: c.wind + drive * dt_s,
        };
    }

    fn correct(&mut self, measured: RadiansPerSecond, reading: RadiansPerSecond) {
        let c = self.covariance;
        let total = c.speed + reading.get() * reading.get();
        if !measured.is_finite() || total <= 0.0 {
            return;
        }
        let surprise = measured.get() - self.speed.get();
        let (to_speed, to_wind) = (c.speed / total, c.shared / total);
        self.speed.0 += to_speed * surprise;
        self.wind = MetersPerSecond((self.wind.get() + to_wind * surprise).clamp(WIND_RANGE.0, WIND_RANGE.1));
        self.covariance = Covariance {
            speed: (1.0 - to_speed) * c.speed,
            shared: (1.0 - to_speed) * c.shared,
            wind: c.wind - to_wind * c.shared,
        };
    }
}

impl Covariance {
    /// A speed known to a thousandth, a wind to a metre per second.
    const NEW: Self = Self { speed: 1e-6, shared: 0.0, wind: 1.0 };

    fn is_sound(&self) -> bool {
        self.speed.is_finite()
            && self.shared.is_finite()
            && self.wind.is_finite()
            && self.speed >= 0.0
            && self.wind > 0.0
    }
}
