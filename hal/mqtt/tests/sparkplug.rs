//! The Sparkplug edge node against a real Mosquitto: births, data, death by last will, rebirth, commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mosquitto.rs"]
mod mosquitto;
mod support;

use std::path::Path;
use std::time::{Duration, Instant as Clock};

use hal_mqtt::client::BrokerUrl;
use hal_mqtt::command::{Command, Outcome};
use hal_mqtt::plain::{PlainEvent, PlainLink, Will};
use hal_mqtt::sparkplug::payload::{Metric, Payload, Value};
use hal_mqtt::sparkplug::{EdgeNode, SparkplugTopics};
use hal_mqtt::state::{StateField, StateValue};
use hal_mqtt::{Mqtt, MqttOptions};
use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};
use mosquitto::Mosquitto;
use prost::Message as _;
use support::{PATIENCE, desk_of_a_turbine, link, name, next, open};

fn topics() -> SparkplugTopics {
    SparkplugTopics { group: name("wind"), node: name("north") }
}

fn edge_node() -> EdgeNode {
    let fields = vec![StateField { name: "power_kw", dead_band: 25.0 }];
    EdgeNode::new(topics(), 0).with(name("wt-01"), fields, &["derate", "stop"])
}

/// What a host hears next.
#[track_caller]
fn heard(host: &mut PlainLink) -> (String, Payload) {
    match next(host) {
        PlainEvent::Arrived { topic, payload } => (topic, Payload::decode(payload.as_slice()).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn values(power_kw: f64) -> Option<Vec<StateValue>> {
    Some(vec![StateValue::Number(power_kw)])
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_host_sees_births_data_a_rebirth_and_a_death_that_bears_the_session_s_number() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let mut host = link(&broker.url(), "host", &["spBv1.0/wind/+/north", "spBv1.0/wind/+/north/#"]);
    open(&mut host);
    let mut node = edge_node();
    let mut session = link(&broker.url(), "north", &["spBv1.0/wind/NCMD/north"]);
    let will = node.will(1);
    session.set_last_will(Will { topic: will.topic, payload: will.payload, retain: false });
    open(&mut session);
    for message in node.connected(1) {
        assert!(session.send(&message.topic, message.payload));
    }
    for power_kw in [100.0, 900.0] {
        let message = node.observe(&name("wt-01"), values(power_kw), 2).unwrap();
        assert!(session.send(&message.topic, message.payload));
    }
    let told: Vec<_> = (0..3).map(|_| heard(&mut host)).collect();
    let seen: Vec<_> = told.iter().map(|(topic, payload)| (topic.as_str(), payload.seq)).collect();
    let expected = [
        ("spBv1.0/wind/NBIRTH/north", Some(0)),
        ("spBv1.0/wind/DBIRTH/north/wt-01", Some(1)),
        ("spBv1.0/wind/DDATA/north/wt-01", Some(2)),
    ];
    assert_eq!(seen, expected);

    let ask = Payload {
        timestamp: Some(3),
        metrics: vec![Metric::flag("Node Control/Rebirth", 3, true)],
        seq: None,
    };
    assert!(host.send("spBv1.0/wind/NCMD/north", ask.encode_to_vec()));
    let (topic, payload) = match next(&mut session) {
        PlainEvent::Arrived { topic, payload } => (topic, payload),
        other => panic!("{other:?}"),
    };
    for message in node.command(&topic, &payload, 4) {
        assert!(session.send(&message.topic, message.payload));
    }
    // The host hears its own order, then both births.
    let told: Vec<_> = (0..3).map(|_| heard(&mut host).0).collect();
    assert_eq!(told[1..], ["spBv1.0/wind/NBIRTH/north", "spBv1.0/wind/DBIRTH/north/wt-01"]);

    drop(session);
    let (topic, payload) = heard(&mut host);
    assert_eq!((topic.as_str(), payload.seq), ("spBv1.0/wind/NDEATH/north", None));
    assert_eq!(payload.metrics[0].value, Some(Value::Long(0)));
}

/// A node that takes commands to one turbine of 5 MW, Sparkplug's too.
fn commanded(broker: &Mosquitto, folder: &Path) -> Mqtt {
    let (outbox, desk) = desk_of_a_turbine(folder);
    let options = MqttOptions::new(BrokerUrl::parse(&broker.url()).unwrap(), "node-1");
    let node =
        Mqtt::start(options, outbox, Some(desk.with_sparkplug(topics())), hal_mqtt::Clock::system()).unwrap();
    let deadline = Clock::now() + PATIENCE;
    while !node.is_connected() {
        assert!(Clock::now() < deadline, "the node does not connect");
        std::thread::sleep(Duration::from_millis(5));
    }
    node
}

fn dcmd(metric: &str, value: Value) -> Vec<u8> {
    let mut metric = Metric::writable(metric, 1);
    metric.value = Some(value);
    Payload { timestamp: Some(1), metrics: vec![metric], seq: None }.encode_to_vec()
}

#[track_caller]
fn answer(host: &mut PlainLink) -> serde_json::Value {
    match next(host) {
        PlainEvent::Arrived { topic, payload } => {
            assert_eq!(topic, "takt/v1/north/wt-01/cmd/derate/ack");
            serde_json::from_slice(&payload).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_sparkplug_command_passes_the_same_gate_is_carried_out_once_and_a_bare_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&folder.path().join("broker"), "").unwrap();
    let node = commanded(&broker, folder.path());
    let mut host = link(&broker.url(), "host", &["takt/v1/north/wt-01/cmd/derate/ack"]);
    open(&mut host);
    let topic = "spBv1.0/wind/DCMD/north/wt-01";
    assert!(host.send(topic, dcmd("power_limit_kw", Value::Double(1000.0))));
    let (at, until) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_secs(60));
    let order = |seq: u64, limit_kw: u32| {
        let json = format!(
            r#"{{"id":"s{seq}","seq":{seq},"issuer":"host","issuedAt":"{at}","expiresAt":"{until}","body":{{"power_limit_kw":{limit_kw}}}}}"#
        );
        dcmd("Command/derate", Value::Text(json))
    };
    assert!(host.send(topic, order(1, 1500)));
    assert_eq!(answer(&mut host)["status"], "accepted");
    let command = node.commands().recv_timeout(PATIENCE).unwrap();
    assert_eq!(command.command, Command::Derate { power_limit: Watts::from_kilowatts(1500.0) });
    node.conclude(command.number, Outcome::Executed(None)).unwrap();
    assert_eq!(answer(&mut host)["status"], "executed");
    // Again the same, one that is out of order, and one beyond the limits.
    assert!(host.send(topic, order(1, 1500)));
    assert_eq!(answer(&mut host)["repeated"], true);
    assert!(host.send(topic, order(0, 1500)));
    assert_eq!(answer(&mut host)["reason"], "out-of-order");
    assert!(host.send(topic, order(2, 9000)));
    assert_eq!(answer(&mut host)["reason"], "out-of-limits");
    assert!(node.commands().is_empty());
    assert_eq!(node.status().counters.commands_refused.get("bare-write"), Some(&1));
}
