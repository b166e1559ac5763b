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
//! - [`Order`], [`InstantActions`], [`Command`], [`ZoneSet`], [`Response`]: what the master sends, written for
//!   either version.
//! - [`State`], [`Connection`], [`Limits`]: what a vehicle says, read from either version.
//! - [`judge()`]: whether a vehicle may take an order, with the standard's error types.
//! - [`Dialogue`]: the conversation with one vehicle. [`Memory`]: what another master needs to go on with it.
//! - [`Conversations`]: those with a whole fleet.
//!
//! # Two masters after each other
//!
//! A vehicle cannot tell one master from another; it orders messages by the numbers in them alone. So that
//! nothing of a master of before moves a vehicle, whenever it comes, three things hold in a pair:
//!
//! 1. No message leaves before the other node holds it ([`Conversations::leave`]). The new master then knows
//!    every order and update that a vehicle may have or get, and counts its base as driven.
//! 2. Orders stay open: a horizon follows their base ([`Event::Arrived`] says that the base is done), and the
//!    next errand is an update of the same order. A vehicle with a horizon is not idle and refuses any other
//!    order, and of its own order whatever has no higher number than the last. Without a horizon it would take
//!    an old order again that begins where it stands.
//! 3. The new master's first update follows at once, even if it has nothing to say: [`Dialogue::restore`],
//!    [`Dialogue::is_sealed`].
//!
//! Instant actions have names that a vehicle does once; the new master knows them too. Beyond that, both nodes
//! should use one client name at the broker, which then throws out the old one before it lets the new one in.
//!
//! Not written: trajectories and corridors. A state that has them is read all the same.

mod address;
mod command;
mod conversations;
mod dialogue;
mod header;
mod judge;
mod limits;
mod memory;
mod order;
mod order_text;
mod said;
mod seen;
mod sending;
mod state;
mod state_text;
mod zone;
mod zone_text;

pub use address::{Address, AddressError, Topic, Version};
pub use command::Command;
pub use conversations::{
    AddError, Conversations, Counters, Heard, OUTBOX_MAX, RESENDS_MAX, RESENDS_PER_SECOND, VEHICLES_MAX,
    VehicleId,
};
pub use dialogue::Dialogue;
pub use header::Header;
pub use judge::{Held, Rejection, Taken, judge};
pub use limits::{Limits, OverLimit};
pub use memory::Memory;
pub use order::{
    Action, Blocking, Edge, Grant, InstantActions, Node, Order, OrderFault, Position, Response, Value,
};
pub use said::{Event, Outgoing, Refusal, StateFault};
pub use state::{
    ActionState, ActionStatus, Connection, ConnectionState, EmergencyStop, Level, OperatingMode, Pose, State,
    VehicleError,
};
pub use zone::{Limitation, ReleaseLoss, Zone, ZoneAction, ZoneFault, ZoneKind, ZoneRule, ZoneSet};

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
