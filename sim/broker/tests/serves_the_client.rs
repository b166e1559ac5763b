//! The agent's MQTT client works with the embedded broker as it does with a real one, also when the broker is
//! gone for a while and comes back without any memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hal_mqtt::client::{BrokerUrl, Delivery};
use hal_mqtt::command::{Command, CommandDesk, CommandGate, GateLimits, Outcome, UnitKind};
use hal_mqtt::log::{FileStorage, Sync};
use hal_mqtt::outbox::{Message, Outbox, OutboxId, OutboxLimits};
use hal_mqtt::topic::{Name, Topics};
use hal_mqtt::{Clock, Mqtt, MqttOptions};
use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{Client, Connection, Event};
use sim_broker::EmbeddedBroker;

const PATIENCE: Duration = Duration::from_secs(20);

fn broker_at(port: u16) -> EmbeddedBroker {
    EmbeddedBroker::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap()
}

fn node(broker: &EmbeddedBroker, folder: &Path) -> Mqtt {
    let name = |text: &str| Name::new(text).unwrap();
    let open = |name: &str| FileStorage::open(&folder.join(name)).unwrap();
    let (outbox, _) =
        Outbox::open(open("outbox"), OutboxLimits::default(), Sync::Disk, OutboxId::draw()).unwrap();
    let unit = UnitKind::Turbine { rated_power: Watts::from_kilowatts(5000.0) };
    let gate = CommandGate::new(GateLimits::default(), BTreeMap::from([(name("wt-01"), unit)]));
    let desk = CommandDesk::open(Topics::new(name("demo")), gate, open("journal")).unwrap();
    let options = MqttOptions {
        presence_topic: Some("takt/v1/demo/node-1/online".to_owned()),
        backoff_max: Duration::from_millis(500),
        ..MqttOptions::new(BrokerUrl::parse(&broker.url()).unwrap(), "node-1")
    };
    let node = Mqtt::start(options, outbox, Some(desk), Clock::system()).unwrap();
    eventually("the node connects", || node.is_connected());
    node
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn listener(broker: &EmbeddedBroker, filter: &str) -> (Client, Connection) {
    let address = broker.address();
    let options = rumqttc::v5::MqttOptions::new("listener", address.ip().to_string(), address.port());
    let (client, mut connection) = Client::new(options, 16);
    client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    while !matches!(next_event(&mut connection), Event::Incoming(Packet::SubAck(_))) {}
    (client, connection)
}

fn next_event(connection: &mut Connection) -> Event {
    connection.recv_timeout(PATIENCE).unwrap().unwrap()
}

fn next_publish(connection: &mut Connection) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = next_event(connection) {
            return publish;
        }
    }
}

#[test]
fn a_command_is_accepted_executed_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker_at(0);
    let node = node(&broker, folder.path());
    let (client, mut connection) = listener(&broker, "answers/op");
    let now = Timestamp::now();
    let payload = format!(
        r#"{{"id":"1","seq":1,"issuer":"op","issuedAt":"{now}","expiresAt":"{}","body":{{"power_limit_kw":2000}}}}"#,
        now + SignedDuration::from_secs(60)
    );
    let properties = PublishProperties {
        response_topic: Some("answers/op".to_owned()),
        correlation_data: Some(vec![1, 2, 3].into()),
        ..PublishProperties::default()
    };
    let topic = "takt/v1/demo/wt-01/cmd/derate";
    client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).unwrap();
    let mut answer = || {
        let publish = next_publish(&mut connection);
        assert_eq!(publish.properties.unwrap().correlation_data.as_deref(), Some(&[1, 2, 3][..]));
        serde_json::from_slice::<serde_json::Value>(&publish.payload).unwrap()["status"].clone()
    };
    assert_eq!(answer(), "accepted");
    let command = node.commands().recv_timeout(PATIENCE).unwrap();
    assert_eq!(command.command, Command::Derate { power_limit: Watts::from_kilowatts(2000.0) });
    node.conclude(command.number, Outcome::Executed(None)).unwrap();
    assert_eq!(answer(), "executed");
}

#[test]
fn a_broker_that_comes_back_without_memory_gets_everything_that_is_open_and_the_latest_state() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker_at(0);
    let port = broker.address().port();
    let node = node(&broker, folder.path());
    node.set_latest("takt/v1/demo/wt-01/state", "running", Delivery::AtLeastOnce).unwrap();
    for number in 0..1000 {
        node.publish(Message::new("events", number.to_string())).unwrap();
    }
    drop(broker);
    eventually("the loss is seen", || !node.is_connected());
    for number in 1000..2000 {
        node.publish(Message::new("events", number.to_string())).unwrap();
    }
    // The port is free as soon as the front's thread has ended.
    let started = Instant::now();
    let broker = loop {
        match EmbeddedBroker::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(broker) => break broker,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    let (_client, mut connection) = listener(&broker, "takt/v1/demo/+/state");
    assert_eq!(&next_publish(&mut connection).payload[..], b"running");
    eventually("everything is acknowledged", || node.status().counters.acknowledged == 2000);
    let status = node.status();
    assert_eq!((status.outbox_entries, status.counters.published), (0, 2000));
}
