//! What leaves next, within the window; and which identifier it got.

use bytes::Bytes;
use hal_units::Instant;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;

use super::packets::{ONLINE, packet_bytes, publish_of, retained};
use super::{Handed, Item, Limits, Link, Session, Stock, Wire};
use crate::client::latest::Delivery;
use crate::log::Storage;

impl Session {
    pub(super) fn send_while_room<S: Storage>(
        &mut self,
        now: Instant,
        stock: &mut Stock<'_, S>,
        wire: &mut impl Wire,
    ) {
        while let Link::Flowing { limits } = self.link
            && self.handed.len() + self.in_flight.len() < limits.window
        {
            let Some((item, publish)) = self.next(limits, stock) else { return };
            self.hand(now, item, publish, wire);
        }
    }

    /// The next publish: the presence, then latest values and the outbox in turn.
    fn next<S: Storage>(&mut self, limits: Limits, stock: &mut Stock<'_, S>) -> Option<(Item, Publish)> {
        if std::mem::take(&mut self.online_due)
            && let Some(topic) = &self.options.presence_topic
        {
            return Some((Item::Online, retained(topic, Bytes::from_static(ONLINE), QoS::AtLeastOnce)));
        }
        self.latest_next = !self.latest_next;
        if self.latest_next {
            self.next_of_latest(limits, stock).or_else(|| self.next_of_outbox(limits, stock))
        } else {
            self.next_of_outbox(limits, stock).or_else(|| self.next_of_latest(limits, stock))
        }
    }

    fn next_of_latest<S: Storage>(
        &mut self,
        limits: Limits,
        stock: &mut Stock<'_, S>,
    ) -> Option<(Item, Publish)> {
        loop {
            let value = stock.latest.take_due()?;
            let qos = match value.delivery {
                Delivery::AtMostOnce => QoS::AtMostOnce,
                Delivery::AtLeastOnce => QoS::AtLeastOnce,
            };
            let publish = retained(&value.topic, value.payload, qos);
            if packet_bytes(&publish) <= limits.packet_bytes_max {
                self.counters.latest_sent += 1;
                return Some((Item::Latest(value.topic), publish));
            }
            tracing::error!(topic = %value.topic, "a latest value is larger than the broker takes");
            stock.latest.delivered(&value.topic);
        }
    }

    fn next_of_outbox<S: Storage>(
        &mut self,
        limits: Limits,
        stock: &mut Stock<'_, S>,
    ) -> Option<(Item, Publish)> {
        loop {
            let (sequence, entry) = stock.outbox.next_to_send(self.cursor)?;
            self.cursor = sequence;
            let publish = publish_of(stock.outbox.id(), sequence, entry);
            if packet_bytes(&publish) <= limits.packet_bytes_max {
                let counter =
                    if entry.resend { &mut self.counters.resent } else { &mut self.counters.published };
                *counter += 1;
                stock.outbox.mark_sent(sequence);
                return Some((Item::Outbox(sequence), publish));
            }
            self.reject(sequence, "it is larger than the broker takes", stock);
        }
    }

    pub(super) fn hand(&mut self, now: Instant, item: Item, publish: Publish, wire: &mut impl Wire) {
        self.handed.push_back(Handed { item, publish: publish.clone(), since: now });
        if !wire.publish(publish) {
            self.lost(now, "a publish could not be handed over".to_owned(), false, wire);
        }
    }

    pub(super) fn sent<S: Storage>(
        &mut self,
        now: Instant,
        packet_id: u16,
        stock: &mut Stock<'_, S>,
        wire: &mut impl Wire,
    ) {
        // What is resent was not handed over and has its identifier.
        if let Link::Resending { .. } = self.link {
            return;
        }
        let Some(mut handed) = self.handed.pop_front() else { return };
        if packet_id == 0 {
            if let Item::Latest(topic) = &handed.item {
                stock.latest.delivered(topic);
            }
            return;
        }
        handed.publish.pkid = packet_id;
        if self.in_flight.insert(packet_id, handed).is_some() {
            self.lost(now, "a packet identifier was used twice".to_owned(), false, wire);
        }
    }
}
