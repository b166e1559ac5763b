//! What the site shall do, and whether this node can do it in time.
//!
//! # Model
//!
//! The site's configuration says what exists; a [`Plan`] says what to do with it: which units run, and
//! at which power. A plan is checked as a whole against the units that exist before anything changes.
//! [`schedulability`] decides, with numbers, whether a set of periodic tasks meets its deadlines.

mod plan;
pub mod schedulability;

pub use plan::{Plan, Request, UnitDemand, UnitLimits};
