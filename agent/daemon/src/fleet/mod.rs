//! The fleet's thread and what the rest of the agent has to do with it.
//!
//! # Model
//!
//! The thread is not a real-time one: vehicles drive by themselves on what they were granted, and stop where it
//! ends. It makes a step of [`agent_fleet::SiteFleet`] at a regular rhythm, and at once when orders have come.
//! In a pair the state after each step goes to the other node, and the messages of the step leave when it holds
//! that state, or when there is nobody to hold it. Answers to operators wait for the disk as well, vehicles do not. The other node keeps the newest state and goes on from it when
//! it gets the office; its first act is to open the link to the vehicles' broker under the client id that both
//! share, which throws its predecessor out.
//!
//! # Terms
//!
//! - request: an operator's command to the fleet; concluded when the state with its effect is held.

mod drives;
mod keeper;
mod plan;
mod requests;
mod thread;

pub(crate) use plan::FleetPlan;
pub use plan::FleetStartError;
pub(crate) use requests::{FleetAnswer, FleetRequest, PlannedOrders};
pub(crate) use thread::FleetThread;
