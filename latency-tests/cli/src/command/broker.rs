//! A client that sends commands, and messages to itself.

use std::net::SocketAddr;

use crossbeam_channel::{Receiver, bounded};
use hal_linux_rt::clock::now;
use hal_units::{Duration, Instant};
use jiff::{SignedDuration, Timestamp};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{self, Event, MqttOptions};
use serde_json::json;

const NAME: &str = "takt-latency";
const ECHO_TOPIC: &str = "takt-latency/echo";
/// The demo's site.
const SITE: &str = "demo";
const LIFETIME: SignedDuration = SignedDuration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Client {
    client: v5::Client,
    echoes: Receiver<Instant>,
}

impl Client {
    /// Connects, and listens to its own messages.
    pub(super) fn connect(broker: SocketAddr) -> Result<Self, String> {
        let name = format!("{NAME}-{}", std::process::id());
        let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
        options.set_clean_start(true);
        let (client, mut connection) = v5::Client::new(options, 64);
        let (echo, echoes) = bounded(1);
        let (ready_in, ready) = bounded(1);
        let subscriber = client.clone();
        std::thread::spawn(move || {
            // Ends with the connection; what fails shows itself as an echo that does not come.
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let _ = subscriber.try_subscribe(ECHO_TOPIC, QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = ready_in.try_send(());
                    }
                    Ok(Event::Incoming(Packet::Publish(_))) => {
                        let _ = echo.try_send(now());
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        let connected = ready.recv_timeout(ANSWER_WITHIN);
        connected.map_err(|_| format!("{broker}: no broker answers"))?;
        Ok(Self { client, echoes })
    }

    /// Publishes a command; when that was.
    pub(super) fn command(&self, unit: &str, name: &str) -> Result<Instant, String> {
        let issued = Timestamp::now();
        let seq = issued.as_microsecond();
        let payload = json!({
            "id": format!("{NAME}-{seq}"),
            "seq": seq,
            "issuer": NAME,
            "issuedAt": issued.to_string(),
            "expiresAt": (issued + LIFETIME).to_string(),
            "body": {},
        });
        let published = now();
        self.publish(&format!("takt/v1/{SITE}/{unit}/cmd/{name}"), payload.to_string())?;
        Ok(published)
    }

    /// Publishes a message as long as a command and waits until it is back; how long that took.
    pub(super) fn echo(&self) -> Result<Duration, String> {
        let published = now();
        self.publish(ECHO_TOPIC, "x".repeat(200))?;
        let back = self.echoes.recv_timeout(ANSWER_WITHIN).map_err(|_| "the broker gave nothing back")?;
        Ok(back.since(published))
    }

    fn publish(&self, topic: &str, payload: String) -> Result<(), String> {
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, payload)
            .map_err(|error| format!("cannot publish: {error}"))
    }
}
