//! What people may ask a pair.

use hal_units::{Duration, Instant};

use crate::message::{Epoch, FieldHealth, Node, Role};
use crate::pair::{Pair, State};
use crate::watch::{ArbiterStatus, LinkStatus};

/// A pair as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairStatus {
    /// Which node this is.
    pub node: Node,
    /// What it is.
    pub role: Role,
    /// The highest epoch that it knows; its own if it is Claimed or Active.
    pub epoch: Epoch,
    /// Until when it may write.
    pub lease: Option<Instant>,
    /// The peer's role by its last heartbeat.
    pub peer_role: Option<Role>,
    /// What the peer reaches by its last heartbeat.
    pub peer_field: FieldHealth,
    /// How long ago that heartbeat came.
    pub peer_silence: Option<Duration>,
    /// Whether the own control thread runs.
    pub cycle_alive: bool,
    /// Whether this node could continue from a replica.
    pub promotable: bool,
    /// The links.
    pub links: [LinkStatus; 2],
    /// The arbiter.
    pub arbiter: ArbiterStatus,
    /// Terms that this node began.
    pub takeovers: u32,
    /// Leases that ended without a renewal.
    pub lapses: u32,
}

impl Pair {
    /// What this node is.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.core.state {
            State::Init => Role::Init,
            State::Standby => Role::Standby,
            State::Claimed(_) => Role::Claimed,
            State::Active(_) => Role::Active,
            State::Fenced => Role::Fenced,
        }
    }

    /// The highest epoch that it knows; its own if it is Claimed or Active.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        match self.core.state {
            State::Claimed(claim) => claim.epoch,
            State::Active(term) => term.epoch,
            State::Init | State::Standby | State::Fenced => self.core.known,
        }
    }

    /// Until when this node may write: only if it is Active, and only before that instant of its own clock.
    #[must_use]
    pub fn lease(&self) -> Option<Instant> {
        match self.core.state {
            State::Active(term) => Some(term.lease.from + self.times().lease),
            State::Init | State::Standby | State::Fenced | State::Claimed(_) => None,
        }
    }

    /// Everything for people, at `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> PairStatus {
        let seen = self.core.peer.seen;
        PairStatus {
            node: self.node,
            role: self.role(),
            epoch: self.epoch(),
            lease: self.lease(),
            peer_role: seen.map(|seen| seen.role),
            peer_field: seen.map_or_else(FieldHealth::default, |seen| seen.field),
            peer_silence: seen.map(|seen| now.since(seen.at)),
            cycle_alive: self.is_alive(now),
            promotable: self.core.local.promotable && self.core.local.replica.is_some(),
            links: [self.watch.one, self.watch.two],
            arbiter: self.watch.arbiter,
            takeovers: self.watch.takeovers,
            lapses: self.watch.lapses,
        }
    }
}
