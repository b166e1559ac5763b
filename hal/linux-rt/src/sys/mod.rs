//! The C library behind safe functions: the project's only `unsafe` code.
//!
//! Each function wraps one call, checks what the kernel cannot, and turns a failure into a
//! [`CallError`]. Policy, retries and meaning live in the callers.

mod bpf;
mod descriptor;
mod library;
mod limits;
mod schedule;
mod seccomp;
mod time;

#[cfg(test)]
pub(crate) use bpf::program_try;
pub(crate) use bpf::{
    MapKind, MapShape, PAGE_WORDS, SharedPage, adopt_descriptor, inheritable_copy, map_create, map_update,
    mark_socket, memory_descriptor, program_attach, program_id, program_load, programs_attached,
};
pub(crate) use descriptor::{
    Readiness, SignalSet, block_signals, read_u64, send_signal, signal_descriptor, signal_read,
    timer_descriptor, timer_set, wait_readable,
};
pub(crate) use library::load;
pub use library::{RawCall, enter};
pub(crate) use limits::{lock_all_memory, malloc_option, memory_lock_limit, thread_usage, unlock_all_memory};
pub(crate) use schedule::{
    Attributes, affinity, current_thread_id, raise_timer_precision, scheduling, set_scheduling, stack_bytes,
    timer_slack_ns,
};
pub(crate) use seccomp::{allow_list, exit_now, filter, filter_with_listener, pass_one};
pub(crate) use time::{Clock, clock_nanos, clock_resolution_nanos, wait_until};

use crate::errno::{CallError, Errno};

/// The result of a call that reports failure as -1 with `errno`.
fn check(call: &'static str, result: libc::c_int) -> Result<libc::c_int, CallError> {
    if result == -1 { Err(CallError { call, errno: Errno::last() }) } else { Ok(result) }
}

/// The result of a call that returns the error number itself.
fn check_returned(call: &'static str, result: libc::c_int) -> Result<(), CallError> {
    if result == 0 { Ok(()) } else { Err(CallError { call, errno: Errno::from_raw(result) }) }
}
