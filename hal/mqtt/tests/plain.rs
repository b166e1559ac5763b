//! The link without memory against a real Mosquitto.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mosquitto.rs"]
mod mosquitto;
mod support;

use hal_mqtt::plain::{PlainEvent, PlainLink};
use mosquitto::{End, Mosquitto};
use support::{next, now, open};

fn link(broker: &Mosquitto, client_id: &str) -> PlainLink {
    support::link(&broker.url(), client_id, &["echo/#"])
}

fn arrived(text: &str) -> PlainEvent {
    PlainEvent::Arrived { topic: "echo/1".to_owned(), payload: text.as_bytes().to_vec() }
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn a_closed_link_sends_nothing_and_what_it_dropped_never_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let mut link = link(&broker, "fleet");
    assert!(!link.send("echo/1", "early".to_owned()));
    open(&mut link);
    assert!(link.send("echo/1", "in time".to_owned()));
    assert_eq!(next(&mut link), arrived("in time"));
    assert_eq!(link.counters().dropped, 1);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn whoever_opens_it_under_the_same_name_throws_the_last_one_out() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let (mut old, mut new) = (link(&broker, "fleet"), link(&broker, "fleet"));
    open(&mut old);
    open(&mut new);
    assert!(matches!(next(&mut old), PlainEvent::Lost { .. }));
    assert!(!old.is_connected() && !old.send("echo/1", "too late".to_owned()));
    old.set_open(now(), false);
    assert!(new.send("echo/1", "from the new one".to_owned()));
    assert_eq!(next(&mut new), arrived("from the new one"));
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn it_connects_again_by_itself_when_the_broker_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path(), "").unwrap();
    let mut link = link(&broker, "fleet");
    open(&mut link);
    broker.end(End::Killed).unwrap();
    assert!(matches!(next(&mut link), PlainEvent::Lost { .. }));
    broker.resume().unwrap();
    while next(&mut link) != PlainEvent::Connected {}
    assert!(link.send("echo/1", "again".to_owned()));
    assert_eq!(next(&mut link), arrived("again"));
}
