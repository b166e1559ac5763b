//! Timers and signals as file descriptors.

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use hal_units::Duration;

use super::time::timespec;
use super::{check, check_returned};
use crate::errno::{CallError, Errno};

/// A timer on the monotonic clock; reads do not block.
pub(crate) fn timer_descriptor() -> Result<OwnedFd, CallError> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes integers only.
    let fd = check("timerfd_create", unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: the call succeeded, so `fd` is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Arms a timer at an absolute time, then every period; a period of 0 is one shot, a start of 0 disarms.
pub(crate) fn timer_set(timer: BorrowedFd<'_>, start_ns: u64, period_ns: u64) -> Result<(), CallError> {
    let setting = libc::itimerspec { it_value: timespec(start_ns), it_interval: timespec(period_ns) };
    // SAFETY: the descriptor is open while borrowed; `setting` is only read; a null pointer says that the
    // old setting is not wanted.
    let result = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &raw const setting, ptr::null_mut())
    };
    check("timerfd_settime", result).map(drop)
}

/// Reads one counter from a descriptor that gives 8 bytes at a time.
pub(crate) fn read_u64(descriptor: BorrowedFd<'_>) -> Result<u64, CallError> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the descriptor is open while borrowed; the buffer is writable for the 8 bytes that are asked.
    let got = unsafe { libc::read(descriptor.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    match got {
        8 => Ok(u64::from_ne_bytes(bytes)),
        -1 => Err(CallError { call: "read", errno: Errno::last() }),
        _ => Err(CallError { call: "read", errno: Errno::from_raw(libc::EIO) }),
    }
}

/// What a descriptor has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Something to read.
    Readable,
    /// Nothing, and there never will be.
    HungUp,
    /// Nothing yet.
    Nothing,
}

/// Waits at most `timeout`, rounded up to milliseconds, for a descriptor. A signal may end the wait early.
pub(crate) fn wait_readable(descriptor: BorrowedFd<'_>, timeout: Duration) -> Result<Readiness, CallError> {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout_ms = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: `poll` is one writable pollfd, and the count passed is 1; the descriptor is open while
    // borrowed.
    match check("poll", unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }) {
        Err(error) if error.errno == Errno::EINTR => Ok(Readiness::Nothing),
        Err(error) => Err(error),
        Ok(_) if poll.revents & libc::POLLIN != 0 => Ok(Readiness::Readable),
        Ok(_) if poll.revents & libc::POLLHUP != 0 => Ok(Readiness::HungUp),
        Ok(_) => Ok(Readiness::Nothing),
    }
}

/// A set of signal numbers.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set of these signals.
    pub(crate) fn of(signals: &[libc::c_int]) -> Result<Self, CallError> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is writable; sigemptyset initialises it and cannot fail.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in signals {
            // SAFETY: `set` is initialised and writable; a number out of range is refused with EINVAL.
            check("sigaddset", unsafe { libc::sigaddset(&raw mut set, *signal) })?;
        }
        Ok(Self(set))
    }
}

/// Blocks the signals in the calling thread, and so in the threads that it creates from now on.
pub(crate) fn block_signals(set: &SignalSet) -> Result<(), CallError> {
    // SAFETY: the set is initialised and only read; the old mask is not wanted.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set.0, ptr::null_mut()) };
    check_returned("pthread_sigmask", result)
}

/// A descriptor that becomes readable when one of the signals is pending; reads do not block.
pub(crate) fn signal_descriptor(set: &SignalSet) -> Result<OwnedFd, CallError> {
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: -1 asks for a new descriptor; the set is initialised and only read.
    let fd = check("signalfd", unsafe { libc::signalfd(-1, &raw const set.0, flags) })?;
    // SAFETY: the call succeeded, so `fd` is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes one pending signal: its number and the sender's process, or `None` if none is pending.
pub(crate) fn signal_read(descriptor: BorrowedFd<'_>) -> Result<Option<(i32, u32)>, CallError> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the descriptor is open while borrowed; `info` is writable for `size` bytes.
    let got = unsafe { libc::read(descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if got == -1 {
        let errno = Errno::last();
        return if errno == Errno::EAGAIN { Ok(None) } else { Err(CallError { call: "read", errno }) };
    }
    // SAFETY: plain integers, for which the zeroes written above are valid even if the read was short.
    let info = unsafe { info.assume_init() };
    Ok(Some((i32::try_from(info.ssi_signo).unwrap_or(0), info.ssi_pid)))
}

/// Sends a signal to one process.
pub(crate) fn send_signal(process: libc::pid_t, signal: libc::c_int) -> Result<(), CallError> {
    // SAFETY: `kill` takes two integers and touches no memory of this process.
    check("kill", unsafe { libc::kill(process, signal) }).map(drop)
}
