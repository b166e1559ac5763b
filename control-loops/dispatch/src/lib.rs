//! The fleet controller: transport orders, who does them, and how all vehicles get where they have to be.
//!
//! Pure: orders and reports come in with the time, grants and events come out. All memory is taken when a
//! [`FleetController`] is built; nothing allocates after that, and each call's work is bounded by the numbers
//! in its [`Setup`].
//!
//! # Model
//!
//! A transport order takes a load from a pick node to a drop node. The book keeps what is accepted and not over
//! ([`Order`], [`OrderState`]). In each [`FleetController::step`] orders are given to vehicles by a
//! matching over real distances (`assign.rs`), every vehicle gets a goal from its duty ([`Duty`]), the traffic
//! control of `control-loops-fleet` plans the ways, and what may be driven without asking again is granted
//! ([`Grant`]).
//!
//! # What holds
//!
//! - No collision, however late vehicles are: a node is granted when all earlier visitors have left it.
//! - No order is done twice, and none is lost: an order is in the book with one vehicle at most until it is
//!   over, and its id is known for a while after that.
//! - No order starves: see [`Setup::overdue_after`].
//! - What happened to one vehicle or one order concerns that one: errors are named and change nothing else.
//!
//! # Terms
//!
//! - duty: what a vehicle does now, with the order if it is for one.
//! - standing: whether it takes part: driving by itself, silent, failed, driven by hand.
//! - base: the granted part of its way, which is not taken back; horizon: what will probably follow.
//! - course: the way as a whole; when a vehicle has given up its base, a new course begins.

#![no_std]

extern crate alloc;

mod assign;
mod book;
mod controller;
mod duties;
mod event;
mod explain;
mod grant;
mod intake;
mod order;
mod places;
mod reports;
mod setup;
mod state;
mod vehicle;

pub use control_loops_fleet::{Cause, Graph, GraphError, Heading, Motion, Node, PlannerError, Vehicle};

pub use controller::FleetController;
pub use event::{Degradation, Event, Reason};
pub use explain::{Explanation, Why};
pub use grant::{Grant, Waypoint};
pub use order::{
    CancelError, Cancelled, Class, Fault, Order, OrderError, OrderId, OrderState, Outcome, Resolution,
};
pub use setup::{Battery, Setup, SetupError, VehicleSetup};
pub use state::{FleetState, RestoreError};
pub use vehicle::{
    Duty, JoinError, Mode, ReportError, Standing, Task, TaskKind, TaskReport, TaskResult, VehicleReport,
};
