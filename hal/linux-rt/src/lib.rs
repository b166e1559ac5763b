//! Linux real-time services: each one set, then read back from the kernel.
//!
//! # Problem
//!
//! On Linux a call that asks for real time can succeed and still not give it: a library clamps, a
//! cgroup has no budget, a limit is silently lower. So nothing here reports what was asked for;
//! everything reports what the kernel says it *found* after asking.
//!
//! # Model
//!
//! Plain functions and small structs over one system call each. All `unsafe` code of the project is in
//! the private module `sys`, which wraps each call into a safe function; the rest of this crate is
//! safe code. Files of `/proc` and `/sys` are parsed by pure functions over text.
//!
//! # Map
//!
//! - [`clock`], [`timer`]: monotonic time, the absolute wait of a cycle, a timer on a fixed grid.
//! - [`thread`]: a real-time thread: core, policy, stack, each read back.
//! - [`machine`]: the kernel and its settings.
//! - [`memory`]: locked and prefaulted memory.
//! - [`cgroup`]: control groups of both versions: limits, groups of one's own, real-time budgets.
//! - [`counters`]: faults, context switches and processor time of a thread.
//! - [`bladed`]: turbine controllers of others, in shared libraries, each in a process of its own.
//! - [`capability`]: what a thread may do, and giving it up.
//! - [`lease_gate`]: the kernel's check that no node writes to a device without a lease.
//! - [`doctor`]: whether this machine can control in real time, with remedies.
//! - [`syscall_gate`]: proof of which system calls a thread makes.
//! - [`signal`]: termination signals as a readable descriptor.

#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
#![cfg(target_os = "linux")]

pub mod bladed;
pub mod capability;
pub mod cgroup;
pub mod clock;
mod core_set;
pub mod counters;
pub mod doctor;
mod errno;
pub mod lease_gate;
pub mod machine;
pub mod memory;
mod procfs;
pub mod signal;
#[allow(unsafe_code, reason = "the one place where the project calls the C library")]
mod sys;
pub mod syscall_gate;
pub mod thread;
pub mod timer;

pub use core_set::{CORES_MAX, CoreListError, CoreSet};
pub use errno::{CallError, Errno};
