//! Control of a plant that controls itself and is told how much power it may give: SunSpec's DER.
//!
//! # Problem
//!
//! Behind many grid interfaces stands a plant with a controller of its own: a park, a storage, an inverter. It is
//! told a limit, and it must not stay at that limit for ever when whoever told it is gone.
//!
//! # Model
//!
//! After the SunSpec DER Information Model, models 704 (DER AC controls) and 715 (DER control):
//!
//! - the limit is a share of the rated power, and every write of it begins the device's reversion timer anew; when
//!   that runs out, the device goes to the limit to revert to, without anybody;
//! - the controller's heartbeat counts the seconds in which it lived;
//! - a device that is in local control belongs to whoever stands before it: nothing is written;
//! - latched alarms stay until a reset, which is written for [`RESET_FOR`], because a single write may be lost.
//!
//! A device that does not say whether it is in local control, or whose scale of the limit is another than the
//! profile's, gets nothing written either: a limit of a hundred times as much is worse than none.

use hal_process_image::Sample;
use hal_units::{Duration, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::turbine::{RunRequest, TurbineDemand};

/// For so long a reset of alarms is written.
pub const RESET_FOR: Duration = Duration::from_secs(2);
/// The heartbeat counts once in this.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Below this share of rated power a plant that was stopped counts as at rest.
const AT_REST_SHARE: f64 = 0.01;

/// Numbers of one plant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerParameters {
    /// Rated electrical power: 100 %.
    pub rated_power: Watts,
    /// The device reverts so long after the last write.
    pub revert_after: Duration,
    /// The limit to revert to, share of rated power, 0 to 1.
    pub revert_share: f64,
}

/// Measurements, already aged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DerInputs {
    /// 1 while the device is in local control (715 LocRemCtl).
    pub local: Sample,
    /// Electrical, W (701 W).
    pub power: Sample,
    /// Active alarms, one bit each (701 Alrm).
    pub alarms: Sample,
    /// The scale factor of the limit (704 WMaxLimPct_SF); bad if it is not the profile's.
    pub limit_scale: Sample,
}

impl DerInputs {
    /// Of a device that was never read.
    pub const NEVER: Self = Self {
        local: Sample::NEVER,
        power: Sample::NEVER,
        alarms: Sample::NEVER,
        limit_scale: Sample::NEVER,
    };
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerOutputs {
    /// Share of rated power, 0 to 1 (704 WMaxLimPct).
    pub limit_share: f64,
    /// Share of rated power to revert to (704 WMaxLimPctRvrt).
    pub revert_share: f64,
    /// Time until it does (704 WMaxLimPctRvrtTms).
    pub revert_after: Duration,
    /// Seconds that the controller lived, wrapping (715 ControllerHb).
    pub heartbeat: u16,
    /// Latched alarms are reset (715 AlarmReset).
    pub reset: bool,
    /// The plant shall run, or stop (715 OpCtl).
    pub run: bool,
}

/// What the plant is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DerPhase {
    /// It cannot be seen, or is not what the profile says.
    Blind,
    /// Somebody at the device has it in hand.
    Local,
    /// It holds an alarm.
    Alarm,
    /// It is told to stop, and gives power yet.
    Stopping,
    /// It stands.
    Stopped,
    /// It runs below a limit.
    Limited,
    /// It runs at will.
    Run,
}

impl DerPhase {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Local => "local",
            Self::Alarm => "alarm",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Limited => "limited",
            Self::Run => "run",
        }
    }
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerStep {
    /// What to write; `None` while nothing may be written.
    pub outputs: Option<DerOutputs>,
    /// What the plant is doing.
    pub phase: DerPhase,
}

/// Everything a controller remembers. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct DerState {
    heartbeat: u16,
    /// Since the heartbeat counted last.
    since_beat: Duration,
    /// For how long the reset is still written.
    reset_for: Duration,
    reset_before: bool,
}

/// Leads one plant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerController {
    parameters: DerParameters,
    state: DerState,
}

impl DerController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new(parameters: DerParameters) -> Self {
        Self { parameters, state: DerState::default() }
    }

    /// Everything it remembers.
    #[must_use]
    pub const fn state(&self) -> DerState {
        self.state
    }

    /// Continues from a state.
    pub fn restore(&mut self, state: DerState) {
        self.state = state;
    }

    /// One cycle; `dt` is the time since the last one.
    pub fn step(&mut self, inputs: &DerInputs, demand: &TurbineDemand, dt: Duration) -> DerStep {
        self.live(demand.reset, dt);
        let (state, p) = (&self.state, &self.parameters);
        let usable = |sample: &Sample| sample.quality.is_usable();
        if !usable(&inputs.local) || !usable(&inputs.limit_scale) {
            return DerStep { outputs: None, phase: DerPhase::Blind };
        }
        if inputs.local.value != 0.0 {
            return DerStep { outputs: None, phase: DerPhase::Local };
        }
        let run = demand.request == RunRequest::Run && !demand.emergency_stop;
        let share = demand.power_limit / p.rated_power;
        // A limit that is no number is none to rise to.
        let limit_share = if run && share >= 0.0 { share.min(1.0) } else { 0.0 };
        let rests = usable(&inputs.power) && inputs.power.value < AT_REST_SHARE * p.rated_power.get();
        let phase = match (usable(&inputs.alarms) && inputs.alarms.value != 0.0, run) {
            (true, _) => DerPhase::Alarm,
            (false, false) if rests => DerPhase::Stopped,
            (false, false) => DerPhase::Stopping,
            (false, true) if limit_share < 1.0 => DerPhase::Limited,
            (false, true) => DerPhase::Run,
        };
        let outputs = DerOutputs {
            limit_share,
            revert_share: p.revert_share,
            revert_after: p.revert_after,
            heartbeat: state.heartbeat,
            reset: !state.reset_for.is_zero(),
            run,
        };
        DerStep { outputs: Some(outputs), phase }
    }

    fn live(&mut self, reset: bool, dt: Duration) {
        let state = &mut self.state;
        state.since_beat = state.since_beat.saturating_add(dt);
        // A pause counts once: what counts seconds in which nobody lived is no sign of life.
        if state.since_beat >= HEARTBEAT_EVERY {
            state.since_beat = state.since_beat.saturating_sub(HEARTBEAT_EVERY).min(HEARTBEAT_EVERY / 2);
            state.heartbeat = state.heartbeat.wrapping_add(1);
        }
        state.reset_for = state.reset_for.saturating_sub(dt);
        if reset && !state.reset_before {
            state.reset_for = RESET_FOR;
        }
        state.reset_before = reset;
    }
}
