//! Capabilities that are given up are gone, and what was set up before stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::in_own_process;
use hal_linux_rt::Errno;
use hal_linux_rt::capability::{
    self, Capability, CapabilitySet, keep_only, needed_after_set_up, threads_with_more_than,
};
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::thread::{Found, Policy, Priority, Realtime, SpawnError, ThreadSpec, spawn};

fn fifo(name: &str) -> ThreadSpec {
    ThreadSpec { core: None, ..ThreadSpec::fifo(name, 0, Priority::MIN, Realtime::Required) }
}

/// Runs `body` on a thread of its own: the test's thread keeps its capabilities.
fn on_a_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(body).join().unwrap())
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs capabilities to give up")]
fn a_thread_that_kept_one_capability_has_just_this_one() {
    let left = on_a_thread(|| keep_only(&[Capability::CAP_SYS_NICE])).unwrap();
    let one = CapabilitySet::of(&[Capability::CAP_SYS_NICE]);
    assert_eq!((left.effective, left.permitted), (one, one));
    assert!(left.inheritable.is_empty() && left.ambient.is_empty());
    assert!(left.bounding.is_subset(one), "{}", left.bounding);
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs capabilities to give up")]
fn a_thread_without_capabilities_is_refused_real_time() {
    let error = on_a_thread(|| {
        keep_only(&[]).unwrap();
        spawn(fifo("takt-powerless"), |_| ()).unwrap_err()
    });
    let SpawnError::Required { shortfall, .. } = error else { panic!("{error}") };
    assert_eq!(shortfall.errno, Some(Errno::EPERM));
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs capabilities to give up")]
fn a_thread_that_is_real_time_stays_so_without_capabilities() {
    let body = |_: &_| {
        keep_only(&[]).unwrap();
        Found::of_current_thread().unwrap().policy
    };
    assert_eq!(spawn(fifo("takt-drops"), body).unwrap().join().unwrap(), Policy::Fifo);
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs capabilities to give up")]
fn what_was_given_up_cannot_be_taken_back() {
    let regained = on_a_thread(|| {
        keep_only(&[]).unwrap();
        caps::raise(None, caps::CapSet::Effective, Capability::CAP_SYS_NICE)
    });
    assert!(regained.is_err());
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs capabilities to give up")]
fn a_thread_that_was_forgotten_is_named() {
    in_own_process("a_thread_that_was_forgotten_is_named", || {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = spawn(fifo("takt-forgotten"), move |_| receiver.recv()).unwrap();
        keep_only(&[]).unwrap();
        let excess = threads_with_more_than(&[]).unwrap();
        assert!(excess.iter().any(|(number, _)| *number == thread.report.found.thread_id), "{excess:?}");
        let own = Found::of_current_thread().unwrap().thread_id;
        assert!(excess.iter().all(|(number, _)| *number != own), "{excess:?}");
        sender.send(()).unwrap();
    });
}

#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn with_what_is_needed_after_set_up_a_locked_process_can_still_start_threads() {
    let name = "with_what_is_needed_after_set_up_a_locked_process_can_still_start_threads";
    in_own_process(name, || {
        memory::lock(&MemoryPlan::default()).unwrap();
        keep_only(&needed_after_set_up(memory::lock_limit().unwrap())).unwrap();
        let bytes = std::thread::spawn(|| vec![1_u8; 32 << 20].len()).join().unwrap();
        assert_eq!(bytes, 32 << 20);
    });
}

#[test]
fn reading_capabilities_needs_none() {
    on_a_thread(|| {
        keep_only(&[]).unwrap();
        assert!(capability::of_current_thread().unwrap().effective.is_empty());
    });
}
