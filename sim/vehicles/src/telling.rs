//! What a vehicle says: states and connections, as JSON of its version.

use hal_units::Instant;
use hal_vda5050::{
    Action, ActionStatus, EmergencyStop, Header, Level, OperatingMode, Topic, Version, ZoneSet,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::faults::Fault;
use crate::vehicle::{Leg, Said, Vehicle};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateText<'a> {
    #[serde(flatten)]
    header: Header,
    maps: [Json; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_sets: Option<Vec<Json>>,
    order_id: &'a str,
    order_update_id: u32,
    last_node_id: &'a str,
    last_node_sequence_id: u32,
    node_states: Vec<NodeText<'a>>,
    edge_states: Vec<EdgeText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agv_position: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile_robot_position: Option<Json>,
    velocity: Json,
    loads: Vec<Json>,
    driving: bool,
    paused: bool,
    new_base_request: bool,
    action_states: Vec<ActionText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instant_action_states: Option<Vec<ActionText<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    battery_state: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power_supply: Option<Json>,
    operating_mode: &'static str,
    errors: Vec<ErrorText<'a>>,
    safety_state: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeText<'a> {
    node_id: &'a str,
    sequence_id: u32,
    released: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EdgeText<'a> {
    edge_id: &'a str,
    sequence_id: u32,
    released: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionText<'a> {
    action_id: &'a str,
    action_type: &'a str,
    action_status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorText<'a> {
    error_type: &'static str,
    error_level: &'static str,
    error_references: Vec<ReferenceText>,
    error_description: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceText {
    reference_key: &'static str,
    reference_value: String,
}

impl Vehicle {
    /// It has connected: says so, and how it is.
    pub fn connected(&mut self, now: Instant, wall: Timestamp, out: &mut Vec<Said>) {
        out.push(self.connection(wall, if self.hibernates { "HIBERNATING" } else { "ONLINE" }));
        self.told = None;
        self.tell(now, wall, out);
    }

    /// It disconnects in good order.
    pub fn disconnects(&mut self, wall: Timestamp) -> Said {
        self.connection(wall, "OFFLINE")
    }

    /// What the broker is to say when it loses the vehicle. To be left there before [`Vehicle::connected`].
    pub fn last_will(&mut self, wall: Timestamp) -> Said {
        let word = match self.version {
            Version::V2 => "CONNECTIONBROKEN",
            Version::V3 => "CONNECTION_BROKEN",
        };
        self.connection(wall, word)
    }

    pub(crate) fn connection(&mut self, wall: Timestamp, word: &str) -> Said {
        let header = self.header(Topic::Connection, wall);
        let mut text = json!(header);
        if let Some(fields) = text.as_object_mut() {
            fields.insert("connectionState".to_owned(), word.into());
        }
        Said { topic: Topic::Connection, text: text.to_string() }
    }

    /// When it has to be asked again, if it has news that it may not tell yet.
    #[must_use]
    pub fn next_word(&self) -> Option<Instant> {
        let told = self.told.filter(|_| self.news && !self.hibernates)?;
        Some(told + self.setup.state_pause)
    }

    /// Says what had to wait; see [`Vehicle::next_word`].
    pub fn speak(&mut self, now: Instant, wall: Timestamp, out: &mut Vec<Said>) {
        self.tell(now, wall, out);
    }

    /// Sends a state if there is news, or it is time again.
    pub(crate) fn tell(&mut self, now: Instant, wall: Timestamp, out: &mut Vec<Said>) {
        let due = self.told.is_none_or(|told| {
            let silent = now.since(told);
            silent >= self.setup.state_interval || (self.news && silent >= self.setup.state_pause)
        });
        if due && !self.hibernates {
            self.news = false;
            self.told = Some(now);
            self.tally.states += 1;
            let text = self.state(wall);
            out.push(Said { topic: Topic::State, text });
        }
    }

    /// The next header of a topic.
    pub(crate) fn header(&mut self, topic: Topic, wall: Timestamp) -> Header {
        let index = match topic {
            Topic::Connection => 0,
            Topic::Factsheet => 1,
            Topic::Visualization => 2,
            Topic::State | Topic::Order | Topic::InstantActions | Topic::ZoneSet | Topic::Responses => 3,
        };
        let next = self.headers.get_mut(index);
        let header_id = next.map_or(0, |next| std::mem::replace(next, next.wrapping_add(1)));
        Header::new(&self.setup.address, header_id, wall)
    }

    fn state(&mut self, wall: Timestamp) -> String {
        let (header, position) = (self.header(Topic::State, wall), self.position());
        let in_2 = self.version == Version::V2;
        let (charge, stop) =
            if in_2 { ("batteryCharge", "eStop") } else { ("stateOfCharge", "activeEmergencyStop") };
        let power = json!({charge: self.charge_percent, "charging": self.charging});
        let text = |action, status| action_text(action, status, self.version);
        let mut actions: Vec<_> =
            self.tasks.all().iter().map(|task| text(&task.action, task.status)).collect();
        let mut instant: Vec<_> = self.instant.iter().map(|(action, status)| text(action, *status)).collect();
        if in_2 {
            actions.append(&mut instant);
        }
        let last = self.last.as_ref();
        let state = StateText {
            header,
            maps: [json!({"mapId": self.setup.start.map_id, "mapVersion": "1", "mapStatus": "ENABLED"})],
            zone_sets: (!in_2).then(|| self.zone_sets.iter().map(zone_set_text).collect()),
            order_id: last.map_or("", |order| order.order_id.as_str()),
            order_update_id: last.map_or(0, |order| order.order_update_id),
            last_node_id: &self.last_node.0,
            last_node_sequence_id: self.last_node.1,
            node_states: self.ahead.iter().map(node_text).collect(),
            edge_states: self.ahead.iter().map(edge_text).collect(),
            agv_position: in_2.then(|| position.clone()),
            mobile_robot_position: (!in_2).then_some(position),
            velocity: json!({"vx": self.truth.speed, "vy": 0.0, "omega": self.truth.turning}),
            loads: self.load.iter().map(|load_id| json!({"loadId": load_id, "loadType": "EPAL"})).collect(),
            driving: self.driving,
            paused: self.paused,
            new_base_request: self.base_request,
            action_states: actions,
            instant_action_states: (!in_2).then_some(instant),
            battery_state: in_2.then(|| power.clone()),
            power_supply: (!in_2).then_some(power),
            operating_mode: mode_word(self.mode, self.version),
            errors: self.faults.all().iter().map(|fault| error_text(fault, self.version)).collect(),
            safety_state: json!({stop: stop_word(self.emergency_stop), "fieldViolation": self.field_violation}),
        };
        serde_json::to_string(&state).unwrap_or_default()
    }

    /// What the localisation says.
    fn position(&mut self) -> Json {
        let noise = self.setup.noise;
        let off = |random: &mut sim_plants::Random, deviation: f64| {
            if deviation > 0.0 { deviation * random.normal() } else { 0.0 }
        };
        let x = self.truth.x + off(&mut self.random, noise.position.get());
        let y = self.truth.y + off(&mut self.random, noise.position.get());
        let theta = crate::motion::wrapped(self.truth.heading + off(&mut self.random, noise.heading.get()));
        let known = match self.version {
            Version::V2 => "positionInitialized",
            Version::V3 => "localized",
        };
        json!({"x": x, "y": y, "theta": theta, "mapId": self.setup.start.map_id, known: !self.lost})
    }
}

fn zone_set_text((set, enabled): &(ZoneSet, bool)) -> Json {
    let status = if *enabled { "ENABLED" } else { "DISABLED" };
    json!({"zoneSetId": set.zone_set_id, "mapId": set.map_id, "zoneSetStatus": status})
}

fn node_text(leg: &Leg) -> NodeText<'_> {
    let node = &leg.node;
    NodeText { node_id: &node.node_id, sequence_id: node.sequence_id, released: node.released }
}

fn edge_text(leg: &Leg) -> EdgeText<'_> {
    let edge = &leg.edge;
    EdgeText { edge_id: &edge.edge_id, sequence_id: edge.sequence_id, released: edge.released }
}

fn action_text(action: &Action, status: ActionStatus, version: Version) -> ActionText<'_> {
    let Action { action_id, action_type, .. } = action;
    ActionText { action_id, action_type, action_status: status_word(status, version) }
}

fn error_text(fault: &Fault, version: Version) -> ErrorText<'_> {
    let reference = |(reference_key, reference_value): &'_ (&'static str, String)| ReferenceText {
        reference_key,
        reference_value: reference_value.clone(),
    };
    ErrorText {
        error_type: fault.error_type,
        error_level: level_word(fault.level, version),
        error_references: fault.references.iter().map(reference).collect(),
        error_description: &fault.description,
    }
}

const fn status_word(status: ActionStatus, version: Version) -> &'static str {
    match (status, version) {
        (ActionStatus::Waiting, _) => "WAITING",
        (ActionStatus::Initializing, _) => "INITIALIZING",
        (ActionStatus::Running, _) => "RUNNING",
        (ActionStatus::Paused, _) => "PAUSED",
        (ActionStatus::Finished, _) => "FINISHED",
        (ActionStatus::Retriable, Version::V3) => "RETRIABLE",
        (ActionStatus::Failed, _) | (ActionStatus::Retriable, Version::V2) => "FAILED",
    }
}

/// The modes that 2.1 does not know are told as the nearest that allows as little.
const fn mode_word(mode: OperatingMode, version: Version) -> &'static str {
    match (mode, version) {
        (OperatingMode::Automatic, _) => "AUTOMATIC",
        (OperatingMode::Semiautomatic, _) => "SEMIAUTOMATIC",
        (OperatingMode::Manual, _) | (OperatingMode::Intervened, Version::V2) => "MANUAL",
        (OperatingMode::Service, _) | (OperatingMode::Startup, Version::V2) => "SERVICE",
        (OperatingMode::TeachIn, Version::V2) => "TEACHIN",
        (OperatingMode::TeachIn, Version::V3) => "TEACH_IN",
        (OperatingMode::Startup, Version::V3) => "STARTUP",
        (OperatingMode::Intervened, Version::V3) => "INTERVENED",
    }
}

const fn level_word(level: Level, version: Version) -> &'static str {
    match (level, version) {
        (Level::Warning, _) | (Level::Urgent, Version::V2) => "WARNING",
        (Level::Fatal, _) | (Level::Critical, Version::V2) => "FATAL",
        (Level::Urgent, Version::V3) => "URGENT",
        (Level::Critical, Version::V3) => "CRITICAL",
    }
}

const fn stop_word(stop: EmergencyStop) -> &'static str {
    match stop {
        EmergencyStop::AutoAck | EmergencyStop::Manual => "MANUAL",
        EmergencyStop::Remote => "REMOTE",
        EmergencyStop::None => "NONE",
    }
}
