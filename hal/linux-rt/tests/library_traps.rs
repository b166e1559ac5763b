//! What the libraries really do: why this crate checks before and reads back after them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::thread;
use std::time::Duration;

use hal_linux_rt::Errno;
use hal_linux_rt::thread::{Found, Policy, Priority, pin_current_thread, set_fifo};
use thread_priority::{
    DeadlineFlags, Error, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

fn on_a_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(body).join().unwrap()
}

fn fifo_by_library() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(ThreadPriorityValue::try_from(5).unwrap());
    set_thread_priority_and_policy(thread_native_id(), priority, policy).unwrap();
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn thread_priority_reports_success_for_the_highest_priority_and_stays_normal() {
    let found = on_a_thread(|| {
        ThreadPriority::Max.set_for_current().unwrap();
        Found::of_current_thread().unwrap()
    });
    assert_eq!(found.policy, Policy::Other);
}

#[test]
fn thread_priority_loses_the_errno_of_a_deadline_that_is_refused() {
    let refused = on_a_thread(|| {
        let ms = Duration::from_millis;
        // A runtime above its deadline: EINVAL from every kernel.
        let (runtime, deadline, period) = (ms(20), ms(10), ms(10));
        let flags = DeadlineFlags::empty();
        let priority = ThreadPriority::Deadline { runtime, deadline, period, flags };
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Deadline);
        set_thread_priority_and_policy(0, priority, policy)
    });
    assert_eq!(refused, Err(Error::OS(-1)));
}

#[test]
#[cfg_attr(
    not(all(takt_sched_fifo, takt_two_cores)),
    ignore = "needs permission for SCHED_FIFO and two cores"
)]
fn a_pinned_thread_is_refused_a_deadline() {
    let (answer, errno) = on_a_thread(|| {
        pin_current_thread(Found::of_current_thread().unwrap().cores.iter().last().unwrap()).unwrap();
        let ms = Duration::from_millis;
        let (runtime, deadline, period) = (ms(1), ms(10), ms(10));
        let flags = DeadlineFlags::empty();
        let priority = ThreadPriority::Deadline { runtime, deadline, period, flags };
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Deadline);
        let answer = set_thread_priority_and_policy(0, priority, policy);
        (answer, Errno::last())
    });
    assert_eq!((answer, errno), (Err(Error::OS(-1)), Errno::EPERM));
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn a_policy_set_by_thread_priority_is_inherited() {
    let helper = on_a_thread(|| {
        fifo_by_library();
        on_a_thread(|| Found::of_current_thread().unwrap())
    });
    assert_eq!(helper.policy, Policy::Fifo);
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn the_c_library_tells_a_helper_the_policy_of_its_creator() {
    let (told, found) = on_a_thread(|| {
        fifo_by_library();
        set_fifo(Priority::MIN).unwrap();
        on_a_thread(|| (thread_schedule_policy().unwrap(), Found::of_current_thread().unwrap().policy))
    });
    assert_eq!(found, Policy::Other, "the kernel reset it");
    assert_eq!(told, ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo), "its own copy");
}

#[test]
#[cfg_attr(not(takt_two_cores), ignore = "needs two cores")]
fn core_affinity_lists_only_the_cores_of_the_current_mask() {
    let listed = on_a_thread(|| {
        let all: Vec<usize> = Found::of_current_thread().unwrap().cores.iter().collect();
        pin_current_thread(all[1]).unwrap();
        let listed = core_affinity::get_core_ids().unwrap();
        pin_current_thread(all[0]).unwrap();
        (all, listed.iter().map(|core| core.id).collect::<Vec<_>>())
    });
    assert!(listed.0.len() >= 2);
    assert_eq!(listed.1, [listed.0[1]]);
}
