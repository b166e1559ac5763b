//! Scenarios, and a crash at every byte.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::log::record_bytes;
use crate::log::sim_disk::{SimDisk, Unsynced};

const LIMITS: OutboxLimits = OutboxLimits { entries_max: 1000, bytes_max: 1 << 20, slack_bytes: 400 };

fn open(disk: &SimDisk) -> (Outbox<SimDisk>, OutboxRecovery) {
    open_with(disk, LIMITS)
}

fn open_with(disk: &SimDisk, limits: OutboxLimits) -> (Outbox<SimDisk>, OutboxRecovery) {
    Outbox::open(disk.clone(), limits, Sync::Disk, OutboxId(7)).unwrap()
}

fn message(number: u64) -> Message {
    Message::new(format!("t/{number}"), format!("payload {number}"))
}

fn sequences(outbox: &Outbox<SimDisk>) -> Vec<u64> {
    outbox.entries.keys().map(|sequence| sequence.0).collect()
}

#[test]
fn what_is_not_settled_comes_back_marked_as_resend() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open(&disk);
    let full = Message {
        retain: true,
        correlation: Some(Bytes::from_static(&[0, 1, 255])),
        expiry_s: Some(60),
        ..message(1)
    };
    outbox.append(full.clone()).unwrap();
    outbox.append(message(2)).unwrap();
    outbox.append(message(3)).unwrap();
    outbox.commit().unwrap();
    outbox.settle(Sequence(2));
    outbox.flush().unwrap();
    let (outbox, recovery) = open(&disk);
    assert_eq!(sequences(&outbox), [1, 3]);
    assert_eq!(outbox.get(Sequence(1)), Some(&Entry { message: full, resend: true }));
    assert_eq!(recovery, OutboxRecovery { entries: 2, torn_bytes: 0, damaged_bytes: 0 });
}

#[test]
fn only_durable_entries_are_sent() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open(&disk);
    outbox.append(message(1)).unwrap();
    assert_eq!(outbox.next_to_send(Sequence(0)), None);
    outbox.commit().unwrap();
    assert_eq!(outbox.next_to_send(Sequence(0)).unwrap().0, Sequence(1));
    assert_eq!(outbox.next_to_send(Sequence(1)), None);
}

#[test]
fn a_full_outbox_says_so_and_takes_again_after_settling() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open_with(&disk, OutboxLimits { entries_max: 2, ..LIMITS });
    let first = outbox.append(message(1)).unwrap();
    outbox.append(message(2)).unwrap();
    assert!(matches!(outbox.append(message(3)), Err(OutboxError::Full { entries: 2, .. })));
    outbox.settle(first);
    assert_eq!(outbox.append(message(3)).unwrap(), Sequence(3));
}

#[test]
fn bytes_are_bounded_too() {
    let disk = SimDisk::default();
    let bytes_max = message(1).outbox_bytes() * 2;
    let (mut outbox, _) = open_with(&disk, OutboxLimits { bytes_max, ..LIMITS });
    outbox.append(message(1)).unwrap();
    outbox.append(message(2)).unwrap();
    assert!(matches!(outbox.append(message(3)), Err(OutboxError::Full { .. })));
    assert_eq!(outbox.bytes(), bytes_max);
}

#[test]
fn the_declared_size_of_a_message_is_not_below_its_record() {
    let with_all = Message { correlation: Some(Bytes::from_static(b"abc")), expiry_s: Some(1), ..message(1) };
    for message in [message(1), with_all] {
        let record = encode_entry(Sequence(u64::MAX), &message);
        let bytes = record_bytes(record.len());
        assert!((bytes..=bytes + 8).contains(&message.outbox_bytes()), "{bytes}");
    }
}

#[test]
fn sequences_go_on_after_everything_was_settled_and_compacted() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open(&disk);
    for number in 1..=50 {
        let sequence = outbox.append(message(number)).unwrap();
        outbox.commit().unwrap();
        outbox.settle(sequence);
    }
    outbox.commit().unwrap();
    let (mut outbox, recovery) = Outbox::open(disk.clone(), LIMITS, Sync::Disk, OutboxId(99)).unwrap();
    assert_eq!(recovery.entries, 0);
    assert_eq!(outbox.append(message(51)).unwrap(), Sequence(51));
    assert_eq!(outbox.id(), OutboxId(7), "the name stays");
    assert!(disk.bytes() < 1000, "{} bytes are left of 50 settled messages", disk.bytes());
}

#[test]
fn a_failing_disk_loses_nothing_that_memory_holds() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open(&disk);
    outbox.append(message(1)).unwrap();
    outbox.commit().unwrap();
    outbox.append(message(2)).unwrap();
    disk.fail_next_sync();
    assert!(outbox.commit().is_err());
    outbox.append(message(3)).unwrap();
    assert_eq!(outbox.next_to_send(Sequence(1)), None, "2 is not known to be durable");
    outbox.settle(Sequence(1));
    outbox.mend().unwrap();
    assert_eq!(outbox.next_to_send(Sequence(1)).unwrap().0, Sequence(2));
    assert_eq!(sequences(&open(&disk).0), [2, 3]);
}

#[test]
fn damage_is_reported_as_damage() {
    let disk = SimDisk::default();
    let (mut outbox, _) = open(&disk);
    for number in 1..=3 {
        outbox.append(message(number)).unwrap();
    }
    outbox.commit().unwrap();
    disk.flip_bit_of_body(b"payload 2");
    let (outbox, recovery) = open(&disk);
    assert_eq!(sequences(&outbox), [1, 3]);
    assert!(recovery.damaged_bytes > 0);
}

/// A life of an outbox: what it did, as far as it got before the power failed.
#[derive(Debug, Clone)]
enum Step {
    Append,
    Commit,
    SettleOldest,
    SettleNewest,
    Flush,
    Restart,
}

/// What must hold after a crash, gathered while the steps ran.
#[derive(Debug, Default)]
struct Promise {
    /// Reported durable.
    durable: Vec<u64>,
    /// Appended at all, with their payload.
    appended: BTreeMap<u64, Bytes>,
    /// Settled before the last successful commit: the mark is durable.
    settled_durably: Vec<u64>,
    settled: Vec<u64>,
}

/// Runs until the power fails; true if it did not.
fn live(disk: &SimDisk, steps: &[Step], promise: &mut Promise) -> bool {
    let Ok((mut outbox, _)) = Outbox::open(disk.clone(), LIMITS, Sync::Disk, OutboxId(7)) else {
        return false;
    };
    for (number, step) in steps.iter().enumerate() {
        let result = match step {
            Step::Append => {
                let message = message(number as u64);
                let sequence = outbox.append(message.clone()).unwrap();
                let earlier = promise.appended.insert(sequence.0, message.payload);
                assert_eq!(earlier, None, "sequence {sequence} was given twice");
                Ok(())
            }
            Step::Commit => outbox.commit().map(|()| {
                promise.durable = promise.appended.keys().copied().collect();
                promise.settled_durably = promise.settled.clone();
            }),
            Step::SettleOldest | Step::SettleNewest => {
                let durable = outbox.entries.range(..outbox.durable_below);
                let mut keys = durable.map(|(sequence, _)| *sequence);
                let chosen = if matches!(step, Step::SettleOldest) { keys.next() } else { keys.next_back() };
                if let Some(sequence) = chosen {
                    outbox.settle(sequence);
                    promise.settled.push(sequence.0);
                }
                Ok(())
            }
            Step::Flush => outbox.flush(),
            Step::Restart => match Outbox::open(disk.clone(), LIMITS, Sync::Disk, OutboxId(7)) {
                Ok((next, _)) => {
                    // What was never committed may be gone, and its sequences are free again.
                    let alive = next.next_sequence().0;
                    promise.appended.retain(|sequence, _| *sequence < alive);
                    // What was settled and not yet marked so is back, to be sent again.
                    promise.settled.retain(|sequence| !next.entries.contains_key(&Sequence(*sequence)));
                    outbox = next;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if result.is_err() {
            return false;
        }
    }
    true
}

fn check_after_crash(disk: &SimDisk, promise: &Promise) {
    let (mut outbox, recovery) = open(disk);
    assert_eq!(recovery.damaged_bytes, 0, "a crash is not damage");
    let found = sequences(&outbox);
    for sequence in &promise.durable {
        let settled = promise.settled.contains(sequence);
        assert!(settled || found.contains(sequence), "{sequence} was durable and is gone");
    }
    for sequence in &promise.settled_durably {
        assert!(!found.contains(sequence), "{sequence} was settled durably and is back");
    }
    for sequence in &found {
        let payload = outbox.get(Sequence(*sequence)).map(|entry| entry.message.payload.clone());
        assert_eq!(payload.as_ref(), promise.appended.get(sequence), "{sequence} came back changed");
    }
    let next = outbox.append(message(0)).unwrap();
    assert!(promise.durable.iter().all(|sequence| *sequence < next.0), "sequence {next} is used twice");
    outbox.commit().unwrap();
    assert!(sequences(&open(disk).0).contains(&next.0), "the outbox does not go on after the crash");
}

fn crash_at_every_byte(steps: &[Step], unsynced: Unsynced) {
    let disk = SimDisk::default();
    disk.power_fails_after(u64::MAX);
    assert!(live(&disk, steps, &mut Promise::default()));
    for fuel in 0..=disk.spent() {
        let disk = SimDisk::default();
        disk.power_fails_after(fuel);
        let mut promise = Promise::default();
        live(&disk, steps, &mut promise);
        disk.power_returns(unsynced);
        check_after_crash(&disk, &promise);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Append),
        3 => Just(Step::Commit),
        3 => Just(Step::SettleOldest),
        1 => Just(Step::SettleNewest),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

fn unsynced() -> impl Strategy<Value = Unsynced> {
    prop_oneof![
        Just(Unsynced::Kept),
        Just(Unsynced::Lost),
        any::<u64>().prop_map(Unsynced::Cut),
        any::<u64>().prop_map(Unsynced::Zeroed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_byte_breaks_no_promise(steps in steps(), unsynced in unsynced()) {
        crash_at_every_byte(&steps, unsynced);
    }

    #[test]
    fn any_record_is_decoded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Record::decode(&bytes);
    }
}

#[test]
fn a_crash_at_any_byte_through_a_compaction_breaks_no_promise() {
    let mut steps = vec![Step::Append, Step::Append];
    for _ in 0..20 {
        steps.extend([Step::Append, Step::Commit, Step::SettleNewest, Step::Flush]);
    }
    for unsynced in [Unsynced::Kept, Unsynced::Lost, Unsynced::Cut(3), Unsynced::Zeroed(5)] {
        crash_at_every_byte(&steps, unsynced);
    }
}
