//! Proof of what a thread asks of the kernel.
//!
//! A control cycle in its steady state makes one system call, the wait. Two instruments prove it:
//!
//! - [`close`] lets only the named calls pass for the rest of the thread's life: one call too many ends
//!   the process. Cheap enough to run a cycle at full rate behind it.
//! - [`count`] runs a function on a thread whose every call is reported, and returns how many of each
//!   there were. It slows each call down to some ten microseconds.
//!
//! Both use seccomp filters (`seccomp(2)`, `seccomp_unotify(2)`), so they see every call, whoever makes it:
//! this program, a library or the C library. What the kernel answers in its shared page, the time for
//! instance, is no call.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::Builder;

use hal_units::Duration;

use crate::errno::{CallError, Errno};
use crate::sys;

/// A system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syscall(i64);

impl Syscall {
    /// The absolute wait.
    pub const CLOCK_NANOSLEEP: Self = Self(libc::SYS_clock_nanosleep);
    /// Reading the clock; a call only where the kernel cannot offer the time in its shared page.
    pub const CLOCK_GETTIME: Self = Self(libc::SYS_clock_gettime);
    /// Reading a thread's usage.
    pub const GETRUSAGE: Self = Self(libc::SYS_getrusage);
    /// Reading the thread's number.
    pub const GETTID: Self = Self(libc::SYS_gettid);
    /// Waiting for, or waking, a thread.
    pub const FUTEX: Self = Self(libc::SYS_futex);
    /// Writing to a descriptor.
    pub const WRITE: Self = Self(libc::SYS_write);
    /// Ending the process.
    pub const EXIT_GROUP: Self = Self(libc::SYS_exit_group);

    /// The call with this number of the running architecture.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Syscall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::CLOCK_NANOSLEEP => "clock_nanosleep",
            Self::CLOCK_GETTIME => "clock_gettime",
            Self::GETRUSAGE => "getrusage",
            Self::GETTID => "gettid",
            Self::FUTEX => "futex",
            Self::WRITE => "write",
            Self::EXIT_GROUP => "exit_group",
            Self(number) => return write!(f, "syscall {number}"),
        })
    }
}

/// What happens to a call that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denied {
    /// The process is killed; its status shows `SIGSYS`.
    KillProcess,
    /// The thread gets `SIGSYS`, which a handler may catch; without one the process ends.
    Trap,
}

impl Denied {
    const fn action(self) -> u32 {
        match self {
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::Trap => libc::SECCOMP_RET_TRAP,
        }
    }
}

/// Lets only `allowed` pass from the calling thread, and from threads that it creates, for the rest of
/// their lives. There is no way back, and without [`Syscall::EXIT_GROUP`] not even a way out.
///
/// # Errors
/// If the kernel has no seccomp filters, or there are more than some 2,000 calls in the list.
pub fn close(allowed: &[Syscall], denied: Denied) -> Result<(), CallError> {
    let numbers: Vec<i64> = allowed.iter().map(|call| call.number()).collect();
    let mut program = sys::allow_list(&numbers, denied.action());
    sys::filter(&mut program)
}

/// Ends the process with `status` by one system call, [`Syscall::EXIT_GROUP`]. Nothing is flushed, no
/// destructor runs: it is the way out of a closed gate.
pub fn leave(status: i32) -> ! {
    sys::exit_now(status)
}

/// How often each call was made.
pub type Counts = BTreeMap<Syscall, u64>;

/// Numbers of system calls are below this on every architecture; a larger one is counted as the last.
const NUMBERS: usize = 1024;

/// How long [`count`] waits for a call at a time.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `body` on a new thread and returns its result with the system calls that it made.
///
/// # Errors
/// If the thread cannot be created or filtered, or `body` panics (`ECANCELED`). Needs Linux 5.9.
pub fn count<T: Send>(body: impl FnOnce() -> T + Send) -> Result<(T, Counts), CallError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let run = || {
        // The thread must be able to end without an observer.
        let mut program = sys::allow_list(&[libc::SYS_exit], libc::SECCOMP_RET_USER_NOTIF);
        // From here on each call waits until the observer lets it go on, and the observer gets the
        // listener only now: sending it must not need a call. It needs none, because the channel has room
        // and the observer does not sleep on it.
        let listener = sys::filter_with_listener(&mut program);
        let is_filtered = listener.is_ok();
        let _ = sender.try_send(listener);
        is_filtered.then(|| {
            begun.store(true, Ordering::Release);
            let result = body();
            ended.store(true, Ordering::Release);
            result
        })
    };
    // Taken before: while the thread waits in a call it may hold the allocator's lock.
    let mut counted = vec![0; NUMBERS];
    let failed = |errno| CallError { call: "clone", errno: Errno::from_raw(errno) };
    std::thread::scope(|scope| {
        let thread = Builder::new().spawn_scoped(scope, run).map_err(|_| failed(libc::EAGAIN))?;
        let listener = loop {
            match receiver.try_recv() {
                Ok(listener) => break listener?,
                Err(mpsc::TryRecvError::Empty) => std::thread::yield_now(),
                Err(mpsc::TryRecvError::Disconnected) => return Err(failed(libc::ECANCELED)),
            }
        };
        let within = || begun.load(Ordering::Acquire) && !ended.load(Ordering::Acquire);
        observe(&listener, within, &mut counted)?;
        match thread.join() {
            Ok(Some(result)) => Ok((result, named(&counted))),
            Ok(None) | Err(_) => Err(failed(libc::ECANCELED)),
        }
    })
}

/// Lets each call go on until the thread has ended; counts those that come while `counting`.
fn observe(listener: &OwnedFd, counting: impl Fn() -> bool, counted: &mut [u64]) -> Result<(), CallError> {
    loop {
        match sys::wait_readable(listener.as_fd(), LOOK)? {
            sys::Readiness::HungUp => return Ok(()),
            sys::Readiness::Nothing => {}
            sys::Readiness::Readable => {
                // The caller waits, so what it stored before its call is settled.
                let counts_now = counting();
                let number = sys::pass_one(listener.as_fd())?;
                let slot = number.map(|number| usize::try_from(number).unwrap_or(NUMBERS).min(NUMBERS - 1));
                if let Some(count) = slot.and_then(|slot| counted.get_mut(slot)).filter(|_| counts_now) {
                    *count += 1;
                }
            }
        }
    }
}

fn named(counted: &[u64]) -> Counts {
    let made = counted.iter().zip(0..).filter(|(count, _)| **count > 0);
    made.map(|(count, number)| (Syscall(number), *count)).collect()
}
