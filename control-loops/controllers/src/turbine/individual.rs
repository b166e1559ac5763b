//! Individual pitch: each blade answers the load that changes once a turn.
//!
//! # Problem
//!
//! Wind shear, shaft tilt and yaw error load a blade anew with each turn (1P). All blades together can do
//! nothing about it; each for itself can.
//!
//! # Model
//!
//! - The multi-blade (Coleman) transform turns the three out-of-plane root moments into a tilting and a yawing
//!   one, in which what changes once a turn stands still (Bossanyi: Individual Blade Pitch Control for Load
//!   Reduction, Wind Energy 6, 2003):
//!
//!   ```text
//!   M_tilt = 2/3 sum M_i cos(psi_i)      M_yaw = 2/3 sum M_i sin(psi_i)      psi_i = psi + (i - 1) 120 deg
//!   ```
//!
//! - Each is brought to zero by an integral of its own. Its gain is the bandwidth over the moment lost per
//!   pitch, which is scheduled over the collective pitch.
//! - The inverse transform gives each blade's offset; it looks ahead by the drives' lag, during which the rotor
//!   turns on.
//! - The amplitude of both together is limited: to its largest, and to what the collective pitch leaves to
//!   fine pitch. So the offsets vanish towards rated wind by themselves, and their sum is always zero.
//! - Outside operation, without usable loads, or without an azimuth that moves as the rotor turns, the
//!   amplitude fades to zero. Each blade passes a rate limit of its own, measured against its last command.
//! - A sensor that drifts would set the blades' mean angles apart, by bandwidth over rotor speed of what its error
//!   amounts to in pitch: the integrals see it once a turn. But over some turns all blades feel the same, so a mean
//!   that is apart from the others' by more than what `ROOT_APART_MAX` of pitch does to a root is not believed, and
//!   the loads cannot be used until it has come back to half of that.
//!
//! # Terms
//!
//! Azimuth `psi` is that of the first blade: 0 upright, growing as the rotor turns.

use core::f64::consts::{PI, TAU};

use control_loops_blocks::{RateLimit, RateLimits};
use hal_process_image::Sample;
use hal_units::{Duration, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::io::usable;
use super::takt::{PITCH_SCHEDULE_LINES, over};
use super::{LawParameters, ParameterError};

/// Numbers of the individual pitch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndividualPitchParameters {
    /// Bandwidth of both integrals: how fast the standing part of the 1P load is worked off.
    pub bandwidth: RadiansPerSecond,
    /// Root moment lost per pitch of a blade, N m/rad, over the collective pitch.
    pub sensitivity_nmprad: [f64; PITCH_SCHEDULE_LINES],
    /// Pitch of the last entry; the first belongs to 0.
    pub sensitivity_to: Radians,
    /// The largest offset of a blade.
    pub amplitude_max: Radians,
    /// Lag of drives and bus that the offsets make up for, s.
    pub lead_s: f64,
}

impl IndividualPitchParameters {
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let least = self.sensitivity_nmprad.iter().copied().fold(f64::INFINITY, f64::min);
        let fields = [
            ("individual.bandwidth", self.bandwidth.get()),
            ("individual.sensitivity_nmprad", least),
            ("individual.sensitivity_to", self.sensitivity_to.get()),
            ("individual.amplitude_max", self.amplitude_max.get()),
        ];
        if let Some((field, _)) = fields.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(ParameterError::NotPositive { field });
        }
        if self.lead_s.is_finite() && self.lead_s >= 0.0 {
            Ok(())
        } else {
            Err(ParameterError::Negative { field: "individual.lead_s" })
        }
    }
}

/// What the blades feel, aged as all inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct BladeLoads {
    /// Of the first blade, rad; 0 upright.
    pub azimuth: Sample,
    /// Out-of-plane moment at each blade's root, N m; with the wind positive.
    pub root_moments: [Sample; 3],
}

impl BladeLoads {
    /// Of a device that was never read.
    pub const NEVER: Self = Self { azimuth: Sample::NEVER, root_moments: [Sample::NEVER; 3] };
}

/// Whether the blades are led one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IndividualPitchStatus {
    /// The turbine has none.
    #[default]
    Off,
    /// At work.
    Active,
    /// The turbine does not produce: nothing to do.
    Waiting,
    /// Loads or azimuth cannot be used: the offsets fade or are gone.
    Blind,
}

impl IndividualPitchStatus {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Blind => "blind",
        }
    }
}

/// What the individual pitch remembers. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct IndividualPitch {
    /// Tracked azimuth of the first blade; `None` until one was measured.
    azimuth: Option<Radians>,
    /// For how long the measured one has been where the rotor must be.
    azimuth_in_step: Duration,
    /// Offsets against tilting and yawing moment.
    tilt: Radians,
    yaw: Radians,
    /// How far the slow mean of each root moment is from that of all, N m.
    roots_apart_nm: [f64; 3],
    /// One of them is too far to be believed.
    roots_doubted: bool,
    /// Last command of each blade, rad.
    blades: [RateLimit; 3],
}

/// What one step looks at.
pub(super) struct BladeSight<'a> {
    pub(super) loads: Option<&'a BladeLoads>,
    pub(super) rotor_speed: Option<RadiansPerSecond>,
    /// Whether the turbine produces.
    pub(super) producing: bool,
    /// The command for all blades together.
    pub(super) collective: Radians,
}

/// A measured azimuth draws the tracked one at this rate, rad/s.
const AZIMUTH_CORNER: f64 = 2.0;
/// An azimuth that is farther than this from where the rotor must be is not believed. One that stands still is
/// left behind by speed over corner: 20 deg at the reference turbine's slowest.
const AZIMUTH_APART_MAX: f64 = Radians::from_degrees(10.0).get();
/// It is believed after so long in step: numbers without sense come near by chance.
const AZIMUTH_BELIEVED_AFTER: Duration = Duration::from_secs(1);
/// The pitch whose effect on a root is as much as a sensor may be wrong. A blade that is off by so much is soon stuck
/// or loose to the interlock.
const ROOT_APART_MAX: Radians = Radians::from_degrees(1.0);
/// Corner of the slow means, rad/s: what changes once a turn leaves a fortieth of itself.
const ROOT_MEAN_CORNER: f64 = 1.0 / 30.0;
/// The whole amplitude fades in this time, s.
const FADE_S: f64 = 2.0;
/// Cosine and sine of 0, 120 and 240 degrees.
const THIRDS: [(f64, f64); 3] = [(1.0, 0.0), (-0.5, SIN_120), (-0.5, -SIN_120)];
const SIN_120: f64 = 0.866_025_403_784_438_6;

impl IndividualPitch {
    /// All blades there, no offsets.
    pub(super) const fn at(blades: [Radians; 3]) -> Self {
        let [one, two, three] = blades;
        Self {
            azimuth: None,
            azimuth_in_step: Duration::ZERO,
            tilt: Radians::ZERO,
            yaw: Radians::ZERO,
            roots_apart_nm: [0.0; 3],
            roots_doubted: false,
            blades: [RateLimit::new(one.get()), RateLimit::new(two.get()), RateLimit::new(three.get())],
        }
    }

    /// The last commands.
    pub(super) fn blades(&self) -> [Radians; 3] {
        self.blades.map(|blade| Radians(blade.value()))
    }

    /// One step: the command of each blade.
    pub(super) fn step(
        &mut self,
        p: &IndividualPitchParameters,
        limits: &LawParameters,
        sight: &BladeSight<'_>,
        dt: Duration,
    ) -> ([Radians; 3], IndividualPitchStatus) {
        let dt_s = dt.as_secs_f64();
        let azimuth = self.track(sight, dt);
        let moments = sight.loads.and_then(|loads| {
            let [one, two, three] = &loads.root_moments;
            Some([usable(one)?, usable(two)?, usable(three)?])
        });
        if let Some(moments) = moments.filter(|_| sight.producing) {
            self.compare(p, sight.collective, moments, dt_s);
        }
        let moments = moments.filter(|_| !self.roots_doubted);
        let status = match (sight.producing, azimuth, moments) {
            (false, _, _) => IndividualPitchStatus::Waiting,
            (true, Some(azimuth), Some(moments)) => {
                self.integrate(p, sight.collective, azimuth, moments, dt_s);
                IndividualPitchStatus::Active
            }
            (true, _, _) => IndividualPitchStatus::Blind,
        };
        let amplitude = libm::sqrt(self.tilt.get() * self.tilt.get() + self.yaw.get() * self.yaw.get());
        let room = (sight.collective - limits.pitch_min).min(p.amplitude_max).max(Radians::ZERO).get();
        let most = match status {
            IndividualPitchStatus::Active => room,
            IndividualPitchStatus::Off | IndividualPitchStatus::Waiting | IndividualPitchStatus::Blind => {
                room.min((amplitude - p.amplitude_max.get() / FADE_S * dt_s).max(0.0))
            }
        };
        if amplitude > most {
            self.tilt = self.tilt * (most / amplitude);
            self.yaw = self.yaw * (most / amplitude);
        }
        let ahead = sight.rotor_speed.map_or(0.0, |speed| speed.get() * p.lead_s);
        // Without any azimuth nobody knows which blade is where: no offset is better than a wrong one.
        let (sin, cos) = self.azimuth.map_or((0.0, 0.0), |azimuth| libm::sincos(azimuth.get() + ahead));
        let fastest = RateLimits::both(limits.pitch_rate_max.get());
        for (blade, third) in self.blades.iter_mut().zip(THIRDS) {
            let (sin, cos) = turned((sin, cos), third);
            let wanted = sight.collective + self.tilt * cos + self.yaw * sin;
            blade.step(wanted.limit(limits.pitch_min, limits.pitch_max).get(), fastest, dt);
        }
        (self.blades(), status)
    }

    /// Follows the azimuth; `None` while it cannot be believed.
    fn track(&mut self, sight: &BladeSight<'_>, dt: Duration) -> Option<f64> {
        let dt_s = dt.as_secs_f64();
        let measured = sight.loads.and_then(|loads| usable(&loads.azimuth));
        let moved = sight.rotor_speed.map(|speed| speed.get() * dt_s);
        let predicted = self.azimuth.zip(moved).map(|(azimuth, moved)| azimuth.get() + moved);
        let (tracked, in_step) = match (predicted, measured) {
            (Some(predicted), Some(measured)) => {
                let apart = wrapped(measured - predicted);
                let tracked = predicted + (AZIMUTH_CORNER * dt_s).min(1.0) * apart;
                (Some(tracked), apart.abs() <= AZIMUTH_APART_MAX)
            }
            // The rotor's speed carries it on while the offsets fade.
            (Some(predicted), None) => (Some(predicted), false),
            (None, measured) => (measured, false),
        };
        self.azimuth = tracked.map(|azimuth| Radians(wrapped(azimuth)));
        self.azimuth_in_step = if in_step { self.azimuth_in_step.saturating_add(dt) } else { Duration::ZERO };
        tracked.filter(|_| self.azimuth_in_step >= AZIMUTH_BELIEVED_AFTER)
    }

    /// Compares what each root feels in the long run with what all do.
    fn compare(&mut self, p: &IndividualPitchParameters, collective: Radians, moments: [f64; 3], dt_s: f64) {
        let mean = moments.iter().sum::<f64>() / 3.0;
        let share = (ROOT_MEAN_CORNER * dt_s).min(1.0);
        let mut farthest: f64 = 0.0;
        for (apart, moment) in self.roots_apart_nm.iter_mut().zip(moments) {
            *apart += share * (moment - mean - *apart);
            farthest = farthest.max(apart.abs());
        }
        let most = over(&p.sensitivity_nmprad, collective / p.sensitivity_to) * ROOT_APART_MAX.get();
        self.roots_doubted = farthest > if self.roots_doubted { 0.5 * most } else { most };
    }

    fn integrate(
        &mut self,
        p: &IndividualPitchParameters,
        collective: Radians,
        azimuth: f64,
        moments: [f64; 3],
        dt_s: f64,
    ) {
        let first = libm::sincos(azimuth);
        let (mut tilt, mut yaw) = (0.0, 0.0);
        for (moment, third) in moments.into_iter().zip(THIRDS) {
            let (sin, cos) = turned(first, third);
            tilt += moment * cos;
            yaw += moment * sin;
        }
        let sensitivity = over(&p.sensitivity_nmprad, collective / p.sensitivity_to);
        let gain = 2.0 / 3.0 * p.bandwidth.get() / sensitivity * dt_s;
        self.tilt += Radians(gain * tilt);
        self.yaw += Radians(gain * yaw);
    }
}

/// Sine and cosine of an angle turned on by a third.
fn turned((sin, cos): (f64, f64), (third_cos, third_sin): (f64, f64)) -> (f64, f64) {
    (sin * third_cos + cos * third_sin, cos * third_cos - sin * third_sin)
}

/// The angle within half a turn of zero.
fn wrapped(angle: f64) -> f64 {
    if angle.abs() <= PI { angle } else { angle - TAU * libm::round(angle / TAU) }
}
