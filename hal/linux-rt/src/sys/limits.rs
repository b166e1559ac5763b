//! Memory locking, the allocator's options, resource limits and usage.

use std::mem::MaybeUninit;

use super::check;
use crate::errno::{CallError, Errno};

/// A limit in bytes; `None` is unlimited.
pub(crate) type Limit = Option<u64>;

/// What the calling thread used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ThreadUsage {
    pub(crate) faults_minor: u64,
    pub(crate) faults_major: u64,
    pub(crate) switches_voluntary: u64,
    pub(crate) switches_involuntary: u64,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
}

/// Locks all pages of the process, present and future.
pub(crate) fn lock_all_memory() -> Result<(), CallError> {
    // SAFETY: takes flags only; locking changes no memory content.
    check("mlockall", unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}

/// Takes back what [`lock_all_memory`] did.
pub(crate) fn unlock_all_memory() -> Result<(), CallError> {
    // SAFETY: takes no argument; unlocking changes no memory content.
    check("munlockall", unsafe { libc::munlockall() }).map(drop)
}

/// Sets an option of the C library's allocator.
#[cfg(target_env = "gnu")]
pub(crate) fn malloc_option(
    name: &'static str,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), CallError> {
    // SAFETY: takes two integers; the allocator locks itself while it changes its options.
    let accepted = unsafe { libc::mallopt(option, value) };
    // mallopt reports failure as 0 and sets no errno; the only cause is a value out of range.
    if accepted == 0 { Err(CallError { call: name, errno: Errno::EINVAL }) } else { Ok(()) }
}

/// Soft and hard limit of locked memory.
pub(crate) fn memory_lock_limit() -> Result<(Limit, Limit), CallError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit for the whole call.
    check("getrlimit", unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    let value = |raw: libc::rlim_t| (raw != libc::RLIM_INFINITY).then_some(raw);
    Ok((value(limit.rlim_cur), value(limit.rlim_max)))
}

/// What the calling thread used since it began.
pub(crate) fn thread_usage() -> Result<ThreadUsage, CallError> {
    let mut raw = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `raw` is writable and large enough for one rusage.
    check("getrusage", unsafe { libc::getrusage(libc::RUSAGE_THREAD, raw.as_mut_ptr()) })?;
    // SAFETY: the call succeeded and so filled `raw`; besides, all zeroes are a valid rusage.
    let raw = unsafe { raw.assume_init() };
    let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000)
            + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Ok(ThreadUsage {
        faults_minor: count(raw.ru_minflt),
        faults_major: count(raw.ru_majflt),
        switches_voluntary: count(raw.ru_nvcsw),
        switches_involuntary: count(raw.ru_nivcsw),
        user_us: micros(raw.ru_utime),
        system_us: micros(raw.ru_stime),
    })
}
