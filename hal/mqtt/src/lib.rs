//! MQTT 5 for a control agent: nothing that was taken is lost, and nothing is commanded twice.
//!
//! # Problem
//!
//! A library's "published" means "in a queue", and the queue dies with the process, or with a session that the
//! broker does not resume. And a command that arrives twice, late or malformed must not move a turbine.
//!
//! # Parts
//!
//! - [`outbox`]: what is to be published, on disk until the broker acknowledges it; on [`log`], a durable log.
//! - [`command`]: the gate that commands must pass, and the desk that answers them; on [`journal`], its memory.
//! - [`client`]: the threads that join them with a broker: [`Mqtt`].
//! - [`plain`]: a link without memory, for partners who say everything again until it is answered.
//! - [`sparkplug`]: the same units for hosts that speak Sparkplug B.
//! - [`state`]: when a unit's state is worth publishing. [`topic`]: where. [`dedup`]: for subscribers.
//!
//! # Guarantees
//!
//! - A message whose [`Ticket`](client::Ticket) is durable is published at least once, whatever dies in between; what may be a
//!   repetition says so ([`dedup`]).
//! - A full outbox is an error at [`Mqtt::publish`], never a silent loss.
//! - A command is answered as accepted only when the disk has it, and is handed out until it is concluded.
//! - All memory is bounded. No method of [`Mqtt`] waits, but for [`Mqtt::stop`].

pub mod client;
pub mod command;
pub mod dedup;
pub mod journal;
pub mod log;
pub mod outbox;
pub mod plain;
pub mod sparkplug;
pub mod state;
pub mod topic;
mod wire;

pub use client::{Clock, Mqtt, MqttOptions};

/// Stack of each thread, in bytes. In a process with locked memory all of it is present, however little is used; the
/// deepest was found to use 40 KiB.
pub(crate) const STACK_BYTES: usize = 256 << 10;
