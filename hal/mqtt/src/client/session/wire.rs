//! What lies between the session and the library: requests one way, events the other.

use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};

/// The library, as the session sees it. Nothing here waits.
pub(in crate::client) trait Wire {
    /// Starts a connection with a new event loop; `resends` leave first if the session is resumed.
    fn connect(&mut self, resends: Vec<Publish>);
    /// Hands over a publish; false if the library does not take it.
    fn publish(&mut self, publish: Publish) -> bool;
    /// Asks for the filters; false if the library does not take it.
    fn subscribe(&mut self, filters: &[String]) -> bool;
    /// Says goodbye; false if the library does not take it.
    fn disconnect(&mut self) -> bool;
    /// Drops the connection, if there is one.
    fn close(&mut self);
}

/// What happens on a connection.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::client) enum NetEvent {
    /// The broker took the connection.
    Connected(BrokerTerms),
    /// The connection, or the attempt, ended.
    Closed { reason: String, taken_over: bool },
    /// The publish that was handed over earliest got this identifier and was sent; 0 for QoS 0.
    Sent { packet_id: u16 },
    /// The broker answered a QoS 1 publish.
    Acknowledged { packet_id: u16, reason: PubAckReason },
    /// The broker answered the subscription.
    Subscribed { filters_refused: usize },
    /// A message for us.
    Arrived(Box<Publish>),
    /// Our goodbye was sent.
    Disconnected,
}

/// What the broker said when it took the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) struct BrokerTerms {
    pub(in crate::client) resumed: bool,
    pub(in crate::client) receive_max: u16,
    pub(in crate::client) packet_bytes_max: usize,
    pub(in crate::client) takes_qos_1: bool,
}
