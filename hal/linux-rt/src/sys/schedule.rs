//! Scheduling policy, affinity, timer slack and stack of the calling thread.

use std::mem::{MaybeUninit, size_of};

use super::{check, check_returned};
use crate::core_set::{CORES_MAX, CoreSet};
use crate::errno::{CallError, Errno};

/// Scheduling attributes as the kernel keeps them, times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) policy: u32,
    pub(crate) reset_on_fork: bool,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime_ns: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) period_ns: u64,
}

const RESET_ON_FORK: u64 = libc::SCHED_FLAG_RESET_ON_FORK as u64;

/// The kernel's `struct sched_attr` in its first version, which every later kernel takes.
fn empty() -> libc::sched_attr {
    libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    }
}

fn last(call: &'static str, result: libc::c_long) -> Result<(), CallError> {
    if result == -1 { Err(CallError { call, errno: Errno::last() }) } else { Ok(()) }
}

/// Sets the calling thread's attributes.
pub(crate) fn set_scheduling(attributes: &Attributes) -> Result<(), CallError> {
    let raw = libc::sched_attr {
        sched_policy: attributes.policy,
        sched_flags: if attributes.reset_on_fork { RESET_ON_FORK } else { 0 },
        sched_nice: attributes.nice,
        sched_priority: attributes.priority,
        sched_runtime: attributes.runtime_ns,
        sched_deadline: attributes.deadline_ns,
        sched_period: attributes.period_ns,
        ..empty()
    };
    // SAFETY: thread 0 is the calling one; `raw` is a valid sched_attr whose `size` field holds its true
    // size, so the kernel reads no further; it is only read.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const raw, 0) };
    last("sched_setattr", result)
}

/// The calling thread's attributes, from the kernel.
///
/// Not `pthread_getschedparam`: the C library answers that from its own copy, which a thread inherits
/// from its creator even when the kernel reset the policy.
pub(crate) fn scheduling() -> Result<Attributes, CallError> {
    let mut raw = empty();
    // SAFETY: thread 0 is the calling one; `raw` is a writable sched_attr, and the kernel writes at most
    // the size that is passed, which is its true size.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut raw, raw.size, 0) };
    last("sched_getattr", result)?;
    Ok(Attributes {
        policy: raw.sched_policy,
        reset_on_fork: raw.sched_flags & RESET_ON_FORK != 0,
        nice: raw.sched_nice,
        priority: raw.sched_priority,
        runtime_ns: raw.sched_runtime,
        deadline_ns: raw.sched_deadline,
        period_ns: raw.sched_period,
    })
}

/// The cores on which the calling thread may run.
pub(crate) fn affinity() -> Result<CoreSet, CallError> {
    // SAFETY: cpu_set_t is an array of integers, for which all zeroes are a valid value.
    let mut raw: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: thread 0 is the calling one; `raw` is writable and its true size is passed.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut raw) };
    check("sched_getaffinity", result)?;
    // SAFETY: CPU_ISSET reads the bit `core` of `raw`, and `core` is below CPU_SETSIZE = CORES_MAX.
    Ok((0..CORES_MAX).filter(|core| unsafe { libc::CPU_ISSET(*core, &raw) }).collect())
}

/// The calling thread's number in the kernel.
pub(crate) fn current_thread_id() -> i32 {
    // SAFETY: takes no argument, touches no memory, cannot fail.
    unsafe { libc::gettid() }
}

/// Lets timers of the calling thread fire when they are due, not up to 50 microseconds later. The kernel
/// does this by itself for real-time policies; other threads must ask.
pub(crate) fn raise_timer_precision() -> Result<(), CallError> {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: this option takes one integer and touches no memory.
    check("prctl", unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns, 0, 0, 0) }).map(drop)
}

/// How much later than due the kernel may fire a timer of the calling thread, in nanoseconds.
pub(crate) fn timer_slack_ns() -> Result<u64, CallError> {
    // SAFETY: this option takes no argument and touches no memory.
    let slack = check("prctl", unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) })?;
    Ok(u64::try_from(slack).unwrap_or(0))
}

/// The size of the calling thread's stack in bytes, as the C library mapped it.
pub(crate) fn stack_bytes() -> Result<usize, CallError> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: pthread_self is valid for the running thread, and `attributes` is writable; the call
    // initialises it on success.
    let result = unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) };
    check_returned("pthread_getattr_np", result)?;
    let mut size = 0;
    // SAFETY: the call above succeeded, so `attributes` is initialised; `size` is writable.
    let result = unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut size) };
    // SAFETY: initialised above, destroyed once, not used after.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    check_returned("pthread_attr_getstacksize", result)?;
    Ok(size)
}
