//! Restarts, failing disks and damage.

use super::sim_disk::SimDisk;
use super::*;

fn open(disk: &SimDisk) -> (RecordLog<SimDisk>, Recovered) {
    RecordLog::open(disk.clone()).unwrap()
}

fn written(disk: &SimDisk, bodies: &[&[u8]]) -> RecordLog<SimDisk> {
    let (mut log, _) = open(disk);
    for body in bodies {
        log.append(body).unwrap();
    }
    log.commit(Sync::Disk).unwrap();
    log
}

#[test]
fn records_come_back_in_order_over_restarts() {
    let disk = SimDisk::default();
    written(&disk, &[b"one", b"", b"three"]);
    written(&disk, &[b"four"]);
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.records, [&b"one"[..], b"", b"three", b"four"]);
    assert_eq!((recovered.torn_bytes, recovered.damaged_bytes), (0, 0));
}

#[test]
fn opening_writes_nothing() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk);
    log.commit(Sync::Disk).unwrap();
    assert_eq!(disk.clone().segments().unwrap(), []);
}

#[test]
fn a_rewrite_leaves_only_what_lives() {
    let disk = SimDisk::default();
    let mut log = written(&disk, &[b"dead", b"alive"]);
    log.rewrite([b"alive".to_vec()]).unwrap();
    log.append(b"new").unwrap();
    log.commit(Sync::Disk).unwrap();
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.records, [&b"alive"[..], b"new"]);
    assert_eq!(disk.clone().segments().unwrap().len(), 1);
    assert_eq!(log.total_bytes(), disk.bytes());
}

#[test]
fn a_failed_sync_breaks_the_log_until_it_is_rewritten() {
    let disk = SimDisk::default();
    let mut log = written(&disk, &[b"one"]);
    disk.fail_next_sync();
    log.append(b"two").unwrap();
    assert!(matches!(log.commit(Sync::Disk), Err(LogError::Io { .. })));
    assert!(matches!(log.append(b"three"), Err(LogError::Broken)));
    log.rewrite([b"one".to_vec(), b"two".to_vec()]).unwrap();
    log.append(b"three").unwrap();
    log.commit(Sync::Disk).unwrap();
    assert_eq!(open(&disk).1.records, [&b"one"[..], b"two", b"three"]);
}

#[test]
fn a_failed_rewrite_loses_nothing_and_can_be_tried_again() {
    let disk = SimDisk::default();
    let mut log = written(&disk, &[b"one"]);
    disk.fail_next_sync();
    assert!(log.rewrite([b"one".to_vec()]).is_err());
    assert!(log.is_broken());
    assert!(open(&disk).1.records.contains(&b"one".to_vec()));
    log.rewrite([b"one".to_vec()]).unwrap();
    assert_eq!(open(&disk).1.records, [&b"one"[..]]);
}

#[test]
fn a_damaged_byte_costs_one_record_and_is_reported() {
    let disk = SimDisk::default();
    written(&disk, &[b"first", b"second", b"third"]);
    disk.flip_bit_of_body(b"second");
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.records, [&b"first"[..], b"third"]);
    assert_eq!(recovered.damaged_bytes, record_bytes(6));
    assert_eq!(recovered.torn_bytes, 0);
}

#[test]
fn a_record_inside_a_record_is_not_taken_for_one() {
    let disk = SimDisk::default();
    let mut forged = Vec::new();
    encode_record(&mut forged, SegmentId(1), 0, b"forged").unwrap();
    written(&disk, &[&forged]);
    disk.flip_first_bit_of_record_at(SEGMENT_HEADER_BYTES);
    assert_eq!(open(&disk).1.records, Vec::<Vec<u8>>::new());
}

#[test]
fn a_log_of_another_version_is_refused() {
    let mut disk = SimDisk::default();
    disk.create(SegmentId(1)).unwrap();
    disk.append(SegmentId(1), b"TAKTLOG9 and what the future brings").unwrap();
    let error = RecordLog::open(disk).unwrap_err();
    assert!(matches!(error, LogError::Foreign { segment: SegmentId(1) }), "{error}");
}
