//! Sparkplug B beside our own topics: births, data, deaths, and commands that pass the same gate.
//!
//! # Problem
//!
//! Historians and SCADA systems that speak Sparkplug B learn from births what there is, and from sequence numbers
//! and deaths whether what they hold is still true. And a command of theirs must not be a second, weaker door.
//!
//! # Model
//!
//! After the Eclipse Sparkplug specification 3.0. A site is an *edge node*, each unit a *device* of it:
//!
//! | topic | says |
//! |---|---|
//! | `spBv1.0/{group}/NBIRTH/{node}` | here I am: session number (`bdSeq`), `seq` 0, `Node Control/Rebirth` |
//! | `spBv1.0/{group}/DBIRTH/{node}/{unit}` | all metrics of a unit with their values, and its commands |
//! | `spBv1.0/{group}/DDATA/{node}/{unit}` | metrics that changed |
//! | `spBv1.0/{group}/DDEATH/{node}/{unit}` | the unit's measurements cannot be trusted any more |
//! | `spBv1.0/{group}/NDEATH/{node}` | the node is gone: last will, or told before it goes; the same `bdSeq` |
//! | `spBv1.0/{group}/NCMD/{node}` | to us: `Node Control/Rebirth` true asks for all births anew |
//! | `spBv1.0/{group}/DCMD/{node}/{unit}` | to us: a command |
//!
//! `seq` counts all messages of a session from its birth on, and wraps after 255. `bdSeq` grows with each session, so
//! that a death that comes late is not taken for that of the next session. The two nodes of a pair are one edge
//! node: only the one in office has a session, under one client identifier, and one takes even and the other odd
//! `bdSeq`.
//!
//! # Commands
//!
//! A Sparkplug write carries neither a number nor an expiry, so that one that a broker delivers twice, or late,
//! could not be told from a new one. Such a write is refused. A DCMD instead writes the very JSON of our
//! own topic (`id`, `seq`, `issuer`, `issuedAt`, `expiresAt`, `body`) as text to the metric `Command/{name}`, one in
//! a message: [`command_in`] takes it out, and it goes through the same [gate](crate::command) and journal. It is
//! answered on `takt/v1/{site}/{unit}/cmd/{name}/ack`. What it did shows in the unit's data.
//!
//! Not done: aliases, data sets, templates, and waiting for a primary host's `STATE`.

pub mod payload;

use std::collections::BTreeMap;

use prost::Message as _;

use crate::command::Refusal;
use crate::state::{StateField, StateValue};
use crate::topic::{Name, cut};
use payload::{Metric, Payload, Value};

/// The namespace.
const NAMESPACE: &str = "spBv1.0";
/// The node's control for births.
const REBIRTH: &str = "Node Control/Rebirth";
/// Metrics that are commands begin with it.
const COMMAND: &str = "Command/";
/// The most metrics that are looked at in a message from outside.
const METRICS_MAX: usize = 64;

/// The topics of an edge node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkplugTopics {
    /// Group of edge nodes.
    pub group: Name,
    /// The edge node: the site.
    pub node: Name,
}

impl SparkplugTopics {
    fn of_node(&self, kind: &str) -> String {
        format!("{NAMESPACE}/{}/{kind}/{}", self.group, self.node)
    }

    fn of_device(&self, kind: &str, device: &Name) -> String {
        format!("{NAMESPACE}/{}/{kind}/{}/{device}", self.group, self.node)
    }

    /// Where commands to a device come.
    #[must_use]
    pub fn device_commands(&self, device: &Name) -> String {
        self.of_device("DCMD", device)
    }

    /// Where commands to the node come.
    #[must_use]
    pub fn node_commands(&self) -> String {
        self.of_node("NCMD")
    }

    /// The device whose commands this topic carries.
    #[must_use]
    pub fn parse_device_command<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let device = topic.strip_prefix(&self.of_node("DCMD"))?.strip_prefix('/')?;
        (!device.is_empty() && !device.contains('/')).then_some(device)
    }
}

/// The command of a DCMD: its name, and the payload that our own topic would carry.
///
/// # Errors
/// If it cannot be read, or is a plain write without number and expiry.
pub fn command_in(payload: &[u8], bytes_max: usize) -> Result<(String, String), Refusal> {
    if payload.len() > bytes_max {
        return Err(Refusal::TooLarge { bytes: payload.len(), bytes_max });
    }
    let payload = Payload::decode(payload)
        .map_err(|error| Refusal::Malformed { part: "the Sparkplug payload", what: error.to_string() })?;
    let [metric] = payload.metrics.as_slice() else {
        let what = format!("{} metrics, and a command is one", payload.metrics.len());
        return Err(Refusal::Malformed { part: "the Sparkplug payload", what });
    };
    let name = metric.name.as_deref().unwrap_or_default();
    match (name.strip_prefix(COMMAND), &metric.value) {
        (Some(command), Some(Value::Text(json))) => Ok((command.to_owned(), json.clone())),
        (Some(_) | None, _) => Err(Refusal::BareWrite { metric: cut(name) }),
    }
}

/// A message to publish, QoS 0, not retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkplugMessage {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A device's life as its host knows it.
#[derive(Debug, Clone)]
struct Device {
    fields: Vec<StateField>,
    commands: &'static [&'static str],
    /// What was told last, while it is born.
    told: Option<Vec<StateValue>>,
    /// What is true now; `None` while it cannot be trusted.
    now: Option<Vec<StateValue>>,
}

/// The edge node: a pure state machine.
#[derive(Debug, Clone)]
pub struct EdgeNode {
    topics: SparkplugTopics,
    bd_seq: u8,
    seq: u8,
    connected: bool,
    devices: BTreeMap<Name, Device>,
}

impl EdgeNode {
    /// An edge node whose first session bears `bd_seq`.
    #[must_use]
    pub const fn new(topics: SparkplugTopics, bd_seq: u8) -> Self {
        Self { topics, bd_seq, seq: 0, connected: false, devices: BTreeMap::new() }
    }

    /// Adds a device with its metrics and the commands that it takes.
    #[must_use]
    pub fn with(mut self, name: Name, fields: Vec<StateField>, commands: &'static [&'static str]) -> Self {
        self.devices.insert(name, Device { fields, commands, told: None, now: None });
        self
    }

    /// The number of this session, or of the next one while there is none.
    #[must_use]
    pub const fn bd_seq(&self) -> u8 {
        self.bd_seq
    }

    /// What the broker shall say when the next session is gone.
    #[must_use]
    pub fn will(&self, now_ms: u64) -> SparkplugMessage {
        let metrics = vec![Metric::count("bdSeq", now_ms, self.bd_seq.into())];
        let payload = Payload { timestamp: Some(now_ms), metrics, seq: None };
        SparkplugMessage { topic: self.topics.of_node("NDEATH"), payload: payload.encode_to_vec() }
    }

    /// A session has begun: births of the node and of each device that can be trusted.
    pub fn connected(&mut self, now_ms: u64) -> Vec<SparkplugMessage> {
        self.connected = true;
        self.seq = 0;
        let metrics =
            vec![Metric::count("bdSeq", now_ms, self.bd_seq.into()), Metric::flag(REBIRTH, now_ms, false)];
        let mut messages = vec![self.message("NBIRTH", None, now_ms, metrics)];
        let names: Vec<Name> = self.devices.keys().cloned().collect();
        for name in names {
            if let Some(device) = self.devices.get_mut(&name) {
                device.told = None;
            }
            messages.extend(self.tell(&name, now_ms));
        }
        messages
    }

    /// The session is gone: the next one has another number.
    pub const fn lost(&mut self) {
        if self.connected {
            self.connected = false;
            // By two: the other node of a pair takes those between.
            self.bd_seq = self.bd_seq.wrapping_add(2);
        }
    }

    /// Takes what is true of a device, in the order of its fields; `None` if it cannot be trusted. Says what is to
    /// be told: a birth, what changed by more than its dead band, a death, or nothing.
    pub fn observe(
        &mut self,
        device: &Name,
        values: Option<Vec<StateValue>>,
        now_ms: u64,
    ) -> Option<SparkplugMessage> {
        self.devices.get_mut(device)?.now = values;
        if self.connected { self.tell(device, now_ms) } else { None }
    }

    /// Takes a message to the node; births if a host asks for them.
    pub fn command(&mut self, topic: &str, payload: &[u8], now_ms: u64) -> Vec<SparkplugMessage> {
        let is_ours = self.connected && topic == self.topics.node_commands();
        let Some(payload) = Payload::decode(payload).ok().filter(|_| is_ours) else { return Vec::new() };
        let asks = payload.metrics.iter().take(METRICS_MAX).any(|metric| {
            metric.name.as_deref() == Some(REBIRTH) && metric.value == Some(Value::Boolean(true))
        });
        if asks { self.connected(now_ms) } else { Vec::new() }
    }

    fn tell(&mut self, name: &Name, now_ms: u64) -> Option<SparkplugMessage> {
        let device = self.devices.get_mut(name)?;
        let (kind, metrics) = match (&device.told, &device.now) {
            (None, None) => return None,
            (Some(_), None) => {
                device.told = None;
                ("DDEATH", Vec::new())
            }
            (None, Some(now)) => {
                let values = device.fields.iter().zip(now);
                let mut metrics: Vec<_> =
                    values.map(|(field, value)| Metric::of(field.name, now_ms, *value)).collect();
                let commands = device.commands.iter();
                metrics.extend(commands.map(|name| Metric::writable(&format!("{COMMAND}{name}"), now_ms)));
                device.told = Some(now.clone());
                ("DBIRTH", metrics)
            }
            (Some(told), Some(now)) => {
                let mut next = told.clone();
                let mut metrics = Vec::new();
                for ((field, value), known) in device.fields.iter().zip(now).zip(&mut next) {
                    if value.differs_from(*known, field.dead_band) {
                        *known = *value;
                        metrics.push(Metric::of(field.name, now_ms, *value));
                    }
                }
                if metrics.is_empty() {
                    return None;
                }
                device.told = Some(next);
                ("DDATA", metrics)
            }
        };
        Some(self.message(kind, Some(name), now_ms, metrics))
    }

    fn message(
        &mut self,
        kind: &str,
        device: Option<&Name>,
        now_ms: u64,
        metrics: Vec<Metric>,
    ) -> SparkplugMessage {
        let payload = Payload { timestamp: Some(now_ms), metrics, seq: Some(self.seq.into()) };
        self.seq = self.seq.wrapping_add(1);
        let topic = match device {
            Some(device) => self.topics.of_device(kind, device),
            None => self.topics.of_node(kind),
        };
        SparkplugMessage { topic, payload: payload.encode_to_vec() }
    }
}

#[cfg(test)]
mod tests;
