//! A subscriber with a persistent session that keeps count of every copy of every message.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hal_mqtt::dedup::{PROPERTY_RESEND, PROPERTY_SEQUENCE};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

/// Copies of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copies {
    /// All.
    pub all: u32,
    /// After the first one, and marked: by us as resent, or by the broker as delivered before (DUP).
    pub marked_again: u32,
    /// Its payload was not the one that belongs to its sequence.
    pub wrong: u32,
}

#[derive(Debug, Default)]
struct Seen {
    copies: BTreeMap<u64, Copies>,
    last_at: Option<Instant>,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Subscriber {
    seen: Arc<Mutex<Seen>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Connects, subscribes with QoS 1, and returns once the broker confirmed.
    pub fn start(broker: SocketAddr, topic: &str) -> std::io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut options = MqttOptions::new("takt-outbox-subscriber", broker.ip().to_string(), broker.port());
        options
            .set_keep_alive(Duration::from_secs(5))
            .set_clean_start(false)
            .set_session_expiry_interval(Some(86_400));
        let (topic, notebook) = (topic.to_owned(), Arc::clone(&seen));
        let thread = thread::Builder::new().name("subscriber".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = listen(options, &topic, &notebook, &ready) => {}
                }
            });
        })?;
        is_ready
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| std::io::Error::other("the subscriber does not get through to the broker"))?;
        Ok(Self { seen, stop: Some(stop), thread: Some(thread) })
    }

    /// All copies of the messages `first..=last`.
    pub fn copies(&self, first: u64, last: u64) -> BTreeMap<u64, Copies> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.copies.range(first..=last).map(|(sequence, copies)| (*sequence, *copies)).collect()
    }

    /// Waits until all messages up to `last` were seen, or none came for `quiet`.
    pub fn wait_for(&self, first: u64, last: u64, quiet: Duration) {
        let started = Instant::now();
        loop {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let is_complete = seen.copies.range(first..=last).count() as u64 == last + 1 - first;
            let quiet_since = seen.last_at.map_or(started, |at| at.max(started));
            drop(seen);
            if is_complete || quiet_since.elapsed() > quiet {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn listen(options: MqttOptions, topic: &str, seen: &Mutex<Seen>, ready: &std::sync::mpsc::Sender<()>) {
    let (client, mut event_loop) = AsyncClient::new(options, 16);
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(connack))) if !connack.session_present => {
                client.try_subscribe(topic, QoS::AtLeastOnce).ok();
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
            Ok(Event::Incoming(Packet::Publish(publish))) => note(&publish, seen),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn note(publish: &Publish, seen: &Mutex<Seen>) {
    let properties = publish.properties.as_ref().map(|properties| properties.user_properties.as_slice());
    let property = |wanted: &str| {
        properties
            .unwrap_or_default()
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let Some(sequence) = property(PROPERTY_SEQUENCE).and_then(|value| value.parse::<u64>().ok()) else {
        return;
    };
    let number = std::str::from_utf8(&publish.payload).ok().and_then(|text| text.trim_end().parse().ok());
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.last_at = Some(Instant::now());
    let copies = seen.copies.entry(sequence).or_default();
    let is_marked = property(PROPERTY_RESEND).is_some() || publish.dup;
    copies.marked_again += u32::from(copies.all > 0 && is_marked);
    copies.wrong += u32::from(number != Some(sequence));
    copies.all += 1;
}
