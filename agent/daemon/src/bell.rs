//! What wakes the main thread before its time: a signal, or a command that has come.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hal_linux_rt::signal::{Received, Signals};
use hal_units::Duration;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Rung by other threads, through an eventfd.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// A rope: whoever writes to it rings.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub(crate) fn rope(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Waits at most `timeout` for a signal or a ring; the signal, if it was one.
    ///
    /// # Errors
    /// None is known for open descriptors.
    pub(crate) fn wait(&self, signals: &Signals, timeout: Duration) -> io::Result<Option<Received>> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut watched =
            [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // It says that there is something, not how much; without a ring there is nothing to read.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        signals.take().map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_linux_rt::clock::now;
    use hal_linux_rt::signal::Signal;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_ring_ends_the_wait_once() {
        let (bell, signals) = (Bell::new().unwrap(), Signals::block_and_watch(&[Signal::HangUp]).unwrap());
        rustix::io::write(bell.rope().unwrap(), &1_u64.to_ne_bytes()).unwrap();
        let began = now();
        assert!(bell.wait(&signals, LONG).unwrap().is_none());
        assert!(now().since(began) < LONG / 2);
        let began = now();
        assert!(bell.wait(&signals, Duration::from_millis(30)).unwrap().is_none());
        assert!(now().since(began) >= Duration::from_millis(30), "nobody rang again");
    }
}
