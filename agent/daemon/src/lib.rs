//! The agent process: reads what exists and what to do, sets up the real-time threads, the field and the
//! admin interface, and keeps watch until it is told to end.
//!
//! An agent that is one of a pair runs as the child of a parent that resigns for it when it dies
//! ([`keeper`]).
//!
//! # Threads
//!
//! - one real-time thread for each loop group ([`realtime`]);
//! - the field thread: buses and pacers ([`field`]);
//! - the MQTT thread of `hal-mqtt`;
//! - with a peer, the pair thread (`pair`);
//! - with a fleet, the fleet thread (`fleet`);
//! - the plan thread (`plans`);
//! - the admin thread: HTTP ([`admin`]);
//! - the main thread: signals, telemetry, commands ([`run`]).
//!
//! Between real-time and other threads there are `heapless` rings and triple buffers alone; between
//! threads that are not real-time there are channels.

pub mod admin;
pub mod admission;
mod alarm;
mod assembly;
mod bell;
mod carried_out;
pub mod config;
pub mod durable;
pub mod field;
mod fleet;
pub mod images;
pub mod keeper;
mod limits;
mod next;
mod operators;
pub mod overrides;
mod pair;
mod plans;
pub mod realtime;
mod report;
mod setup;
mod sparkplug;
mod supervise;
pub mod telemetry;
pub mod unit_state;
mod watch;

pub use fleet::FleetStartError;
pub use pair::{Charge, PairError, WireError};
pub use plans::{PlansError, check_keys, read as read_plan};
pub use supervise::{Outcome, StartError, run};
