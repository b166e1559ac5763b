//! The drive loop of a vehicle whose drives hang on a field bus: from a granted route and measurements to
//! what wheels shall do, once per cycle.
//!
//! # Problem
//!
//! Fleet control says by which places a vehicle may go, some times a second. Somebody has to keep it on the way
//! between them, smoothly, and stop it where the way ends; and at every doubt (where is it, does it listen,
//! what does it say of itself) bring it to rest and leave it there until a person has looked.
//!
//! # Model
//!
//! [`DriveController::step`] has four stages. [`localisation`] makes one pose of old fixes and fresh odometry.
//! [`stops`] collects reasons to stand still, and latches them: nothing restarts by itself. [`steering`] follows
//! the route leg by leg, turning on the spot where it bends, with speeds from [`motion`] that respect limits of
//! acceleration and jerk and always leave room to stop. [`chassis`] turns the wanted motion into commands for
//! the drives of the vehicle.
//!
//! Pure: no clock, no I/O, no allocation, no panic; the state is plain `Copy` data, so that a standby can take it
//! over in the middle of a bend.
//!
//! # Terms
//!
//! - route: the waypoints that are granted, with the numbers that fleet control gave them.
//! - course: the number of a way; a new one begins only when the old one is driven to its end or given up.
//! - leg: the straight way from one waypoint to the next.
//! - twist: forward speed and rate of turn of the vehicle's reference point, which lies on the unsteered axle.
//! - handling: what the vehicle does with its load, or with its battery, where the route ends.
//!
//! Software of this kind is not the channel that protects people (ISO 3691-4): the vehicle's own safety
//! controller is. It reacts to that controller's stops, and never lifts one.

#![no_std]

pub mod chassis;
mod controller;
mod io;
pub mod localisation;
pub mod motion;
mod parameters;
mod route;
pub mod steering;
pub mod stops;

pub use chassis::{Actuation, Chassis, Twist};
pub use controller::{DriveController, DriveState, Phase};
pub use io::{DriveDemand, DriveInputs, DriveOutputs, DriveStep, HandlingResult, Sight};
pub use localisation::Pose;
pub use motion::{Motion, MotionLimits};
pub use parameters::{DriveParameters, ParameterError};
pub use route::{Handling, HandlingKind, Route, WAYPOINTS_MAX, Waypoint};
pub use stops::{StopCause, StopSet};
