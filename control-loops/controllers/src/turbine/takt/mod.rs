//! The Takt law: torque and pitch from an estimate of the wind.
//!
//! # Problem
//!
//! A law that knows only the speed answers to a gust when the rotor has already taken it up, and near rated
//! wind its torque and its pitch work against each other. This one knows what the rotor's aerodynamics do,
//! estimates the wind from the rotor's own acceleration, and gives both loops one view of the situation.
//!
//! # Model
//!
//! - **Wind**: [`WindEstimate`], an extended Kalman filter. Without ([`Estimate::None`]) the same loops run
//!   on the speed alone.
//! - **Pitch**, in velocity form. With the pitch `theta*` at which the model carries rated power in the
//!   estimated wind at the reference speed, and the speed error `e`:
//!
//!   ```text
//!   d theta/dt = 2 zeta wc (theta* - theta) + wc^2 / g(theta) e
//!   ```
//!
//!   where `g` is the acceleration lost per pitch. For a rotor as an integrator, a wind that wanders at
//!   random and a cost of speed error and pitch travel this is the optimal regulator at `zeta = 0.707`
//!   (Kwakernaak and Sivan, Linear Optimal Control Systems, 1972, ch. 3): one number, `wc`, trades speed
//!   against travel. The state is an angle within its limits, so that nothing winds up. The *guard* adds to it
//!   when the speed that the acceleration foretells is too high.
//! - **Torque**: what the air gives, plus what brings the speed to its reference at a stated rate, up to
//!   the torque of rated power. The reference is the wind's best tip-speed ratio between slowest and
//!   rated speed. While the blades are pitched it lies lower (set-point smoothing): the power holds
//!   through a lull until the blades have nothing left to give.
//! - **Limits**: finest pitch over wind (peak shaving), falling power in storm (soft cut-out), derating by
//!   torque and by speed, and a band of speeds to stay out of.
//! - **Dampers**: drivetrain by the torque, tower by the pitch.
//!
//! # Terms
//!
//! Everything inside is at the low-speed shaft; torque is turned to the high-speed shaft at the end. The
//! *share* is the power limit over rated power. *Fine* is the finest pitch that the wind allows.

mod estimator;
mod parameters;
mod rotor_model;

use control_loops_blocks::{Hysteresis, OnePole};
use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::TorqueRegion;
pub use estimator::WindEstimate;
pub use parameters::{
    AboveRated, Dampers, Estimate, OperatingLimits, PITCH_SCHEDULE_LINES, PitchLoop, TaktParameters,
    TorqueLoop, WIND_LINES, WIND_STEP,
};
pub use rotor_model::{PITCH_LINES, RATIO_LINES, RotorModel};

/// Corner of the slow wind for storm and fine pitch.
const SLOW_WIND_CORNER: RadiansPerSecond = RadiansPerSecond(0.5);
/// The shaft's twist keeps the two speeds closer than this share of rated.
const ROTOR_SPEED_APART_MAX: f64 = 0.05;
/// Corner of the speed filter without an estimate.
const SPEED_CORNER: RadiansPerSecond = RadiansPerSecond(3.0);

/// What the law remembers. Plain data, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct TaktState {
    /// Speed and wind, if the wind is estimated; the filtered speed alone if not.
    pub estimate: Option<WindEstimate>,
    /// Low-speed shaft, rad/s; in use without an estimate.
    pub speed: OnePole,
    /// Wind for storm and fine pitch, m/s.
    pub slow_wind: OnePole,
    /// Pitch that the speed loop has reached.
    pub pitch: Radians,
    /// Pitch command behind the play.
    pub pitch_held: Radians,
    /// On while the reference lies above the excluded speeds.
    pub above_excluded: Hysteresis,
    /// Speed of the tower top, from its acceleration, m/s.
    pub tower_speed_mps: f64,
    /// Slow part of it, m/s: what the accelerometer's offset adds up to.
    pub tower_offset_mps: f64,
}

/// What the law sees, once a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaktSight {
    /// High-speed shaft.
    pub generator_speed: RadiansPerSecond,
    /// Low-speed shaft, if its sensor can be trusted.
    pub rotor_speed: Option<RadiansPerSecond>,
    /// Mean of the blades: measured, or else the last command.
    pub pitch: Radians,
    /// High-speed shaft: measured, or else the last command.
    pub generator_torque: NewtonMeters,
    /// Fore-aft at the tower's top, m/s2, if it can be trusted.
    pub tower_acceleration_mps2: Option<f64>,
}

/// What the law wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaktCommand {
    /// High-speed shaft.
    pub torque: NewtonMeters,
    /// Collective pitch.
    pub pitch: Radians,
    /// Part of the torque curve.
    pub region: TorqueRegion,
}

/// The surroundings of a law: what other layers limit it to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaktFrame {
    /// Generator speed over rotor speed.
    pub gearbox_ratio: f64,
    /// The largest torque, high-speed shaft.
    pub torque_max: NewtonMeters,
    /// Fine and feather.
    pub pitch_range: (Radians, Radians),
}

/// What both loops look at, worked out once per step.
struct Situation {
    /// Low-speed shaft, rad/s, and its change, rad/s2.
    speed: f64,
    acceleration: f64,
    /// Estimated wind, m/s.
    wind: Option<f64>,
    /// Torque that the air gives, N m.
    air_nm: f64,
    fine: Radians,
    /// Mechanical power not to be exceeded.
    power_w: f64,
    /// Reference speed at full pitch control, rad/s.
    rated: f64,
    /// How far the blades are in charge, 0 to 1.
    pitched: f64,
}

impl TaktState {
    /// Continues a turbine that somebody else has driven until now, from measurements: the next commands
    /// are this torque and this pitch, up to what one step moves.
    #[must_use]
    pub fn seeded(
        p: &TaktParameters,
        frame: &TaktFrame,
        sight: &TaktSight,
        wind: Option<MetersPerSecond>,
    ) -> Self {
        let speed = sight.generator_speed / frame.gearbox_ratio;
        let torque = sight.generator_torque * frame.gearbox_ratio;
        let balance = WindEstimate::in_balance(p, speed, sight.pitch, torque, wind);
        let pitch = sight.pitch.limit(frame.pitch_range.0, frame.pitch_range.1);
        Self {
            estimate: match p.estimate {
                Estimate::Kalman { .. } => Some(balance),
                Estimate::None => None,
            },
            speed: OnePole::new(speed.get()),
            slow_wind: OnePole::new(balance.wind.get()),
            pitch,
            pitch_held: pitch,
            above_excluded: Hysteresis::new(speed > p.torque.excluded.1),
            tower_speed_mps: 0.0,
            tower_offset_mps: 0.0,
        }
    }

    /// The estimated wind, relative to the tower's top; `None` in the mode without.
    #[must_use]
    pub fn wind(&self) -> Option<MetersPerSecond> {
        self.estimate.map(|estimate| estimate.wind)
    }

    /// Electrical power that the turbine could give in the estimated wind; `None` without an estimate.
    #[must_use]
    pub fn available_power(&self, p: &TaktParameters) -> Option<Watts> {
        let best = self.wind()?.get() * p.best_ratio / p.rotor_radius.get();
        let power = Watts(p.torque.optimal_gain * best * best * best * p.generator_efficiency);
        Some(power.min(p.limits.rated_power))
    }

    /// One step. `share` is the power limit over rated power, 0 to 1.
    pub fn step(
        &mut self,
        p: &TaktParameters,
        frame: &TaktFrame,
        sight: &TaktSight,
        share: f64,
        dt: Duration,
    ) -> TaktCommand {
        let situation = self.look(p, frame, sight, share, dt);
        let pitch = self.pitch_loop(p, frame, &situation, sight, dt);
        let (torque, region) = self.torque_loop(p, frame, &situation, sight);
        TaktCommand { torque, pitch, region }
    }

    fn look(
        &mut self,
        p: &TaktParameters,
        frame: &TaktFrame,
        sight: &TaktSight,
        share: f64,
        dt: Duration,
    ) -> Situation {
        let generator = sight.generator_speed / frame.gearbox_ratio;
        // The mean of both inertias feels the outer torques alone: the twist of the shaft drops out.
        let own = p.rotor_inertia_share;
        // A rotor's sensor that contradicts the generator's is left out until the interlock has judged.
        let most = p.rated_rotor_speed * ROTOR_SPEED_APART_MAX;
        let rotor = sight.rotor_speed.filter(|&rotor| (rotor - generator).abs() <= most);
        let measured = rotor.map_or(generator, |rotor| rotor * own + generator * (1.0 - own));
        let shaft_torque = sight.generator_torque * frame.gearbox_ratio;
        let before = self.speed.value();
        self.speed.step(measured.get(), SPEED_CORNER, dt);
        if let (Some(estimate), Estimate::Kalman { turbulence_intensity, speed_noise }, false) =
            (&mut self.estimate, p.estimate, dt.is_zero())
        {
            let noise = (turbulence_intensity, speed_noise);
            estimate.step(p, noise, (measured, sight.pitch, shaft_torque), dt);
        }
        let (speed, wind) = match &self.estimate {
            Some(estimate) => (estimate.speed.get(), Some(estimate.wind.get())),
            None => (self.speed.value(), None),
        };
        let (air_nm, acceleration) = match wind {
            Some(wind) => {
                let air_nm = p.aerodynamics(wind, speed, sight.pitch).torque_nm;
                (air_nm, (air_nm - shaft_torque.get()) / p.inertia_kgm2)
            }
            None => {
                let dt_s = dt.as_secs_f64();
                let moved = self.speed.value() - before;
                (p.torque.optimal_gain * speed * speed, if dt_s > 0.0 { moved / dt_s } else { 0.0 })
            }
        };
        let of_speed = speed * p.rotor_radius.get() / p.best_ratio;
        let slow_wind = self.slow_wind.step(wind.unwrap_or(of_speed), SLOW_WIND_CORNER, dt);
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }.min(storm_share(p, slow_wind));
        let fine = Radians(over_wind(&p.limits.fine_pitch_rad, slow_wind))
            .limit(frame.pitch_range.0, frame.pitch_range.1);
        let slow = p.limits.derated_speed_share;
        let rated = p.rated_rotor_speed.get() * (slow + (1.0 - slow) * share);
        let pitched = ((self.pitch - fine) / p.torque.smoothing_pitch).clamp(0.0, 1.0);
        let power_w = (p.limits.rated_power * (share / p.generator_efficiency)).get();
        Situation { speed, acceleration, wind, air_nm, fine, power_w, rated, pitched }
    }

    fn pitch_loop(
        &mut self,
        p: &TaktParameters,
        frame: &TaktFrame,
        s: &Situation,
        sight: &TaktSight,
        dt: Duration,
    ) -> Radians {
        let (loop_, dt_s) = (&p.pitch, dt.as_secs_f64());
        let sensitivity = over(&loop_.sensitivity, self.pitch / loop_.sensitivity_to);
        let (bandwidth, pull) = (loop_.bandwidth.get(), 2.0 * loop_.damping * loop_.bandwidth.get());
        let error = s.speed - s.rated * (1.0 + loop_.reserve * (1.0 - s.pitched));
        let towards = match s.wind {
            Some(wind) => {
                let ratio = s.rated * p.rotor_radius.get() / wind;
                let wanted = s.power_w / s.rated / (p.push() * wind * wind);
                (p.rotor.pitch_for(ratio, wanted, s.fine) - self.pitch).get() * pull
            }
            // A derivative in the place of the wind: the same loop as a PI.
            None => s.acceleration * pull / sensitivity,
        };
        let foreseen = s.speed + loop_.guard_ahead_s * s.acceleration;
        let excess = (foreseen - p.rated_rotor_speed.get() * (1.0 + loop_.guard_from)).max(0.0);
        let guard = loop_.guard_per_s * loop_.guard_per_s * excess;
        let fastest = p.pitch_rate_max.get();
        let rate = towards + (bandwidth * bandwidth * error + guard) / sensitivity;
        let rate = rate.max(-fastest).min(fastest);
        let before = self.pitch;
        let wanted = (self.pitch + Radians(rate * dt_s)).limit(s.fine, frame.pitch_range.1);
        // The fine pitch may have risen: follow it no faster than the blades may turn.
        let farthest = Radians(fastest * dt_s);
        self.pitch = wanted.limit(before - farthest, before + farthest);
        let moved = if dt_s > 0.0 { (self.pitch - before).get() / dt_s } else { 0.0 };
        let ahead = self.pitch + Radians(moved * loop_.lead_s) + self.tower_damper(p, sight, dt);
        let ahead = ahead.limit(s.fine.min(self.pitch), frame.pitch_range.1);
        let play = if self.pitch <= s.fine { Radians::ZERO } else { loop_.play };
        self.pitch_held = self.pitch_held.limit(ahead - play, ahead + play);
        self.pitch_held
    }

    /// More pitch while the tower moves with the wind: less thrust, as a damper would pull.
    fn tower_damper(&mut self, p: &TaktParameters, sight: &TaktSight, dt: Duration) -> Radians {
        let damper = &p.dampers;
        if damper.tower_radspm == 0.0 {
            return Radians::ZERO;
        }
        let dt_s = dt.as_secs_f64();
        // Integrals that leak well below the tower's frequency: offsets of the sensor leak away.
        let leak = 0.1 * damper.tower_frequency.get();
        let acceleration = sight.tower_acceleration_mps2.unwrap_or(0.0);
        let kept = libm::exp(-leak * dt_s);
        self.tower_speed_mps = kept * self.tower_speed_mps + acceleration * dt_s;
        self.tower_offset_mps += (1.0 - kept) * (self.tower_speed_mps - self.tower_offset_mps);
        let wanted = Radians(damper.tower_radspm * (self.tower_speed_mps - self.tower_offset_mps));
        wanted.limit(-damper.tower_pitch_max, damper.tower_pitch_max)
    }

    fn torque_loop(
        &mut self,
        p: &TaktParameters,
        frame: &TaktFrame,
        s: &Situation,
        sight: &TaktSight,
    ) -> (NewtonMeters, TorqueRegion) {
        let loop_ = &p.torque;
        let top = s.rated * (1.0 - loop_.smoothing_depth * s.pitched);
        let slowest = p.slowest_rotor_speed.get().min(top);
        let best = match s.wind {
            Some(wind) => self.outside_excluded(p, p.best_ratio * wind / p.rotor_radius.get()),
            None => s.speed,
        };
        let reference = best.min(top).max(slowest);
        let at_an_end = best >= top || best <= slowest;
        let rate = if at_an_end { loop_.holding } else { loop_.tracking }.get();
        let wanted = s.air_nm + p.inertia_kgm2 * rate * (s.speed - reference);
        let of_power = match loop_.above_rated {
            // A rotor that hardly turns has no power to give.
            AboveRated::ConstantPower => s.power_w / s.speed.max(0.1 * p.rated_rotor_speed.get()),
            AboveRated::ConstantTorque => s.power_w / s.rated.max(0.1 * p.rated_rotor_speed.get()),
        };
        let twist = sight.generator_speed.get() / frame.gearbox_ratio - s.speed;
        let damped = wanted.min(of_power) + p.dampers.drivetrain_nmsprad * twist;
        let torque = NewtonMeters(damped / frame.gearbox_ratio).limit(NewtonMeters::ZERO, frame.torque_max);
        let region = if wanted >= of_power {
            TorqueRegion::Three
        } else if wanted <= 0.0 {
            TorqueRegion::One
        } else if best >= top {
            TorqueRegion::TwoAndHalf
        } else if best <= slowest {
            TorqueRegion::OneAndHalf
        } else {
            TorqueRegion::Two
        };
        (torque, region)
    }

    /// The reference beside the excluded speeds: it crosses them at once, when it is through.
    fn outside_excluded(&mut self, p: &TaktParameters, reference: f64) -> f64 {
        let (low, high) = (p.torque.excluded.0.get(), p.torque.excluded.1.get());
        if low >= high || reference <= low || reference >= high {
            self.above_excluded.step(reference, high, low);
            return reference;
        }
        if self.above_excluded.is_on() { high } else { low }
    }
}

/// What the storm leaves of rated power.
fn storm_share(p: &TaktParameters, wind_mps: f64) -> f64 {
    let limits = &p.limits;
    let along = (wind_mps - limits.storm_from.get()) / (limits.storm_to - limits.storm_from).get();
    1.0 - along.clamp(0.0, 1.0) * (1.0 - limits.storm_power_share)
}

/// A schedule over wind speed.
fn over_wind(schedule: &[f64; WIND_LINES], wind_mps: f64) -> f64 {
    over(schedule, wind_mps / ((WIND_LINES - 1) as f64 * WIND_STEP.get()))
}

/// An even schedule at a place from 0 (its first entry) to 1 (its last); its ends hold outside.
pub(super) fn over(schedule: &[f64], place: f64) -> f64 {
    let cells = schedule.len().saturating_sub(1);
    let position = (place * cells as f64).max(0.0).min(cells as f64);
    let cell = (position as usize).min(cells.saturating_sub(1));
    let at = |entry: usize| schedule.get(entry).copied().unwrap_or(0.0);
    at(cell) + (position - cell as f64) * (at(cell + 1) - at(cell))
}

/// What follows from parameters alone.
impl TaktParameters {
    /// Mechanical power at rated electrical power.
    #[must_use]
    pub fn rated_power_mechanical(&self) -> Watts {
        self.limits.rated_power / self.generator_efficiency
    }
}
