//! States and connections from JSON of either version.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Malformed;
use crate::header::Header;
use crate::state::{
    ActionState, ActionStatus, Connection, ConnectionState, EmergencyStop, Level, OperatingMode, Pose, State,
    VehicleError,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateText {
    #[serde(flatten)]
    header: Header,
    order_id: String,
    order_update_id: u32,
    last_node_id: String,
    last_node_sequence_id: u32,
    node_states: Vec<NodeText>,
    edge_states: Vec<EdgeText>,
    #[serde(alias = "agvPosition", alias = "mobileRobotPosition")]
    position: Option<PoseText>,
    distance_since_last_node: Option<f64>,
    driving: bool,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    new_base_request: bool,
    operating_mode: ModeText,
    action_states: Vec<ActionText>,
    #[serde(default)]
    instant_action_states: Vec<ActionText>,
    errors: Vec<ErrorText>,
    #[serde(alias = "batteryState", alias = "powerSupply")]
    battery: BatteryText,
    safety_state: SafetyText,
    #[serde(default)]
    zone_requests: Vec<RequestText>,
    #[serde(default)]
    edge_requests: Vec<RequestText>,
    #[serde(default)]
    zone_sets: Vec<ZoneSetText>,
    loads: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoneSetText {
    zone_set_id: String,
    map_id: String,
    zone_set_status: SetStatusText,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum SetStatusText {
    Enabled,
    Disabled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeText {
    node_id: String,
    sequence_id: u32,
    released: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EdgeText {
    edge_id: String,
    sequence_id: u32,
    released: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoseText {
    x: f64,
    y: f64,
    theta: f64,
    map_id: String,
    #[serde(alias = "positionInitialized")]
    localized: bool,
}

#[derive(Deserialize)]
enum ModeText {
    #[serde(rename = "STARTUP")]
    Startup,
    #[serde(rename = "AUTOMATIC")]
    Automatic,
    #[serde(rename = "SEMIAUTOMATIC")]
    Semiautomatic,
    #[serde(rename = "INTERVENED")]
    Intervened,
    #[serde(rename = "MANUAL")]
    Manual,
    #[serde(rename = "SERVICE")]
    Service,
    #[serde(rename = "TEACH_IN", alias = "TEACHIN")]
    TeachIn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionText {
    action_id: String,
    action_status: StatusText,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum StatusText {
    Waiting,
    Initializing,
    Running,
    Paused,
    Retriable,
    Finished,
    Failed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorText {
    error_type: String,
    error_level: LevelText,
    #[serde(default)]
    error_references: Vec<ReferenceText>,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum LevelText {
    Warning,
    Urgent,
    Critical,
    Fatal,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceText {
    reference_key: String,
    reference_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatteryText {
    #[serde(alias = "batteryCharge", alias = "stateOfCharge")]
    charge: f64,
    charging: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SafetyText {
    #[serde(alias = "eStop", alias = "activeEmergencyStop")]
    stop: StopText,
    field_violation: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum StopText {
    AutoAck,
    Manual,
    Remote,
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestText {
    request_id: String,
    request_status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionText {
    #[serde(flatten)]
    header: Header,
    connection_state: ConnectionStateText,
}

#[derive(Deserialize)]
enum ConnectionStateText {
    #[serde(rename = "ONLINE")]
    Online,
    #[serde(rename = "OFFLINE")]
    Offline,
    #[serde(rename = "HIBERNATING")]
    Hibernating,
    #[serde(rename = "CONNECTION_BROKEN", alias = "CONNECTIONBROKEN")]
    Broken,
}

impl State {
    /// Reads a state; fields that are not known are passed over.
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type or an unknown value.
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        let text: StateText = serde_json::from_str(text)?;
        let requested = |request: &RequestText| request.request_status == "REQUESTED";
        let requests = text.zone_requests.into_iter().chain(text.edge_requests).filter(requested);
        Ok(Self {
            header: text.header,
            order_id: text.order_id,
            order_update_id: text.order_update_id,
            last_node_id: text.last_node_id,
            last_node_sequence_id: text.last_node_sequence_id,
            nodes: text.node_states.into_iter().map(|n| (n.node_id, n.sequence_id, n.released)).collect(),
            edges: text.edge_states.into_iter().map(|e| (e.edge_id, e.sequence_id, e.released)).collect(),
            pose: text.position.map(|PoseText { x, y, theta, map_id, localized }| Pose {
                map_id,
                x,
                y,
                theta,
                localized,
            }),
            distance_since_last_node: text.distance_since_last_node,
            driving: text.driving,
            paused: text.paused,
            new_base_request: text.new_base_request,
            operating_mode: mode_of(text.operating_mode),
            actions: text.action_states.into_iter().map(action_of).collect(),
            instant_actions: text.instant_action_states.into_iter().map(action_of).collect(),
            errors: text.errors.into_iter().map(error_of).collect(),
            charge_percent: text.battery.charge,
            charging: text.battery.charging,
            emergency_stop: match text.safety_state.stop {
                StopText::AutoAck => EmergencyStop::AutoAck,
                StopText::Manual => EmergencyStop::Manual,
                StopText::Remote => EmergencyStop::Remote,
                StopText::None => EmergencyStop::None,
            },
            field_violation: text.safety_state.field_violation,
            requests: requests.map(|request| request.request_id).collect(),
            zone_sets: text
                .zone_sets
                .into_iter()
                .map(|set| (set.zone_set_id, set.map_id, set.zone_set_status == SetStatusText::Enabled))
                .collect(),
            loads: text.loads.map(|loads| loads.len()),
        })
    }
}

impl Connection {
    /// Reads a connection message.
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type or an unknown value.
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        let ConnectionText { header, connection_state } = serde_json::from_str(text)?;
        let state = match connection_state {
            ConnectionStateText::Online => ConnectionState::Online,
            ConnectionStateText::Offline => ConnectionState::Offline,
            ConnectionStateText::Hibernating => ConnectionState::Hibernating,
            ConnectionStateText::Broken => ConnectionState::Broken,
        };
        Ok(Self { header, state })
    }
}

fn mode_of(text: ModeText) -> OperatingMode {
    match text {
        ModeText::Startup => OperatingMode::Startup,
        ModeText::Automatic => OperatingMode::Automatic,
        ModeText::Semiautomatic => OperatingMode::Semiautomatic,
        ModeText::Intervened => OperatingMode::Intervened,
        ModeText::Manual => OperatingMode::Manual,
        ModeText::Service => OperatingMode::Service,
        ModeText::TeachIn => OperatingMode::TeachIn,
    }
}

fn action_of(text: ActionText) -> ActionState {
    let status = match text.action_status {
        StatusText::Waiting => ActionStatus::Waiting,
        StatusText::Initializing => ActionStatus::Initializing,
        StatusText::Running => ActionStatus::Running,
        StatusText::Paused => ActionStatus::Paused,
        StatusText::Retriable => ActionStatus::Retriable,
        StatusText::Finished => ActionStatus::Finished,
        StatusText::Failed => ActionStatus::Failed,
    };
    ActionState { action_id: text.action_id, status }
}

fn error_of(text: ErrorText) -> VehicleError {
    let references = text.error_references.into_iter().map(|r| (r.reference_key, r.reference_value));
    VehicleError {
        error_type: text.error_type,
        level: match text.error_level {
            LevelText::Warning => Level::Warning,
            LevelText::Urgent => Level::Urgent,
            LevelText::Critical => Level::Critical,
            LevelText::Fatal => Level::Fatal,
        },
        references: references.collect(),
        description: text.error_description,
    }
}
