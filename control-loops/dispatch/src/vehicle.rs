//! Vehicles: what they say, what they do, and whether they take part.

use control_loops_fleet::{Heading, Node};
use hal_units::Instant;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::order::OrderId;

/// Who moves a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It follows its grants.
    Automatic,
    /// A person drives it.
    Manual,
    /// It cannot go on without help.
    Failed,
}

/// What a vehicle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VehicleReport {
    /// When it said so.
    pub at: Instant,
    /// Who moves it.
    pub mode: Mode,
    /// The number of the last waypoint that it has reached; see [`crate::Waypoint`]. Heeded while it is on its
    /// granted way.
    pub passed: u32,
    /// The node that it stands on or has left last, and how it stands, if that is known.
    pub node: Option<(Node, Heading)>,
    /// The node that it moves to, if it is between two. Heeded off its granted way.
    pub toward: Option<Node>,
    /// Charge of its battery in thousandths.
    pub battery: u16,
    /// What became of its last task.
    pub task: Option<TaskReport>,
    /// The course that it has given up, standing still: it does not move for any grant of it or an earlier one.
    /// It may say so again and again.
    pub gave_up: Option<u32>,
}

impl VehicleReport {
    /// A vehicle that follows its grants and has reached this waypoint.
    #[must_use]
    pub const fn passed(at: Instant, passed: u32, battery: u16) -> Self {
        let mode = Mode::Automatic;
        Self { at, mode, passed, node: None, toward: None, battery, task: None, gave_up: None }
    }
}

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct TaskReport {
    /// Its number; see [`Task`].
    pub number: u32,
    /// How far it is.
    pub result: TaskResult,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum TaskResult {
    /// It is being done.
    Running,
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
    /// It was given up before it had begun, and can be done later.
    Untouched,
}

/// What a vehicle does at the end of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Task {
    /// Counts the vehicle's tasks.
    pub number: u32,
    /// What.
    pub kind: TaskKind,
    /// Where.
    pub node: Node,
    /// For which order.
    pub order: Option<OrderId>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum TaskKind {
    /// To take a load.
    Pick,
    /// To put a load down.
    Drop,
    /// Whatever the order means, at its only node.
    Visit,
    /// To charge, until another grant comes.
    Charge,
    /// To wait, until another grant comes. Nothing is reported about it.
    Park,
}

/// Why a report is not believed; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportError {
    /// No such vehicle.
    UnknownVehicle,
    /// It is older than one that came before, or from the future.
    Stale,
    /// It was farther before.
    Backwards,
    /// It is farther than what was granted.
    NotGranted,
    /// It is on another node than its waypoint says.
    Contradiction,
    /// It names a node that the layout does not have.
    UnknownNode,
    /// A charge of more than a thousand thousandths.
    Battery,
    /// A task that it does not have.
    UnknownTask,
    /// It has given up a course that it does not have.
    UnknownCourse,
    /// It is not on the layout; let it join first.
    Absent,
}

/// Why a vehicle does not join or leave; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// No such vehicle.
    UnknownVehicle,
    /// The layout has no such node.
    UnknownNode,
    /// It is on the layout already, or about to be.
    Present,
    /// It drives by itself and has an order or still has to stop.
    Busy,
}

/// Whether a vehicle takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Standing {
    /// It is not on the layout.
    Absent,
    /// It is to take part from this node on, once nobody else holds it or comes there.
    Entering(Node, Heading),
    /// It drives by itself.
    Driving,
    /// Nothing was heard of it for a while. Its granted way is kept free.
    Silent,
    /// It has failed where it stands. Its granted way is kept free until it has given it up.
    Failed,
    /// A person drives it. Its granted way is kept free until it has given it up, and where it is.
    ByHand,
}

/// What a vehicle does. Orders and places are named by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Duty {
    /// Nothing.
    Idle,
    /// It goes to a parking place.
    ToPark(u16),
    /// It waits at a parking place.
    Parked(u16),
    /// It goes to a charger.
    ToCharge(u16),
    /// It charges.
    Charging(u16),
    /// It goes to take a load.
    ToPick(u16),
    /// It takes a load.
    AtPick(u16),
    /// It takes a load where it belongs.
    ToDrop(u16),
    /// It puts a load down.
    AtDrop(u16),
    /// It has a load and cannot go on with it.
    Held(u16),
}

impl Duty {
    /// The order that it is for, by its index in the book.
    #[must_use]
    pub const fn order(self) -> Option<u16> {
        match self {
            Self::Idle | Self::ToPark(_) | Self::Parked(_) | Self::ToCharge(_) | Self::Charging(_) => None,
            Self::ToPick(order)
            | Self::AtPick(order)
            | Self::ToDrop(order)
            | Self::AtDrop(order)
            | Self::Held(order) => Some(order),
        }
    }

    /// The charger or parking place that it is for.
    #[must_use]
    pub const fn place(self) -> Option<u16> {
        match self {
            Self::ToPark(place) | Self::Parked(place) | Self::ToCharge(place) | Self::Charging(place) => {
                Some(place)
            }
            Self::Idle
            | Self::ToPick(_)
            | Self::AtPick(_)
            | Self::ToDrop(_)
            | Self::AtDrop(_)
            | Self::Held(_) => None,
        }
    }
}

/// All that is kept of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Cart {
    pub(crate) standing: Standing,
    pub(crate) duty: Duty,
    /// Thousandths.
    pub(crate) battery: u16,
    /// Number of the last waypoint that it has reached.
    pub(crate) passed: u32,
    pub(crate) course: u32,
    pub(crate) task: u32,
    /// Whether the task may have been granted.
    pub(crate) task_granted: bool,
    /// What was reported of the task and is not taken in yet.
    pub(crate) result: Option<TaskResult>,
    /// Milliseconds on the controller's clock when it was heard last.
    pub(crate) heard: u64,
    /// Nodes that are closed because it may be there, off its granted way.
    pub(crate) around: [Option<Node>; 2],
    /// What has been said to be amiss.
    pub(crate) critical: bool,
    pub(crate) no_charger: bool,
    pub(crate) charge_failed: bool,
}

impl Cart {
    pub(crate) const fn new(there: bool) -> Self {
        Self {
            standing: if there { Standing::Driving } else { Standing::Absent },
            duty: Duty::Idle,
            battery: 1_000,
            passed: 0,
            course: 0,
            task: 0,
            task_granted: false,
            result: None,
            heard: 0,
            around: [None; 2],
            critical: false,
            no_charger: false,
            charge_failed: false,
        }
    }
}
