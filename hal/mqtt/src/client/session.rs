//! The session with the broker as a state machine: what to send when, and what an acknowledgement settles.
//!
//! # Model
//!
//! ```text
//!   Waiting -> Connecting -> Resending -> Subscribing -> Flowing -> Closing -> Disconnecting -> Stopped
//!      ^            |            |             |            |
//!      +------------+------------+-------------+------------+   connection lost
//! ```
//!
//! - *Resending* happens only if the broker resumed the session: MQTT 5 (section 4.4) then wants every
//!   unacknowledged publish again, first, with its old packet identifier and the DUP flag. Without a resumed
//!   session they leave later like all others, with new identifiers.
//! - *Flowing* sends the presence, latest values and the outbox, the latter two in turn, within the window:
//!   publishes that were handed to the library or are in flight, never more than the broker's receive maximum.
//!
//! A publish that is *handed* to the library has no packet identifier yet; the library reports identifiers in
//! the order of handing. An acknowledgement names the identifier, and so settles the entry.
//!
//! Each connection gets a new event loop of the library: nothing of its own queues, which are lost or stuck
//! when a session is not resumed, outlives the connection.

mod packets;
mod sending;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hal_units::{Duration, Instant};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};

use super::backoff::Backoff;
use super::latest::Latest;
use super::status::{ConnectionState, MqttCounters};
use crate::log::Storage;
use crate::outbox::{Outbox, Sequence};
pub(super) use packets::OFFLINE;
use packets::{Fate, mark_resend, retained};
pub(super) use wire::{BrokerTerms, NetEvent, Wire};

/// How long a goodbye may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub(super) struct SessionOptions {
    pub(super) window: u16,
    pub(super) filters: Vec<String>,
    pub(super) presence_topic: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) backoff_max: Duration,
}

/// Where the messages come from.
#[derive(Debug)]
pub(super) struct Stock<'a, S> {
    pub(super) outbox: &'a mut Outbox<S>,
    pub(super) latest: &'a mut Latest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Waiting { until: Instant },
    Connecting { until: Instant },
    Resending { limits: Limits },
    Subscribing { limits: Limits, until: Instant },
    Flowing { limits: Limits },
    Closing { until: Instant },
    Disconnecting { until: Instant },
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    resumed: bool,
    window: usize,
    packet_bytes_max: usize,
}

/// What a publish is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Outbox(Sequence),
    Latest(Arc<str>),
    Online,
    Offline,
}

#[derive(Debug, Clone)]
struct Handed {
    item: Item,
    publish: Publish,
    since: Instant,
}

/// Entries and bytes that left the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    options: SessionOptions,
    link: Link,
    connection: ConnectionState,
    backoff: Backoff,
    handed: VecDeque<Handed>,
    /// By packet identifier.
    in_flight: BTreeMap<u16, Handed>,
    /// In flight when the last connection was lost, in the order of sending, with their identifiers.
    unresolved: Vec<Handed>,
    /// The last entry of the outbox that was handed over on this connection.
    cursor: Sequence,
    online_due: bool,
    latest_next: bool,
    released: Released,
    pub(super) counters: MqttCounters,
}

impl Session {
    pub(super) fn new(now: Instant, options: SessionOptions, backoff: Backoff) -> Self {
        let reason = "not yet connected".to_owned();
        Self {
            options,
            link: Link::Waiting { until: now },
            connection: ConnectionState::Disconnected { since: now, failures: 0, reason },
            backoff,
            handed: VecDeque::new(),
            in_flight: BTreeMap::new(),
            unresolved: Vec::new(),
            cursor: Sequence(0),
            online_due: false,
            latest_next: true,
            released: Released::default(),
            counters: MqttCounters::default(),
        }
    }

    /// Takes an event of the present connection. Messages for us are the caller's to handle.
    pub(super) fn handle<S: Storage>(
        &mut self,
        now: Instant,
        event: NetEvent,
        stock: &mut Stock<'_, S>,
        wire: &mut impl Wire,
    ) {
        match event {
            NetEvent::Connected(terms) => self.connected(now, terms, stock, wire),
            NetEvent::Closed { reason, taken_over } => {
                if taken_over {
                    tracing::error!("another client connected with this client id; give each its own");
                }
                self.lost(now, reason, taken_over, wire);
            }
            NetEvent::Sent { packet_id } => self.sent(now, packet_id, stock, wire),
            NetEvent::Acknowledged { packet_id, reason } => {
                self.acknowledged(now, packet_id, reason, stock, wire);
            }
            NetEvent::Subscribed { filters_refused } => self.subscribed(now, filters_refused),
            NetEvent::Arrived(_) => {}
            NetEvent::Disconnected => self.stopped(wire),
        }
    }

    /// Does what is due by time, and sends what there is room for.
    pub(super) fn step<S: Storage>(&mut self, now: Instant, stock: &mut Stock<'_, S>, wire: &mut impl Wire) {
        match self.link {
            Link::Waiting { until } if now >= until => {
                self.link = Link::Connecting { until: now + self.options.connect_timeout * 2 };
                wire.connect(self.unresolved.iter().map(|flying| flying.publish.clone()).collect());
            }
            Link::Connecting { until } if now >= until => {
                self.lost(now, "connecting took too long".to_owned(), false, wire);
            }
            Link::Subscribing { until, .. } if now >= until => {
                self.lost(now, "the broker did not answer the subscription".to_owned(), false, wire);
            }
            Link::Resending { .. } | Link::Flowing { .. } | Link::Subscribing { .. } => {
                if self
                    .oldest_unacknowledged()
                    .is_some_and(|since| now.since(since) >= self.options.ack_timeout)
                {
                    self.lost(now, "the broker owes an acknowledgement".to_owned(), false, wire);
                }
            }
            Link::Closing { until } if now >= until => self.say_goodbye(now, wire),
            Link::Disconnecting { until } if now >= until => self.stopped(wire),
            Link::Waiting { .. }
            | Link::Connecting { .. }
            | Link::Closing { .. }
            | Link::Disconnecting { .. }
            | Link::Stopped => {}
        }
        self.send_while_room(now, stock, wire);
    }

    /// When [`step`](Self::step) is due without an event; the outbox and the latest values apart.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Waiting { until }
            | Link::Connecting { until }
            | Link::Closing { until }
            | Link::Disconnecting { until }
            | Link::Subscribing { until, .. } => Some(until),
            Link::Resending { .. } | Link::Flowing { .. } => {
                self.oldest_unacknowledged().map(|since| since + self.options.ack_timeout)
            }
            Link::Stopped => None,
        }
    }

    /// Begins to leave: the presence says so, then the broker is told; both until `until` at the latest.
    pub(super) fn stop(&mut self, now: Instant, until: Instant, wire: &mut impl Wire) {
        let Link::Flowing { .. } = self.link else { return self.stopped(wire) };
        match self.options.presence_topic.clone() {
            Some(topic) => {
                self.link = Link::Closing { until };
                let publish = retained(&topic, Bytes::from_static(OFFLINE), QoS::AtLeastOnce);
                self.hand(now, Item::Offline, publish, wire);
            }
            None => self.say_goodbye(now, wire),
        }
    }

    pub(super) const fn is_stopped(&self) -> bool {
        matches!(self.link, Link::Stopped)
    }

    pub(super) const fn connection(&self) -> &ConnectionState {
        &self.connection
    }

    /// What left the outbox since the last call.
    pub(super) fn take_released(&mut self) -> Released {
        std::mem::take(&mut self.released)
    }

    fn connected<S: Storage>(
        &mut self,
        now: Instant,
        terms: BrokerTerms,
        stock: &mut Stock<'_, S>,
        wire: &mut impl Wire,
    ) {
        let Link::Connecting { .. } = self.link else { return };
        self.counters.connects += 1;
        self.counters.resumed += u64::from(terms.resumed);
        let limits = Limits {
            resumed: terms.resumed,
            window: usize::from(self.options.window.min(terms.receive_max).max(1)),
            packet_bytes_max: terms.packet_bytes_max,
        };
        self.cursor = Sequence(0);
        self.online_due = self.options.presence_topic.is_some();
        stock.latest.all_due();
        let unresolved = std::mem::take(&mut self.unresolved);
        let must_resend = terms.resumed && !unresolved.is_empty();
        self.link = Link::Resending { limits };
        if !terms.takes_qos_1 {
            self.lost(
                now,
                "the broker takes QoS 0 only, and nothing durable can be sent".to_owned(),
                false,
                wire,
            );
        } else if must_resend && unresolved.len() > limits.window {
            // They left before the broker's limit was known. Without identifiers they leave one by one.
            self.lost(now, "the broker takes fewer publishes at once than before".to_owned(), false, wire);
        } else if must_resend {
            for mut flying in unresolved {
                flying.since = now;
                self.counters.resent += u64::from(matches!(flying.item, Item::Outbox(_)));
                self.in_flight.insert(flying.publish.pkid, flying);
            }
        } else {
            self.subscribe(now, limits, wire);
        }
    }

    fn subscribe(&mut self, now: Instant, limits: Limits, wire: &mut impl Wire) {
        if self.options.filters.is_empty() {
            return self.flow(now, limits, 0);
        }
        self.link = Link::Subscribing { limits, until: now + self.options.ack_timeout };
        if !wire.subscribe(&self.options.filters) {
            self.lost(now, "the subscription could not be handed over".to_owned(), false, wire);
        }
    }

    fn subscribed(&mut self, now: Instant, filters_refused: usize) {
        let Link::Subscribing { limits, .. } = self.link else { return };
        self.backoff.after_success();
        if filters_refused > 0 {
            tracing::error!(
                filters_refused,
                "the broker refuses subscriptions to commands; check its access control"
            );
        }
        self.flow(now, limits, filters_refused);
    }

    fn flow(&mut self, now: Instant, limits: Limits, filters_refused: usize) {
        self.link = Link::Flowing { limits };
        self.connection = ConnectionState::Connected { since: now, resumed: limits.resumed, filters_refused };
    }

    fn acknowledged<S: Storage>(
        &mut self,
        now: Instant,
        packet_id: u16,
        reason: PubAckReason,
        stock: &mut Stock<'_, S>,
        wire: &mut impl Wire,
    ) {
        let Some(flying) = self.in_flight.remove(&packet_id) else { return };
        self.backoff.after_success();
        let fate = Fate::of(reason);
        if fate == Fate::Later {
            // The entry stays; so does its place among those that are sent again.
            self.in_flight.insert(packet_id, flying);
            return self.lost(now, format!("the broker cannot take a publish now: {reason:?}"), true, wire);
        }
        match flying.item {
            Item::Outbox(sequence) if fate == Fate::Taken => {
                self.counters.acknowledged += 1;
                self.settle(sequence, stock);
            }
            Item::Outbox(sequence) => self.reject(sequence, &format!("{reason:?}"), stock),
            Item::Latest(topic) => {
                if fate == Fate::Never {
                    tracing::error!(%topic, ?reason, "the broker refuses a latest value");
                }
                stock.latest.delivered(&topic);
            }
            Item::Online => {}
            Item::Offline => self.say_goodbye(now, wire),
        }
        if let Link::Resending { limits } = self.link
            && self.in_flight.is_empty()
        {
            self.subscribe(now, limits, wire);
        }
    }

    /// The broker will never take it: keeping it would hold up all others.
    fn reject<S: Storage>(&mut self, sequence: Sequence, why: &str, stock: &mut Stock<'_, S>) {
        let topic = stock.outbox.get(sequence).map(|entry| entry.message.topic.as_str()).unwrap_or_default();
        tracing::error!(%sequence, topic, why, "the broker rejects a message; it is given up");
        self.counters.rejected += 1;
        self.settle(sequence, stock);
    }

    fn settle<S: Storage>(&mut self, sequence: Sequence, stock: &mut Stock<'_, S>) {
        if let Some(message) = stock.outbox.settle(sequence) {
            self.released.entries += 1;
            self.released.bytes += message.outbox_bytes();
        }
    }

    /// `slowly`: it would not help to come back at once.
    fn lost(&mut self, now: Instant, reason: String, slowly: bool, wire: &mut impl Wire) {
        wire.close();
        match self.link {
            Link::Stopped | Link::Waiting { .. } => return,
            Link::Closing { .. } | Link::Disconnecting { .. } => return self.stopped(wire),
            // The attempt did not touch what the last connection left.
            Link::Connecting { .. } => {}
            Link::Resending { .. } | Link::Subscribing { .. } | Link::Flowing { .. } => {
                self.counters.disconnects += 1;
                self.keep_unresolved();
            }
        }
        let pause = self.backoff.after_failure();
        let pause = if slowly { self.options.backoff_max } else { pause };
        tracing::info!(%reason, pause_ms = pause.as_millis(), "no connection to the broker");
        let since = match &self.connection {
            ConnectionState::Disconnected { since, .. } => *since,
            ConnectionState::Connected { .. } => now,
        };
        self.connection = ConnectionState::Disconnected { since, failures: self.backoff.failures(), reason };
        self.link = Link::Waiting { until: now + pause };
    }

    fn keep_unresolved(&mut self) {
        // What was handed over and got no identifier is sent as new: the outbox knows that it may have left.
        self.handed.clear();
        let mut unresolved: Vec<_> = std::mem::take(&mut self.in_flight).into_values().collect();
        unresolved.sort_by_key(|flying| (flying.since, outbox_order(&flying.item)));
        for flying in &mut unresolved {
            flying.publish.dup = true;
            if let Item::Outbox(_) = flying.item {
                mark_resend(&mut flying.publish);
            }
        }
        self.unresolved = unresolved;
    }

    fn say_goodbye(&mut self, now: Instant, wire: &mut impl Wire) {
        self.link = Link::Disconnecting { until: now + DISCONNECT_TIMEOUT };
        if !wire.disconnect() {
            self.stopped(wire);
        }
    }

    fn stopped(&mut self, wire: &mut impl Wire) {
        wire.close();
        self.link = Link::Stopped;
    }

    fn oldest_unacknowledged(&self) -> Option<Instant> {
        let handed = self.handed.front().map(|handed| handed.since);
        let flying = self.in_flight.values().map(|flying| flying.since).min();
        handed.into_iter().chain(flying).min()
    }
}

/// Entries that were handed over at the same instant keep their order.
const fn outbox_order(item: &Item) -> u64 {
    match item {
        Item::Online => 0,
        Item::Outbox(sequence) => sequence.0,
        Item::Latest(_) | Item::Offline => u64::MAX,
    }
}

#[cfg(test)]
mod tests;
