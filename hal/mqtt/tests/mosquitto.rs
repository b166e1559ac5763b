//! The client against a real Mosquitto: commands, presence, latest values, refusals and outages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mosquitto.rs"]
mod mosquitto;
mod support;

use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use hal_mqtt::client::{BrokerUrl, ConnectionState, Delivery, StorageState};
use hal_mqtt::command::{Command, CommandDesk, IncomingCommand, Outcome};
use hal_mqtt::log::{FileStorage, SegmentId, Storage, Sync};
use hal_mqtt::outbox::{Message, Outbox, OutboxId, OutboxLimits};
use hal_mqtt::{Clock, Mqtt, MqttOptions};
use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};
use mosquitto::{End, Mosquitto};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{PATIENCE, desk_of_a_turbine};

fn broker(folder: &Path) -> Mosquitto {
    Mosquitto::start(folder, "").unwrap()
}

fn options(broker: &str) -> MqttOptions {
    MqttOptions {
        backoff_max: Duration::from_millis(500),
        ..MqttOptions::new(BrokerUrl::parse(broker).unwrap(), "node-1")
    }
}

/// A node with one turbine of 5 MW, its outbox and journal in `folder`.
fn node_with(options: MqttOptions, folder: &Path) -> Mqtt {
    let (outbox, desk) = desk_of_a_turbine(folder);
    Mqtt::start(options, outbox, Some(desk), Clock::system()).unwrap()
}

fn node(broker: &str, folder: &Path) -> Mqtt {
    let node = node_with(options(broker), folder);
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

/// Somebody who sends commands and hears everything on some topics.
struct Operator {
    client: AsyncClient,
    heard: Receiver<Publish>,
    _runtime: tokio::runtime::Runtime,
}

impl Operator {
    fn new(broker: &Mosquitto, filter: &str) -> Self {
        let address = broker.address();
        let options = rumqttc::v5::MqttOptions::new("operator", address.ip().to_string(), address.port());
        let (client, mut event_loop) = AsyncClient::new(options, 64);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (hear, heard) = channel();
        let (ready, is_ready) = channel();
        client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
        runtime.spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => drop(hear.send(publish)),
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self { client, heard, _runtime: runtime }
    }

    fn order(&self, command: &str, payload: &str) {
        let properties = PublishProperties {
            response_topic: Some("answers/operator".to_owned()),
            correlation_data: Some(vec![7, 0, 7].into()),
            ..PublishProperties::default()
        };
        let topic = format!("takt/v1/north/wt-01/cmd/{command}");
        let payload = payload.to_owned();
        self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).unwrap();
    }

    fn next(&self) -> Publish {
        self.heard.recv_timeout(PATIENCE).expect("nothing is heard")
    }

    fn answer(&self) -> Value {
        let publish = self.next();
        assert_eq!(publish.topic, "answers/operator");
        assert_eq!(publish.properties.unwrap().correlation_data.as_deref(), Some(&[7, 0, 7][..]));
        serde_json::from_slice(&publish.payload).unwrap()
    }

    fn nothing_more(&self) {
        assert_eq!(self.heard.recv_timeout(Duration::from_millis(300)).ok(), None);
    }
}

fn order(seq: u64, lifetime_s: i64, body: &str) -> String {
    let now = Timestamp::now();
    let expires = now + SignedDuration::from_secs(lifetime_s);
    format!(
        r#"{{"id":"c{seq}","seq":{seq},"issuer":"operator","issuedAt":"{now}","expiresAt":"{expires}","body":{body}}}"#
    )
}

fn next_command(node: &Mqtt) -> IncomingCommand {
    node.commands().recv_timeout(PATIENCE).expect("no command comes out")
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_command_is_answered_carried_out_once_and_its_repetition_told_the_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let node = node(&broker.url(), folder.path());
    let operator = Operator::new(&broker, "answers/#");
    let payload = order(1, 60, r#"{"power_limit_kw":1500}"#);
    operator.order("derate", &payload);
    assert_eq!(operator.answer()["status"], "accepted");
    let command = next_command(&node);
    assert_eq!(command.command, Command::Derate { power_limit: Watts::from_kilowatts(1500.0) });
    node.conclude(command.number, Outcome::Executed(None)).unwrap();
    assert_eq!(operator.answer()["status"], "executed");
    operator.order("derate", &payload);
    let again = operator.answer();
    assert_eq!((&again["status"], &again["repeated"]), (&"executed".into(), &true.into()));
    assert!(node.commands().is_empty());
    operator.nothing_more();
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn refused_commands_are_answered_with_their_reason_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let node = node(&broker.url(), folder.path());
    let operator = Operator::new(&broker, "answers/#");
    let too_large = format!("{{\"id\":\"{}\"}}", "x".repeat(10_000));
    for (command, payload, reason) in [
        ("derate", order(1, 60, r#"{"power_limit_kw":9999}"#), "out-of-limits"),
        ("stop", order(1, 0, "{}"), "expires-before-issued"),
        ("stop", "not json".to_owned(), "malformed"),
        ("dance", order(1, 60, "{}"), "unknown-command"),
        ("stop", too_large, "too-large"),
    ] {
        operator.order(command, &payload);
        let answer = operator.answer();
        assert_eq!((&answer["status"], &answer["reason"]), (&"refused".into(), &reason.into()), "{answer}");
    }
    assert!(node.commands().is_empty());
    eventually("all are counted", || node.status().counters.commands_refused.values().sum::<u64>() == 5);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn an_accepted_command_survives_a_restart_and_a_concluded_one_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let operator = Operator::new(&broker, "answers/#");
    let first = node(&broker.url(), folder.path());
    operator.order("stop", &order(1, 60, "{}"));
    assert_eq!(operator.answer()["status"], "accepted");
    drop(first);
    let second = node(&broker.url(), folder.path());
    let command = next_command(&second);
    assert_eq!((command.id.as_str(), command.redelivered), ("c1", true));
    second.conclude(command.number, Outcome::Executed(None)).unwrap();
    assert_eq!(operator.answer()["status"], "executed");
    drop(second);
    let third = node(&broker.url(), folder.path());
    assert_eq!(third.commands().recv_timeout(Duration::from_millis(300)).ok(), None);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn commands_sent_while_the_node_is_away_arrive_and_stale_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let operator = Operator::new(&broker, "answers/#");
    drop(node(&broker.url(), folder.path()));
    operator.order("stop", &order(1, 1, "{}"));
    operator.order("start", &order(2, 60, "{}"));
    thread::sleep(Duration::from_millis(1100));
    let node = node(&broker.url(), folder.path());
    assert_eq!(operator.answer()["reason"], "expired");
    assert_eq!(operator.answer()["status"], "accepted");
    assert_eq!(next_command(&node).command, Command::Start);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn an_agent_that_takes_no_commands_has_them_refused_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let options = MqttOptions { command_queue: 1, ..options(&broker.url()) };
    let node = node_with(options, folder.path());
    eventually("the node connects", || node.is_connected());
    let operator = Operator::new(&broker, "answers/#");
    operator.order("start", &order(1, 60, "{}"));
    assert_eq!(operator.answer()["status"], "accepted");
    operator.order("stop", &order(2, 60, "{}"));
    assert_eq!(operator.answer()["reason"], "busy");
    next_command(&node);
    operator.order("stop", &order(2, 60, "{}"));
    assert_eq!(operator.answer()["status"], "accepted");
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn presence_follows_a_goodbye_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let presence = "takt/v1/north/node-1/online";
    let operator = Operator::new(&broker, presence);
    let heard = || String::from_utf8(operator.next().payload.to_vec()).unwrap();
    let options = MqttOptions { presence_topic: Some(presence.to_owned()), ..options(&broker.url()) };
    let node = node_with(options, folder.path());
    assert_eq!(heard(), r#"{"online":true}"#);
    node.stop(Duration::from_secs(5));
    assert_eq!(heard(), r#"{"online":false}"#);
    let mut process = Process::new(env!("CARGO_BIN_EXE_takt-outbox-publisher"))
        .args(["--broker", &broker.url(), "--topic", "t", "--messages", "1000000000", "--presence", presence])
        .arg("--folder")
        .arg(folder.path().join("other"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(heard(), r#"{"online":true}"#);
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(heard(), r#"{"online":false}"#);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn latest_values_are_there_again_after_the_broker_forgot_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(&folder.path().join("broker"), "autosave_interval 0").unwrap();
    let node = node(&broker.url(), folder.path());
    for value in 0..1000 {
        node.set_latest("takt/v1/north/wt-01/state", value.to_string(), Delivery::AtLeastOnce).unwrap();
    }
    let newest = |broker: &Mosquitto| {
        let operator = Operator::new(broker, "takt/v1/north/+/state");
        loop {
            let publish = operator.next();
            if &publish.payload[..] == b"999" {
                return publish.topic;
            }
        }
    };
    assert_eq!(newest(&broker), "takt/v1/north/wt-01/state");
    broker.end(End::Killed).unwrap();
    broker.resume().unwrap();
    assert_eq!(newest(&broker), "takt/v1/north/wt-01/state");
    let counters = node.status().counters;
    assert!(counters.latest_sent + counters.latest_coalesced >= 1000, "{counters:?}");
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_message_that_the_broker_never_takes_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "topic readwrite allowed/#\ntopic read takt/#\n").unwrap();
    let config = format!("acl_file {}\nmax_packet_size 2000", rules.display());
    let broker = Mosquitto::start(&folder.path().join("broker"), &config).unwrap();
    let node = node(&broker.url(), folder.path());
    node.publish(Message::new("forbidden/x", "1")).unwrap();
    node.publish(Message::new("allowed/large", vec![0; 5000])).unwrap();
    node.publish(Message::new("allowed/x", "2")).unwrap();
    eventually("all are settled", || {
        node.status().outbox_entries == 0 && node.status().counters.rejected == 2
    });
    assert_eq!(node.status().counters.acknowledged, 1);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn messages_wait_on_disk_for_a_broker_that_comes_later_even_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = broker(&folder.path().join("broker"));
    broker.end(End::Asked).unwrap();
    let first = node_with(options(&broker.url()), folder.path());
    let ticket = (0..500).map(|n| first.publish(Message::new("t", n.to_string())).unwrap()).last().unwrap();
    eventually("they are durable", || first.durable() >= ticket);
    eventually("an attempt fails", || {
        matches!(first.status().connection, ConnectionState::Disconnected { failures: 1.., .. })
    });
    drop(first);
    let second = node_with(options(&broker.url()), folder.path());
    assert_eq!(second.status().outbox_entries, 500);
    broker.resume().unwrap();
    eventually("all are acknowledged", || second.status().counters.acknowledged == 500);
    assert_eq!(second.status().outbox_entries, 0);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_broker_that_hangs_is_left_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let options = MqttOptions { ack_timeout: Duration::from_secs(1), ..options(&broker.url()) };
    let node = node_with(options, folder.path());
    eventually("the node connects", || node.is_connected());
    let pid = Pid::from_raw(i32::try_from(broker.process_id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    node.publish(Message::new("t", "1")).unwrap();
    eventually("the broker counts as gone", || !node.is_connected());
    kill_process(pid, Signal::CONT).unwrap();
    eventually("it is acknowledged", || node.status().counters.acknowledged == 1);
    assert_eq!(node.status().counters.resent, 1);
}

/// A folder on a disk that can be made to fail.
struct FailingDisk {
    folder: FileStorage,
    fails: Arc<AtomicBool>,
}

impl FailingDisk {
    fn check(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Storage for FailingDisk {
    fn segments(&mut self) -> io::Result<Vec<SegmentId>> {
        self.folder.segments()
    }
    fn read(&mut self, id: SegmentId) -> io::Result<Vec<u8>> {
        self.folder.read(id)
    }
    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        self.check()?;
        self.folder.create(id)
    }
    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.folder.append(id, bytes)
    }
    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.check()?;
        self.folder.sync(id)
    }
    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.check()?;
        self.folder.remove(id)
    }
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_full_disk_shows_and_delays_but_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder.path().join("broker"));
    let operator = Operator::new(&broker, "events");
    let fails = Arc::new(AtomicBool::new(false));
    let disk = FailingDisk {
        folder: FileStorage::open(&folder.path().join("outbox")).unwrap(),
        fails: Arc::clone(&fails),
    };
    let (outbox, _) = Outbox::open(disk, OutboxLimits::default(), Sync::Disk, OutboxId::draw()).unwrap();
    let no_commands: Option<CommandDesk<FileStorage>> = None;
    let node = Mqtt::start(options(&broker.url()), outbox, no_commands, Clock::system()).unwrap();
    node.publish(Message::new("events", "before")).unwrap();
    assert_eq!(&operator.next().payload[..], b"before");
    fails.store(true, Ordering::SeqCst);
    let ticket = node.publish(Message::new("events", "meanwhile")).unwrap();
    eventually("the failure shows", || matches!(node.status().storage, StorageState::Failing { .. }));
    operator.nothing_more();
    assert!(node.durable() < ticket);
    fails.store(false, Ordering::SeqCst);
    assert_eq!(&operator.next().payload[..], b"meanwhile");
    eventually("the disk is good again", || node.status().storage == StorageState::Good);
    assert!(node.durable() >= ticket && node.status().counters.storage_errors > 0);
}
