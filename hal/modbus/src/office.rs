//! Who may write to the field, and until when.
//!
//! # Problem
//!
//! Of two nodes that share a field, one at most may write. The other keeps its connections open and reads
//! along, so that it can take over without a pause.
//!
//! # Model
//!
//! A *term of office* is announced to all lines at once ([`OfficeHolder::begin`]). Each line first raises
//! the epoch at its devices, so that they refuse the predecessor (*fencing*); only when all lines have
//! done so, or the time for it is over, does any of them write outputs. A write leaves only while the
//! *lease* holds: the holder renews it, and it ends by itself. Without an office a line reads and nothing
//! else: it writes neither outputs nor safe actions, because another node may be writing.
//!
//! An agent that runs alone has an office for ever ([`Office::alone`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hal_units::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the first writes of a term wait for lines that have not fenced their devices yet.
const FENCE_WITHIN: Duration = Duration::from_millis(8);

/// What this node may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Read only.
    Observe,
    /// Read and write, under this epoch; `None` under the one that the profile's initial outputs carry.
    Write {
        /// The term's number, as devices see it.
        epoch: Option<u32>,
    },
}

/// The office as a line sees it.
#[derive(Debug, Clone)]
pub struct Office {
    term: watch::Receiver<Term>,
    lease: Arc<AtomicU64>,
    fence: watch::Sender<Fence>,
    /// Of an office for ever: it has no holder who could close the channel.
    _holder: Option<Arc<watch::Sender<Term>>>,
}

/// How many lines have fenced their devices under a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Fence {
    epoch: Option<u32>,
    done: usize,
    lines: usize,
}

/// The side that gives and takes the office.
#[derive(Debug)]
pub struct OfficeHolder {
    term: watch::Sender<Term>,
    lease: Arc<AtomicU64>,
}

impl Office {
    /// An office that never ends, for an agent without a peer.
    #[must_use]
    pub fn alone() -> Self {
        let (sender, term) = watch::channel(Term::Write { epoch: None });
        let lease = Arc::new(AtomicU64::new(u64::MAX));
        Self { term, lease, fence: watch::Sender::default(), _holder: Some(Arc::new(sender)) }
    }

    /// An office that its holder gives and takes; nobody has it at first.
    #[must_use]
    pub fn shared() -> (OfficeHolder, Self) {
        let (sender, term) = watch::channel(Term::Observe);
        let lease = Arc::new(AtomicU64::new(0));
        let holder = OfficeHolder { term: sender, lease: Arc::clone(&lease) };
        (holder, Self { term, lease, fence: watch::Sender::default(), _holder: None })
    }

    /// The term in force.
    #[must_use]
    pub fn term(&self) -> Term {
        // A holder that is gone renews nothing: what it left behind ends with its lease.
        *self.term.borrow()
    }

    /// Whether a write may leave at `now`.
    #[must_use]
    pub fn may_write(&self, now: Instant) -> bool {
        now.as_nanos() < self.lease.load(Ordering::Acquire)
    }

    /// Resolves when the term changes; never if it cannot any more.
    pub(crate) async fn changed(&mut self) {
        if self.term.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Registers a line, which takes part in fencing from now on.
    pub(crate) fn join_fence(&self) {
        self.fence.send_modify(|fence| fence.lines += 1);
    }

    /// Says that a line has fenced what it reaches, and waits for the others, but not long.
    pub(crate) async fn fenced(&self, epoch: Option<u32>) {
        self.fence.send_modify(|fence| {
            if fence.epoch != epoch {
                *fence = Fence { epoch, done: 0, ..*fence };
            }
            fence.done += 1;
        });
        let mut seen = self.fence.subscribe();
        let all = seen.wait_for(|fence| fence.epoch != epoch || fence.done >= fence.lines);
        // Too late for somebody: a device that hangs must not keep the others without a master.
        let _ = timeout(FENCE_WITHIN, all).await;
    }
}

impl OfficeHolder {
    /// Begins a term: the lines fence their devices, then write while the lease holds.
    pub fn begin(&self, epoch: u32, until: Instant) {
        self.lease.store(until.as_nanos(), Ordering::Release);
        self.term.send_replace(Term::Write { epoch: Some(epoch) });
    }

    /// Lets the lease end at `until` instead.
    pub fn renew(&self, until: Instant) {
        self.lease.store(until.as_nanos(), Ordering::Release);
    }

    /// Ends the term: nothing is written from now on.
    pub fn end(&self) {
        self.lease.store(0, Ordering::Release);
        self.term.send_replace(Term::Observe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn nobody_may_write_before_a_term_and_after_its_lease() {
        let (holder, office) = Office::shared();
        assert_eq!((office.term(), office.may_write(at(0))), (Term::Observe, false));
        holder.begin(4, at(25));
        assert_eq!(office.term(), Term::Write { epoch: Some(4) });
        assert!(office.may_write(at(24)) && !office.may_write(at(25)));
        holder.renew(at(30));
        assert!(office.may_write(at(25)));
        holder.end();
        assert!(!office.may_write(at(25)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_line_goes_on_before_all_have_fenced() {
        let (_holder, office) = Office::shared();
        office.join_fence();
        office.join_fence();
        let first = tokio::spawn({
            let office = office.clone();
            async move { office.fenced(Some(2)).await }
        });
        tokio::task::yield_now().await;
        assert!(!first.is_finished());
        office.fenced(Some(2)).await;
        first.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_hangs_delays_the_others_by_a_bounded_time() {
        let (_holder, office) = Office::shared();
        office.join_fence();
        office.join_fence();
        let begun = tokio::time::Instant::now();
        office.fenced(Some(2)).await;
        assert_eq!(begun.elapsed(), FENCE_WITHIN);
    }
}
