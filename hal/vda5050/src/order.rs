//! Orders, instant actions and responses, independent of the version.
//!
//! What is serialized here is how a master tells another one of them; vehicles get `to_json`.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// An order or an update of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub order_id: String,
    /// Which update this is; 0 for the order itself.
    pub order_update_id: u32,
    /// The nodes in order, base first.
    pub nodes: Vec<Node>,
    /// The edges between them.
    pub edges: Vec<Edge>,
}

/// A place on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The name in the layout.
    pub node_id: String,
    /// Even; unique in the order.
    pub sequence_id: u32,
    /// Whether it belongs to the base.
    pub released: bool,
    /// Where it is, if the vehicle does not know the layout.
    pub position: Option<Position>,
    /// What to do there.
    pub actions: Vec<Action>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// On this map.
    pub map_id: String,
    /// In metres.
    pub x: f64,
    /// In metres.
    pub y: f64,
    /// The heading in radians, from -pi to pi, if it matters.
    pub theta: Option<f64>,
    /// How far from it the vehicle may pass, in metres; 0 to say that it must not.
    pub deviation: Option<f64>,
}

/// The way between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The name in the layout.
    pub edge_id: String,
    /// Odd; between those of its nodes.
    pub sequence_id: u32,
    /// Whether it belongs to the base.
    pub released: bool,
    /// Where it begins.
    pub start_node_id: String,
    /// Where it ends.
    pub end_node_id: String,
    /// In metres a second, if it is limited.
    pub max_speed: Option<f64>,
    /// In metres, if it is known.
    pub length: Option<f64>,
    /// What to do on the way.
    pub actions: Vec<Action>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// What.
    pub action_type: String,
    /// Unique for the vehicle.
    pub action_id: String,
    /// What may go on meanwhile.
    pub blocking: Blocking,
    /// Names and values.
    pub parameters: Vec<(String, Value)>,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A text.
    Text(String),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// What may go on while an action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocking {
    /// Driving and other actions.
    None,
    /// Other actions, but no driving.
    Soft,
    /// Driving, but no other action; only 3.0 has it, in 2.1 it is written as hard.
    Single,
    /// Nothing else.
    Hard,
}

/// Actions to do now, whatever the order says.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantActions {
    /// All of them; in 3.0 they are written as not blocking.
    pub actions: Vec<Action>,
}

/// An answer to a vehicle's request for a zone or corridor; only in 3.0.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The request's name.
    pub request_id: String,
    /// The answer.
    pub grant: Grant,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Leave until then.
    Granted {
        /// It ends by itself.
        until: jiff::Timestamp,
    },
    /// Later.
    Queued,
    /// No longer.
    Revoked,
    /// No.
    Rejected,
}

/// Why an order is none, beyond what the schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderFault {
    /// It has no node.
    NoNodes,
    /// There have to be one edge fewer than nodes.
    EdgeCount,
    /// Nodes and edges do not follow each other by their numbers. With the number at which they do not.
    Sequence(u32),
    /// An edge does not join the nodes beside it. With its number.
    Ends(u32),
    /// Something released follows something that is not, or the first node is not. With its number.
    Released(u32),
    /// Two actions have the same name.
    DoubledAction,
    /// A number that is not finite, or outside its range.
    Number,
    /// A name that is empty.
    NoName,
}

impl Order {
    /// Checks what the schema cannot say.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn check(&self) -> Result<(), OrderFault> {
        let first = self.nodes.first().ok_or(OrderFault::NoNodes)?;
        if self.edges.len() + 1 != self.nodes.len() {
            return Err(OrderFault::EdgeCount);
        }
        if self.order_id.is_empty() {
            return Err(OrderFault::NoName);
        }
        if !first.released {
            return Err(OrderFault::Released(first.sequence_id));
        }
        if first.sequence_id % 2 != 0 {
            return Err(OrderFault::Sequence(first.sequence_id));
        }
        for (edge, (before, after)) in self.edges.iter().zip(self.nodes.iter().zip(self.nodes.iter().skip(1)))
        {
            let next = |number: u32| number.checked_add(1);
            if next(before.sequence_id) != Some(edge.sequence_id) {
                return Err(OrderFault::Sequence(edge.sequence_id));
            }
            if next(edge.sequence_id) != Some(after.sequence_id) {
                return Err(OrderFault::Sequence(after.sequence_id));
            }
            if edge.start_node_id != before.node_id || edge.end_node_id != after.node_id {
                return Err(OrderFault::Ends(edge.sequence_id));
            }
            // An edge and the node at its end are released together.
            if edge.released != after.released || (edge.released && !before.released) {
                return Err(OrderFault::Released(edge.sequence_id));
            }
        }
        self.check_parts()
    }

    fn check_parts(&self) -> Result<(), OrderFault> {
        let mut names = HashSet::new();
        for action in self.actions() {
            if action.action_id.is_empty() || action.action_type.is_empty() {
                return Err(OrderFault::NoName);
            }
            if !names.insert(action.action_id.as_str()) {
                return Err(OrderFault::DoubledAction);
            }
        }
        let named = self.nodes.iter().all(|node| !node.node_id.is_empty())
            && self.edges.iter().all(|edge| !edge.edge_id.is_empty());
        if !named {
            return Err(OrderFault::NoName);
        }
        let positions = self.nodes.iter().filter_map(|node| node.position.as_ref());
        let finite = |number: Option<f64>| number.is_none_or(f64::is_finite);
        let at_least_0 =
            |number: Option<f64>| number.is_none_or(|number| number.is_finite() && number >= 0.0);
        let mut numbers = positions.map(|position| {
            let theta = position.theta.is_none_or(|theta| theta.abs() <= THETA_MAX);
            position.x.is_finite() && position.y.is_finite() && theta && at_least_0(position.deviation)
        });
        let mut edges = self.edges.iter().map(|edge| at_least_0(edge.max_speed) && at_least_0(edge.length));
        let mut values = self.actions().flat_map(|action| &action.parameters).map(|(_, value)| match value {
            Value::Number(number) => finite(Some(*number)),
            Value::Text(_) | Value::Flag(_) => true,
        });
        let all = numbers.all(|fine| fine) && edges.all(|fine| fine) && values.all(|fine| fine);
        if all { Ok(()) } else { Err(OrderFault::Number) }
    }

    /// All actions, of nodes and edges.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let nodes = self.nodes.iter().flat_map(|node| &node.actions);
        nodes.chain(self.edges.iter().flat_map(|edge| &edge.actions))
    }

    /// The last node of the base: where an update begins.
    #[must_use]
    pub fn last_released(&self) -> Option<&Node> {
        self.nodes.iter().take_while(|node| node.released).last()
    }
}

/// In radians; the schemas' own bound is pi, rounded up.
const THETA_MAX: f64 = std::f64::consts::PI;
