//! What the site shall do, who says so, and whether this node can do it in time.
//!
//! # Problem
//!
//! A site's configuration says what exists; a plan says what to do with it. Plans come from a file on the
//! node ([`Plan`]), or, signed, from a central place over an unreliable way ([`document`]). Whatever comes,
//! how often and in whichever order, a plan takes effect as a whole, once, and only if it may.
//!
//! # Model
//!
//! ```text
//!  bytes -> SignedPlan -> TrustedKeys::verify -> CheckedPlan::of -> CheckedPlan::fit -> cycles
//!           size, shape   digest, signature      names, numbers     site, schedulability
//! ```
//!
//! Each step refuses with a [`Refusal`], whose [`Reason`] is one of a few stable words. All of this is pure:
//! files, sockets, clocks and threads are the agent's and the sidecar's.
//!
//! # For those who send plans
//!
//! - [`document`]: the plan as JSON (feature `schema`: its JSON schema).
//! - [`PlanKey`] signs, [`TrustedKeys`] verify, over the [`canonical`] form.
//! - [`inbox`]: what becomes of a plan at a node.
//! - [`fetch`]: how a standby gets a plan from the other node.
//! - [`store`]: plans on disk.
//! - `delta` (feature `delta`): a plan as the change of an earlier one.
//! - [`wire`]: how to offer a plan to an agent on its Unix socket, and to ask how things stand.
//!
//! # Terms
//!
//! - epoch: number of a plan; a node takes only plans with a higher epoch than any before.
//! - digest: SHA-256 of a plan's canonical form. Epoch and digest together are its [`PlanId`].
//! - staged: on disk, and waiting to be activated on an agreed cycle.
//! - soak: time on trial after the activation; a plan that survives it is the last known good one.

pub mod canonical;
mod checked;
#[cfg(feature = "delta")]
pub mod delta;
pub mod document;
pub mod fetch;
mod id;
pub mod inbox;
mod plan;
mod refusal;
pub mod schedulability;
mod signature;
pub mod store;
pub mod wire;

pub use checked::{
    CheckedActivation, CheckedPlan, CheckedRule, CheckedSchedule, CheckedTask, CheckedTransport, CheckedWake,
    DIRECTIONS_MAX, Lost, NODES_MAX, POINTS_MAX, POINTS_TOTAL_MAX, Point, RULES_MAX, SPAN_MAX, SiteFacts,
    TASKS_MAX, TRANSPORTS_MAX, UNITS_MAX, WAKES_MAX,
};
pub use id::PlanId;
pub use plan::{Plan, Request, UnitDemand, UnitLimits};
pub use refusal::{Reason, Refusal};
pub use signature::{CONTEXT, KEY_FILE_BYTES_MAX, KeyError, PlanKey, TRUSTED_KEYS_MAX, TrustedKeys};
