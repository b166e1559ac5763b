//! Orders, instant actions and responses as JSON of either version.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Malformed;
use crate::address::Version;
use crate::header::Header;
use crate::order::{Action, Blocking, Edge, Grant, InstantActions, Node, Order, Position, Response, Value};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderText {
    #[serde(flatten)]
    header: Header,
    order_id: String,
    order_update_id: u32,
    nodes: Vec<NodeText>,
    edges: Vec<EdgeText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeText {
    node_id: String,
    sequence_id: u32,
    released: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_position: Option<PositionText>,
    actions: Vec<ActionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PositionText {
    x: f64,
    y: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    theta: Option<f64>,
    #[serde(rename = "allowedDeviationXY", skip_serializing_if = "Option::is_none")]
    deviation: Option<DeviationText>,
    map_id: String,
}

/// A radius in 2.1, an ellipse in 3.0.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DeviationText {
    Radius(f64),
    Ellipse { a: f64, b: f64, theta: f64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EdgeText {
    edge_id: String,
    sequence_id: u32,
    released: bool,
    /// In 2.1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_node_id: Option<String>,
    /// As 2.1 says.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_speed: Option<f64>,
    /// As 3.0 says.
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<f64>,
    actions: Vec<ActionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionText {
    action_type: String,
    action_id: String,
    blocking_type: BlockingText,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    action_parameters: Vec<ParameterText>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum BlockingText {
    None,
    Soft,
    Single,
    Hard,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ParameterText {
    key: String,
    value: Json,
}

#[derive(Serialize, Deserialize)]
struct InstantActionsText {
    #[serde(flatten)]
    header: Header,
    actions: Vec<ActionText>,
}

#[derive(Serialize, Deserialize)]
struct ResponsesText {
    #[serde(flatten)]
    header: Header,
    responses: Vec<ResponseText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseText {
    request_id: String,
    grant_type: GrantText,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_expiry: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum GrantText {
    Granted,
    Queued,
    Revoked,
    Rejected,
}

impl Order {
    /// The order as JSON.
    #[must_use]
    pub fn to_json(&self, header: &Header, version: Version) -> String {
        let text = OrderText {
            header: header.clone(),
            order_id: self.order_id.clone(),
            order_update_id: self.order_update_id,
            nodes: self.nodes.iter().map(|node| node_text(node, version)).collect(),
            edges: self.edges.iter().map(|edge| edge_text(edge, version)).collect(),
        };
        written(&text)
    }

    /// Reads an order; fields that are not known are passed over. See also [`Order::check`].
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type.
    pub fn from_json(text: &str) -> Result<(Header, Self), Malformed> {
        let OrderText { header, order_id, order_update_id, nodes, edges } = serde_json::from_str(text)?;
        let nodes: Vec<Node> = nodes.into_iter().map(node_of).collect();
        // In 3.0 an edge does not name its ends: they are the nodes beside it.
        let name = |index: usize| nodes.get(index).map_or(String::new(), |node| node.node_id.clone());
        let edges =
            edges.into_iter().enumerate().map(|(index, edge)| edge_of(edge, name(index), name(index + 1)));
        let edges = edges.collect();
        Ok((header, Self { order_id, order_update_id, nodes, edges }))
    }
}

/// Optional fields of nodes' positions, nodes and edges that [`Order`] does not carry.
const UNREAD: [&str; 12] = [
    "trajectory",
    "corridor",
    "orientation",
    "orientationType",
    "direction",
    "rotationAllowed",
    "reachOrientationBeforeEntering",
    "maxRotationSpeed",
    "maxHeight",
    "minHeight",
    "maximumMobileRobotHeight",
    "minimumLoadHandlingDeviceHeight",
];

impl Order {
    /// The optional fields of an order that change how it is to be driven and that [`Order`] does not carry:
    /// whoever cannot use them has to refuse it ([`crate::Rejection::UnsupportedParameter`]).
    ///
    /// # Errors
    /// If the text is no JSON.
    pub fn unread_fields(text: &str) -> Result<Vec<&'static str>, Malformed> {
        let json: Json = serde_json::from_str(text)?;
        let edges = json.get("edges").and_then(Json::as_array).into_iter().flatten();
        let has =
            |field: &&'static str| edges.clone().any(|edge| edge.get(*field).is_some_and(|f| !f.is_null()));
        Ok(UNREAD.into_iter().filter(has).collect())
    }
}

impl InstantActions {
    /// The actions as JSON.
    #[must_use]
    pub fn to_json(&self, header: &Header, version: Version) -> String {
        let instant = |action: &Action| ActionText {
            blocking_type: match version {
                Version::V2 => blocking_text(action.blocking, version),
                Version::V3 => BlockingText::None,
            },
            ..action_text(action, version)
        };
        let actions = self.actions.iter().map(instant).collect();
        written(&InstantActionsText { header: header.clone(), actions })
    }

    /// Reads instant actions; fields that are not known are passed over.
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type.
    pub fn from_json(text: &str) -> Result<(Header, Self), Malformed> {
        let InstantActionsText { header, actions } = serde_json::from_str(text)?;
        Ok((header, Self { actions: actions.into_iter().map(action_of).collect() }))
    }
}

impl Response {
    /// Answers as JSON of version 3.0.
    #[must_use]
    pub fn to_json(responses: &[Self], header: &Header) -> String {
        let text = |response: &Self| {
            let (grant_type, until) = match response.grant {
                Grant::Granted { until } => (GrantText::Granted, Some(until)),
                Grant::Queued => (GrantText::Queued, None),
                Grant::Revoked => (GrantText::Revoked, None),
                Grant::Rejected => (GrantText::Rejected, None),
            };
            let lease_expiry = until.map(|until| format!("{until:.3}"));
            ResponseText { request_id: response.request_id.clone(), grant_type, lease_expiry }
        };
        written(&ResponsesText { header: header.clone(), responses: responses.iter().map(text).collect() })
    }

    /// Reads answers.
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type; a grant without an end.
    pub fn from_json(text: &str) -> Result<(Header, Vec<Self>), Malformed> {
        let ResponsesText { header, responses } = serde_json::from_str(text)?;
        let endless =
            || Malformed { what: "a grant has no end that can be read".to_owned(), position: (1, 1) };
        let response = |text: ResponseText| {
            let until = text.lease_expiry.and_then(|time| time.parse().ok());
            let grant = match text.grant_type {
                GrantText::Granted => Grant::Granted { until: until.ok_or_else(endless)? },
                GrantText::Queued => Grant::Queued,
                GrantText::Revoked => Grant::Revoked,
                GrantText::Rejected => Grant::Rejected,
            };
            Ok(Self { request_id: text.request_id, grant })
        };
        Ok((header, responses.into_iter().map(response).collect::<Result<_, Malformed>>()?))
    }
}

/// Strings, numbers and lists: writing them cannot fail.
pub(crate) fn written(text: &impl Serialize) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn node_text(node: &Node, version: Version) -> NodeText {
    let position = |position: &Position| PositionText {
        x: position.x,
        y: position.y,
        theta: position.theta,
        deviation: position.deviation.map(|radius| match version {
            Version::V2 => DeviationText::Radius(radius),
            Version::V3 => DeviationText::Ellipse { a: radius, b: radius, theta: 0.0 },
        }),
        map_id: position.map_id.clone(),
    };
    NodeText {
        node_id: node.node_id.clone(),
        sequence_id: node.sequence_id,
        released: node.released,
        node_position: node.position.as_ref().map(position),
        actions: node.actions.iter().map(|action| action_text(action, version)).collect(),
    }
}

fn node_of(text: NodeText) -> Node {
    let position = |text: PositionText| Position {
        map_id: text.map_id,
        x: text.x,
        y: text.y,
        theta: text.theta,
        deviation: text.deviation.map(|deviation| match deviation {
            DeviationText::Radius(radius) => radius,
            DeviationText::Ellipse { a, b, .. } => a.min(b),
        }),
    };
    Node {
        node_id: text.node_id,
        sequence_id: text.sequence_id,
        released: text.released,
        position: text.node_position.map(position),
        actions: text.actions.into_iter().map(action_of).collect(),
    }
}

fn edge_text(edge: &Edge, version: Version) -> EdgeText {
    let in_2 = version == Version::V2;
    EdgeText {
        edge_id: edge.edge_id.clone(),
        sequence_id: edge.sequence_id,
        released: edge.released,
        start_node_id: in_2.then(|| edge.start_node_id.clone()),
        end_node_id: in_2.then(|| edge.end_node_id.clone()),
        max_speed: edge.max_speed.filter(|_| in_2),
        maximum_speed: edge.max_speed.filter(|_| !in_2),
        length: edge.length,
        actions: edge.actions.iter().map(|action| action_text(action, version)).collect(),
    }
}

fn edge_of(text: EdgeText, before: String, after: String) -> Edge {
    Edge {
        edge_id: text.edge_id,
        sequence_id: text.sequence_id,
        released: text.released,
        start_node_id: text.start_node_id.unwrap_or(before),
        end_node_id: text.end_node_id.unwrap_or(after),
        max_speed: text.max_speed.or(text.maximum_speed),
        length: text.length,
        actions: text.actions.into_iter().map(action_of).collect(),
    }
}

pub(crate) fn blocking_text(blocking: Blocking, version: Version) -> BlockingText {
    match (blocking, version) {
        (Blocking::None, _) => BlockingText::None,
        (Blocking::Soft, _) => BlockingText::Soft,
        (Blocking::Single, Version::V3) => BlockingText::Single,
        (Blocking::Single, Version::V2) | (Blocking::Hard, _) => BlockingText::Hard,
    }
}

fn action_text(action: &Action, version: Version) -> ActionText {
    ActionText {
        action_type: action.action_type.clone(),
        action_id: action.action_id.clone(),
        blocking_type: blocking_text(action.blocking, version),
        action_parameters: action.parameters.iter().map(ParameterText::from).collect(),
    }
}

fn action_of(text: ActionText) -> Action {
    Action {
        action_type: text.action_type,
        action_id: text.action_id,
        blocking: blocking_of(text.blocking_type),
        parameters: text.action_parameters.into_iter().map(Into::into).collect(),
    }
}

pub(crate) const fn blocking_of(text: BlockingText) -> Blocking {
    match text {
        BlockingText::None => Blocking::None,
        BlockingText::Soft => Blocking::Soft,
        BlockingText::Single => Blocking::Single,
        BlockingText::Hard => Blocking::Hard,
    }
}

impl From<&(String, Value)> for ParameterText {
    fn from((key, value): &(String, Value)) -> Self {
        let value = match value {
            Value::Text(text) => Json::from(text.as_str()),
            Value::Number(number) => Json::from(*number),
            Value::Flag(flag) => Json::from(*flag),
        };
        Self { key: key.clone(), value }
    }
}

impl From<ParameterText> for (String, Value) {
    fn from(text: ParameterText) -> Self {
        let value = match text.value {
            Json::String(text) => Value::Text(text),
            Json::Bool(flag) => Value::Flag(flag),
            Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            // Lists and objects are kept as the text that they came as.
            other @ (Json::Null | Json::Array(_) | Json::Object(_)) => Value::Text(other.to_string()),
        };
        (text.key, value)
    }
}
