//! The session against a broker that does as a test tells it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::client::latest::Delivery;
use crate::dedup::{PROPERTY_OUTBOX, PROPERTY_RESEND, PROPERTY_SEQUENCE};
use crate::log::Sync;
use crate::log::sim_disk::SimDisk;
use crate::outbox::{Message, OutboxId, OutboxLimits};

const ALL_TERMS: BrokerTerms =
    BrokerTerms { resumed: false, receive_max: 100, packet_bytes_max: 10_000, takes_qos_1: true };

/// What the session did to the library.
#[derive(Debug, Default)]
struct FakeWire {
    attempt: Option<Vec<Publish>>,
    handed: VecDeque<Publish>,
    subscriptions: usize,
    goodbyes: usize,
}

impl Wire for FakeWire {
    fn connect(&mut self, resends: Vec<Publish>) {
        assert!(self.attempt.is_none(), "two connections at once");
        self.attempt = Some(resends);
    }
    fn publish(&mut self, publish: Publish) -> bool {
        self.handed.push_back(publish);
        true
    }
    fn subscribe(&mut self, filters: &[String]) -> bool {
        assert!(!filters.is_empty());
        self.subscriptions += 1;
        true
    }
    fn disconnect(&mut self) -> bool {
        self.goodbyes += 1;
        true
    }
    fn close(&mut self) {
        self.attempt = None;
        self.handed.clear();
    }
}

struct Scene {
    now: Instant,
    outbox: Outbox<SimDisk>,
    latest: Latest,
    session: Session,
    wire: FakeWire,
}

fn options() -> SessionOptions {
    SessionOptions {
        window: 4,
        filters: Vec::new(),
        presence_topic: None,
        connect_timeout: Duration::from_secs(5),
        ack_timeout: Duration::from_secs(30),
        backoff_max: Duration::from_secs(10),
    }
}

fn scene_with(options: SessionOptions) -> Scene {
    let now = Instant::ZERO;
    let limits = OutboxLimits::default();
    let (outbox, _) = Outbox::open(SimDisk::default(), limits, Sync::Disk, OutboxId(0xab)).unwrap();
    let backoff = Backoff::new(Duration::from_millis(100), options.backoff_max, 1);
    let session = Session::new(now, options, backoff);
    Scene { now, outbox, latest: Latest::default(), session, wire: FakeWire::default() }
}

fn scene() -> Scene {
    scene_with(options())
}

impl Scene {
    fn publish(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.outbox.append(Message::new("t", number.to_string())).unwrap();
        }
        self.outbox.commit().unwrap();
        self.step(0);
    }

    fn step(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        let mut stock = Stock { outbox: &mut self.outbox, latest: &mut self.latest };
        self.session.step(self.now, &mut stock, &mut self.wire);
    }

    fn event(&mut self, event: NetEvent) {
        let mut stock = Stock { outbox: &mut self.outbox, latest: &mut self.latest };
        self.session.handle(self.now, event, &mut stock, &mut self.wire);
        self.step(0);
    }

    /// Waits until the session tries to connect.
    fn attempt(&mut self) {
        if self.wire.attempt.is_none() {
            self.step(10_000);
        }
    }

    /// Takes the session's attempt to connect; gives what would be resent.
    fn connect(&mut self, terms: BrokerTerms) -> Vec<Publish> {
        self.attempt();
        let resends = self.wire.attempt.clone().expect("it does not try to connect");
        self.event(NetEvent::Connected(terms));
        resends
    }

    /// The library sends what was handed over, under these identifiers.
    fn send(&mut self, packet_ids: impl IntoIterator<Item = u16>) -> Vec<Publish> {
        packet_ids
            .into_iter()
            .map(|packet_id| {
                let publish = self.wire.handed.pop_front().expect("nothing was handed over");
                self.event(NetEvent::Sent { packet_id });
                publish
            })
            .collect()
    }

    fn acknowledge(&mut self, packet_ids: impl IntoIterator<Item = u16>) {
        for packet_id in packet_ids {
            self.event(NetEvent::Acknowledged { packet_id, reason: PubAckReason::Success });
        }
    }

    fn lose(&mut self) {
        self.event(NetEvent::Closed { reason: "test".to_owned(), taken_over: false });
    }

    fn open_entries(&self) -> usize {
        self.outbox.len()
    }
}

fn payloads(publishes: &[Publish]) -> Vec<String> {
    publishes.iter().map(|publish| String::from_utf8(publish.payload.to_vec()).unwrap()).collect()
}

fn property<'a>(publish: &'a Publish, name: &str) -> Option<&'a str> {
    let properties = &publish.properties.as_ref()?.user_properties;
    properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn is_resend(publish: &Publish) -> bool {
    property(publish, PROPERTY_RESEND) == Some("1")
}

#[test]
fn acknowledgements_settle_by_identifier_in_any_order() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish([1, 2, 3]);
    let sent = scene.send([7, 8, 9]);
    assert_eq!(payloads(&sent), ["1", "2", "3"]);
    assert_eq!(property(&sent[1], PROPERTY_SEQUENCE), Some("2"));
    assert_eq!(property(&sent[1], PROPERTY_OUTBOX), Some("00000000000000ab"));
    assert!(sent.iter().all(|publish| !is_resend(publish)));
    scene.acknowledge([8]);
    assert!(scene.outbox.get(Sequence(2)).is_none());
    scene.acknowledge([9, 7]);
    assert_eq!((scene.open_entries(), scene.session.counters.acknowledged), (0, 3));
}

#[test]
fn what_is_not_durable_is_not_sent() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.outbox.append(Message::new("t", "1")).unwrap();
    scene.step(1);
    assert!(scene.wire.handed.is_empty());
    scene.outbox.commit().unwrap();
    scene.step(1);
    assert_eq!(scene.wire.handed.len(), 1);
}

#[test]
fn the_window_is_the_smaller_of_ours_and_the_brokers() {
    for (receive_max, expected) in [(100, 4), (2, 2), (0, 1)] {
        let mut scene = scene();
        scene.connect(BrokerTerms { receive_max, ..ALL_TERMS });
        scene.publish(1..=10);
        assert_eq!(scene.wire.handed.len(), expected);
        scene.send([1]);
        assert_eq!(scene.wire.handed.len(), expected - 1, "sent is not acknowledged");
        scene.acknowledge([1]);
        assert_eq!(scene.wire.handed.len(), expected);
    }
}

#[test]
fn without_a_resumed_session_all_that_is_open_leaves_again_marked_if_it_may_have_left_before() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish(1..=6);
    scene.send([1, 2]);
    scene.acknowledge([1]);
    scene.lose();
    let resends = scene.connect(ALL_TERMS);
    assert_eq!(payloads(&resends), ["2"], "offered to the library in case the session is resumed");
    let sent = scene.send([1, 2, 3, 4]);
    assert_eq!(payloads(&sent), ["2", "3", "4", "5"]);
    let marks: Vec<_> = sent.iter().map(is_resend).collect();
    assert_eq!(marks, [true, true, true, true], "5 was handed over when 1 was acknowledged");
    scene.acknowledge([1]);
    assert!(!is_resend(&scene.send([5])[0]), "6 never left");
    scene.acknowledge([2, 3, 4, 5]);
    assert_eq!(scene.open_entries(), 0);
}

#[test]
fn a_resumed_session_gets_old_identifiers_first_and_new_publishes_after_their_acknowledgement() {
    let mut scene = scene_with(SessionOptions { filters: vec!["c/+".to_owned()], ..options() });
    scene.connect(ALL_TERMS);
    scene.event(NetEvent::Subscribed { filters_refused: 0 });
    scene.publish(1..=5);
    scene.send([21, 22, 23]);
    scene.acknowledge([22]);
    scene.lose();
    let resends = scene.connect(BrokerTerms { resumed: true, ..ALL_TERMS });
    let identifiers: Vec<_> = resends.iter().map(|publish| publish.pkid).collect();
    assert_eq!((payloads(&resends), identifiers), (vec!["1".to_owned(), "3".to_owned()], vec![21, 23]));
    assert!(resends.iter().all(|publish| publish.dup && is_resend(publish)));
    scene.event(NetEvent::Sent { packet_id: 21 });
    scene.event(NetEvent::Sent { packet_id: 23 });
    scene.acknowledge([23]);
    assert!(scene.wire.handed.is_empty(), "not before everything old is acknowledged");
    scene.acknowledge([21]);
    assert_eq!((scene.wire.subscriptions, scene.wire.handed.len()), (2, 0));
    scene.event(NetEvent::Subscribed { filters_refused: 0 });
    assert_eq!(payloads(&scene.send([1, 2])), ["4", "5"]);
    scene.acknowledge([1, 2]);
    assert_eq!(scene.open_entries(), 0);
}

#[test]
fn identifiers_survive_attempts_that_fail() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish([1]);
    scene.send([9]);
    scene.lose();
    scene.step(10_000);
    assert!(scene.wire.attempt.is_some());
    scene.lose();
    let resends = scene.connect(BrokerTerms { resumed: true, ..ALL_TERMS });
    assert_eq!(resends.iter().map(|publish| publish.pkid).collect::<Vec<_>>(), [9]);
}

#[test]
fn a_broker_that_takes_fewer_at_once_than_before_gets_them_one_by_one() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish(1..=4);
    scene.send(1..=4);
    scene.lose();
    scene.connect(BrokerTerms { resumed: true, receive_max: 2, ..ALL_TERMS });
    let resends = scene.connect(BrokerTerms { resumed: true, receive_max: 2, ..ALL_TERMS });
    assert_eq!(resends, []);
    assert_eq!(payloads(&scene.send([1, 2])), ["1", "2"]);
}

#[test]
fn a_message_that_is_too_large_for_the_broker_does_not_hold_up_the_others() {
    let mut scene = scene();
    scene.outbox.append(Message::new("t", vec![b'x'; 500])).unwrap();
    scene.publish([2]);
    scene.connect(BrokerTerms { packet_bytes_max: 200, ..ALL_TERMS });
    assert_eq!(payloads(&scene.send([1])), ["2"]);
    assert_eq!((scene.session.counters.rejected, scene.open_entries()), (1, 1));
}

#[test]
fn what_the_broker_will_never_take_is_given_up_and_counted() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish([1, 2]);
    scene.send([1, 2]);
    scene.event(NetEvent::Acknowledged { packet_id: 1, reason: PubAckReason::NotAuthorized });
    scene.acknowledge([2]);
    let counters = &scene.session.counters;
    assert_eq!((counters.rejected, counters.acknowledged, scene.open_entries()), (1, 1, 0));
    assert_eq!(scene.session.take_released().entries, 2);
}

#[test]
fn what_the_broker_cannot_take_now_stays_and_leaves_later() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish([1]);
    scene.send([1]);
    scene.event(NetEvent::Acknowledged { packet_id: 1, reason: PubAckReason::QuotaExceeded });
    assert_eq!(scene.open_entries(), 1);
    scene.step(9_999);
    assert!(scene.wire.attempt.is_none(), "not at once");
    scene.connect(ALL_TERMS);
    assert!(is_resend(&scene.send([1])[0]));
}

#[test]
fn a_broker_of_qos_0_is_not_used() {
    let mut scene = scene();
    scene.publish([1]);
    scene.connect(BrokerTerms { takes_qos_1: false, ..ALL_TERMS });
    assert!(scene.wire.handed.is_empty());
    let ConnectionState::Disconnected { reason, .. } = scene.session.connection() else { panic!() };
    assert!(reason.contains("QoS 0"), "{reason}");
}

#[test]
fn an_acknowledgement_that_does_not_come_ends_the_connection() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.publish([1]);
    scene.send([1]);
    scene.step(29_999);
    assert!(matches!(scene.session.connection(), ConnectionState::Connected { .. }));
    assert_eq!(scene.session.deadline(), Some(scene.now + Duration::from_millis(1)));
    scene.step(1);
    assert!(matches!(scene.session.connection(), ConnectionState::Disconnected { .. }));
}

#[test]
fn pauses_grow_while_the_broker_is_away_and_end_when_it_works() {
    let mut scene = scene();
    let mut pauses_ms = Vec::new();
    for _ in 0..5 {
        scene.step(10_000);
        scene.lose();
        let until = scene.session.deadline().unwrap();
        pauses_ms.push(until.since(scene.now).as_millis());
    }
    assert!(pauses_ms.is_sorted() && pauses_ms[4] >= 800, "{pauses_ms:?}");
    scene.connect(ALL_TERMS);
    scene.publish([1]);
    scene.send([1]);
    scene.acknowledge([1]);
    scene.lose();
    assert!(scene.session.deadline().unwrap().since(scene.now) <= Duration::from_millis(100));
}

#[test]
fn another_client_of_the_same_name_is_not_fought() {
    let mut scene = scene();
    scene.connect(ALL_TERMS);
    scene.event(NetEvent::Closed { reason: "taken over".to_owned(), taken_over: true });
    assert_eq!(scene.session.deadline().unwrap().since(scene.now), Duration::from_secs(10));
}

#[test]
fn presence_comes_first_and_goes_last() {
    let presence_topic = Some("here".to_owned());
    let mut scene = scene_with(SessionOptions { presence_topic, ..options() });
    scene.publish([1]);
    scene.connect(ALL_TERMS);
    let sent = scene.send([1, 2]);
    assert_eq!(payloads(&sent), [r#"{"online":true}"#, "1"]);
    assert!(sent[0].retain);
    scene.acknowledge([1, 2]);
    let until = scene.now + Duration::from_secs(1);
    scene.session.stop(scene.now, until, &mut scene.wire);
    assert_eq!(payloads(&scene.send([3])), [r#"{"online":false}"#]);
    assert_eq!(scene.wire.goodbyes, 0);
    scene.acknowledge([3]);
    assert_eq!(scene.wire.goodbyes, 1);
    scene.event(NetEvent::Disconnected);
    assert!(scene.session.is_stopped());
}

#[test]
fn a_goodbye_to_a_silent_broker_ends_in_time() {
    let presence_topic = Some("here".to_owned());
    let mut scene = scene_with(SessionOptions { presence_topic, ..options() });
    scene.connect(ALL_TERMS);
    let until = scene.now + Duration::from_secs(1);
    scene.session.stop(scene.now, until, &mut scene.wire);
    scene.step(1000);
    scene.step(500);
    assert!(scene.session.is_stopped());
}

#[test]
fn latest_values_and_outbox_take_turns() {
    let mut scene = scene();
    for topic in ["a", "b", "c"] {
        scene.latest.set(topic, Bytes::from_static(b"v"), Delivery::AtMostOnce);
    }
    scene.publish(1..=3);
    scene.connect(ALL_TERMS);
    let topics: Vec<_> = scene.wire.handed.iter().map(|publish| publish.topic.to_vec()).collect();
    assert_eq!(topics.iter().filter(|topic| topic == &b"t").count(), 2, "{topics:?}");
}

#[test]
fn latest_values_come_again_with_each_connection() {
    let mut scene = scene();
    scene.latest.set("a", Bytes::from_static(b"v"), Delivery::AtLeastOnce);
    scene.connect(ALL_TERMS);
    scene.send([1]);
    scene.acknowledge([1]);
    scene.lose();
    scene.connect(BrokerTerms { resumed: true, ..ALL_TERMS });
    assert_eq!(payloads(&scene.send([1])), ["v"]);
}

/// What a careless broker and network do next.
#[derive(Debug, Clone, Copy)]
enum Chance {
    Publish,
    Send,
    Acknowledge(usize),
    LoseConnection,
    Connect { resumed: bool, receive_max: u16 },
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        3 => Just(Chance::Publish),
        5 => Just(Chance::Send),
        4 => (0_usize..4).prop_map(Chance::Acknowledge),
        1 => Just(Chance::LoseConnection),
        2 => (any::<bool>(), 1_u16..6)
            .prop_map(|(resumed, receive_max)| Chance::Connect { resumed, receive_max }),
    ]
}

/// The broker's side of one connection, which is also the library's.
#[derive(Debug, Default)]
struct Broker {
    next_id: u16,
    owed: Vec<u16>,
    received: Vec<(u64, bool)>,
}

impl Broker {
    fn take(&mut self, packet_id: u16, publish: &Publish) {
        self.owed.push(packet_id);
        let sequence = property(publish, PROPERTY_SEQUENCE).unwrap().parse().unwrap();
        self.received.push((sequence, is_resend(publish)));
    }

    fn connect(&mut self, scene: &mut Scene, resumed: bool, receive_max: u16) {
        if !matches!(scene.session.link, Link::Waiting { .. } | Link::Connecting { .. }) {
            return;
        }
        scene.attempt();
        let resends = scene.wire.attempt.clone().unwrap();
        self.owed.clear();
        self.next_id = 0;
        scene.event(NetEvent::Connected(BrokerTerms { resumed, receive_max, ..ALL_TERMS }));
        if resumed && scene.wire.attempt.is_some() {
            for publish in &resends {
                self.take(publish.pkid, publish);
                scene.event(NetEvent::Sent { packet_id: publish.pkid });
            }
        }
    }

    fn send(&mut self, scene: &mut Scene) {
        let Some(publish) = scene.wire.handed.pop_front() else { return };
        // The library counts identifiers up to its limit, and takes none that is in use.
        while {
            self.next_id = self.next_id % 100 + 1;
            self.owed.contains(&self.next_id)
        } {}
        self.take(self.next_id, &publish);
        scene.event(NetEvent::Sent { packet_id: self.next_id });
    }

    fn acknowledge(&mut self, scene: &mut Scene, which: usize) {
        if self.owed.is_empty() {
            return;
        }
        let packet_id = self.owed.remove(which % self.owed.len());
        scene.acknowledge([packet_id]);
    }
}

proptest! {
    #[test]
    fn whatever_broker_and_network_do_everything_arrives_and_repetitions_are_marked(
        chances in prop::collection::vec(chance(), 1..120),
    ) {
        let mut scene = scene();
        let mut broker = Broker::default();
        let mut published = 0;
        for chance in chances {
            match chance {
                Chance::Publish => {
                    published += 1;
                    scene.publish([published]);
                }
                Chance::Send => broker.send(&mut scene),
                Chance::Acknowledge(which) => broker.acknowledge(&mut scene, which),
                Chance::LoseConnection => {
                    scene.lose();
                    broker.owed.clear();
                }
                Chance::Connect { resumed, receive_max } => broker.connect(&mut scene, resumed, receive_max),
            }
            prop_assert!(broker.owed.len() <= 4, "the window is exceeded: {:?}", broker.owed);
        }
        // In the end the broker works.
        for _ in 0..4 * published + 20 {
            broker.connect(&mut scene, true, 5);
            broker.send(&mut scene);
            broker.acknowledge(&mut scene, 0);
        }
        prop_assert_eq!(scene.open_entries(), 0, "not everything is acknowledged");
        let distinct: BTreeSet<_> = broker.received.iter().map(|(sequence, _)| *sequence).collect();
        prop_assert_eq!(distinct.into_iter().collect::<Vec<_>>(), (1..=published).collect::<Vec<_>>());
        let mut seen = BTreeSet::new();
        for (sequence, is_marked) in &broker.received {
            prop_assert!(seen.insert(*sequence) || *is_marked, "a repetition of {} is not marked", sequence);
        }
    }
}
