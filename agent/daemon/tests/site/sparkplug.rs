//! The site as a Sparkplug edge node: real agents, and a host at their broker.

use std::time::{Duration, Instant as Clock};

use hal_mqtt::client::BrokerUrl;
use hal_mqtt::plain::{PlainEvent, PlainLink, PlainOptions};
use hal_mqtt::sparkplug::payload::{Metric, Payload, Value};
use hal_units::Instant;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;

use crate::agent::{Site, WITHIN, until};
use crate::broker;
use crate::field::Field;
use crate::mosquitto::Mosquitto;
use crate::pair::Nodes;

/// A host that hears all of the edge node.
struct Host(PlainLink);

impl Host {
    fn at(url: &str) -> Self {
        let mut link = PlainLink::new(PlainOptions {
            broker: BrokerUrl::parse(url).unwrap(),
            client_id: "host".to_owned(),
            credentials: None,
            filters: vec!["spBv1.0/wind/#".to_owned()],
            last_will: None,
            queue: 256,
        })
        .unwrap();
        link.set_open(now(), true);
        until("the host is connected", WITHIN, || {
            matches!(link.next(now()), Some(PlainEvent::Connected)).then_some(())
        });
        Self(link)
    }

    /// The next message on a topic; others are passed over.
    fn hears(&mut self, wanted: &str) -> Vec<u8> {
        until(wanted, WITHIN, || match self.0.next(now()) {
            Some(PlainEvent::Arrived { topic, payload }) if topic == wanted => Some(payload),
            _ => None,
        })
    }

    fn hears_payload(&mut self, wanted: &str) -> Payload {
        Payload::decode(self.hears(wanted).as_slice()).unwrap()
    }
}

fn now() -> Instant {
    hal_linux_rt::clock::now()
}

#[test]
fn a_host_sees_the_site_is_born_commands_it_and_sees_it_die() {
    let (field, broker) = (Field::in_wind(1, 12.0), broker());
    let mut host = Host::at(&broker.url());
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_sparkplug("wind");
    let agent = site.start();
    let birth = host.hears_payload("spBv1.0/wind/NBIRTH/test-site");
    let unit = host.hears_payload("spBv1.0/wind/DBIRTH/test-site/WT01");
    assert_eq!((birth.seq, unit.seq), (Some(0), Some(1)));
    let names: Vec<_> = unit.metrics.iter().filter_map(|metric| metric.name.as_deref()).collect();
    assert!(names.contains(&"power_kw") && names.contains(&"Command/derate"), "{names:?}");
    agent.until_all_run();

    let (at, expires) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_secs(30));
    let mut command = Metric::writable("Command/derate", 1);
    command.value = Some(Value::Text(format!(
        r#"{{"id":"d1","seq":1,"issuer":"host","issuedAt":"{at}","expiresAt":"{expires}","body":{{"power_limit_kw":2000}}}}"#
    )));
    let order = Payload { timestamp: Some(1), metrics: vec![command], seq: None };
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    assert!(host.0.send("spBv1.0/wind/DCMD/test-site/WT01", order.encode_to_vec()));
    let after = agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
    assert_eq!((after.commands.acknowledged, after.commands.refused), (1, 0));

    drop(agent);
    let death = host.hears_payload("spBv1.0/wind/NDEATH/test-site");
    assert_eq!(death.metrics[0].value, birth.metrics[0].value, "the session's number");
}

/// What a host makes of an edge node by the rules of the Sparkplug specification 3.0 (chapters 5 and 6): births and
/// deaths belong together by `bdSeq`, and `seq` has no gap.
#[derive(Default)]
struct Ledger {
    /// `bdSeq` and the last `seq` of the session that is alive.
    alive: Option<(u64, u64)>,
    born: std::collections::BTreeSet<String>,
    dead_since: Option<Clock>,
    sessions: Vec<u64>,
    /// From each death that counts to the next birth.
    gaps: Vec<Duration>,
    stale_deaths: usize,
}

impl Ledger {
    fn hear(&mut self, topic: &str, payload: &Payload) {
        let levels: Vec<_> = topic.split('/').collect();
        let bd_seq = || match payload.metrics.iter().find(|m| m.name.as_deref() == Some("bdSeq")) {
            Some(Metric { value: Some(Value::Long(number)), .. }) => *number,
            other => panic!("{topic}: {other:?}"),
        };
        match (levels[2], self.alive) {
            ("NBIRTH", _) => {
                let number = bd_seq();
                assert_eq!(payload.seq, Some(0), "{topic}");
                assert!(!self.sessions.contains(&number), "bdSeq {number} again: {:?}", self.sessions);
                self.gaps.extend(self.dead_since.take().map(|since| since.elapsed()));
                self.sessions.push(number);
                (self.alive, self.born) = (Some((number, 0)), std::collections::BTreeSet::new());
            }
            ("NDEATH", Some((number, _))) if bd_seq() == number => {
                (self.alive, self.dead_since) = (None, Some(Clock::now()));
            }
            // Of a session before: it says nothing about this one.
            ("NDEATH", _) => self.stale_deaths += 1,
            ("DBIRTH" | "DDATA" | "DDEATH", Some((number, last))) => {
                let next = (last + 1) % 256;
                assert_eq!(payload.seq, Some(next), "{topic} in session {number}");
                self.alive = Some((number, next));
                let device = levels[4].to_owned();
                match levels[2] {
                    "DBIRTH" => assert!(self.born.insert(device), "{topic} twice"),
                    "DDATA" => assert!(self.born.contains(&device), "{topic} before its birth"),
                    _ => assert!(self.born.remove(&device), "{topic} of one that was not born"),
                }
            }
            (kind, None) => panic!("{kind} of a node that is dead"),
            (kind, _) => panic!("{kind}?"),
        }
    }

    /// Hears until it is as wanted.
    #[track_caller]
    fn until(&mut self, host: &mut Host, what: &str, is_so: impl Fn(&Self) -> bool) {
        until(what, WITHIN, || {
            while let Some(event) = host.0.next(now()) {
                if let PlainEvent::Arrived { topic, payload } = event {
                    self.hear(&topic, &Payload::decode(payload.as_slice()).unwrap());
                }
            }
            is_so(self).then_some(())
        });
    }
}

#[test]
fn each_start_of_an_agent_is_a_session_with_the_next_number() {
    let (field, broker) = (Field::in_wind(1, 12.0), broker());
    let mut host = Host::at(&broker.url());
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_sparkplug("wind");
    let numbers = [(); 3].map(|()| {
        let agent = site.start();
        let birth = host.hears_payload("spBv1.0/wind/NBIRTH/test-site");
        drop(agent);
        match birth.metrics[0].value {
            Some(Value::Long(number)) => number as u8,
            ref other => panic!("{other:?}"),
        }
    });
    let next = |number: u8| number.wrapping_add(2);
    assert_eq!(numbers, [numbers[0], next(numbers[0]), next(next(numbers[0]))]);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn to_a_host_a_pair_is_one_edge_node_whose_sessions_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let field = Field::in_wind(2, 12.0);
    let mut host = Host::at(&broker.url());
    let sites = Site::pair_over(&field.addresses())
        .map(|site| site.with_broker(&broker.url()).with_sparkplug("wind"));
    let nodes = Nodes::start(sites);
    let mut ledger = Ledger::default();
    let whole =
        |sessions: usize| move |ledger: &Ledger| ledger.sessions.len() >= sessions && ledger.born.len() == 2;
    ledger.until(&mut host, "the first session and both units", whole(1));

    // Killed: the broker tells the death as soon as the connection closes, the successor its birth.
    let killed = nodes.until_whole();
    nodes.nodes[killed].kill_kept();
    ledger.until(&mut host, "the successor and both units", whole(2));
    // Handed over: the same.
    let handing = nodes.until_whole();
    let sessions = ledger.sessions.len();
    // A node that has just come back may not take it yet.
    until("the other node is active", WITHIN, || {
        nodes.nodes[handing].ask_switchover();
        std::thread::sleep(Duration::from_millis(500));
        (nodes.nodes[1 - handing].pair()?.role == "active").then_some(())
    });
    ledger.until(&mut host, "the other one again", whole(sessions + 1));
    // Stopped and woken again: it finds itself thrown out, and leaves its successor alone.
    let stopped = nodes.until_whole();
    let (sessions, term) = (ledger.sessions.len(), nodes.epoch(stopped));
    nodes.pause_kept(stopped, Duration::from_secs(2));
    ledger.until(&mut host, "the third successor", whole(sessions + 1));
    let last = nodes.until_whole();
    std::thread::sleep(Duration::from_secs(3));
    ledger.until(&mut host, "what came meanwhile", whole(sessions + 1));
    println!(
        "sessions {:?}, dead for {:?}, {} deaths of sessions before",
        ledger.sessions, ledger.gaps, ledger.stale_deaths
    );
    assert!(ledger.alive.is_some(), "a host takes the site for dead");
    assert!(ledger.gaps.iter().all(|gap| *gap < Duration::from_secs(1)), "{:?}", ledger.gaps);
    // The office may move once more than was asked for; a session that belongs to no term is one too many.
    let terms = (nodes.epoch(last) - term) as usize;
    let begun = ledger.sessions.len() - sessions;
    assert!(
        begun <= terms,
        "{begun} sessions in {terms} terms: the node that woke up threw its successor out"
    );
}
