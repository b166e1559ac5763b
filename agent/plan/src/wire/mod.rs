//! What a sidecar, or a person at the command line, and the agent say to each other about plans, and what the sidecar
//! passes on besides.
//!
//! # Model
//!
//! A Unix stream socket in the agent's state folder, `plans.sock`. The client sends one [`Ask`] in a frame and
//! gets one [`Answer`] in a frame, as often as it likes, one after the other. Bodies are JSON, so that any
//! language can be a client; the frame around them is in [`frame`].
//!
//! | ask | body | answer |
//! |---|---|---|
//! | `Offer` | a [`SignedPlan`](crate::document::SignedPlan) | [`Verdict`], once the plan is on disk |
//! | `Status` | none | [`PlanStatus`] |
//! | `Rollback` | `{"epoch": n}`, the plan to give up | [`Verdict`] |
//! | `CentreSeen` | none | none: the plan's source was reached just now |
//! | `Plan` | the plan's id | its signed JSON, if it is on disk |
//! | `Fleet` | none | [`FleetStatus`], if this node leads a fleet |
//!
//! An offer may be repeated without harm: what was taken once is answered with what became of it. A source of plans
//! offers its newest plan to every node, and again until the status says that it is the last known good one or was
//! given up: a node of a pair that refused it as [`ReplayedEpoch`](crate::Reason::ReplayedEpoch) takes it when the
//! active node has it. `CentreSeen` is due more often than the shortest hold of a rule for the loss of the centre.

pub mod frame;
mod messages;

pub use frame::{Deframer, FRAME_BYTES_MAX, FrameError, VERSION, read_frame, write_frame};
pub use messages::{
    Answer, Ask, FleetStatus, Node, PeerPlans, PlanEntry, PlanStatus, RollbackAsk, Stage, Verdict, WireError,
};

/// Name of the socket in the agent's state folder.
pub const SOCKET_NAME: &str = "plans.sock";
