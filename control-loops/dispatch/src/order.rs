//! Transport orders, and what becomes of them.

use control_loops_fleet::{Node, Vehicle};
use hal_units::Instant;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// An order's name. Whoever gives orders sees to it that each has one of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Schema,
)]
pub struct OrderId(pub u64);

/// A kind of vehicles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Schema)]
pub struct Class(pub u8);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Higher goes first, as far as no order has to wait for ever.
    pub priority: u8,
    /// When it is to be over.
    pub deadline: Option<Instant>,
    /// Where the load is; `None` to do something at one node only.
    pub pick: Option<Node>,
    /// Where the load goes, or the one node.
    pub drop: Node,
    /// Which vehicles can do it; `None` for all.
    pub class: Option<Class>,
    /// How heavy the load is, in kilograms.
    pub load_kg: u32,
}

impl Order {
    /// A transport from one node to another for any vehicle, without hurry.
    #[must_use]
    pub const fn transport(id: OrderId, pick: Node, drop: Node) -> Self {
        Self { id, priority: 0, deadline: None, pick: Some(pick), drop, class: None, load_kg: 0 }
    }

    /// Something to do at one node, for any vehicle, without hurry.
    #[must_use]
    pub const fn visit(id: OrderId, node: Node) -> Self {
        Self { id, priority: 0, deadline: None, pick: None, drop: node, class: None, load_kg: 0 }
    }
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum OrderState {
    /// No vehicle has it.
    Waiting,
    /// A vehicle has it, and has not begun its way.
    Assigned(Vehicle),
    /// The vehicle is on its way to the load.
    ToPick(Vehicle),
    /// It takes the load.
    AtPick(Vehicle),
    /// It is on its way with the load, or to the only node.
    ToDrop(Vehicle),
    /// It puts the load down, or does what is to be done there.
    AtDrop(Vehicle),
    /// The load is on a vehicle that cannot go on by itself: a person has to see to it.
    Held(Vehicle),
    /// It is over.
    Over(Outcome),
}

impl OrderState {
    /// Who has it.
    #[must_use]
    pub const fn vehicle(self) -> Option<Vehicle> {
        match self {
            Self::Waiting | Self::Over(_) => None,
            Self::Assigned(vehicle)
            | Self::ToPick(vehicle)
            | Self::AtPick(vehicle)
            | Self::ToDrop(vehicle)
            | Self::AtDrop(vehicle)
            | Self::Held(vehicle) => Some(vehicle),
        }
    }
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Outcome {
    /// As ordered.
    Done,
    /// It was cancelled; a load that was on a vehicle has been put down.
    Cancelled,
    /// It failed.
    Failed(Fault),
}

/// Why an order failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Fault {
    /// The vehicle could not take the load.
    Pick,
    /// The vehicle could not do what was to be done at the only node.
    Visit,
    /// A person has said so while the load was held.
    Resolved,
    /// The vehicle left with the load.
    Left,
    /// Nobody knows where its load is: a person has to look for it.
    Lost,
    /// No vehicle or no way is left to do it.
    Impossible,
}

/// Why an order is not accepted; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderError {
    /// An order of this name is in the book, or was not long ago.
    Duplicate,
    /// The layout has no such node.
    UnknownNode(Node),
    /// No open way leads to this node: from no vehicle that could do it, or not from the pick node.
    Unreachable(Node),
    /// The deadline is over.
    PastDeadline,
    /// No vehicle of the fleet is of this class and carries so much.
    NoVehicle,
    /// As many orders as there may be are under way.
    Full,
}

/// What cancelling has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The order is over.
    AtOnce,
    /// The load is on a vehicle, or is being taken: it goes there first.
    LoadGoesTo(Node),
}

/// Why an order is not cancelled; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelError {
    /// No such order is under way.
    Unknown,
    /// The layout has no such node, or no open way leads there.
    NoWay(Node),
    /// The vehicle is putting down the load.
    TooLate,
    /// The load is held: a person decides.
    Held,
}

/// What a person says about an order whose load is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The load is where it belongs.
    Done,
    /// The load is off the vehicle, and the order is given up.
    Failed,
    /// The vehicle can go on with it.
    GoOn,
}
