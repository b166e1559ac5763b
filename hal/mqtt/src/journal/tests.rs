//! The journal stays small, and takes any bytes.

use proptest::prelude::*;

use super::*;
use crate::command::Judgement;
use crate::command::fixtures::{Order, after_noon, gate, order, reply};
use crate::log::sim_disk::SimDisk;

#[test]
fn a_long_life_leaves_a_small_journal() {
    let disk = SimDisk::default();
    let mut gate = gate();
    let mut journal = Journal::open_with(disk.clone(), &mut gate, 2000).unwrap();
    for seq in 1..=200 {
        let issued_s = 100 * seq as i64;
        let order = Order { issued_s, expires_s: issued_s + 60, ..order(seq) };
        let judged =
            gate.judge(after_noon(issued_s), order.unit, order.name, order.payload().as_bytes(), reply());
        let Ok(Judgement::Admissible(record)) = judged else { panic!("{judged:?}") };
        let segments = disk.clone().segments().unwrap();
        journal.accept(gate.next_number(), &record, &gate).unwrap();
        assert!(
            seq == 1 || disk.clone().segments().unwrap() == segments,
            "command {seq} waits for a rewrite"
        );
        let number = gate.admit(record);
        gate.conclude(number, Outcome::Executed(None)).unwrap();
        journal.conclude(number, &Outcome::Executed(None), &gate).unwrap();
    }
    assert!(disk.bytes() < 4000, "{} bytes", disk.bytes());
    let mut restored = super::super::command::fixtures::gate();
    Journal::open(disk, &mut restored).unwrap();
    assert_eq!(restored.next_number(), CommandNumber(201));
    assert_eq!(restored.pending().count(), 0);
}

#[test]
fn orders_to_a_fleet_survive_a_restart() {
    let transport = r#"{"from": "dock", "to": "shelf-7", "due": "2026-05-17T12:10:00Z"}"#;
    let resolve = |load| ("resolve", format!(r#"{{"vehicle": "agv-7", "load": "{load}"}}"#));
    let orders = [("transport", transport.to_owned()), ("cancel", r#"{"order": "c0"}"#.to_owned())];
    for (name, body) in orders.into_iter().chain(["delivered", "removed", "on-board"].map(resolve)) {
        let (disk, mut gate) = (SimDisk::default(), gate());
        let mut journal = Journal::open(disk.clone(), &mut gate).unwrap();
        let order = Order { unit: "fleet", name, body, ..order(1) };
        let judged = gate.judge(after_noon(1), order.unit, name, order.payload().as_bytes(), reply());
        let Ok(Judgement::Admissible(record)) = judged else { panic!("{judged:?}") };
        journal.accept(gate.next_number(), &record, &gate).unwrap();
        let mut restored = super::super::command::fixtures::gate();
        Journal::open(disk, &mut restored).unwrap();
        assert_eq!(restored.pending().map(|known| &known.record).collect::<Vec<_>>(), [&record]);
    }
}

proptest! {
    #[test]
    fn any_record_is_decoded_without_a_panic(kind in 0_u8..6, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Entry::decode(&[&[kind], &bytes[..]].concat());
    }
}
