//! What a vehicle's factsheet says that it can take.

use hal_units::Duration;
use serde::Deserialize;

use crate::Malformed;
use crate::address::Version;
use crate::header::Header;
use crate::order::{Action, InstantActions, Order};
use crate::zone::ZoneSet;

/// Limits of a vehicle; 0 is no limit, as in the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Characters of a name.
    pub id_chars: usize,
    /// Whether names have to be numbers.
    pub id_numerical_only: bool,
    /// Nodes of an order.
    pub nodes: usize,
    /// Edges of an order.
    pub edges: usize,
    /// Actions at a node.
    pub node_actions: usize,
    /// Actions at an edge.
    pub edge_actions: usize,
    /// Parameters of an action.
    pub parameters: usize,
    /// Instant actions of a message.
    pub instant_actions: usize,
    /// Zones of a set, in 3.0.
    pub zones: usize,
    /// Nodes of a base, beyond which the vehicle could not tell of them.
    pub base_nodes: usize,
    /// Characters of the types of actions and the keys of their parameters, in 2.1.
    pub word_chars: usize,
    /// Characters of the serial number in topics.
    pub serial_chars: usize,
    /// Least time between two orders.
    pub order_interval: Duration,
}

/// What is too much for a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// Bytes of the message.
    Message,
    /// A name is too long, or not a number.
    Id,
    /// Too many nodes.
    Nodes,
    /// Too many edges.
    Edges,
    /// Too many actions at one node.
    NodeActions,
    /// Too many actions at one edge.
    EdgeActions,
    /// Too many parameters of one action.
    Parameters,
    /// Too many instant actions.
    InstantActions,
    /// Too many zones.
    Zones,
    /// Too much base.
    BaseNodes,
    /// The type of an action or the key of a parameter is too long.
    Word,
    /// The serial number is too long.
    Serial,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FactsheetText {
    #[serde(flatten)]
    header: Header,
    protocol_limits: LimitsText,
}

#[derive(Deserialize)]
struct LimitsText {
    #[serde(alias = "maxStringLens", alias = "maximumStringLengths", default)]
    strings: StringsText,
    #[serde(alias = "maxArrayLens", alias = "maximumArrayLengths", default)]
    arrays: ArraysText,
    #[serde(default)]
    timing: TimingText,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TimingText {
    #[serde(alias = "minOrderInterval", alias = "minimumOrderInterval")]
    order_interval: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StringsText {
    #[serde(alias = "msgLen", alias = "maximumMessageLength")]
    message: usize,
    #[serde(alias = "idLen", alias = "maximumIdLength")]
    id: usize,
    #[serde(rename = "idNumericalOnly")]
    numerical: bool,
    #[serde(rename = "enumLen")]
    word: usize,
    #[serde(alias = "topicSerialLen", alias = "maximumTopicSerialLength")]
    serial: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ArraysText {
    #[serde(rename = "order.nodes")]
    nodes: usize,
    #[serde(rename = "order.edges")]
    edges: usize,
    #[serde(rename = "node.actions")]
    node_actions: usize,
    #[serde(rename = "edge.actions")]
    edge_actions: usize,
    #[serde(rename = "actions.actionsParameters")]
    parameters: usize,
    #[serde(rename = "instantActions")]
    instant_actions: usize,
    #[serde(rename = "zoneSet.zones")]
    zones: usize,
    #[serde(rename = "state.nodeStates")]
    base_nodes: usize,
}

impl Limits {
    /// Reads the limits of a factsheet.
    ///
    /// # Errors
    /// If the text is no JSON, or has no limits.
    pub fn from_factsheet(text: &str) -> Result<(Header, Self), Malformed> {
        let FactsheetText { header, protocol_limits: LimitsText { strings, arrays, timing } } =
            serde_json::from_str(text)?;
        let limits = Self {
            message_bytes: strings.message,
            id_chars: strings.id,
            id_numerical_only: strings.numerical,
            nodes: arrays.nodes,
            edges: arrays.edges,
            node_actions: arrays.node_actions,
            edge_actions: arrays.edge_actions,
            parameters: arrays.parameters,
            instant_actions: arrays.instant_actions,
            zones: arrays.zones,
            base_nodes: arrays.base_nodes,
            word_chars: strings.word,
            serial_chars: strings.serial,
            order_interval: Duration::try_from_secs_f64(timing.order_interval).unwrap_or_default(),
        };
        Ok((header, limits))
    }

    /// Whether the vehicle can take an order, as the text that is sent.
    ///
    /// # Errors
    /// The first thing that is too much.
    pub fn check(&self, order: &Order, header: &Header, version: Version) -> Result<(), OverLimit> {
        within(order.nodes.len(), self.nodes, OverLimit::Nodes)?;
        within(order.edges.len(), self.edges, OverLimit::Edges)?;
        let base = order.nodes.iter().filter(|node| node.released).count();
        within(base, self.base_nodes, OverLimit::BaseNodes)?;
        within(header.serial_number.chars().count(), self.serial_chars, OverLimit::Serial)?;
        for node in &order.nodes {
            within(node.actions.len(), self.node_actions, OverLimit::NodeActions)?;
        }
        for edge in &order.edges {
            within(edge.actions.len(), self.edge_actions, OverLimit::EdgeActions)?;
        }
        for action in order.actions() {
            self.check_action(action)?;
        }
        let nodes = order.nodes.iter().map(|node| &node.node_id);
        let edges = order.edges.iter().map(|edge| &edge.edge_id);
        let actions = order.actions().map(|action| &action.action_id);
        for id in [&order.order_id].into_iter().chain(nodes).chain(edges).chain(actions) {
            self.check_id(id)?;
        }
        if self.message_bytes == 0 {
            return Ok(());
        }
        within(order.to_json(header, version).len(), self.message_bytes, OverLimit::Message)
    }

    /// Whether the vehicle can take instant actions.
    ///
    /// # Errors
    /// The first thing that is too much.
    pub fn check_instant(&self, actions: &InstantActions) -> Result<(), OverLimit> {
        within(actions.actions.len(), self.instant_actions, OverLimit::InstantActions)?;
        for action in &actions.actions {
            self.check_action(action)?;
            self.check_id(&action.action_id)?;
        }
        Ok(())
    }

    /// Whether the vehicle can take a zone set.
    ///
    /// # Errors
    /// The first thing that is too much.
    pub fn check_zones(&self, zones: &ZoneSet, header: &Header) -> Result<(), OverLimit> {
        within(zones.zones.len(), self.zones, OverLimit::Zones)?;
        for id in
            [&zones.zone_set_id, &zones.map_id].into_iter().chain(zones.zones.iter().map(|z| &z.zone_id))
        {
            self.check_id(id)?;
        }
        within(zones.to_json(header).len(), self.message_bytes, OverLimit::Message)
    }

    fn check_action(&self, action: &Action) -> Result<(), OverLimit> {
        within(action.parameters.len(), self.parameters, OverLimit::Parameters)?;
        let keys = action.parameters.iter().map(|(key, _)| key);
        for word in keys.chain([&action.action_type]) {
            within(word.chars().count(), self.word_chars, OverLimit::Word)?;
        }
        Ok(())
    }

    fn check_id(&self, id: &str) -> Result<(), OverLimit> {
        within(id.chars().count(), self.id_chars, OverLimit::Id)?;
        let numerical = id.chars().all(|character| character.is_ascii_digit());
        if self.id_numerical_only && !numerical { Err(OverLimit::Id) } else { Ok(()) }
    }
}

fn within(count: usize, limit: usize, over: OverLimit) -> Result<(), OverLimit> {
    if limit != 0 && count > limit { Err(over) } else { Ok(()) }
}
