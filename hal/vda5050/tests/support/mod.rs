//! Ways, vehicles and states to test with.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use hal_units::{Duration, Instant};
use hal_vda5050::{
    Action, Address, Blocking, Connection, ConnectionState, Dialogue, Edge, Header, Held, Limits, Node,
    Order, Outgoing, Rejection, State, Taken, Version, judge,
};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

pub(crate) const RESEND: Duration = Duration::from_millis(500);

pub(crate) fn address(version: Version) -> Address {
    Address::new("uagv", version, "KIT", "0001").unwrap()
}

pub(crate) fn wall() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(crate) fn node(name: &str) -> Node {
    Node { node_id: name.to_owned(), sequence_id: 0, released: false, position: None, actions: Vec::new() }
}

pub(crate) fn action(action_type: &str, action_id: &str) -> Action {
    Action {
        action_type: action_type.to_owned(),
        action_id: action_id.to_owned(),
        blocking: Blocking::Hard,
        parameters: Vec::new(),
    }
}

pub(crate) fn leg(from: &str, to: &str) -> (Edge, Node) {
    let edge = Edge {
        edge_id: format!("{from}-{to}"),
        sequence_id: 0,
        released: false,
        start_node_id: String::new(),
        end_node_id: String::new(),
        max_speed: Some(1.5),
        length: None,
        actions: Vec::new(),
    };
    (edge, node(to))
}

/// An order over nodes, of which so many legs are released.
pub(crate) fn order(names: &[&str], first_number: u32, update: u32, released: usize) -> Order {
    let mut order = Order {
        order_id: "transport-1".into(),
        order_update_id: update,
        nodes: Vec::new(),
        edges: Vec::new(),
    };
    for (index, name) in names.iter().enumerate() {
        let sequence_id = first_number + 2 * index as u32;
        if index > 0 {
            let (edge, _) = leg(names[index - 1], name);
            let (start_node_id, end_node_id) = (names[index - 1].to_owned(), (*name).to_owned());
            let released = index <= released;
            order.edges.push(Edge {
                sequence_id: sequence_id - 1,
                released,
                start_node_id,
                end_node_id,
                ..edge
            });
        }
        order.nodes.push(Node { sequence_id, released: index <= released, ..node(name) });
    }
    order
}

/// A vehicle that follows the standard: it takes what may be taken, drives its base, and reports.
pub(crate) struct Vehicle {
    version: Version,
    headers: u32,
    pub(crate) last: Option<Order>,
    pub(crate) ahead: Vec<Node>,
    pub(crate) at: (String, u32),
    pub(crate) cancelled: bool,
    pub(crate) rejections: Vec<(Rejection, Order)>,
    instant: Vec<String>,
    pub(crate) mode: &'static str,
}

impl Vehicle {
    pub(crate) fn on(version: Version, start: &str) -> Self {
        Self {
            version,
            headers: 0,
            last: None,
            ahead: Vec::new(),
            at: (start.to_owned(), 0),
            cancelled: false,
            rejections: Vec::new(),
            instant: Vec::new(),
            mode: "AUTOMATIC",
        }
    }

    pub(crate) fn hears(&mut self, outgoing: &Outgoing) {
        if outgoing.topic.ends_with("/order") {
            let (_, order) = Order::from_json(&outgoing.text).unwrap();
            self.hears_order(order);
        } else if outgoing.topic.ends_with("/instantActions") {
            let text: Json = serde_json::from_str(&outgoing.text).unwrap();
            let id = text["actions"][0]["actionId"].as_str().unwrap().to_owned();
            if !self.instant.contains(&id) {
                self.instant.push(id);
                if text["actions"][0]["actionType"] == "cancelOrder" {
                    self.ahead.clear();
                    self.cancelled = true;
                }
            }
        }
    }

    fn hears_order(&mut self, order: Order) {
        let (here, active) = (self.at.0.clone(), !self.ahead.is_empty());
        let held = Held {
            last: self.last.as_ref(),
            active,
            cancelled: self.cancelled,
            available: self.mode == "AUTOMATIC",
            stands_on: &|node| node.node_id == here,
            knows_map: &|map| map == "hall",
            can_do: &|action| action == "pick",
            can_reach: &|node| node.node_id != "island",
        };
        match judge(&held, &order, self.version) {
            Ok(Taken::New) => {
                self.ahead = order.nodes[1..].to_vec();
                self.at.1 = 0;
                self.cancelled = false;
                self.last = Some(order);
            }
            Ok(Taken::Update) => {
                let stitch = order.nodes[0].sequence_id;
                self.ahead.retain(|node| node.sequence_id <= stitch);
                self.ahead.extend_from_slice(&order.nodes[1..]);
                self.last = Some(order);
            }
            Ok(Taken::Repeated) => {}
            Err(rejection) => self.rejections.push((rejection, order)),
        }
    }

    /// Drives to the next node, if it is released.
    pub(crate) fn drives(&mut self) {
        if self.ahead.first().is_some_and(|node| node.released) {
            let node = self.ahead.remove(0);
            self.at = (node.node_id, node.sequence_id);
        }
    }

    pub(crate) fn report(&mut self) -> Json {
        self.headers += 1;
        let nodes: Vec<Json> = self
            .ahead
            .iter()
            .map(|n| json!({"nodeId": n.node_id, "sequenceId": n.sequence_id, "released": n.released}))
            .collect();
        let edges: Vec<Json> = self
            .ahead
            .iter()
            .map(|n| json!({"edgeId": "e", "sequenceId": n.sequence_id - 1, "released": n.released}))
            .collect();
        let errors: Vec<Json> = self
            .rejections
            .iter()
            .map(|(rejection, order)| {
                json!({
                    "errorType": rejection.error_type(self.version), "errorLevel": "WARNING",
                    "errorReferences": [
                        {"referenceKey": "orderId", "referenceValue": order.order_id},
                        {"referenceKey": "orderUpdateId", "referenceValue": order.order_update_id.to_string()},
                    ],
                })
            })
            .collect();
        let actions: Vec<Json> =
            self.instant.iter().map(|id| json!({"actionId": id, "actionStatus": "FINISHED"})).collect();
        let last = self.last.as_ref();
        let mut state = json!({
            "headerId": self.headers, "timestamp": "2026-03-01T12:00:00.00Z", "version": self.version.as_str(),
            "manufacturer": "KIT", "serialNumber": "0001",
            "orderId": last.map_or("", |order| order.order_id.as_str()),
            "orderUpdateId": last.map_or(0, |order| order.order_update_id),
            "lastNodeId": self.at.0, "lastNodeSequenceId": self.at.1,
            "nodeStates": nodes, "edgeStates": edges, "driving": false, "actionStates": [],
            "operatingMode": self.mode, "errors": errors,
        });
        match self.version {
            Version::V2 => {
                state["actionStates"] = actions.into();
                state["batteryState"] = json!({"batteryCharge": 80.0, "charging": false});
                state["safetyState"] = json!({"eStop": "NONE", "fieldViolation": false});
            }
            Version::V3 => {
                state["instantActionStates"] = actions.into();
                state["powerSupply"] = json!({"stateOfCharge": 80.0, "charging": false});
                state["safetyState"] = json!({"activeEmergencyStop": "NONE", "fieldViolation": false});
            }
        }
        state
    }

    pub(crate) fn state(&mut self) -> State {
        State::from_json(&self.report().to_string()).unwrap()
    }
}

/// A conversation that is on, with a vehicle that stands on a node.
pub(crate) fn conversation(version: Version, start: &str) -> (Dialogue, Vehicle) {
    let mut dialogue = Dialogue::new(address(version), Limits::default(), RESEND);
    let header = Header::new(&address(version), 0, wall());
    dialogue.on_connection(&Connection { header, state: ConnectionState::Online });
    let mut vehicle = Vehicle::on(version, start);
    dialogue.on_state(&vehicle.state()).unwrap();
    (dialogue, vehicle)
}
