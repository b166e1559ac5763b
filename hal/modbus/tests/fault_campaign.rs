//! A line against a peer that lies in every known way: no wrong value is accepted, every fault is counted
//! under its own name. The whole campaign is the example of the same name; this is a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_modbus::Fault;
use support::Framing;
use support::campaign::{Setup, run_real, run_virtual};
use support::truth::{KINDS, Kind};

fn check(framing: Framing, kind: Kind) {
    let setup = Setup { framing, kind, real: false, transactions: 10_000, fault_percent: 25, seed: 1 };
    let outcome = run_virtual(setup);
    assert_eq!(outcome.wrong_count, 0, "{:#?}", outcome.wrong);
    assert_eq!(outcome.misnamed(), [], "(name, expected, counted) {outcome:#?}");
    assert_eq!(outcome.unseen_scans, 0);
    assert!(outcome.ended_safe && outcome.scans > 1000);
}

#[test]
fn over_tcp_no_wrong_value_is_accepted_and_every_fault_has_its_name() {
    KINDS.iter().for_each(|kind| check(Framing::Tcp, *kind));
}

#[test]
fn on_a_serial_line_no_wrong_value_is_accepted_and_every_fault_has_its_name() {
    KINDS.iter().for_each(|kind| check(Framing::Rtu, *kind));
}

#[test]
fn over_sockets_and_pseudo_terminals_in_real_time_no_wrong_value_is_accepted() {
    let setup = |framing, line: u64| {
        let kind = KINDS[(line % 3) as usize];
        Setup { framing, kind, real: true, transactions: 200, fault_percent: 25, seed: line }
    };
    let setups = (0..6).flat_map(|line| [setup(Framing::Tcp, line), setup(Framing::Rtu, line)]);
    for outcome in run_real(setups.collect()) {
        assert_eq!(outcome.wrong_count, 0, "{:#?}", outcome.wrong);
        assert!(outcome.ended_safe);
        // In real time a machine that stands still turns an answer into a late one. In virtual time, above,
        // every name is exact.
        if outcome.stalls == 0 {
            let misnamed = outcome.misnamed();
            let timing =
                [Fault::Timeout, Fault::HalfOpen, Fault::SlowReply, Fault::CutFrame, Fault::LateReply]
                    .map(Fault::as_str);
            let excused = |(name, expected, counted): &(&str, u64, u64)| {
                timing.contains(name) && expected.abs_diff(*counted) <= 2
            };
            assert!(misnamed.iter().all(excused), "{misnamed:?} (name, expected, counted) {outcome:#?}");
        }
    }
}
