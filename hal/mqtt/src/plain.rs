//! A link without memory: for partners who say everything again until it is answered, as VDA 5050 does.
//!
//! # Model
//!
//! MQTT 3.1.1 with QoS 0 and a clean session. The link is open only while its holder wants it to be: two
//! nodes of a pair share one client identifier, so that the broker throws out whoever spoke before
//! (MQTT 3.1.1, section 3.1.4), and only the one in office opens it. What is sent while it is not connected
//! is dropped and counted, never kept: an order of a term that is over must not leave later.

use std::io;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use hal_units::{Duration, Instant};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, LastWill, NetworkOptions, Packet, QoS};
use rumqttc::{MqttOptions as LibraryOptions, SubscribeFilter};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::client::{BrokerUrl, Credentials};

/// The largest message either way, in bytes: a large layout's zone set, or a long order.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// First and longest pause before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Settings of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainOptions {
    /// The broker.
    pub broker: BrokerUrl,
    /// Names this client to the broker; whoever opens a link under it throws the last one out.
    pub client_id: String,
    /// For the broker's access control.
    pub credentials: Option<Credentials>,
    /// What to hear.
    pub filters: Vec<String>,
    /// What the broker says when this client is gone.
    pub last_will: Option<Will>,
    /// Messages that may wait either way.
    pub queue: usize,
}

/// A message that the broker publishes with QoS 1 when the client is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// Its contents.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
}

/// What comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainEvent {
    /// The broker takes and sends messages now.
    Connected,
    /// It does not any more; the link connects again by itself while it is open.
    Lost {
        /// Why, in words.
        reason: String,
    },
    /// A message.
    Arrived {
        /// Its topic.
        topic: String,
        /// Its contents.
        payload: Vec<u8>,
    },
}

/// What the link has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainCounters {
    /// Messages given to the library.
    pub sent: u64,
    /// Messages that were not sent because the link was not connected or too slow.
    pub dropped: u64,
    /// Messages that came.
    pub arrived: u64,
    /// Connections that were lost.
    pub lost: u64,
}

/// A link, closed at first.
#[derive(Debug)]
pub struct PlainLink {
    options: PlainOptions,
    runtime: Runtime,
    events: Receiver<(u64, PlainEvent)>,
    events_in: Sender<(u64, PlainEvent)>,
    /// Counts connections: events of an earlier one are stale.
    number: u64,
    open: Option<(AsyncClient, AbortHandle)>,
    wanted: bool,
    connected: bool,
    retry: (Instant, Duration),
    counters: PlainCounters,
}

impl PlainLink {
    /// Makes the link with a thread of its own for the network; nothing is connected yet.
    ///
    /// # Errors
    /// If the thread cannot be created.
    pub fn new(options: PlainOptions) -> io::Result<Self> {
        let (events_in, events) = bounded(options.queue.max(1));
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(crate::STACK_BYTES)
            .thread_name("takt-plain-net")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self {
            options,
            runtime,
            events,
            events_in,
            number: 0,
            open: None,
            wanted: false,
            connected: false,
            retry: (Instant::ZERO, BACKOFF.0),
            counters: PlainCounters::default(),
        })
    }

    /// Opens the link, or closes it at once.
    pub fn set_open(&mut self, now: Instant, open: bool) {
        if open == self.wanted {
            return;
        }
        self.wanted = open;
        if open {
            self.retry = (now, BACKOFF.0);
            self.connect_if_due(now);
        } else {
            self.drop_connection();
        }
    }

    /// What the broker shall say when the next connection is gone.
    pub fn set_last_will(&mut self, will: Will) {
        self.options.last_will = Some(will);
    }

    /// Whether the broker takes messages.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// What the link has done since it was made.
    #[must_use]
    pub const fn counters(&self) -> PlainCounters {
        self.counters
    }

    /// Sends a message with QoS 0; false if it was dropped.
    pub fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> bool {
        let payload = payload.into();
        let sent = self.connected
            && payload.len() <= MESSAGE_BYTES_MAX
            && self.open.as_ref().is_some_and(|(client, _)| {
                client.try_publish(topic, QoS::AtMostOnce, false, payload).is_ok()
            });
        *(if sent { &mut self.counters.sent } else { &mut self.counters.dropped }) += 1;
        sent
    }

    /// Wakes up when something comes; what it is says [`PlainLink::next`].
    #[must_use]
    pub const fn ready(&self) -> &Receiver<(u64, PlainEvent)> {
        &self.events
    }

    /// The next event that has come, if any. To be called until there is none; connects again when due.
    pub fn next(&mut self, now: Instant) -> Option<PlainEvent> {
        self.connect_if_due(now);
        loop {
            let (number, event) = self.events.try_recv().ok()?;
            if let Some(event) = self.take(now, number, event) {
                return Some(event);
            }
        }
    }

    /// Takes an event that was received from [`PlainLink::ready`].
    pub fn take(&mut self, now: Instant, number: u64, event: PlainEvent) -> Option<PlainEvent> {
        if number != self.number || self.open.is_none() {
            return None;
        }
        match &event {
            PlainEvent::Connected => {
                self.connected = true;
                self.retry.1 = BACKOFF.0;
            }
            PlainEvent::Lost { .. } => {
                self.counters.lost += 1;
                self.drop_connection();
                self.retry = (now + self.retry.1, (self.retry.1 * 2).min(BACKOFF.1));
            }
            PlainEvent::Arrived { .. } => self.counters.arrived += 1,
        }
        Some(event)
    }

    fn drop_connection(&mut self) {
        self.connected = false;
        if let Some((_, task)) = self.open.take() {
            task.abort();
        }
    }

    fn connect_if_due(&mut self, now: Instant) {
        if !self.wanted || self.open.is_some() || now < self.retry.0 {
            return;
        }
        self.number += 1;
        let (client, event_loop) =
            AsyncClient::new(library_options(&self.options), self.options.queue.max(16));
        let filters = self.options.filters.iter();
        let filters = filters.map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtMostOnce));
        // An empty queue takes it.
        let subscribed = client.try_subscribe_many(filters).is_ok();
        debug_assert!(subscribed, "the queue is new");
        let task = self.runtime.spawn(poll(event_loop, self.number, self.events_in.clone()));
        self.open = Some((client, task.abort_handle()));
    }

    /// Ends the thread, without waiting for long.
    pub fn end(mut self) {
        self.drop_connection();
        self.runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    }
}

fn library_options(options: &PlainOptions) -> LibraryOptions {
    let mut library = LibraryOptions::new(&options.client_id, options.broker.host(), options.broker.port());
    library
        .set_keep_alive(std::time::Duration::from_secs(5))
        .set_clean_session(true)
        .set_max_packet_size(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX);
    if let Some(credentials) = &options.credentials {
        library.set_credentials(&credentials.username, &credentials.password);
    }
    if let Some(will) = &options.last_will {
        let payload = will.payload.clone();
        library.set_last_will(LastWill::new(&will.topic, payload, QoS::AtLeastOnce, will.retain));
    }
    library
}

async fn poll(mut event_loop: EventLoop, number: u64, events: Sender<(u64, PlainEvent)>) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    event_loop.set_network_options(network);
    loop {
        let event = match event_loop.poll().await {
            Ok(Event::Incoming(Packet::SubAck(_))) => PlainEvent::Connected,
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                PlainEvent::Arrived { topic: publish.topic, payload: publish.payload.to_vec() }
            }
            Ok(_) => continue,
            Err(error) => {
                tell(&events, number, PlainEvent::Lost { reason: reason(&error) }).await;
                return;
            }
        };
        if !tell(&events, number, event).await {
            return;
        }
    }
}

/// Waits while the holder is behind, and so slows the broker down; false if the holder is gone.
async fn tell(events: &Sender<(u64, PlainEvent)>, number: u64, event: PlainEvent) -> bool {
    let mut event = (number, event);
    loop {
        match events.try_send(event) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(again)) => {
                event = again;
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
    }
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            format!("the broker refused the connection: {code:?}; check client id and credentials")
        }
        error => error.to_string(),
    }
}
