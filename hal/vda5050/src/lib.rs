//! VDA 5050, versions 2.1 and 3.0, as the master control speaks it with each vehicle.
//!
//! Pure: messages and times come in, messages and events come out. Sending them is the caller's (MQTT, QoS 0
//! but for `connection`, which is QoS 1 and retained).
//!
//! # Terms
//!
//! - order: a way over nodes and edges with one name; an update carries it on under the next update number.
//! - base: the released beginning of an order, which cannot be taken back; horizon: the rest, which can.
//! - echo: a state message that names the order and the update. Until then a message may have been lost, and
//!   is sent again: publishing is not delivery.
//! - sequence: nodes have even numbers, the edges between them the odd ones; they run on over updates.
//!
//! # Parts
//!
//! - [`Address`], [`Topic`]: where messages go. [`Header`]: what all begin with.
//! - [`Order`], [`InstantActions`], [`Response`]: what the master sends, written for either version.
//! - [`State`], [`Connection`], [`Limits`]: what a vehicle says, read from either version.
//! - [`judge()`]: whether a vehicle may take an order, with the standard's error types.
//! - [`Dialogue`]: the conversation with one vehicle.
//!
//! Not written: trajectories, corridors, zone sets. A state that has them is read all the same.

mod address;
mod dialogue;
mod header;
mod judge;
mod limits;
mod order;
mod order_text;
mod said;
mod seen;
mod state;
mod state_text;

pub use address::{Address, AddressError, Topic, Version};
pub use dialogue::Dialogue;
pub use header::Header;
pub use judge::{Held, Rejection, Taken, judge};
pub use limits::{Limits, OverLimit};
pub use order::{
    Action, Blocking, Edge, Grant, InstantActions, Node, Order, OrderFault, Position, Response, Value,
};
pub use said::{Event, Outgoing, Refusal, StateFault};
pub use state::{
    ActionState, ActionStatus, Connection, ConnectionState, EmergencyStop, Level, OperatingMode, Pose, State,
    VehicleError,
};

/// Why a text is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, for a person.
    pub what: String,
    /// Line and column, from 1.
    pub position: (usize, usize),
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        // Before the first character the library counts column 0.
        Self { what: error.to_string(), position: (error.line().max(1), error.column().max(1)) }
    }
}
