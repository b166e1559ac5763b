//! The fleet of a site: transport orders, the fleet's control, and the conversations with its vehicles, in one
//! step.
//!
//! Pure: messages, orders and times come in; messages, outcomes and a state come out. Sending is the caller's.
//!
//! # Model
//!
//! [`SiteFleet::step`] takes in what vehicles have said, lets the fleet's control assign, plan and grant, and
//! turns what is granted into messages. The messages of a step may leave only when the state after it is held by
//! whoever would go on ([`SiteFleet::state`], [`handover`]): so no vehicle ever drives where a successor does not expect it.
//!
//! # Terms
//!
//! - dispatch: from an order's acceptance until a vehicle has echoed a message that was sent for it.
//! - places: the hall's nodes by name.

mod aboard;
mod beginning;
mod between;
mod bystanders;
mod conversation;
mod drive;
mod figures;
mod handed;
pub mod handover;
mod orders;
mod places;
mod shown;
mod site;
mod talk;
mod underway;
mod way;
mod whereabouts;

pub use control_loops_dispatch::{Fault, Resolution};
pub use handed::NotRestored;
pub use site::{FleetError, SiteFleet, Step, VehicleLink, VehicleSpec};
