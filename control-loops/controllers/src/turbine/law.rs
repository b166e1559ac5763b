//! The NREL 5-MW baseline control law: a speed filter, a torque curve and a pitch PI.
//!
//! Source: Jonkman, Butterfield, Musial, Scott: Definition of a 5-MW Reference Wind Turbine for Offshore
//! System Development, NREL/TP-500-38060 (2009), chapter 7, and the public source of its controller.
//!
//! # Model
//!
//! - The generator speed passes a one-pole filter; all else uses the filtered speed.
//! - Torque: region 1 none, 1.5 a line, 2 `k w^2`, 2.5 a steep line up to rated, 3 constant power. Region
//!   3 also holds below rated speed while the blades are still pitched, or torque would dip in a lull.
//! - Pitch: PI on the speed error, its gains falling with pitch because the aerodynamic sensitivity
//!   grows with it. Anti-windup of the public controller: the integral is held where its own part of
//!   the command stays within the pitch limits.
//!
//! # What differs from the public controller
//!
//! - The pitch rate limit is taken against the **last command**, not the measured pitch: with a real
//!   actuator behind it, the latter gives a sustained oscillation after a gust. With an ideal actuator,
//!   as in the reference rows, both are the same.
//! - A power share scales the rated power for derating; at 1 it changes nothing.
//! - It computes in `f64`; the public one computes, and keeps its clock, in 32 bits.

use control_loops_blocks::OnePole;
use hal_units::{Duration, NewtonMeters, NewtonMetersPerSecond, Radians, RadiansPerSecond, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Numbers of the law; all on the high-speed shaft.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LawParameters {
    /// Corner of the speed filter.
    pub speed_filter_corner: RadiansPerSecond,
    /// Torque and pitch are computed anew once this long has passed; the speed filter runs every call.
    pub update_interval: Duration,
    /// Speed below which there is no torque: the end of region 1.
    pub cut_in_speed: RadiansPerSecond,
    /// Speed at which region 2 begins.
    pub region_2_speed: RadiansPerSecond,
    /// Speed at which region 3 begins.
    pub rated_speed: RadiansPerSecond,
    /// `k` of region 2's `k w^2`, N m s2/rad2.
    pub optimal_gain: f64,
    /// Slip of the generator in region 2.5, percent of its synchronous speed.
    pub slip_percent: f64,
    /// Mechanical power of region 3.
    pub rated_power_mechanical: Watts,
    /// Pitch from which region 3 holds at any speed.
    pub constant_power_pitch: Radians,
    /// The largest torque.
    pub torque_max: NewtonMeters,
    /// The fastest change of torque.
    pub torque_rate_max: NewtonMetersPerSecond,
    /// Speed that the pitch holds.
    pub reference_speed: RadiansPerSecond,
    /// Pitch per speed error at pitch 0, s.
    pub pitch_proportional_s: f64,
    /// Pitch per integrated speed error at pitch 0, without a unit.
    pub pitch_integral: f64,
    /// Pitch at which the aerodynamic sensitivity has doubled and the gains are halved.
    pub gain_halving_pitch: Radians,
    /// Fine pitch.
    pub pitch_min: Radians,
    /// Feather.
    pub pitch_max: Radians,
    /// The fastest change of pitch.
    pub pitch_rate_max: RadiansPerSecond,
}

impl LawParameters {
    /// NREL/TP-500-38060, tables 7-1 and 7-2, with the digits of the public controller's source.
    #[expect(clippy::approx_constant, reason = "the source's digits, not better ones")]
    pub const NREL_5MW: Self = Self {
        speed_filter_corner: RadiansPerSecond(1.570_796),
        update_interval: Duration::from_micros(1250),
        cut_in_speed: RadiansPerSecond(70.162_24),
        region_2_speed: RadiansPerSecond(91.210_91),
        rated_speed: RadiansPerSecond(121.680_5),
        optimal_gain: 2.332_287,
        slip_percent: 10.0,
        rated_power_mechanical: Watts(5_296_610.0),
        constant_power_pitch: Radians(0.017_453_29),
        torque_max: NewtonMeters(47_402.91),
        torque_rate_max: NewtonMetersPerSecond(15_000.0),
        reference_speed: RadiansPerSecond(122.909_6),
        pitch_proportional_s: 0.018_826_81,
        pitch_integral: 0.008_068_634,
        gain_halving_pitch: Radians(0.109_996_5),
        pitch_min: Radians(0.0),
        pitch_max: Radians(1.570_796),
        pitch_rate_max: RadiansPerSecond(0.139_626_3),
    };
}

/// The part of the torque curve that was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub enum TorqueRegion {
    /// No torque.
    #[default]
    One,
    /// Line from cut-in to region 2.
    OneAndHalf,
    /// Best tip-speed ratio.
    Two,
    /// Steep line to rated torque.
    TwoAndHalf,
    /// Constant power.
    Three,
}

impl TorqueRegion {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::OneAndHalf => "1.5",
            Self::Two => "2",
            Self::TwoAndHalf => "2.5",
            Self::Three => "3",
        }
    }
}

/// Everything the law remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct LawState {
    /// Filtered generator speed, rad/s.
    pub speed: OnePole,
    /// Integrated speed error, rad.
    pub speed_error_rad: f64,
    /// Last torque command.
    pub torque: NewtonMeters,
    /// Last pitch command.
    pub pitch: Radians,
    /// Time since torque and pitch were last computed.
    pub since_update: Duration,
    /// Region of the last torque command.
    pub region: TorqueRegion,
}

/// What the law wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LawCommand {
    /// Generator torque.
    pub torque: NewtonMeters,
    /// Collective pitch.
    pub pitch: Radians,
    /// Region of the torque.
    pub region: TorqueRegion,
}

impl LawState {
    /// The last command.
    #[must_use]
    pub const fn command(&self) -> LawCommand {
        LawCommand { torque: self.torque, pitch: self.pitch, region: self.region }
    }
}

/// The law with what follows from its parameters; it remembers nothing, see [`LawState`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BaselineLaw {
    parameters: LawParameters,
    synchronous_speed: RadiansPerSecond,
    /// Torque per speed in region 1.5, N m s/rad.
    slope_1_5: f64,
    /// Torque per speed in region 2.5, N m s/rad.
    slope_2_5: f64,
    /// Where `k w^2` meets the line of region 2.5.
    region_2_5_speed: RadiansPerSecond,
}

impl BaselineLaw {
    /// Works out the torque curve's corners.
    #[must_use]
    pub fn new(parameters: LawParameters) -> Self {
        let p = &parameters;
        let (k, rated) = (p.optimal_gain, p.rated_speed.get());
        let synchronous = rated / (1.0 + 0.01 * p.slip_percent);
        let region_2 = p.region_2_speed.get();
        let slope_1_5 = k * region_2 * region_2 / (region_2 - p.cut_in_speed.get());
        let slope_2_5 = p.rated_power_mechanical.get() / rated / (rated - synchronous);
        let corner = if k == 0.0 {
            synchronous
        } else {
            let root = libm::sqrt(slope_2_5 * (slope_2_5 - 4.0 * k * synchronous));
            (slope_2_5 - root) / (2.0 * k)
        };
        Self {
            parameters,
            synchronous_speed: RadiansPerSecond(synchronous),
            slope_1_5,
            slope_2_5,
            region_2_5_speed: RadiansPerSecond(corner),
        }
    }

    /// The numbers the law was made from.
    #[must_use]
    pub const fn parameters(&self) -> &LawParameters {
        &self.parameters
    }

    /// Where region 2 ends, rad/s. Not finite if the parameters make no curve.
    #[must_use]
    pub const fn region_2_5_speed(&self) -> RadiansPerSecond {
        self.region_2_5_speed
    }

    /// The public controller's first call: the integral carries the whole pitch, the torque is at once
    /// on its curve, and the pitch moves for one update interval.
    ///
    /// The command of that call is [`LawState::command`].
    #[must_use]
    pub fn first_call(&self, speed: RadiansPerSecond, pitch: Radians) -> LawState {
        let p = &self.parameters;
        let mut state = LawState {
            speed: OnePole::new(speed.get()),
            speed_error_rad: self.integral_that_gives(pitch.get(), pitch),
            torque: NewtonMeters::ZERO,
            pitch,
            since_update: p.update_interval,
            region: TorqueRegion::One,
        };
        let (torque, region) = self.torque_wanted(RadiansPerSecond(state.speed.value()), pitch, 1.0);
        state.torque = torque;
        state.region = region;
        self.update_pitch(&mut state, p.update_interval);
        state.since_update = Duration::ZERO;
        state
    }

    /// Continues a running turbine without a bump: the next command is this torque and this pitch, up
    /// to what the speed error integrates in one step. Used at every entry into operation; an empty
    /// integral at 18 m/s would let the rotor run up to 15 rpm.
    #[must_use]
    pub fn reseeded(&self, speed: RadiansPerSecond, torque: NewtonMeters, pitch: Radians) -> LawState {
        let p = &self.parameters;
        let pitch = pitch.limit(p.pitch_min, p.pitch_max);
        let speed_error = speed.get() - p.reference_speed.get();
        let proportional = self.gain(pitch) * p.pitch_proportional_s * speed_error;
        LawState {
            speed: OnePole::new(speed.get()),
            speed_error_rad: self.integral_that_gives(pitch.get() - proportional, pitch),
            torque: torque.limit(NewtonMeters::ZERO, p.torque_max),
            pitch,
            since_update: Duration::ZERO,
            region: TorqueRegion::One,
        }
    }

    /// One call.
    ///
    /// `power_share` scales the rated power, 0 to 1; at 1 the law is the public one. A speed that is not
    /// finite is not taken into the filter.
    pub fn step(
        &self,
        state: &mut LawState,
        speed: RadiansPerSecond,
        power_share: f64,
        dt: Duration,
    ) -> LawCommand {
        let p = &self.parameters;
        state.speed.step(speed.get(), p.speed_filter_corner, dt);
        state.since_update = state.since_update.saturating_add(dt);
        if state.since_update >= p.update_interval {
            let elapsed = state.since_update;
            self.update_torque(state, power_share, elapsed);
            self.update_pitch(state, elapsed);
            state.since_update = Duration::ZERO;
        }
        state.command()
    }

    /// Regions 1 to 2.5: the torque as a function of speed alone.
    #[must_use]
    pub fn torque_curve(&self, speed: RadiansPerSecond) -> (NewtonMeters, TorqueRegion) {
        let p = &self.parameters;
        let w = speed.get();
        if speed <= p.cut_in_speed {
            (NewtonMeters::ZERO, TorqueRegion::One)
        } else if speed < p.region_2_speed {
            (NewtonMeters(self.slope_1_5 * (w - p.cut_in_speed.get())), TorqueRegion::OneAndHalf)
        } else if speed < self.region_2_5_speed {
            (NewtonMeters(p.optimal_gain * w * w), TorqueRegion::Two)
        } else {
            let over = w - self.synchronous_speed.get();
            (NewtonMeters(self.slope_2_5 * over).min(p.torque_max), TorqueRegion::TwoAndHalf)
        }
    }

    /// Torque before its rate limit.
    fn torque_wanted(
        &self,
        speed: RadiansPerSecond,
        pitch: Radians,
        power_share: f64,
    ) -> (NewtonMeters, TorqueRegion) {
        let p = &self.parameters;
        let power_share = if power_share.is_nan() { 0.0 } else { power_share.clamp(0.0, 1.0) };
        let power = p.rated_power_mechanical * power_share;
        // A standing or backward rotor has no power to give; the public law divides by its speed.
        let constant_power = if speed > RadiansPerSecond::ZERO { power / speed } else { NewtonMeters::ZERO };
        if speed >= p.rated_speed || pitch >= p.constant_power_pitch {
            return (constant_power.min(p.torque_max), TorqueRegion::Three);
        }
        let (on_curve, region) = self.torque_curve(speed);
        if constant_power < on_curve && power_share < 1.0 {
            (constant_power, TorqueRegion::Three)
        } else {
            (on_curve, region)
        }
    }

    fn update_torque(&self, state: &mut LawState, power_share: f64, elapsed: Duration) {
        let speed = RadiansPerSecond(state.speed.value());
        let (wanted, region) = self.torque_wanted(speed, state.pitch, power_share);
        let step = NewtonMeters(self.parameters.torque_rate_max.get() * elapsed.as_secs_f64());
        state.torque = wanted.limit(state.torque - step, state.torque + step);
        state.region = region;
    }

    fn update_pitch(&self, state: &mut LawState, elapsed: Duration) {
        let p = &self.parameters;
        let dt_s = elapsed.as_secs_f64();
        let gain = self.gain(state.pitch);
        let speed_error = state.speed.value() - p.reference_speed.get();
        let low = self.integral_that_gives(p.pitch_min.get(), state.pitch);
        let high = self.integral_that_gives(p.pitch_max.get(), state.pitch);
        state.speed_error_rad = (state.speed_error_rad + speed_error * dt_s).max(low).min(high);
        let proportional = gain * p.pitch_proportional_s * speed_error;
        let integral = gain * p.pitch_integral * state.speed_error_rad;
        let step = p.pitch_rate_max.get() * dt_s;
        state.pitch = Radians(proportional + integral)
            .limit(p.pitch_min, p.pitch_max)
            .limit(state.pitch - Radians(step), state.pitch + Radians(step))
            .limit(p.pitch_min, p.pitch_max);
    }

    /// Gain correction at a pitch, 1 at pitch 0.
    fn gain(&self, pitch: Radians) -> f64 {
        1.0 / (1.0 + pitch.get() / self.parameters.gain_halving_pitch.get())
    }

    /// Integrated speed error whose part of the command is `part_rad`, with the gain of `pitch`.
    fn integral_that_gives(&self, part_rad: f64, pitch: Radians) -> f64 {
        part_rad / (self.gain(pitch) * self.parameters.pitch_integral)
    }

    /// The gains that hold at a pitch: proportional (s) and integral.
    #[must_use]
    pub(super) fn pitch_gains(&self, pitch: Radians) -> (f64, f64) {
        let gain = self.gain(pitch);
        (gain * self.parameters.pitch_proportional_s, gain * self.parameters.pitch_integral)
    }
}
