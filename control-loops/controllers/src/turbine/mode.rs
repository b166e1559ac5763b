//! The eight modes and the one place where they change.

use control_loops_blocks::{Ramp, RateLimit};
use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::cables::Cables;
use super::{
    BaselineLaw, LawState, RunRequest, StartUp, SupervisionParameters, TaktSight, TaktState, TripSet,
    TurbineParameters, WindBand,
};

/// What the turbine is doing, with what only that needs to remember.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub enum Mode {
    /// Asked to run, waiting for wind: feathered, unbraked, off the grid.
    Idle,
    /// Coming up to speed.
    StartUp(StartUp),
    /// Producing what the wind gives.
    Run(Operation),
    /// Producing, with a power limit below rated.
    Derated(Operation),
    /// Going to feather; the torque follows a ramp to zero or its curve, whichever is lower.
    NormalStop(Ramp),
    /// Going to feather as fast as the blades can.
    EmergencyStop,
    /// Stopped, feathered, braked.
    Parked,
    /// Parked for people to work on it: nothing moves.
    Service,
}

/// What production remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Operation {
    /// The baseline law; under the Takt law it keeps the last commands.
    pub law: LawState,
    /// The Takt law, if that one drives.
    pub takt: Option<TaktState>,
    /// Power limit in force, share of rated power.
    pub power_share: RateLimit,
}

/// A mode's name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModeName {
    /// [`Mode::Idle`]
    Idle,
    /// [`Mode::StartUp`]
    StartUp,
    /// [`Mode::Run`]
    Run,
    /// [`Mode::Derated`]
    Derated,
    /// [`Mode::NormalStop`]
    NormalStop,
    /// [`Mode::EmergencyStop`]
    EmergencyStop,
    /// [`Mode::Parked`]
    Parked,
    /// [`Mode::Service`]
    Service,
}

impl ModeName {
    /// All names.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::StartUp,
        Self::Run,
        Self::Derated,
        Self::NormalStop,
        Self::EmergencyStop,
        Self::Parked,
        Self::Service,
    ];

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::StartUp => "start_up",
            Self::Run => "run",
            Self::Derated => "derated",
            Self::NormalStop => "normal_stop",
            Self::EmergencyStop => "emergency_stop",
            Self::Parked => "parked",
            Self::Service => "service",
        }
    }

    /// Feathered and off the grid.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        match self {
            Self::Idle | Self::Parked | Self::Service => true,
            Self::StartUp | Self::Run | Self::Derated | Self::NormalStop | Self::EmergencyStop => false,
        }
    }
}

/// All that a transition looks at, worked out once per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Situation {
    pub(super) trips: TripSet,
    pub(super) request: RunRequest,
    pub(super) wind: WindBand,
    /// Every signal that a start needs is good, the device is normal, the grid is there.
    pub(super) ready: bool,
    /// The nacelle faces the wind well enough for a start, as far as is known.
    pub(super) faces_wind: bool,
    pub(super) cables: Cables,
    /// The turbine has to stand until its cables are untwisted.
    pub(super) untwist_due: bool,
    /// At the generator; from the rotor's sensor if the generator's is bad.
    pub(super) speed: Option<RadiansPerSecond>,
    /// Low-speed shaft, if its sensor can be trusted.
    pub(super) rotor_speed: Option<RadiansPerSecond>,
    /// Measured pitch, torque, tower acceleration (m/s2) and wind, as far as they can be trusted.
    pub(super) measured_pitch: Option<Radians>,
    pub(super) measured_torque: Option<NewtonMeters>,
    pub(super) tower_acceleration_mps2: Option<f64>,
    pub(super) measured_wind: Option<MetersPerSecond>,
    pub(super) power_share_wanted: f64,
    /// Last outputs.
    pub(super) pitch: Radians,
    pub(super) torque: NewtonMeters,
    pub(super) connected: bool,
}

impl Situation {
    fn rotor_is_below(&self, rotor_speed: RadiansPerSecond, gearbox_ratio: f64) -> bool {
        self.speed.is_some_and(|speed| speed.get().abs() < rotor_speed.get() * gearbox_ratio)
    }

    fn rotor_is_above(&self, rotor_speed: RadiansPerSecond, gearbox_ratio: f64) -> bool {
        self.speed.is_some_and(|speed| speed.get().abs() > rotor_speed.get() * gearbox_ratio)
    }

    fn may_not_turn(&self) -> bool {
        self.untwist_due || self.too_little_or_too_much_wind()
    }

    fn may_start(&self) -> bool {
        self.ready && self.faces_wind && !self.untwist_due && self.wind == WindBand::Operating
    }

    fn too_little_or_too_much_wind(&self) -> bool {
        match self.wind {
            WindBand::Calm | WindBand::Storm => true,
            WindBand::Weak | WindBand::Operating => false,
        }
    }
}

impl Mode {
    /// The mode's name.
    #[must_use]
    pub const fn name(&self) -> ModeName {
        match self {
            Self::Idle => ModeName::Idle,
            Self::StartUp(_) => ModeName::StartUp,
            Self::Run(_) => ModeName::Run,
            Self::Derated(_) => ModeName::Derated,
            Self::NormalStop(_) => ModeName::NormalStop,
            Self::EmergencyStop => ModeName::EmergencyStop,
            Self::Parked => ModeName::Parked,
            Self::Service => ModeName::Service,
        }
    }

    /// The production data, in the two modes that produce.
    #[must_use]
    pub const fn operation(&self) -> Option<&Operation> {
        match self {
            Self::Run(operation) | Self::Derated(operation) => Some(operation),
            Self::Idle
            | Self::StartUp(_)
            | Self::NormalStop(_)
            | Self::EmergencyStop
            | Self::Parked
            | Self::Service => None,
        }
    }

    /// The one transition function. At most one transition per step.
    pub(super) fn next(self, s: &Situation, p: &TurbineParameters, law: &BaselineLaw) -> Self {
        if !s.trips.is_empty() {
            return Self::EmergencyStop;
        }
        let rules = &p.supervision;
        let wanted = s.request == RunRequest::Run;
        let at_rest = s.rotor_is_below(rules.brake_rotor_speed, p.gearbox_ratio);
        let turning = s.rotor_is_above(rules.brake_release_rotor_speed, p.gearbox_ratio);
        match self {
            Self::Idle => match s.request {
                RunRequest::Stop | RunRequest::Service => stopping(s, rules),
                RunRequest::Run if s.may_start() => Self::StartUp(StartUp::from(law, s.speed, s.pitch)),
                RunRequest::Run => self,
            },
            Self::StartUp(start) => {
                let given_up = start.elapsed >= rules.start_up_time_max;
                if !wanted || s.may_not_turn() || given_up {
                    stopping(s, rules)
                } else if fast_enough_to_connect(s, rules, law) {
                    producing(s, p, law)
                } else {
                    self
                }
            }
            Self::Run(operation) | Self::Derated(operation) => {
                if !wanted || s.may_not_turn() {
                    stopping(s, rules)
                } else if s.power_share_wanted < 1.0 {
                    Self::Derated(operation)
                } else {
                    Self::Run(operation)
                }
            }
            Self::NormalStop(_) => {
                let feathered = s.pitch >= law.parameters().pitch_max - FEATHER_TOLERANCE;
                if !feathered || s.connected {
                    return self;
                }
                match s.request {
                    RunRequest::Run => Self::Idle,
                    RunRequest::Stop if at_rest => Self::Parked,
                    RunRequest::Service if at_rest => Self::Service,
                    RunRequest::Stop | RunRequest::Service => self,
                }
            }
            Self::EmergencyStop if at_rest => Self::Parked,
            Self::EmergencyStop => self,
            Self::Parked if turning => stopping(s, rules),
            Self::Parked => match s.request {
                RunRequest::Stop => self,
                RunRequest::Run => Self::Idle,
                RunRequest::Service => Self::Service,
            },
            Self::Service if turning => stopping(s, rules),
            Self::Service => match s.request {
                RunRequest::Service => self,
                RunRequest::Stop | RunRequest::Run => Self::Parked,
            },
        }
    }
}

/// The blades count as feathered this close to it.
const FEATHER_TOLERANCE: Radians = Radians::from_degrees(1.0);

fn stopping(s: &Situation, rules: &SupervisionParameters) -> Mode {
    Mode::NormalStop(Ramp::new(s.torque.get(), 0.0, rules.stop_torque_time))
}

/// At fine pitch the cut-in speed will do. With the blades still held back by the speed loop there is
/// plenty of wind: wait until the loop holds the speed, so that the torque meets a settled rotor.
fn fast_enough_to_connect(s: &Situation, rules: &SupervisionParameters, law: &BaselineLaw) -> bool {
    let p = law.parameters();
    let fine = s.pitch < p.constant_power_pitch;
    let from = if fine { p.cut_in_speed } else { p.reference_speed * rules.connect_speed_share };
    s.speed.is_some_and(|speed| speed > from)
}

/// Production from a start-up, at the present pitch. With pitched blades the power comes on a ramp from
/// zero; at fine pitch the torque curve brings it on by itself, and a ramp would only unload a rotor
/// that is still gaining speed.
fn producing(s: &Situation, p: &TurbineParameters, law: &BaselineLaw) -> Mode {
    let limits = law.parameters();
    let speed = s.speed.unwrap_or(limits.reference_speed);
    let share = if s.pitch < limits.constant_power_pitch { s.power_share_wanted } else { 0.0 };
    let operation = Operation {
        law: law.reseeded(speed, s.torque, s.pitch),
        takt: takt_from(p, speed, s.torque, s.pitch, s.measured_wind),
        power_share: RateLimit::new(share),
    };
    if s.power_share_wanted < 1.0 { Mode::Derated(operation) } else { Mode::Run(operation) }
}

/// The Takt law, if the parameters hold one, continuing from here.
fn takt_from(
    p: &TurbineParameters,
    speed: RadiansPerSecond,
    torque: NewtonMeters,
    pitch: Radians,
    wind: Option<MetersPerSecond>,
) -> Option<TaktState> {
    let sight = TaktSight {
        generator_speed: speed,
        rotor_speed: None,
        pitch,
        generator_torque: torque,
        tower_acceleration_mps2: None,
    };
    p.takt.as_ref().map(|takt| TaktState::seeded(takt, &p.takt_frame(), &sight, wind))
}

/// What a turbine is doing that somebody else has driven until now, judged by its measurements.
pub(super) fn mode_from_measurements(
    speed: RadiansPerSecond,
    pitch: Radians,
    torque: NewtonMeters,
    wind: Option<MetersPerSecond>,
    p: &TurbineParameters,
    law: &BaselineLaw,
) -> Mode {
    let (rules, limits) = (&p.supervision, law.parameters());
    let rotor = speed / p.gearbox_ratio;
    let producing = torque > limits.torque_max * LOADED_SHARE;
    let at_speed = speed > limits.cut_in_speed && pitch < limits.constant_power_pitch;
    let coming_up = rotor > rules.brake_rotor_speed && pitch < limits.pitch_max - FEATHER_TOLERANCE;
    if producing || at_speed {
        // With pitched blades the torque stands for the limit in force; otherwise the curve decides.
        let share = (torque * speed) / limits.rated_power_mechanical;
        let share = if pitch >= limits.constant_power_pitch { share.clamp(0.0, 1.0) } else { 1.0 };
        Mode::Run(Operation {
            law: law.reseeded(speed, torque, pitch),
            takt: takt_from(p, speed, torque, pitch, wind),
            power_share: RateLimit::new(share),
        })
    } else if coming_up {
        Mode::StartUp(StartUp::from(law, Some(speed), pitch))
    } else if rotor > rules.brake_rotor_speed {
        Mode::NormalStop(Ramp::new(0.0, 0.0, Duration::ZERO))
    } else {
        Mode::Parked
    }
}

/// A measured torque above this share of the largest one is a load, not noise.
const LOADED_SHARE: f64 = 0.005;
