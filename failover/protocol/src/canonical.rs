//! The canonical form of a pair, for the model: two pairs that will act alike become equal.
//!
//! The model moves every node's clock back to the same reading after each step, and keeps of times long past
//! only that they are long past. What is for people only is left out.

use hal_units::{Duration, Instant};

use crate::config::CheckedConfig;
use crate::message::Node;
use crate::pair::{Core, Pair, State};
use crate::watch::Watch;

/// A time that means that something is never done for want of something else to do.
const NEVER: Duration = Duration::from_secs(1);

/// All of a pair that decides, without its configuration: small, comparable, and good as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frozen(Core);

impl Frozen {
    /// The pair again. What is for people only starts anew.
    #[must_use]
    pub fn thaw(&self, config: CheckedConfig, node: Node) -> Pair {
        Pair { config, node, core: self.0, watch: Watch::default() }
    }
}

impl Pair {
    /// What decides.
    #[must_use]
    pub const fn freeze(&self) -> Frozen {
        Frozen(self.core)
    }

    /// Whether a claim is under way.
    #[must_use]
    pub const fn is_claiming(&self) -> bool {
        self.core.arbiter.is_claiming()
    }

    /// The arbiter's counters that the pair remembers: its own as last written, and the peer's as last read.
    #[must_use]
    pub fn counters(&self) -> (u16, Option<u16>) {
        (self.core.arbiter.counter, self.core.arbiter.last.map(|last| last.counter))
    }

    /// Renames the counters that the pair remembers. They are only ever compared, and the own one counted on.
    pub fn rename_counters(&mut self, own: impl Fn(u16) -> u16, peer: impl Fn(u16) -> u16) {
        self.core.arbiter.counter = own(self.core.arbiter.counter);
        if let Some(last) = &mut self.core.arbiter.last {
            last.counter = peer(last.counter);
        }
    }

    /// The same pair with its clock set from `now` to `to`.
    ///
    /// Cycles are counted from 1 again. Of each time no more is kept than what it is compared with: beyond that only that it is long past.
    #[must_use]
    pub fn canonical(&self, now: Instant, to: Instant) -> Self {
        let mut pair = Self { watch: Watch::default(), ..*self };
        let times = self.config.times;
        let past = |at: Instant, cap: Duration| shift(at, now, to, cap);
        let future = |at: Instant| shift(at, now, to, Duration::ZERO);
        let silence = self.silence_needed();
        let core = &mut pair.core;
        // So the pair never notices that it was paused, and claims rather sooner than it would.
        core.now = to;
        core.claims_from = future(core.claims_from);
        core.promised_at = past(core.promised_at, times.takeover_after);
        core.quiet_since = past(core.quiet_since, silence);
        core.heartbeat_due = future(core.heartbeat_due);
        core.local.cycle = core.local.cycle.min(1);
        core.local.cycle_at = past(core.local.cycle_at, unless_never(times.cycle_stall_resign));
        core.claims_lost = if self.node == Node::B { core.claims_lost.min(1) } else { 0 };
        if let Some(farewell) = &mut core.farewell {
            farewell.left = farewell.left.min(1);
        }
        core.flaps.map(|at| past(at, times.flap_window));
        let arbiter = &mut core.arbiter;
        arbiter.next_at = future(arbiter.next_at);
        arbiter.read_at = past(arbiter.read_at, unless_never(times.arbiter_poll).max(times.arbiter_retry));
        if let Some(asked) = &mut arbiter.asked {
            asked.sent_at = past(asked.sent_at, times.lease.max(silence));
        }
        if let Some(last) = &mut arbiter.last {
            last.at = to;
        }
        if let Some(seen) = &mut core.peer.seen {
            seen.at = past(seen.at, times.claim_after);
        }
        if let Some(release) = &mut core.release {
            release.at = past(release.at, times.resign_guard.max(times.cycle));
        }
        match &mut core.state {
            State::Claimed(claim) => {
                claim.lease.from = past(claim.lease.from, times.lease);
                claim.not_before = future(claim.not_before);
            }
            State::Active(term) => {
                term.lease.from = past(term.lease.from, times.lease);
                if let Some(outreached) = &mut term.outreached {
                    outreached.since = past(outreached.since, times.field_hold.max(times.field_part_hold));
                }
                if let Some(ending) = &mut term.ending {
                    ending.until = future(ending.until);
                }
            }
            State::Init | State::Standby | State::Fenced => {}
        }
        pair
    }

    /// The same pair without a replica from its peer: it decides with one only on a planned handover.
    #[must_use]
    pub const fn without_replica(mut self) -> Self {
        self.core.local.replica = None;
        self
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

/// What a time of the configuration is compared with: nothing if it is never reached.
fn unless_never(time: Duration) -> Duration {
    if time < NEVER { time } else { Duration::ZERO }
}

/// `at` on a clock that is set from `now` to `to`; not more than `horizon` before `to`.
#[must_use]
pub fn shift(at: Instant, now: Instant, to: Instant, horizon: Duration) -> Instant {
    if at > now { to + at.since(now) } else { to - now.since(at).min(horizon) }
}
