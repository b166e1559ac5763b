//! The page that holds the deadline.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use hal_units::Instant;

use super::program::{CONDEMNED_WORD, DEADLINE_WORD, DROPPED_WORD, EPOCH_WORD};
use crate::errno::CallError;
use crate::sys;

/// The lease, in a page that the control thread, a supervisor and the kernel's gate share.
///
/// Each operation but the opening is a single access to memory: no system call, no lock, so it may be used
/// inside a cycle. All times are on the **boot clock** ([`crate::clock::boot_now`]); convert with
/// [`crate::clock::to_boot`]. A new page is shut.
pub struct LeaseCell {
    descriptor: OwnedFd,
    page: sys::SharedPage,
}

impl fmt::Debug for LeaseCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseCell").field("deadline", &self.deadline()).field("epoch", &self.epoch()).finish()
    }
}

impl LeaseCell {
    /// A lease that no kernel watches: for the profile `unfenced`.
    ///
    /// # Errors
    /// If the process has no descriptor or no memory left.
    pub fn unfenced() -> Result<Self, CallError> {
        Self::from_fd(sys::memory_descriptor(sys::PAGE_WORDS * size_of::<u64>())?)
    }

    /// The lease behind a descriptor: one that another [`LeaseCell`] gave out.
    ///
    /// # Errors
    /// `EINVAL` if the descriptor is something else, or whatever the kernel answers to `mmap`.
    pub fn from_fd(descriptor: OwnedFd) -> Result<Self, CallError> {
        let page = sys::SharedPage::map(descriptor.as_fd())?;
        Ok(Self { descriptor, page })
    }

    /// The lease behind a descriptor that the parent process left open under this number: see
    /// [`LeaseCell::inheritable_fd`]. The number itself stays open.
    ///
    /// # Errors
    /// `EBADF` if there is none; otherwise as [`LeaseCell::from_fd`].
    pub fn inherited(number: RawFd) -> Result<Self, CallError> {
        Self::from_fd(sys::adopt_descriptor(number)?)
    }

    /// A copy of the descriptor that stays open in a program that is executed while the copy lives. Its
    /// number goes to the child, by an argument or the environment.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn inheritable_fd(&self) -> Result<OwnedFd, CallError> {
        sys::inheritable_copy(self.descriptor.as_fd())
    }

    /// Another view of the same lease.
    ///
    /// # Errors
    /// If the process has no descriptor or no memory left.
    pub fn try_clone(&self) -> Result<Self, CallError> {
        Self::from_fd(sys::adopt_descriptor(self.descriptor.as_raw_fd())?)
    }

    /// Lets writes pass until `deadline`. A deadline never moves back: an earlier one changes nothing.
    pub fn renew(&self, deadline: Instant) {
        self.word(DEADLINE_WORD).fetch_max(deadline.as_nanos(), Ordering::Release);
    }

    /// Lets no write pass any more, until the next [`LeaseCell::renew`].
    pub fn shut(&self) {
        self.word(DEADLINE_WORD).store(0, Ordering::Release);
    }

    /// Until when writes pass; the clock's origin if none does.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::from_nanos(self.word(DEADLINE_WORD).load(Ordering::Acquire))
    }

    /// Whether writes pass at `boot_now`.
    #[must_use]
    pub fn is_open(&self, boot_now: Instant) -> bool {
        boot_now < self.deadline()
    }

    /// Begins a term: shuts, then notes its epoch, for a supervisor who has to resign for a dead process.
    pub fn set_epoch(&self, epoch: u64) {
        self.shut();
        self.word(EPOCH_WORD).store(epoch, Ordering::Release);
    }

    /// The epoch noted last; 0 for none.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.word(EPOCH_WORD).load(Ordering::Acquire)
    }

    /// Packets that the kernel's gate dropped so far. Always 0 without one.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.word(DROPPED_WORD).load(Ordering::Relaxed)
    }

    /// Connections that lost a write at the kernel's gate, so that nothing leaves them any more.
    #[must_use]
    pub fn condemned(&self) -> u64 {
        self.word(CONDEMNED_WORD).load(Ordering::Relaxed)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        let [w0, w1, w2, w3, ..] = self.page.words();
        match at {
            DEADLINE_WORD => w0,
            EPOCH_WORD => w1,
            DROPPED_WORD => w2,
            _ => w3,
        }
    }
}

impl AsFd for LeaseCell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_new_lease_is_shut() {
        let cell = LeaseCell::unfenced().unwrap();
        assert!(!cell.is_open(at(0)));
        assert_eq!((cell.deadline(), cell.epoch()), (Instant::ZERO, 0));
    }

    #[test]
    fn a_lease_holds_before_its_deadline_and_not_at_it() {
        let cell = LeaseCell::unfenced().unwrap();
        cell.renew(at(100));
        assert!(cell.is_open(at(99)) && !cell.is_open(at(100)));
    }

    #[test]
    fn a_deadline_never_moves_back_but_is_shut_at_once() {
        let cell = LeaseCell::unfenced().unwrap();
        cell.renew(at(100));
        cell.renew(at(50));
        assert_eq!(cell.deadline(), at(100));
        cell.shut();
        cell.renew(at(50));
        assert_eq!(cell.deadline(), at(50));
    }

    #[test]
    fn a_new_term_begins_shut() {
        let cell = LeaseCell::unfenced().unwrap();
        cell.renew(at(100));
        cell.set_epoch(7);
        assert_eq!((cell.deadline(), cell.epoch()), (Instant::ZERO, 7));
    }

    #[test]
    fn two_views_share_one_lease() {
        let cell = LeaseCell::unfenced().unwrap();
        let other = cell.try_clone().unwrap();
        let fd = cell.inheritable_fd().unwrap();
        let third = LeaseCell::inherited(fd.as_raw_fd()).unwrap();
        cell.renew(at(100));
        assert_eq!((other.deadline(), third.deadline()), (at(100), at(100)));
        third.shut();
        assert_eq!(cell.deadline(), Instant::ZERO);
    }

    #[test]
    fn a_descriptor_of_something_else_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(LeaseCell::from_fd(file.into()).unwrap_err().errno, crate::Errno::EINVAL);
        assert!(LeaseCell::inherited(-1).is_err());
    }
}
