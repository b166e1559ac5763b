//! What a cycle tells the other threads: fixed-size records on a ring.

use control_loops_controllers::der::DerPhase;
use control_loops_controllers::park::ParkPhase;
use control_loops_controllers::turbine::{IndividualPitchStatus, ModeName, TripSet, YawStatus};
use control_loops_drive::{Phase, Pose, StopSet};
use hal_process_image::Quality;
use hal_units::{Duration, Instant, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond, Watts};

use crate::GroupMode;

/// One cycle of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CycleRecord {
    /// Number of the grid point.
    pub cycle: u64,
    /// The grid point.
    pub scheduled_at: Instant,
    /// When the thread was running again.
    pub woke_at: Instant,
    /// When the last output was handed over.
    pub finished_at: Instant,
    /// Grid points that passed without a cycle before this one.
    pub skipped: u32,
    /// Whether this cycle ended after its deadline.
    pub late: bool,
    /// Units with an input that is not usable.
    pub units_blind: u16,
    /// Units that stand safely: nothing turns under load.
    pub units_at_rest: u16,
    /// The oldest scan that this cycle used.
    pub input_age_max: Duration,
    /// Mode of the group.
    pub mode: GroupMode,
    /// Epoch of the plan in force.
    pub plan_epoch: u32,
    /// The plan's rules that apply, one bit each.
    pub rules: u8,
    /// Records that did not fit into the ring since the start.
    pub records_dropped: u64,
}

/// One unit, as a cycle saw and commanded it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitRecord {
    /// Position of the unit in its group.
    pub unit: u16,
    /// Number of the cycle.
    pub cycle: u64,
    /// The worst quality among the inputs.
    pub quality: Quality,
    /// Age of the scan, unless there was none yet.
    pub input_age: Option<Duration>,
    /// Time since the device last acknowledged outputs.
    pub unacknowledged_for: Duration,
    /// What it is and does.
    pub plant: PlantRecord,
}

/// What a unit is and does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlantRecord {
    /// A turbine.
    Turbine(TurbineRecord),
    /// A vehicle.
    Vehicle(VehicleRecord),
    /// A plant that controls itself.
    Der(DerRecord),
    /// A park.
    Park(ParkRecord),
}

/// A turbine, as a cycle saw and commanded it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineRecord {
    /// State of the supervisor.
    pub mode: ModeName,
    /// Interlocks that hold it.
    pub trips: TripSet,
    /// Wind at the nacelle.
    pub wind_speed: MetersPerSecond,
    /// Rotor speed.
    pub rotor_speed: RadiansPerSecond,
    /// Generator speed.
    pub generator_speed: RadiansPerSecond,
    /// Generator torque, measured.
    pub generator_torque: NewtonMeters,
    /// Where the nacelle looks, from north clockwise, if the device says so.
    pub nacelle_yaw: Option<Radians>,
    /// Wind direction less that, if the device says so.
    pub yaw_error: Option<Radians>,
    /// What the yaw drive does.
    pub yaw: YawStatus,
    /// Twist of the cables, if the device says so.
    pub cable_twist: Option<Radians>,
    /// Whether the brake is applied, if the device says so.
    pub brake_applied: Option<bool>,
    /// Electrical power.
    pub power: Watts,
    /// Measured pitch, mean of the blades.
    pub pitch: Radians,
    /// Of each blade.
    pub blades: [Radians; 3],
    /// Commanded torque.
    pub torque_command: NewtonMeters,
    /// Commanded pitch.
    pub pitch_command: Radians,
    /// The power limit in force.
    pub power_limit: Watts,
    /// Whether the blades are led one by one.
    pub individual_pitch: IndividualPitchStatus,
    /// Whether it was led out of rest, and not yet back to rest in order.
    pub operating: bool,
    /// Whether the counter of the cables' twist has lost its place, until a reset.
    pub twist_lost: bool,
}

/// A vehicle, as a cycle saw and commanded it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VehicleRecord {
    /// What it is doing.
    pub phase: Phase,
    /// Why it was stopped.
    pub stops: StopSet,
    /// Where it is.
    pub pose: Option<Pose>,
    /// The course that it is on, and the waypoint that it has reached last.
    pub reached: (u32, u32),
}

/// A plant that controls itself, as a cycle saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerRecord {
    /// What it is doing.
    pub phase: DerPhase,
    /// Electrical power.
    pub power: Watts,
    /// The power limit in force.
    pub power_limit: Watts,
}

/// A park, as a cycle saw and led it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParkRecord {
    /// What it is doing.
    pub phase: ParkPhase,
    /// Power at the grid; the sum of its turbines' where the meter is not to be trusted.
    pub power: Watts,
    /// Whether that is the meter's.
    pub is_metered: bool,
    /// Frequency of the grid, Hz, if it is known.
    pub frequency_hz: Option<f64>,
    /// What plan and operators ask for.
    pub reference: Watts,
    /// That behind its ramp.
    pub ramped: Watts,
    /// What the frequency asks for besides.
    pub answer: Watts,
    /// What it shall give now.
    pub target: Watts,
    /// What it could give.
    pub available: Watts,
}

impl PlantRecord {
    /// What it is doing, in a word.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::Turbine(turbine) => turbine.mode.as_str(),
            Self::Vehicle(vehicle) => vehicle.phase.as_str(),
            Self::Der(der) => der.phase.as_str(),
            Self::Park(park) => park.phase.as_str(),
        }
    }

    /// What holds it, in words.
    #[must_use]
    pub fn held_by(&self) -> Vec<&'static str> {
        match self {
            Self::Turbine(turbine) => turbine.trips.names().collect(),
            Self::Vehicle(vehicle) => vehicle.stops.names().collect(),
            Self::Der(der) => match der.phase {
                DerPhase::Local | DerPhase::Alarm => vec![der.phase.as_str()],
                DerPhase::Blind
                | DerPhase::Stopping
                | DerPhase::Stopped
                | DerPhase::Limited
                | DerPhase::Run => Vec::new(),
            },
            Self::Park(_) => Vec::new(),
        }
    }
}

/// What travels on the telemetry ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Record {
    /// A cycle ended.
    Cycle(CycleRecord),
    /// A unit's turn to report, or a unit whose state has changed.
    Unit(UnitRecord),
}
