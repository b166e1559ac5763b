//! The pair protocol: which of two nodes may write to the field.
//!
//! # Problem
//!
//! One of two nodes drives the actuators, the other must take over within tens of milliseconds when it
//! dies, hangs or is cut off; and at no instant may both write, whatever is lost, late, slow or restarted.
//!
//! # Model
//!
//! [`Pair`] is one node's half, a pure state machine: [`Pair::step`] takes the time and an [`Input`], and
//! returns the [`Output`]s to be carried out in their order. A node may write only while it holds a lease,
//! which its peer renews by Acks or the arbiter by a transaction, and which ends by itself. The peer promises
//! with each Ack not to write before that lease has ended.
//!
//! # Terms
//!
//! - epoch: number of a term of office; the higher one always wins.
//! - lease: the time until which an Active node may write; it ends by itself.
//! - arbiter: registers on a field device that decide between two claims.
//! - gate: the kernel's check, on every packet to a device, that the lease still holds.

#![no_std]

#[cfg(feature = "model")]
mod canonical;
mod config;
mod flaps;
mod hear;
mod io;
mod message;
mod office;
mod pair;
mod requests;
mod rules;
mod status;
mod watch;

#[cfg(feature = "model")]
pub use canonical::{Frozen, shift};
pub use config::{CheckedConfig, ConfigError, PairConfig};
pub use io::{Alarm, ArbiterFault, Input, Link, Output, Outputs, Refusal, ResignReason, TakeOver};
pub use message::{ArbiterImage, ArbiterOp, Epoch, FieldHealth, Message, Node, Role};
pub use pair::Pair;
pub use rules::Rule;
pub use status::PairStatus;
pub use watch::{ArbiterStatus, LinkStatus};
