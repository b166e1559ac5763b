//! Plants and production controllers together, in virtual time.
//!
//! Nothing here reads a clock, a file or a source of randomness: the same set-up gives the same rows.
//!
//! - [`turbine_loop`]: one turbine and its controller, without a bus between them, or with a bad one.
//! - [`fleet`]: vehicles on a grid map under the production traffic control.
//! - [`bladed`]: what a controller of somebody else is shown.
//! - [`park`]: many turbines under one dispatch.
//! - [`fault`]: what can break, by name.
//! - [`statistics`]: what a run comes to.

pub mod bladed;
mod bus;
pub mod fault;
pub mod fleet;
pub mod park;
pub mod statistics;
pub mod turbine_loop;

pub use bus::BusTrouble;
pub use fault::{Fault, TimedFault};
pub use park::{PARK_PERIOD, Park, ParkRow};
pub use statistics::{RunFigures, RunStatistics};
pub use turbine_loop::{Start, TurbineLoop, TurbineLoopSetup, TurbineRow};
