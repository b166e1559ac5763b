//! What a planner is built for, and what it refuses.

use crate::field::Motion;
use crate::graph::Vehicle;
use crate::yard::LayoutError;

/// What a planner is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// How vehicles move.
    pub motion: Motion,
    /// Steps planned ahead, 4 to [`crate::WINDOW_MAX`].
    pub window: usize,
    /// Whether a closed ring of vehicles may move in one step: only where vehicles keep step exactly.
    pub rings: bool,
    /// Nodes that the searches for better plans may expand together in one step.
    pub effort: u32,
    /// From this age of an errand, in steps, the oldest has the right of way.
    pub guard_age: u32,
    /// Seed of the random choices.
    pub seed: u64,
}

impl Setup {
    /// What has been found to work well for a way of moving, without rings.
    #[must_use]
    pub const fn usual(motion: Motion) -> Self {
        let (window, effort) = match motion {
            Motion::Pebble => (10, 15_000),
            Motion::Turning => (6, 20_000),
        };
        Self { motion, window, rings: false, effort, guard_age: 300, seed: 0 }
    }
}

/// Why a fleet cannot be planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannerError {
    /// The layout does not let vehicles make way.
    Layout(LayoutError),
    /// Not enough room to make way: there have to be fewer vehicles than nodes in the core.
    Full {
        /// How many vehicles were given.
        vehicles: usize,
        /// How many nodes the core has.
        core_nodes: usize,
    },
    /// A vehicle stands on no node of the layout.
    UnknownNode {
        /// Which vehicle.
        vehicle: Vehicle,
    },
    /// Two vehicles stand on one node.
    SameNode {
        /// The second of them.
        vehicle: Vehicle,
    },
}

/// Why a vehicle cannot get a goal; it keeps the one that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoalError {
    /// No such vehicle.
    UnknownVehicle,
    /// No such node.
    UnknownNode,
    /// No way leads there.
    Unreachable,
}
