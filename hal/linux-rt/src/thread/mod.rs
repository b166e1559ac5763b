//! A real-time thread, set up and then proved.
//!
//! # Model
//!
//! [`spawn`] creates a thread that first sets itself up (core, policy, stack), then reads every setting
//! back from the kernel, and only then runs its body. What was asked for and what was found come back as
//! a [`ThreadReport`]. A difference is a [`Shortfall`]: with [`Realtime::Required`] it is an error and
//! the body never runs; with [`Realtime::Preferred`] the body runs and the report says what is missing.
//!
//! # Traps
//!
//! - The policy is set with `sched_setattr`, because only that sets `RESET_ON_FORK` in the same step;
//!   without it every thread that the body creates would be real-time too.
//! - It is read back with `sched_getattr`: `pthread_getschedparam` answers from the C library's own copy.
//! - The core mask **is** inherited by threads that the body creates: create helpers elsewhere.

mod report;
mod setup;

use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

pub use report::{Found, Policy, Shortfall, Step, ThreadReport};
pub use setup::{pin_current_thread, set_fifo, set_reset_on_fork};

/// Longest name of a thread in the kernel, in bytes.
pub const NAME_BYTES_MAX: usize = 15;

/// Stack of a thread that is not real-time, in bytes. Locked memory has all of it present, so the standard library's
/// 2 MiB for each are too many; the deepest of the agent's threads was found to use 70 KiB.
pub const ORDINARY_STACK_BYTES: usize = 256 << 10;

/// Stack of a thread's set-up and of what the standard library adds; not available to prefault.
const STACK_RESERVE_BYTES: usize = 64 << 10;

/// A real-time priority, 1 (lowest) to 99 (highest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The lowest.
    pub const MIN: Self = Self(1);
    /// The highest. Leave it to the kernel's own threads: a busy thread at 99 starves them.
    pub const MAX: Self = Self(99);

    /// The priority of this level; `None` outside 1 to 99.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 99 { Some(Self(level)) } else { None }
    }

    /// The level, 1 to 99.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

/// What to do when the kernel does not give real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realtime {
    /// Fail.
    Required,
    /// Run all the same, with the shortfalls in the report.
    Preferred,
}

/// The thread that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadSpec {
    /// Name as tools show it: 1 to [`NAME_BYTES_MAX`] bytes, without NUL.
    pub name: String,
    /// The one core to run on; `None` leaves the creator's mask.
    pub core: Option<usize>,
    /// `SCHED_FIFO` at this priority; `None` leaves the normal policy.
    pub priority: Option<Priority>,
    /// Stack size in bytes.
    pub stack_bytes: usize,
    /// Stack to touch before the body runs, in bytes, at most the stack size less 64 KiB.
    pub stack_prefault_bytes: usize,
    /// What to do about a shortfall.
    pub realtime: Realtime,
}

impl ThreadSpec {
    /// A `SCHED_FIFO` thread on one core with 512 KiB of stack, half of it touched.
    #[must_use]
    pub fn fifo(name: &str, core: usize, priority: Priority, realtime: Realtime) -> Self {
        Self {
            name: name.to_owned(),
            core: Some(core),
            priority: Some(priority),
            stack_bytes: 512 << 10,
            stack_prefault_bytes: 256 << 10,
            realtime,
        }
    }
}

/// Why there is no thread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// The name is empty, too long or contains NUL.
    #[error("thread name `{name}` must have 1 to {NAME_BYTES_MAX} bytes and no NUL")]
    Name {
        /// The name.
        name: String,
    },
    /// More stack to touch than there is.
    #[error("{prefault_bytes} bytes to touch do not fit into a stack of {stack_bytes} bytes less 64 KiB")]
    Stack {
        /// The stack in bytes.
        stack_bytes: usize,
        /// What was to be touched, in bytes.
        prefault_bytes: usize,
    },
    /// The thread could not be created.
    #[error("thread `{name}` could not be created: {error}")]
    Create {
        /// Its name.
        name: String,
        /// Why.
        error: String,
    },
    /// A setting is not as required.
    #[error("thread `{name}` is not real-time as required: {shortfall}")]
    Required {
        /// Its name.
        name: String,
        /// What is missing.
        shortfall: Shortfall,
    },
}

/// A running thread with its report.
#[derive(Debug)]
pub struct RtThread<T> {
    /// What was asked for and what was found before the body ran.
    pub report: ThreadReport,
    handle: JoinHandle<Option<T>>,
}

impl<T> RtThread<T> {
    /// Waits for the body's end.
    ///
    /// # Errors
    /// The panic of the body, if it panicked.
    pub fn join(self) -> std::thread::Result<T> {
        self.handle.join()?.ok_or_else(|| Box::new("the thread ended before its body") as _)
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Creates a thread, sets it up, reads the settings back and runs `body` with the report.
///
/// # Errors
/// If the request makes no sense, the thread cannot be created, or, with [`Realtime::Required`], a
/// setting is not as asked; then `body` has not run.
pub fn spawn<T, F>(spec: ThreadSpec, body: F) -> Result<RtThread<T>, SpawnError>
where
    T: Send + 'static,
    F: FnOnce(&ThreadReport) -> T + Send + 'static,
{
    check(&spec)?;
    let (name, stack_bytes) = (spec.name.clone(), spec.stack_bytes);
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        let outcome = setup::set_up(spec);
        // The receiver waits below until this thread has sent, so the channel is open.
        let _ = sender.send(outcome.clone());
        drop(sender);
        outcome.ok().map(|report| body(&report))
    };
    let create_error = |error: String| SpawnError::Create { name: name.clone(), error };
    let builder = Builder::new().name(name.clone()).stack_size(stack_bytes);
    let handle = builder.spawn(run).map_err(|error| create_error(error.to_string()))?;
    match receiver.recv() {
        Ok(Ok(report)) => Ok(RtThread { report, handle }),
        Ok(Err(shortfall)) => {
            let _ = handle.join();
            Err(SpawnError::Required { name, shortfall })
        }
        Err(_) => Err(create_error("it ended during set-up".to_owned())),
    }
}

fn check(spec: &ThreadSpec) -> Result<(), SpawnError> {
    if spec.name.is_empty() || spec.name.len() > NAME_BYTES_MAX || spec.name.contains('\0') {
        return Err(SpawnError::Name { name: spec.name.clone() });
    }
    if spec.stack_prefault_bytes > spec.stack_bytes.saturating_sub(STACK_RESERVE_BYTES) {
        return Err(SpawnError::Stack {
            stack_bytes: spec.stack_bytes,
            prefault_bytes: spec.stack_prefault_bytes,
        });
    }
    Ok(())
}
