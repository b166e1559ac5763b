//! This node's half of the pair: the thread that decides, with the protocol, who writes.
//!
//! # Model
//!
//! ```text
//!  real-time threads --states, beat--> +-------------+ --lease--> kernel gate
//!                    <--peer's states-- | pair thread | --term---> field thread
//!  main thread <--news-- --orders--->   +-------------+
//!                                        |         |
//!                              two links to        arbiter's registers
//!                              the peer
//! ```
//!
//! The thread runs the pure protocol of `failover-protocol` on the boot clock: it feeds it messages,
//! answers of the arbiter, the beat of the control thread and the time, and carries out what it says, in
//! order. The control thread itself causes heartbeats: one that stands still is as silent as a dead one.
//!
//! # Terms
//!
//! - news: what the main thread has to know: a change of role, an executed command, an alarm.
//! - order: what the main thread asks: a switchover, or to give up the office.

mod node;
mod plan;
mod reach;
mod state;
mod thread;
mod wire;
mod words;

pub(crate) use plan::FENCED;
pub(crate) use plan::PairPlan;
pub use plan::{Charge, PairError};
pub(crate) use state::Learned;
pub(crate) use thread::PairThread;
pub(crate) use wire::Farewell;
pub use wire::WireError;
pub(crate) use words::{FleetNews, FleetSide, FleetWord, News, Order};
