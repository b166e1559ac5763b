//! The gate stops what is not allowed, and the count misses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use common::run_in_own_process;
use hal_linux_rt::clock::{AbsoluteWait, now};
use hal_linux_rt::counters;
use hal_linux_rt::syscall_gate::{Counts, Denied, Syscall, close, count, leave};

const SIGSYS: i32 = 31;

/// Runs `cycles` waits on a grid of 1 ms with `work` in each.
fn cycles(cycles: u32, mut work: impl FnMut()) {
    let start = now();
    for cycle in 1..=cycles {
        AbsoluteWait::until(start + Duration::from_millis(1) * cycle).unwrap();
        work();
    }
}

#[test]
fn a_cycle_passes_a_gate_that_lets_only_the_wait_through() {
    let name = "a_cycle_passes_a_gate_that_lets_only_the_wait_through";
    let output = run_in_own_process(name, || {
        close(&[Syscall::CLOCK_NANOSLEEP, Syscall::EXIT_GROUP], Denied::KillProcess).unwrap();
        cycles(100, || ());
        leave(7);
    });
    assert_eq!(output.unwrap().status.code(), Some(7));
}

#[test]
fn one_call_too_many_kills_the_process() {
    let output = run_in_own_process("one_call_too_many_kills_the_process", || {
        close(&[Syscall::CLOCK_NANOSLEEP, Syscall::EXIT_GROUP], Denied::KillProcess).unwrap();
        cycles(10, || {
            let _ = counters::of_current_thread();
        });
        leave(7);
    });
    assert_eq!(output.unwrap().status.signal(), Some(SIGSYS));
}

#[test]
fn one_call_too_many_traps_if_that_was_asked_for() {
    let output = run_in_own_process("one_call_too_many_traps_if_that_was_asked_for", || {
        close(&[Syscall::EXIT_GROUP], Denied::Trap).unwrap();
        let _ = counters::of_current_thread();
        leave(7);
    });
    assert_eq!(output.unwrap().status.signal(), Some(SIGSYS));
}

#[test]
fn a_gate_stops_only_its_own_thread() {
    let output = run_in_own_process("a_gate_stops_only_its_own_thread", || {
        let gated = std::thread::spawn(|| {
            close(&[Syscall::CLOCK_NANOSLEEP], Denied::KillProcess).unwrap();
            cycles(1_000_000, || ());
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!gated.is_finished());
        leave(7);
    });
    assert_eq!(output.unwrap().status.code(), Some(7));
}

#[test]
fn a_cycle_makes_exactly_one_system_call() {
    let ((), counts) = count(|| cycles(100, || ())).unwrap();
    assert_eq!(counts, Counts::from([(Syscall::CLOCK_NANOSLEEP, 100)]));
}

#[test]
fn every_further_call_is_counted() {
    let work = || {
        let _ = counters::of_current_thread();
    };
    let ((), counts) = count(|| cycles(20, work)).unwrap();
    assert_eq!(counts, Counts::from([(Syscall::CLOCK_NANOSLEEP, 20), (Syscall::GETRUSAGE, 20)]));
}

#[test]
fn a_count_of_a_panic_is_an_error() {
    assert!(count(|| panic!("on purpose")).is_err());
}
