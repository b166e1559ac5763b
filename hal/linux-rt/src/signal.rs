//! Termination signals as a readable descriptor.
//!
//! The plant must reach its safe state before the process ends, so a signal may not end it. The signals
//! are blocked in all threads and read from a descriptor, by polling or through an asynchronous runtime.
//! No handler runs: nothing is interrupted, least of all a real-time thread.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use hal_units::Duration;

use crate::errno::{CallError, Errno};
use crate::sys;

/// A signal that asks the process for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `SIGTERM`: end, from a supervisor.
    Terminate,
    /// `SIGINT`: end, from the terminal.
    Interrupt,
    /// `SIGHUP`: the terminal went away, or read the configuration again.
    HangUp,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Terminate, Self::Interrupt, Self::HangUp];

    const fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::HangUp => libc::SIGHUP,
        }
    }
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// The process that sent it; 0 if it was the kernel, or a process of another namespace.
    pub sender_pid: u32,
}

/// Watched signals. Readable when one is pending.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals in the calling thread and watches them.
    ///
    /// Call it in `main` before the first thread is created: threads inherit the blocking, and a signal
    /// goes to any thread that does not block it. Child processes inherit it too.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn block_and_watch(signals: &[Signal]) -> Result<Self, CallError> {
        let mut numbers = [0; Signal::ALL.len()];
        let mut count = 0;
        for (slot, signal) in numbers.iter_mut().zip(Signal::ALL.iter().filter(|s| signals.contains(s))) {
            *slot = signal.number();
            count += 1;
        }
        let set = sys::SignalSet::of(numbers.get(..count).unwrap_or(&[]))?;
        sys::block_signals(&set)?;
        sys::signal_descriptor(&set).map(Self)
    }

    /// Takes one pending signal, without waiting.
    ///
    /// # Errors
    /// None is known for an open descriptor.
    pub fn take(&self) -> Result<Option<Received>, CallError> {
        let Some((number, sender_pid)) = sys::signal_read(self.0.as_fd())? else {
            return Ok(None);
        };
        let signal = Signal::ALL.into_iter().find(|signal| signal.number() == number);
        Ok(signal.map(|signal| Received { signal, sender_pid }))
    }

    /// Waits at most `timeout` for a signal; `None` if none came.
    ///
    /// # Errors
    /// As [`Signals::take`].
    pub fn wait(&self, timeout: Duration) -> Result<Option<Received>, CallError> {
        sys::wait_readable(self.0.as_fd(), timeout)?;
        self.take()
    }
}

/// Sends a signal to one process.
///
/// # Errors
/// If there is no such process, it may not be signalled, or `process` is 0 or 1: these stand for
/// more than one process, or for the one that must not end.
pub fn send(process: u32, signal: Signal) -> Result<(), CallError> {
    match i32::try_from(process) {
        Ok(process) if process > 1 => sys::send_signal(process, signal.number()),
        Ok(_) | Err(_) => Err(CallError { call: "kill", errno: Errno::EINVAL }),
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
