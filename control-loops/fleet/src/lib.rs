//! Routes and traffic control for a fleet of vehicles.
//!
//! Pure: goals come in, a joint plan comes out, and time is a number of steps. All memory is taken when a
//! [`Planner`] is built; planning allocates nothing, and its work is bounded by counts, not by a clock.
//!
//! # Model
//!
//! A [`Graph`] of nodes where one vehicle fits, and arcs between them. In one step a vehicle waits, moves
//! along an arc or, in the turning model, turns by a quarter. The planner keeps a joint plan for the next
//! steps ([`Setup::window`]) and does the first of them each time.
//!
//! # What holds
//!
//! - No collision, no change of places: an invariant of the plan (`window.rs`), kept by each change to it.
//! - No deadlock and no starvation: whoever waits longest gets the right of way, and can always be made room
//!   (`guard.rs`, `yard.rs`). [`Planner::wait_max`] is the bound. Layouts where that is not so are refused.
//! - Vehicles that are late change nothing of this: moves are released by dependency ([`Release`]).
//!
//! Everything else serves throughput: a plan made afresh by priority (`rollout.rs`, `yielding.rs`), made
//! better by searches for one vehicle and for groups (`improve.rs`, `search.rs`).

#![no_std]

extern crate alloc;

mod aim;
mod claims;
mod closing;
mod distances;
mod explain;
mod field;
mod graph;
mod guard;
mod improve;
mod options;
mod place;
mod planner;
mod random;
mod recall;
mod release;
mod rollout;
mod search;
mod setup;
mod snapshot;
mod store;
mod traffic;
mod window;
mod yard;
mod yielding;

pub use closing::{CloseError, Closed};
pub use distances::Distances;
pub use explain::Cause;
pub use field::Motion;
pub use graph::{Arc, DEGREE_MAX, Graph, GraphError, Heading, NODES_MAX, Node, UNIT, Vehicle};
pub use place::{Place, PlaceError};
pub use planner::Planner;
pub use release::{Action, Release};
pub use setup::{GoalError, PlannerError, Setup};
pub use snapshot::{ActionState, CartState, ForeignState, TrafficState};
pub use traffic::{Pin, Traffic};
pub use window::WINDOW_MAX;
pub use yard::LayoutError;
