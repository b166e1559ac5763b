//! What the two nodes tell each other, and what they ask of the arbiter.

use hal_units::Instant;

/// One of the two nodes of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// The first.
    A,
    /// The second.
    B,
}

impl Node {
    /// The other one.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The word for people, for configuration and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Number of a term of office. 0 is none; the last is 65,535, because a slot of the arbiter is one
/// register, so that devices which write single registers only can be arbiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u16);

impl Epoch {
    /// Before the first term.
    pub const NONE: Self = Self(0);

    /// The term after this one; `None` after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

/// What a node is in the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Just started: silent, knows no epoch yet.
    Init,
    /// Runs the same loops in shadow, ready to take over.
    Standby,
    /// Has won a claim and waits until the old lease must have ended.
    Claimed,
    /// Writes, as long as its lease holds.
    Active,
    /// Has lost its term of office; writes nothing.
    Fenced,
}

impl Role {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Standby => "standby",
            Self::Claimed => "claimed",
            Self::Active => "active",
            Self::Fenced => "fenced",
        }
    }
}

/// How much of the field a node reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldHealth {
    /// Devices that answer.
    pub reachable: u16,
    /// Of the devices that the site calls critical, those that answer.
    pub critical_reachable: u16,
}

/// A message from one node to the other. Whether it is authentic and fresh was checked by the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The sender's control thread is alive. Both nodes send it.
    Heartbeat {
        /// The highest epoch that the sender knows; its own if it is Claimed or Active.
        epoch: Epoch,
        /// Counts the sender's heartbeats, wrapping.
        seq: u32,
        /// When it left, on the sender's clock.
        sent_at: Instant,
        /// The sender's last cycle.
        cycle: u64,
        /// What the sender is.
        role: Role,
        /// What it reaches.
        field: FieldHealth,
        /// The newest cycle whose state the sender holds whole from the other and could continue from; 0 for
        /// none, and if it could not.
        replica_cycle: u64,
    },
    /// A promise: the sender will not become Active before the lease that this extends has ended.
    Ack {
        /// The epoch of the heartbeat.
        epoch: Epoch,
        /// Its number.
        seq: u32,
        /// Its `sent_at`, sent back: a lease is renewed from the time of sending.
        sent_at: Instant,
    },
    /// The term is over: nothing more will be written under this epoch.
    Resign {
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// A planned end of a term: `cycle` was the last one to be written.
    Handover {
        /// The epoch that ended.
        epoch: Epoch,
        /// The last cycle that was written under it.
        cycle: u64,
        /// Hash of all replicated state after that cycle.
        hash: u64,
    },
    /// The sender has (re)started and takes part from now on.
    Join {
        /// The highest epoch that it read from the arbiter; none before that.
        epoch: Epoch,
        /// Hash of the layout of its replicated state: different ones cannot take over from each other.
        schema: u64,
    },
}

/// One transaction with the arbiter: write the own slot and counter if asked to, then read everything.
///
/// With function code 23 this is one transaction; on devices without it the write comes first and the
/// read second, and another node's transaction may come between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArbiterOp {
    /// What to write into the own pair of registers before reading; `None` only reads.
    pub write: Option<(Epoch, u16)>,
}

/// The arbiter's registers, as one node sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ArbiterImage {
    /// Own slot: the epoch claimed last.
    pub own_slot: Epoch,
    /// Own counter: moves while its owner lives.
    pub own_counter: u16,
    /// The peer's slot.
    pub peer_slot: Epoch,
    /// The peer's counter.
    pub peer_counter: u16,
}
