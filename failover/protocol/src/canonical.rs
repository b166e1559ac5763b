//! The canonical form of a pair, for the model: two pairs that will act alike become equal.
//!
//! The model moves every node's clock back to the same reading after each step, and keeps of times long past
//! only that they are long past. What is for people only is left out.

use core::hash::{Hash, Hasher};

use hal_units::{Duration, Instant};

use crate::pair::{Pair, State};
use crate::watch::Watch;

impl Pair {
    /// Whatever is not for people only.
    pub fn hash_decisive(&self, hasher: &mut impl Hasher) {
        self.core.hash(hasher);
    }

    /// The same pair with its clock set from `now` to `to`.
    ///
    /// Times more than `horizon` before are brought forward to it: the caller sees to it that every time of
    /// the configuration is shorter. Counters that only people read start anew.
    #[must_use]
    pub fn canonical(&self, now: Instant, to: Instant, horizon: Duration) -> Self {
        let own = |at: Instant| shift(at, now, to, horizon);
        let mut pair = Self { watch: Watch::default(), ..*self };
        let core = &mut pair.core;
        core.now = own(core.now);
        core.claims_from = own(core.claims_from).max(to);
        core.promised_at = own(core.promised_at);
        core.quiet_since = own(core.quiet_since);
        core.heartbeat_due = own(core.heartbeat_due).max(to);
        core.local.cycle_at = own(core.local.cycle_at);
        core.flaps.map(own);
        let arbiter = &mut core.arbiter;
        arbiter.next_at = own(arbiter.next_at).max(to);
        arbiter.read_at = own(arbiter.read_at);
        if let Some(asked) = &mut arbiter.asked {
            asked.sent_at = own(asked.sent_at);
        }
        if let Some(last) = &mut arbiter.last {
            last.at = to;
        }
        if let Some(seen) = &mut core.peer.seen {
            seen.at = own(seen.at);
        }
        if let Some(release) = &mut core.release {
            release.at = own(release.at);
        }
        match &mut core.state {
            State::Claimed(claim) => {
                claim.lease.from = own(claim.lease.from);
                claim.not_before = own(claim.not_before).max(to);
            }
            State::Active(term) => {
                term.lease.from = own(term.lease.from);
                term.outreached_since = term.outreached_since.map(own);
                if let Some(ending) = &mut term.ending {
                    ending.until = own(ending.until).max(to);
                }
            }
            State::Init | State::Standby | State::Fenced => {}
        }
        pair
    }

    /// The same pair after its peer's clock was set from `now` to `to`.
    #[must_use]
    pub fn with_peer_clock(&self, now: Instant, to: Instant, horizon: Duration) -> Self {
        let mut pair = *self;
        if let Some(seen) = &mut pair.core.peer.seen {
            seen.sent_at = shift(seen.sent_at, now, to, horizon);
        }
        pair
    }
}

/// `at` on a clock that is set from `now` to `to`; not more than `horizon` before `to`.
#[must_use]
pub fn shift(at: Instant, now: Instant, to: Instant, horizon: Duration) -> Instant {
    if at > now { to + at.since(now) } else { to - now.since(at).min(horizon) }
}
