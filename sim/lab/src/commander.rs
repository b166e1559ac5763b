//! Sends commands to units over MQTT and waits for the answers: the other side of the command gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::{SignedDuration, Timestamp};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};
use serde::Deserialize;
use serde_json::{Value, json};

/// Answers that may wait to be read.
const ANSWERS_MAX: usize = 256;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Why commands cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CommanderError {
    /// The broker's address.
    #[error("`{broker}` is no broker\n  remedy: give mqtt://HOST:PORT")]
    Address {
        /// What was given.
        broker: String,
    },
    /// Nobody answers there.
    #[error(
        "{broker}: not connected within {within:?}\n  remedy: check the address, and that the broker runs"
    )]
    NotConnected {
        /// The address.
        broker: String,
        /// How long was waited.
        within: Duration,
    },
    /// The client's queue.
    #[error("the command cannot be sent: {0}")]
    Send(String),
}

/// An answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The command's id.
    pub id: Option<String>,
    /// `accepted`, `executed`, `refused`, `failed` or `expired`.
    pub status: String,
    /// Why, in a word.
    pub reason: Option<String>,
    /// Why, in a sentence.
    pub text: Option<String>,
    /// The term of office under which it was executed.
    pub epoch: Option<u32>,
    /// The cycle that executed it.
    pub cycle: Option<u64>,
}

/// A connection to the broker that sends commands to one site.
pub struct Commander {
    client: Client,
    answers: Receiver<Answer>,
    site: String,
    issuer: String,
    reply_topic: String,
    end: Arc<AtomicBool>,
}

impl Commander {
    /// Connects as `issuer` and waits until answers can arrive.
    ///
    /// # Errors
    /// If the address is none, or no broker answers there.
    pub fn connect(broker: &str, site: &str, issuer: &str, within: Duration) -> Result<Self, CommanderError> {
        let (host, port) = parse(broker).ok_or(CommanderError::Address { broker: broker.to_owned() })?;
        let client_id = format!("{issuer}-{}", std::process::id());
        // Topics under takt/ are the agent's own.
        let reply_topic = format!("takt-replies/{site}/{client_id}");
        let mut options = MqttOptions::new(client_id, host, port);
        options.set_keep_alive(Duration::from_secs(5)).set_clean_start(true);
        let (client, connection) = Client::new(options, 64);
        let (sender, answers) = bounded(ANSWERS_MAX);
        let (ready_in, ready) = bounded(1);
        let end = Arc::new(AtomicBool::new(false));
        let listener = Listener {
            client: client.clone(),
            topic: reply_topic.clone(),
            answers: sender,
            ready: ready_in,
            end: Arc::clone(&end),
        };
        std::thread::Builder::new()
            .name("takt-commander".to_owned())
            .spawn(move || listener.run(connection))
            .map_err(|error| CommanderError::Send(error.to_string()))?;
        let commander =
            Self { client, answers, site: site.to_owned(), issuer: issuer.to_owned(), reply_topic, end };
        match ready.recv_timeout(within) {
            Ok(()) => Ok(commander),
            Err(_) => Err(CommanderError::NotConnected { broker: broker.to_owned(), within }),
        }
    }

    /// Sends a command that is good for `lifetime` from now; returns its id.
    ///
    /// # Errors
    /// If the client's queue is full.
    pub fn send(
        &self,
        unit: &str,
        name: &str,
        body: &Value,
        lifetime: SignedDuration,
    ) -> Result<String, CommanderError> {
        let now = Timestamp::now();
        let seq = now.as_microsecond();
        let id = format!("{}-{seq}", self.issuer);
        let issued_at = if lifetime.is_negative() { now + lifetime * 2 } else { now };
        let payload = json!({
            "id": id,
            "seq": seq,
            "issuer": self.issuer,
            "issuedAt": issued_at.to_string(),
            "expiresAt": (now + lifetime).to_string(),
            "body": body,
        });
        let properties = PublishProperties {
            response_topic: Some(self.reply_topic.clone()),
            correlation_data: Some(id.clone().into_bytes().into()),
            ..PublishProperties::default()
        };
        let topic = format!("takt/v1/{}/{unit}/cmd/{name}", self.site);
        self.client
            .try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload.to_string(), properties)
            .map_err(|error| CommanderError::Send(error.to_string()))?;
        Ok(id)
    }

    /// The next answer, if one comes within `timeout`.
    #[must_use]
    pub fn answer(&self, timeout: Duration) -> Option<Answer> {
        self.answers.recv_timeout(timeout).ok()
    }
}

impl Drop for Commander {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.client.try_disconnect();
    }
}

/// Host and port of `mqtt://HOST:PORT`.
fn parse(broker: &str) -> Option<(String, u16)> {
    let (host, port) = broker.strip_prefix("mqtt://")?.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| (host.trim_matches(['[', ']']).to_owned(), port))
}

struct Listener {
    client: Client,
    topic: String,
    answers: Sender<Answer>,
    ready: Sender<()>,
    end: Arc<AtomicBool>,
}

impl Listener {
    fn run(self, mut connection: Connection) {
        for event in connection.iter() {
            if self.end.load(Ordering::Relaxed) {
                return;
            }
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let _ = self.client.try_subscribe(self.topic.clone(), QoS::AtLeastOnce);
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => {
                    let _ = self.ready.try_send(());
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if let Ok(answer) = serde_json::from_slice(&publish.payload) {
                        let _ = self.answers.try_send(answer);
                    }
                }
                Ok(_) => {}
                Err(_) => std::thread::sleep(RETRY_AFTER),
            }
        }
    }
}

/// A line for the shell that sends the same command with Mosquitto's client.
#[must_use]
pub fn mosquitto_pub(broker: &str, site: &str, unit: &str, name: &str, body: &Value) -> String {
    let (host, port) = parse(broker).unwrap_or_else(|| ("127.0.0.1".to_owned(), 1883));
    format!(
        "mosquitto_pub -h {host} -p {port} -q 1 -t takt/v1/{site}/{unit}/cmd/{name} -m \"{{\\\"id\\\":\\\"$(date +%s%N)\\\",\
         \\\"seq\\\":$(date +%s),\\\"issuer\\\":\\\"you\\\",\\\"issuedAt\\\":\\\"$(date -u +%FT%TZ)\\\",\
         \\\"expiresAt\\\":\\\"$(date -u -d +30sec +%FT%TZ)\\\",\\\"body\\\":{}}}\"",
        body.to_string().replace('"', "\\\"")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        assert_eq!(parse("mqtt://127.0.0.1:1883"), Some(("127.0.0.1".to_owned(), 1883)));
        assert_eq!(parse("mqtt://[::1]:1883"), Some(("::1".to_owned(), 1883)));
        for wrong in ["127.0.0.1:1883", "mqtt://:1883", "mqtt://host", "mqtt://host:0", "mqtt://host:99999"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
