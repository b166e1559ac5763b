//! An operator: a client of the broker that sends commands and collects the answers.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{Client, Event, MqttOptions};
use serde_json::{Value, json};
use sim_broker::EmbeddedBroker;

use crate::agent::WITHIN;

const ANSWERS: &str = "answers/operator";

pub(crate) struct Operator {
    client: Client,
    answers: Receiver<Value>,
    sequence: u64,
}

impl Operator {
    pub(crate) fn at(broker: &EmbeddedBroker) -> Self {
        let address = broker.address();
        let mut options = MqttOptions::new("operator", address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = Client::new(options, 64);
        client.subscribe(ANSWERS, QoS::AtLeastOnce).unwrap();
        let (answers_in, answers) = mpsc::channel();
        let (ready_in, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => ready_in.send(()).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let answer = serde_json::from_slice(&publish.payload).unwrap();
                        if answers_in.send(answer).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        ready.recv_timeout(WITHIN).expect("the broker takes the subscription");
        Self { client, answers, sequence: 0 }
    }

    /// A command that expires `lifetime` from now; negative for one that has expired.
    pub(crate) fn command(&mut self, unit: &str, name: &str, body: &Value, lifetime_s: i64) -> String {
        self.sequence += 1;
        let id = format!("{name}-{}", self.sequence);
        let now = Timestamp::now();
        let expires_at = now + SignedDuration::from_secs(lifetime_s);
        let issued_at = now.min(expires_at - SignedDuration::from_secs(10));
        let payload = json!({
            "id": id,
            "seq": self.sequence,
            "issuer": "operator-7",
            "issuedAt": issued_at.to_string(),
            "expiresAt": expires_at.to_string(),
            "body": body,
        });
        self.publish(unit, name, &payload.to_string());
        id
    }

    pub(crate) fn publish(&self, unit: &str, name: &str, payload: &str) {
        let properties =
            PublishProperties { response_topic: Some(ANSWERS.to_owned()), ..PublishProperties::default() };
        let topic = format!("takt/v1/test-site/{unit}/cmd/{name}");
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload.to_owned(), properties)
            .unwrap();
    }

    pub(crate) fn answer(&self) -> Value {
        self.answers.recv_timeout(WITHIN).expect("an answer")
    }

    /// The next answer, if one comes in time.
    pub(crate) fn answer_within(&self, patience: Duration) -> Option<Value> {
        self.answers.recv_timeout(patience).ok()
    }

    /// The next answers must be these, to this command.
    pub(crate) fn expect(&self, id: &str, statuses: &[&str]) {
        for status in statuses {
            let answer = self.answer();
            assert_eq!((&answer["id"], &answer["status"]), (&json!(id), &json!(status)), "{answer}");
        }
    }

    /// Waits until all of these are executed; none may be refused.
    pub(crate) fn until_all_executed(&self, ids: &[String]) {
        let mut open: std::collections::HashSet<&String> = ids.iter().collect();
        while !open.is_empty() {
            let answer = self.answer();
            assert_ne!(answer["status"], "refused", "{answer}");
            if answer["status"] == "executed" {
                open.retain(|id| answer["id"] != json!(id));
            }
        }
    }
}
