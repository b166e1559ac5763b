//! Plans on their way to the cycles: from the site's own file, and from outside, signed.
//!
//! # Model
//!
//! ```text
//!  sidecar, takt plan --offer--> +-------------+ --tables, cycle numbers--> real-time threads
//!  main thread --reload, health-> | plan thread | <--what they changed to---
//!                                +-------------+
//!                                   |        |
//!                             plans on     what both nodes hold,
//!                             disk         by the pair thread
//! ```
//!
//! The thread is an ordinary one. It verifies what is offered ([`agent_plan::TrustedKeys`]), checks it against
//! the site, and lets [`agent_plan::inbox`] decide what becomes of it. Everything that could take long is done
//! before a plan is accepted: tables for all groups are built and lie ready at the real-time threads, so that
//! the change over itself is an exchange of pointers between two cycles. A standby that lacks a plan of the node that
//! writes fetches it from there ([`agent_plan::fetch`]), and takes it like one that was offered.
//!
//! # Terms
//!
//! - local plan: the one of the site's `plan` file. It is in force until a signed plan with at least its epoch
//!   is, and again when the file is read again with at least the epoch in force.

mod asks;
mod cycles;
mod disk;
mod keys;
mod peer;
mod setup;
mod socket;
mod status;
mod tables;
mod thread;

pub(crate) use peer::{PlanNews, PlanSide, PlanWord};
pub(crate) use setup::PlansSetUp;
pub use setup::{PlansError, check_keys};
pub(crate) use tables::Timing;
pub use tables::read;
pub(crate) use thread::{Health, PlanThread, PlansReport};
