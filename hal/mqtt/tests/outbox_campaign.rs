//! The outbox against a real Mosquitto that is restarted and killed: the campaign on a small scale.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mod.rs"]
mod campaign;

use campaign::Plan;

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn every_message_gets_through_restarts_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        messages: 6000,
        restarts: 3,
        own_kills: 3,
        kills: 3,
        payload_bytes: 64,
        folder: folder.path().to_owned(),
        publisher: vec![env!("CARGO_BIN_EXE_takt-outbox-publisher").to_owned()],
    };
    let reports = campaign::run(&plan).unwrap();
    let shortcomings: Vec<_> = reports.iter().flat_map(campaign::shortcomings).collect();
    assert!(shortcomings.is_empty(), "{shortcomings:?}\n{reports:#?}");
    let disturbances: Vec<_> = reports.iter().map(|report| report.disturbances).collect();
    assert_eq!(disturbances, [3, 3, 3], "a phase was over before it was disturbed");
}
