//! What the drive loop sees, is asked for, and commands.

use hal_process_image::Quality;
use hal_units::{Duration, Instant};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::chassis::Actuation;
use crate::controller::Phase;
use crate::localisation::Pose;
use crate::route::{Handling, Route};
use crate::stops::StopSet;

/// What became of a handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum HandlingResult {
    /// Done; of charging: begun.
    Done,
    /// Not done, and it will not be.
    Failed,
}

/// One scan of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DriveInputs {
    /// The worst among those below.
    pub quality: Quality,
    /// Number of the scan.
    pub scan: u32,
    /// Age of the scan.
    pub age: Duration,
    /// What its localisation says.
    pub pose: Pose,
    /// How old the pose was when it was scanned.
    pub pose_age: Duration,
    /// What the drives do.
    pub actuation: Actuation,
    /// Charge of the battery, from 0 to 1.
    pub battery: f64,
    /// Whether its mode switch lets it be commanded.
    pub automatic: bool,
    /// Whether its own safety controller holds it.
    pub protective_stop: bool,
    /// The drives' fault code; 0 for none.
    pub fault: u16,
    /// The last handling that is over, and how it ended.
    pub handled: (u32, HandlingResult),
    /// Time since the vehicle last acknowledged commands.
    pub unacknowledged_for: Duration,
}

impl DriveInputs {
    /// A vehicle that was never scanned.
    #[must_use]
    pub const fn never(at_rest: Actuation) -> Self {
        Self {
            quality: Quality::Bad,
            scan: 0,
            age: Duration::ZERO,
            pose: Pose {
                x: hal_units::Meters(0.0),
                y: hal_units::Meters(0.0),
                heading: hal_units::Radians(0.0),
            },
            pose_age: Duration::ZERO,
            actuation: at_rest,
            battery: 0.0,
            automatic: false,
            protective_stop: false,
            fault: 0,
            handled: (0, HandlingResult::Done),
            unacknowledged_for: Duration::ZERO,
        }
    }
}

/// What is asked of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DriveDemand {
    /// Whether it may move; otherwise it brakes and keeps its route.
    pub run: bool,
    /// Stop at once, until a reset.
    pub emergency_stop: bool,
    /// The reset button: lifts stops whose cause is gone.
    pub reset: bool,
    /// The way that is granted.
    pub route: Route,
}

impl DriveDemand {
    /// Stand still.
    pub const STOP: Self = Self { run: false, emergency_stop: false, reset: false, route: Route::NONE };
}

/// What the vehicle is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveOutputs {
    /// What the drives shall do.
    pub actuation: Actuation,
    /// Whether they may pull.
    pub enable: bool,
    /// What is to be done here, for as long as the vehicle stays here.
    pub handling: Option<Handling>,
}

/// What a step gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveStep {
    /// For the vehicle.
    pub outputs: DriveOutputs,
    /// What it is doing.
    pub phase: Phase,
    /// Why it stands; empty if nothing holds it.
    pub stops: StopSet,
    /// Where it is, as far as known.
    pub pose: Option<Pose>,
    /// The course that it is on.
    pub course: u32,
    /// Number of the waypoint that it has reached last.
    pub passed: u32,
    /// The course that it has given up, standing.
    pub gave_up: Option<u32>,
    /// The last handling that was begun.
    pub began: u32,
    /// The last handling that is over.
    pub handled: (u32, HandlingResult),
    /// Whether neither wheel nor command moves.
    pub standing: bool,
    /// Times that a reason to stand still came up, since the start.
    pub stop_count: u32,
}

/// What others see of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// When it was measured; `None` before the first scan, and while what is measured cannot be used.
    pub seen_at: Option<Instant>,
    /// What it is doing.
    pub phase: Phase,
    /// Why it was stopped.
    pub stops: StopSet,
    /// Where it is.
    pub pose: Option<Pose>,
    /// Whether it stands still.
    pub standing: bool,
    /// Course, last waypoint and order of the route that it was told.
    pub told: (u32, u32, u64),
    /// The course that it is on.
    pub course: u32,
    /// Number of the waypoint that it has reached last.
    pub passed: u32,
    /// The course that it has given up, standing.
    pub gave_up: Option<u32>,
    /// The last handling that was begun, since its loop was.
    pub began: u32,
    /// The last handling that is over.
    pub handled: (u32, HandlingResult),
    /// Charge of its battery, from 0 to 1.
    pub battery: f64,
    /// Times that it was stopped.
    pub stop_count: u32,
}

impl Sight {
    /// A vehicle of which nothing is known.
    pub const NEVER: Self = Self {
        seen_at: None,
        phase: Phase::Unknown,
        stops: StopSet::NONE,
        pose: None,
        standing: false,
        told: (0, 0, 0),
        course: 0,
        passed: 0,
        gave_up: None,
        began: 0,
        handled: (0, HandlingResult::Done),
        battery: 0.0,
        stop_count: 0,
    };
}
