//! A fleet on a grid map, for ever busy, in virtual time.
//!
//! Every vehicle gets a new goal when it has reached one. The planner is the production one; what it moves
//! is watched by a [`Judge`] that knows nothing of it.
//!
//! - [`errands`]: where the goals come from.
//! - [`judge`]: collisions and impossible moves, from the map and the positions alone.
//! - [`in_step`]: vehicles that keep step with the plan.
//! - [`late`]: vehicles with delays; moves are released by dependency.
//! - [`transports`]: transport orders, under the fleet controller and under a simple way of control.

pub mod errands;
pub mod in_step;
pub mod judge;
pub mod late;
pub mod transports;

pub use errands::Errands;
pub use in_step::InStep;
pub use judge::{Judge, Pose, Verdict};
pub use late::{Delays, Late, Pace};

/// What a run has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Steps done.
    pub steps: u64,
    /// Goals reached.
    pub goals: u64,
    /// The longest errand, from its goal to its end or to now, in steps.
    pub longest_wait: u64,
    /// Times that nobody has got on for longer than any delay explains.
    pub deadlocks: u64,
}
