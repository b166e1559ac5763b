//! What a vehicle says, independent of the version.

use crate::header::Header;

/// A vehicle's state, as far as the master control needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The common fields.
    pub header: Header,
    /// The order that it has or had; empty before the first. After a cancel it stays.
    pub order_id: String,
    /// The update of it that it has taken.
    pub order_update_id: u32,
    /// The node that it passed last; empty if none.
    pub last_node_id: String,
    /// That node's number; 0 is the first node's, and also says that there was none.
    pub last_node_sequence_id: u32,
    /// Name, number and release of the nodes ahead.
    pub nodes: Vec<(String, u32, bool)>,
    /// Name, number and release of the edges ahead.
    pub edges: Vec<(String, u32, bool)>,
    /// Where it is, if it knows.
    pub pose: Option<Pose>,
    /// In metres since the last node, if it counts them.
    pub distance_since_last_node: Option<f64>,
    /// Whether it drives.
    pub driving: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it needs more base soon.
    pub new_base_request: bool,
    /// Who is in charge.
    pub operating_mode: OperatingMode,
    /// Actions of the order and, in 2.1, instant ones.
    pub actions: Vec<ActionState>,
    /// Instant actions, in 3.0.
    pub instant_actions: Vec<ActionState>,
    /// What is wrong.
    pub errors: Vec<VehicleError>,
    /// In percent.
    pub charge_percent: f64,
    /// Whether it charges.
    pub charging: bool,
    /// Whether an emergency stop is active.
    pub emergency_stop: EmergencyStop,
    /// Whether somebody is in its protective field.
    pub field_violation: bool,
    /// Requests for zones and corridors that wait for an answer, in 3.0.
    pub requests: Vec<String>,
    /// Name, map and use of the zone sets that it holds, in 3.0.
    pub zone_sets: Vec<(String, String, bool)>,
    /// How many loads it carries, if it can tell.
    pub loads: Option<usize>,
}

/// Where a vehicle is.
#[derive(Debug, Clone, PartialEq)]
pub struct Pose {
    /// On this map.
    pub map_id: String,
    /// In metres.
    pub x: f64,
    /// In metres.
    pub y: f64,
    /// In radians.
    pub theta: f64,
    /// Whether the vehicle relies on it.
    pub localized: bool,
}

/// Who is in charge of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatingMode {
    /// It starts.
    Startup,
    /// The master.
    Automatic,
    /// The master, but for the speed.
    Semiautomatic,
    /// A person, for a moment; the order is kept.
    Intervened,
    /// A person.
    Manual,
    /// A person who repairs it.
    Service,
    /// A person who teaches it.
    TeachIn,
}

impl OperatingMode {
    /// Whether the vehicle takes orders.
    #[must_use]
    pub const fn takes_orders(self) -> bool {
        match self {
            Self::Automatic | Self::Semiautomatic => true,
            Self::Startup | Self::Intervened | Self::Manual | Self::Service | Self::TeachIn => false,
        }
    }
}

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionState {
    /// Which action.
    pub action_id: String,
    /// How far.
    pub status: ActionStatus,
}

/// How far an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// Not begun.
    Waiting,
    /// Being prepared.
    Initializing,
    /// Under way.
    Running,
    /// Held.
    Paused,
    /// Failed, but may be tried again.
    Retriable,
    /// Done.
    Finished,
    /// Failed.
    Failed,
}

impl ActionStatus {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Finished | Self::Failed => true,
            Self::Waiting | Self::Initializing | Self::Running | Self::Paused | Self::Retriable => false,
        }
    }
}

/// Something that a vehicle complains about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleError {
    /// What kind, in the standard's or the maker's word.
    pub error_type: String,
    /// How bad.
    pub level: Level,
    /// Names and values of what it is about.
    pub references: Vec<(String, String)>,
    /// For a person.
    pub description: String,
}

impl VehicleError {
    /// The value under a name.
    #[must_use]
    pub fn reference(&self, key: &str) -> Option<&str> {
        self.references.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// How bad an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The vehicle goes on.
    Warning,
    /// It goes on, but needs somebody soon.
    Urgent,
    /// It cannot go on with the order.
    Critical,
    /// It cannot go on at all.
    Fatal,
}

/// An emergency stop, by how it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmergencyStop {
    /// By itself.
    AutoAck,
    /// At the vehicle.
    Manual,
    /// From afar.
    Remote,
    /// None is active.
    None,
}

/// Whether a vehicle is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The common fields. In a last will the time is when the vehicle connected: do not order by it.
    pub header: Header,
    /// Whether it is there.
    pub state: ConnectionState,
}

/// Whether a vehicle is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// It is.
    Online,
    /// It said goodbye.
    Offline,
    /// It is, but sleeps.
    Hibernating,
    /// The broker lost it.
    Broken,
}
