//! What comes of a conversation: messages, events, and why something is not sent or not believed.

use crate::limits::OverLimit;
use crate::order::OrderFault;
use crate::zone::ZoneFault;

/// A message to be published with QoS 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The full topic.
    pub topic: String,
    /// JSON.
    pub text: String,
}

/// What a state has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The vehicle has taken this update of the order.
    Took(u32),
    /// It has passed the node with this number.
    Reached {
        /// The node.
        node_id: String,
        /// Its number.
        sequence_id: u32,
    },
    /// It will run out of base soon.
    NeedsBase,
    /// It has driven the whole base and done what was to be done there; a horizon keeps the order open.
    Arrived,
    /// It has done the whole order.
    Done,
    /// It has given the order up, though nobody here has cancelled it: a person's doing, or another master's.
    /// The order ends here.
    Dropped,
    /// The order is cancelled; the vehicle is idle.
    Cancelled,
    /// It did not take the last message of the order. The order ends here.
    Rejected {
        /// The standard's word for why.
        error_type: String,
    },
    /// An instant action is over.
    InstantOver {
        /// Which one.
        action_id: String,
        /// Whether it was done.
        done: bool,
    },
    /// It asks for zones or corridors, by the requests' names.
    Requests(Vec<String>),
    /// It holds a zone set that was sent; using it is another step ([`crate::Command::EnableZoneSet`]).
    ZoneSetHeld(String),
    /// It did not take a zone set.
    ZoneSetRefused {
        /// The set.
        zone_set_id: String,
        /// The standard's word for why.
        error_type: String,
    },
}

/// Why something is not sent; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The vehicle is not there.
    NotConnected,
    /// It is in the hands of a person, or has not said otherwise yet.
    NotAutomatic,
    /// An order is under way.
    Busy,
    /// No order is under way.
    NoOrder,
    /// The last message of the order was not echoed yet.
    NotEchoed,
    /// The order is being cancelled.
    Cancelling,
    /// The vehicle does not stand on the first node.
    Elsewhere,
    /// What would be sent is no order.
    Fault(OrderFault),
    /// It is more than the vehicle can take.
    Over(OverLimit),
    /// Too many instant actions wait for their echo.
    TooMany,
    /// The vehicle's version has no such message, or no such action.
    Version,
    /// What would be sent is no zone set.
    Zones(ZoneFault),
}

/// Why a state is not believed; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFault {
    /// It is from another vehicle.
    Foreign,
    /// It is of a version that is not spoken.
    Version,
    /// A newer one came before.
    Stale,
    /// A number in it is not finite, or the charge not within 0 to 100 percent.
    Number,
    /// It has taken an order that was never sent.
    UnknownOrder,
    /// It has taken an update that was not sent yet.
    FutureUpdate,
    /// It has forgotten an update that it had taken.
    LostUpdate,
    /// It passed or expects a node that is not in the order. With its number.
    UnknownNode(u32),
    /// It was farther before. With the number of the node.
    Backwards(u32),
    /// It has released what was not. With the number of the node.
    NotReleased(u32),
    /// The nodes or edges that it expects are not in the order of their numbers, or some are released behind
    /// others that are not. With the number at which they are not.
    Order(u32),
    /// It has no order and yet an update, or nodes or edges to drive.
    NoOrder,
    /// It has passed no node, and yet one with a number.
    NoNode,
    /// It tells of one action twice.
    DoubledAction,
}
