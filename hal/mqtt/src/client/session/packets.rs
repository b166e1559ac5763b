//! PUBLISH packets, and what their acknowledgements mean.

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish, PublishProperties};

use crate::dedup::{PROPERTY_OUTBOX, PROPERTY_RESEND, PROPERTY_SEQUENCE};
use crate::outbox::{Entry, OutboxId, Sequence};

/// What the presence topic says of a client that is there.
pub(super) const ONLINE: &[u8] = br#"{"online":true}"#;
/// What it says of one that left, or, by last will, was lost.
pub(in crate::client) const OFFLINE: &[u8] = br#"{"online":false}"#;
/// What becomes of a publish by the broker's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    Never,
    Later,
}

impl Fate {
    pub(super) const fn of(reason: PubAckReason) -> Self {
        match reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Self::Taken,
            PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PayloadFormatInvalid => Self::Never,
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded => Self::Later,
        }
    }
}

pub(super) fn retained(topic: &str, payload: Bytes, qos: QoS) -> Publish {
    let mut publish = Publish::new(topic, qos, payload, Some(PublishProperties::default()));
    publish.retain = true;
    publish
}

pub(super) fn publish_of(outbox: OutboxId, sequence: Sequence, entry: &Entry) -> Publish {
    let message = &entry.message;
    let properties = PublishProperties {
        message_expiry_interval: message.expiry_s,
        correlation_data: message.correlation.clone(),
        user_properties: vec![
            (PROPERTY_SEQUENCE.to_owned(), sequence.to_string()),
            (PROPERTY_OUTBOX.to_owned(), outbox.to_string()),
        ],
        ..PublishProperties::default()
    };
    let mut publish =
        Publish::new(message.topic.as_str(), QoS::AtLeastOnce, message.payload.clone(), Some(properties));
    publish.retain = message.retain;
    if entry.resend {
        mark_resend(&mut publish);
    }
    publish
}

pub(super) fn mark_resend(publish: &mut Publish) {
    let properties = &mut publish.properties.get_or_insert_default().user_properties;
    if properties.iter().all(|(name, _)| name != PROPERTY_RESEND) {
        properties.push((PROPERTY_RESEND.to_owned(), "1".to_owned()));
    }
}

/// Size on the network; the library leaves out the identifier as long as there is none.
pub(super) fn packet_bytes(publish: &Publish) -> usize {
    publish.size() + 2
}
