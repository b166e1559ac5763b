//! Plants and production controllers together, in virtual time.
//!
//! Nothing here reads a clock, a file or a source of randomness: the same set-up gives the same rows.
//!
//! - [`fleet`]: vehicles on a grid map under the production traffic control.
//! - [`turbine_loop`]: one turbine and its controller, without a bus between them.

pub mod fleet;
pub mod turbine_loop;

pub use turbine_loop::{Start, TurbineLoop, TurbineLoopSetup, TurbineRow};
