//! A vehicle's connection: a task that does nothing but poll the library.

use std::sync::Arc;
use std::time::Duration;

use hal_vda5050::{Address, Topic};
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, QoS};
use sim_vehicles::Said;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;

/// The largest message, in bytes: as the master's side.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages of a vehicle that may wait for its connection.
const QUEUE: usize = 64;
/// First and longest pause before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What a vehicle listens to.
const HEARD: [Topic; 4] = [Topic::Order, Topic::InstantActions, Topic::ZoneSet, Topic::Responses];

/// What a connection tells.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The broker has taken the connection.
    Connected,
    /// It is gone; the task connects again.
    Lost,
    /// A message came.
    Message(Topic, Vec<u8>),
}

/// A connection that keeps itself.
#[derive(Debug)]
pub(crate) struct Connection {
    client: AsyncClient,
    address: Address,
    task: AbortHandle,
}

impl Connection {
    /// Begins to connect. At most as many as the gate lets through connect at a time.
    pub(crate) fn open(
        index: usize,
        address: &Address,
        broker: (&str, u16),
        last_will: Said,
        gate: Arc<Semaphore>,
        heard: Sender<(usize, Heard)>,
    ) -> Self {
        let name = format!("takt-sim-{}-{}-{}", std::process::id(), address.manufacturer(), address.serial());
        let mut options = MqttOptions::new(name, broker.0, broker.1);
        options
            .set_keep_alive(Duration::from_secs(15))
            .set_clean_session(true)
            .set_max_packet_size(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
            .set_last_will(LastWill::new(
                address.topic(last_will.topic),
                last_will.text,
                QoS::AtLeastOnce,
                true,
            ));
        let (client, mut event_loop) = AsyncClient::new(options, QUEUE);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let task =
            tokio::spawn(poll(index, address.serial().to_owned(), event_loop, gate, heard)).abort_handle();
        Self { client, address: address.clone(), task }
    }

    /// Asks for what the master says.
    pub(crate) fn subscribe(&self) -> bool {
        let filters =
            HEARD.map(|topic| rumqttc::SubscribeFilter::new(self.address.topic(topic), QoS::AtMostOnce));
        self.client.try_subscribe_many(filters).is_ok()
    }

    /// Publishes; false if the connection is too slow or not there for long.
    pub(crate) fn publish(&self, said: Said) -> bool {
        let retained = said.is_retained();
        let qos = if retained { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        self.client.try_publish(self.address.topic(said.topic), qos, retained, said.text).is_ok()
    }

    /// Says goodbye to the broker, so that it does not publish the last will.
    pub(crate) fn disconnect(&self) {
        let _ = self.client.try_disconnect();
    }

    /// Breaks off without a word: the broker publishes the last will.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.abort();
    }
}

async fn poll(
    index: usize,
    serial: String,
    mut event_loop: EventLoop,
    gate: Arc<Semaphore>,
    heard: Sender<(usize, Heard)>,
) {
    let mut pause = BACKOFF.0;
    let mut leaving = false;
    loop {
        let mut permit = gate.acquire().await.ok();
        loop {
            let event = match event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    permit = None;
                    pause = BACKOFF.0;
                    Heard::Connected
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let topic = publish.topic.rsplit('/').next().and_then(topic_of);
                    let Some(topic) = topic else { continue };
                    Heard::Message(topic, publish.payload.to_vec())
                }
                Ok(event) => {
                    leaving |= matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect));
                    continue;
                }
                Err(_) if leaving => return,
                Err(error) => {
                    tracing::debug!(vehicle = serial, %error, "a simulated vehicle has no connection");
                    break;
                }
            };
            if heard.send((index, event)).await.is_err() {
                return;
            }
        }
        drop(permit);
        if heard.send((index, Heard::Lost)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

fn topic_of(last: &str) -> Option<Topic> {
    HEARD.into_iter().find(|topic| topic.as_str() == last)
}
