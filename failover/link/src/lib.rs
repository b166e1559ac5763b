//! How the two nodes of a pair talk to each other, and to their arbiter.
//!
//! # Problem
//!
//! The pair decides who may write from what it hears. So what it hears must come from the other node, from
//! its present run, and be new; a recorded datagram, a forged one, or one of another version must change
//! nothing. Besides, the standby needs the active node's whole state in every cycle, and each accepted
//! command once.
//!
//! # Model
//!
//! A [`Session`] is pure: datagrams and time go in, datagrams and [`Received`] come out. Both links carry the
//! same frames ([`wire`](crate::Session#frames)): each one is sent on both, each copy under its own
//! authentication code, so that the session knows what is heard on which link. [`LinkSockets`] are the UDP
//! sockets under it, [`ArbiterClient`] the Modbus transactions with the arbiter.
//!
//! # Terms
//!
//! - incarnation: a random number that names one run of one node.
//! - session: what two incarnations have proved to each other, see [`Session`].
//! - fragment: a part of a state that is too long for one datagram.
//! - record: something small that must arrive, once, in order: an accepted command.

mod arbiter;
mod codec;
mod counters;
mod fragments;
mod frame;
mod incarnation;
mod key;
mod records;
mod session;
mod sockets;
mod window;

pub use arbiter::{ArbiterClient, ArbiterConfig, ArbiterVariant};
pub use counters::{Counters, Refusal};
// What this crate speaks of and the protocol decides with.
pub use failover_protocol::{ArbiterFault, Link};
pub use fragments::{STATE_BYTES_MAX, Series, State, StateCounters};
pub use frame::{FRAME_BYTES_MAX, VERSION};
pub use incarnation::Incarnation;
pub use key::{Key, KeyError};
pub use records::{RECORD_BYTES_MAX, RecordError, Ticket};
pub use session::{NoSession, Received, Session, SessionConfig, StateError, supervisor_resigns};
pub use sockets::{LinkConfig, LinkSockets, LinkState};
