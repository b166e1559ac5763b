//! The connection itself: one task per connection that does nothing but poll the library's event loop.
//!
//! Publishing from the task that polls would deadlock as soon as the library's request channel is full, so all
//! requests come from the worker's thread, which never waits: the channel holds more than the window and the
//! unacknowledged arrivals together.
//!
//! Polling is not cancelled while the connection lives: the library may lose a packet by that. Arrivals are
//! acknowledged by hand, after they were dealt with; the library's own acknowledgements can get lost.

use std::io;

use crossbeam_channel::Sender;
use hal_units::Duration;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, DisconnectReasonCode, Filter, LastWill, Packet, Publish, RetainForwardRule,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Request, StateError};
use rumqttc::{NetworkOptions, Outgoing};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::options::MqttOptions;
use super::session::{BrokerTerms, NetEvent, OFFLINE, Wire};

/// The largest packet that the broker may send, in bytes; it drops larger ones (MQTT 5, section 3.1.2.11.4).
const INCOMING_BYTES_MAX: u32 = 64 * 1024;
/// Arrivals that the broker may send without an acknowledgement.
const RECEIVE_MAX: u16 = 64;
/// The largest packet of MQTT, in bytes (section 2.1.4).
const PACKET_BYTES_MAX: usize = 268_435_455 + 5;

/// An event, and the connection that it belongs to.
pub(super) type Numbered = (u64, NetEvent);

/// The library's side of the session.
#[derive(Debug)]
pub(super) struct Network {
    runtime: Runtime,
    options: MqttOptions,
    events: Sender<Numbered>,
    /// Counts connections: events of an earlier one are stale.
    number: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    client: AsyncClient,
    task: AbortHandle,
}

impl Network {
    pub(super) fn new(options: MqttOptions, events: Sender<Numbered>) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(crate::STACK_BYTES)
            .thread_name("takt-mqtt-net")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self { runtime, options, events, number: 0, open: None })
    }

    /// Number of the present connection.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Acknowledges an arrival of the present connection; false if the library does not take it.
    pub(super) fn acknowledge(&self, publish: &Publish) -> bool {
        self.open.as_ref().is_some_and(|open| open.client.try_ack(publish).is_ok())
    }

    /// Ends the thread, without waiting for long.
    pub(super) fn end(mut self) {
        self.close();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Wire for Network {
    fn connect(&mut self, resends: Vec<Publish>) {
        self.close();
        self.number += 1;
        let requests = usize::from(self.options.window) + 2 * usize::from(RECEIVE_MAX) + 16;
        let (client, mut event_loop) = AsyncClient::new(library_options(&self.options), requests);
        // The library sends them first if the session is resumed, and drops them if not.
        event_loop.pending = resends.into_iter().map(Request::Publish).collect();
        let reporter = Reporter { events: self.events.clone(), number: self.number, is_closed: false };
        let task = self.runtime.spawn(poll(event_loop, reporter)).abort_handle();
        self.open = Some(Open { client, task });
    }

    fn publish(&mut self, publish: Publish) -> bool {
        let Some(open) = &self.open else { return false };
        let Publish { qos, retain, topic, payload, properties, .. } = publish;
        let Ok(topic) = std::str::from_utf8(&topic) else { return false };
        let properties = properties.unwrap_or_default();
        open.client.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
    }

    fn subscribe(&mut self, filters: &[String]) -> bool {
        let Some(open) = &self.open else { return false };
        let filters = filters.iter().map(|path| Filter {
            // A retained command is refused; do not even ask for it.
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::new(path, QoS::AtLeastOnce)
        });
        open.client.try_subscribe_many(filters).is_ok()
    }

    fn disconnect(&mut self) -> bool {
        self.open.as_ref().is_some_and(|open| open.client.try_disconnect().is_ok())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.task.abort();
        }
    }
}

fn library_options(options: &MqttOptions) -> rumqttc::v5::MqttOptions {
    let host = options.broker.host();
    let mut library = rumqttc::v5::MqttOptions::new(&options.client_id, host, options.broker.port());
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = u32::try_from(options.session_expiry.as_secs()).ok();
    properties.receive_maximum = Some(RECEIVE_MAX);
    properties.max_packet_size = Some(INCOMING_BYTES_MAX);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    library
        .set_connect_properties(properties)
        .set_keep_alive(options.keep_alive)
        .set_clean_start(false)
        .set_manual_acks(true)
        .set_connection_timeout(options.connect_timeout.as_secs())
        .set_outgoing_inflight_upper_limit(options.window)
        .set_network_options(network);
    if let Some(credentials) = &options.credentials {
        library.set_credentials(&credentials.username, &credentials.password);
    }
    if let Some(topic) = &options.presence_topic {
        library.set_last_will(LastWill::new(topic, OFFLINE, QoS::AtLeastOnce, true, None));
    }
    library
}

/// Passes events on, and says that the connection ended whatever ends the task: a panic of the library, too.
struct Reporter {
    events: Sender<Numbered>,
    number: u64,
    is_closed: bool,
}

impl Reporter {
    /// Waits while the worker is behind, and so slows the broker down; false if the worker is gone.
    fn report(&mut self, event: NetEvent) -> bool {
        self.is_closed |= matches!(event, NetEvent::Closed { .. });
        self.events.send((self.number, event)).is_ok()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.is_closed {
            let reason = "the connection's task ended".to_owned();
            self.events.try_send((self.number, NetEvent::Closed { reason, taken_over: false })).ok();
        }
    }
}

async fn poll(mut event_loop: EventLoop, mut reporter: Reporter) {
    loop {
        match event_loop.poll().await {
            Ok(event) => {
                if let Some(event) = translate(event)
                    && !reporter.report(event)
                {
                    return;
                }
            }
            Err(error) => {
                // What came before the error in the same read was not yielded: acknowledgements, mostly.
                for event in event_loop.state.events.drain(..).filter_map(translate) {
                    if !reporter.report(event) {
                        return;
                    }
                }
                reporter.report(closed(&error));
                return;
            }
        }
    }
}

fn closed(error: &ConnectionError) -> NetEvent {
    let (reason, taken_over) = match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            let taken_over = *reason_code == DisconnectReasonCode::SessionTakenOver;
            (format!("the broker closed the connection: {reason_code:?}"), taken_over)
        }
        ConnectionError::ConnectionRefused(code) => {
            (format!("the broker refused the connection: {code:?}; check client id and credentials"), false)
        }
        error => (error.to_string(), false),
    };
    NetEvent::Closed { reason, taken_over }
}

fn translate(event: Event) -> Option<NetEvent> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(NetEvent::Connected(terms(&connack))),
        Event::Incoming(Packet::PubAck(ack)) => {
            Some(NetEvent::Acknowledged { packet_id: ack.pkid, reason: ack.reason })
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
            Some(NetEvent::Subscribed { filters_refused: ack.return_codes.iter().filter(refused).count() })
        }
        Event::Incoming(Packet::Publish(publish)) => Some(NetEvent::Arrived(Box::new(publish))),
        Event::Outgoing(Outgoing::Publish(packet_id)) => Some(NetEvent::Sent { packet_id }),
        Event::Outgoing(Outgoing::Disconnect) => Some(NetEvent::Disconnected),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

fn terms(connack: &ConnAck) -> BrokerTerms {
    let properties = connack.properties.as_ref();
    // What the broker does not say has the default of MQTT 5, section 3.2.2.3.
    BrokerTerms {
        resumed: connack.session_present,
        receive_max: properties.and_then(|properties| properties.receive_max).unwrap_or(u16::MAX),
        packet_bytes_max: properties
            .and_then(|properties| properties.max_packet_size)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(PACKET_BYTES_MAX),
        takes_qos_1: properties.and_then(|properties| properties.max_qos) != Some(0),
    }
}
