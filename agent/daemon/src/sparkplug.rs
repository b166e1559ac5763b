//! The session of the Sparkplug edge node: its link, its births and what is told in between.
//!
//! Commands do not come this way: the desk of `operators` takes them, with all others.

use std::path::{Path, PathBuf};

use hal_mqtt::client::{BrokerUrl, Credentials};
use hal_mqtt::plain::{PlainEvent, PlainLink, PlainOptions, Will};
use hal_mqtt::sparkplug::{EdgeNode, SparkplugMessage, SparkplugTopics};
use hal_mqtt::state::StateValue;
use hal_mqtt::topic::Name;
use hal_units::Instant;

use crate::config::MqttConfig;

/// Messages that may wait: the births of a large site.
const QUEUE: usize = 1024;

/// See the module's head.
pub(crate) struct Session {
    link: PlainLink,
    node: EdgeNode,
    numbers: SessionNumbers,
    /// Whether this node of a pair is the one that speaks.
    active: bool,
}

impl Session {
    /// A session that is not open yet.
    pub(crate) fn new(
        config: &MqttConfig,
        broker: BrokerUrl,
        topics: &SparkplugTopics,
        node: EdgeNode,
        numbers: SessionNumbers,
    ) -> std::io::Result<Self> {
        let credentials =
            config.credentials.clone().map(|(username, password)| Credentials { username, password });
        let link = PlainLink::new(PlainOptions {
            broker,
            // One for both nodes of a pair: the broker throws the last one out, and tells its death.
            client_id: format!("takt-sparkplug-{}-{}", topics.group, topics.node),
            credentials,
            filters: vec![topics.node_commands()],
            last_will: None,
            queue: QUEUE,
        })?;
        Ok(Self { link, node, numbers, active: false })
    }

    /// Opens the session, or ends it: the broker tells its death, because it ends without a farewell.
    pub(crate) fn set_active(&mut self, active: bool, now: Instant, wall_ms: u64) {
        if active == self.active {
            return;
        }
        self.active = active;
        if active {
            self.renew_will(wall_ms);
        } else {
            self.node.lost();
        }
        self.link.set_open(now, active);
    }

    /// One round: what came from the broker.
    pub(crate) fn turn(&mut self, now: Instant, wall_ms: u64) {
        while let Some(event) = self.link.next(now) {
            let messages = match event {
                PlainEvent::Connected => self.node.connected(wall_ms),
                PlainEvent::Lost { reason } => {
                    tracing::warn!(reason, "the Sparkplug session is lost");
                    self.node.lost();
                    self.renew_will(wall_ms);
                    Vec::new()
                }
                PlainEvent::Arrived { topic, payload } => self.node.command(&topic, &payload, wall_ms),
            };
            messages.into_iter().for_each(|message| self.send(message));
        }
    }

    /// What is true of a unit; `None` if its measurements cannot be trusted.
    pub(crate) fn observe(&mut self, unit: &Name, values: Option<Vec<StateValue>>, wall_ms: u64) {
        if let Some(message) = self.node.observe(unit, values, wall_ms) {
            self.send(message);
        }
    }

    /// Ends the session for good.
    pub(crate) fn stop(&mut self, now: Instant, wall_ms: u64) {
        self.set_active(false, now, wall_ms);
    }

    fn renew_will(&mut self, wall_ms: u64) {
        self.numbers.note(self.node.bd_seq());
        let SparkplugMessage { topic, payload } = self.node.will(wall_ms);
        self.link.set_last_will(Will { topic, payload, retain: false });
    }

    fn send(&mut self, message: SparkplugMessage) {
        let SparkplugMessage { topic, payload } = message;
        if !self.link.send(&topic, payload) {
            tracing::warn!(
                topic,
                "a Sparkplug message was dropped; a host sees the gap in seq and asks for births"
            );
        }
    }
}

/// Numbers of sessions (`bdSeq`), kept over restarts: no session bears the number of one shortly before it.
///
/// The nodes of a pair know nothing of each other's sessions, so one takes even and the other odd numbers.
#[derive(Debug)]
pub(crate) struct SessionNumbers {
    path: PathBuf,
    odd: bool,
}

impl SessionNumbers {
    /// Kept in this folder; `odd` for the second node of a pair.
    pub(crate) fn new(state_dir: &Path, odd: bool) -> Self {
        Self { path: state_dir.join("sparkplug-session"), odd }
    }

    /// The number of the next session: the one after the last that is known, or any.
    pub(crate) fn next(&self, wall_ms: u64) -> u8 {
        let last = std::fs::read_to_string(&self.path).ok().and_then(|text| text.trim().parse::<u8>().ok());
        let next = last.map_or((wall_ms / 1000 * 2) as u8, |last| last.wrapping_add(2));
        next & !1 | u8::from(self.odd)
    }

    fn note(&self, number: u8) {
        if let Err(error) = std::fs::write(&self.path, number.to_string()) {
            tracing::warn!(%error, path = %self.path.display(), "the number of a Sparkplug session cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_after_a_restart_bears_the_number_after_the_last_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = SessionNumbers::new(folder.path(), true);
        let first = numbers.next(1_000_000);
        numbers.note(first);
        // As after a reconnection: the number that a clock three seconds later would give.
        numbers.note(first.wrapping_add(6));
        assert_eq!(SessionNumbers::new(folder.path(), true).next(1_003_000), first.wrapping_add(8));
        numbers.note(255);
        assert_eq!(numbers.next(0), 1);
    }
}
