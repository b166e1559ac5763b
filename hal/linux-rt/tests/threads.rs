//! Real-time threads on the kernel that runs this test: asked for, given, read back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use hal_linux_rt::CoreSet;
use hal_linux_rt::Errno;
use hal_linux_rt::clock::{AbsoluteWait, now};
use hal_linux_rt::counters;
use hal_linux_rt::thread::{Found, Policy, Priority, Realtime, SpawnError, Step, ThreadSpec, spawn};

fn priority(level: u8) -> Priority {
    Priority::new(level).unwrap()
}

fn a_core() -> usize {
    Found::of_current_thread().unwrap().cores.iter().last().unwrap()
}

fn fifo(name: &str, realtime: Realtime) -> ThreadSpec {
    ThreadSpec::fifo(name, a_core(), priority(20), realtime)
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn a_real_time_thread_is_found_as_it_was_asked_for() {
    let thread = spawn(fifo("takt-asked", Realtime::Required), |_| Found::of_current_thread()).unwrap();
    let report = thread.report.clone();
    assert!(report.is_complete(), "{:?}", report.shortfalls);
    assert_eq!(report.found.policy, Policy::Fifo);
    assert_eq!(report.found.priority, 20);
    assert_eq!(report.found.cores, CoreSet::of(a_core()));
    assert_eq!(report.found.name, "takt-asked");
    assert_eq!(thread.join().unwrap().unwrap(), report.found, "the body sees the same settings");
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn a_helper_of_a_real_time_thread_is_not_real_time() {
    let helper = || std::thread::spawn(Found::of_current_thread).join().unwrap().unwrap();
    let helper = spawn(fifo("takt-parent", Realtime::Required), move |_| helper()).unwrap().join().unwrap();
    assert_eq!((helper.policy, helper.priority), (Policy::Other, 0));
    assert!(!helper.reset_on_fork, "its own helpers are free to choose");
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn a_helper_inherits_the_core_of_its_creator() {
    let helper = || std::thread::spawn(Found::of_current_thread).join().unwrap().unwrap();
    let helper = spawn(fifo("takt-parent", Realtime::Required), move |_| helper()).unwrap().join().unwrap();
    assert_eq!(helper.cores, CoreSet::of(a_core()));
}

#[test]
fn a_core_that_does_not_exist_is_refused_with_its_errno() {
    for core in [1023, 1024, usize::MAX] {
        let spec = ThreadSpec { core: Some(core), priority: None, ..fifo("takt-nocore", Realtime::Required) };
        let SpawnError::Required { shortfall, .. } = spawn(spec, |_| ()).unwrap_err() else {
            panic!("not a shortfall");
        };
        assert_eq!((shortfall.step, shortfall.errno), (Step::Core, Some(Errno::EINVAL)), "{shortfall}");
    }
}

#[test]
fn the_body_does_not_run_if_a_required_setting_is_refused() {
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = ran.clone();
    let spec = ThreadSpec { core: Some(1023), ..fifo("takt-refused", Realtime::Required) };
    let body = move |_: &_| flag.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(spawn(spec, body).is_err());
    assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_preferred_thread_runs_degraded_and_says_so() {
    let spec = ThreadSpec { core: Some(1023), ..fifo("takt-degraded", Realtime::Preferred) };
    let thread = spawn(spec, |report| report.shortfalls.len()).unwrap();
    assert!(thread.report.shortfalls.iter().any(|shortfall| shortfall.step == Step::Core));
    assert!(thread.join().unwrap() > 0);
}

#[test]
fn a_normal_thread_gets_precise_timers() {
    let spec = ThreadSpec { core: None, priority: None, ..fifo("takt-normal", Realtime::Required) };
    let report = spawn(spec, |_| ()).unwrap().report;
    assert_eq!((report.found.policy, report.found.timer_slack_ns), (Policy::Other, 1));
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_there_is_a_thread() {
    let named = |name: &str| ThreadSpec { name: name.to_owned(), ..fifo("x", Realtime::Preferred) };
    for name in ["", "sixteen-bytes-xx", "nul\0"] {
        assert!(matches!(spawn(named(name), |_| ()), Err(SpawnError::Name { .. })), "{name:?}");
    }
    let deep = ThreadSpec { stack_prefault_bytes: 512 << 10, ..fifo("deep", Realtime::Preferred) };
    assert!(matches!(spawn(deep, |_| ()), Err(SpawnError::Stack { .. })));
}

#[test]
fn a_panic_of_the_body_comes_back_to_who_joins() {
    let spec = ThreadSpec { core: None, priority: None, ..fifo("takt-panics", Realtime::Preferred) };
    assert!(spawn(spec, |_| panic!("on purpose")).unwrap().join().is_err());
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn a_waiting_cycle_faults_nothing() {
    let thread = spawn(fifo("takt-cycle", Realtime::Required), |_| {
        let start = now();
        let cycles = |from: u32, to: u32| {
            for cycle in from..to {
                AbsoluteWait::until(start + Duration::from_millis(1) * cycle).unwrap();
            }
        };
        cycles(0, 5);
        let before = counters::of_current_thread().unwrap();
        cycles(5, 55);
        counters::of_current_thread().unwrap().since(&before)
    });
    let used = thread.unwrap().join().unwrap();
    assert_eq!((used.faults_minor, used.faults_major), (0, 0));
    assert!(used.switches_voluntary > 0, "it slept: {used:?}");
}
