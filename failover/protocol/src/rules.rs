//! The rules of the protocol by name, so that the model can take one out and see it missed.
//!
//! A production pair keeps all of them: there is no other way to make [`Rules`] without the feature
//! `model`.

/// One rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A lease counts from the sending of what renewed it, not from the answer.
    LeaseFromSend,
    /// A claim is won only if the peer's slot is below it.
    TieLoses,
    /// A node that has just started counts as having promised at that moment.
    InitWait,
    /// No Ack before the epoch was read from the arbiter.
    EpochBeforeAck,
    /// A heartbeat of a term that is over gets no Ack.
    OldTermGetsNoAck,
    /// A lease that has lapsed is revived by the arbiter only.
    ArbiterRevives,
    /// A node that has won a claim promises nothing more.
    ClaimedIsSilent,
    /// Sending an Ack restarts the wait.
    AckRestartsWait,
    /// A counter or slot of the peer that moved restarts the wait.
    MovedRestartsWait,
    /// A won claim waits for the end of the old lease.
    ClaimedWaits,
    /// Not even a resignation lifts the wait after a start or after an own term: the writes of this node's own
    /// old term may still be under way.
    OwnTermIsOver,
    /// A resignation counts only if no later term of the peer is known.
    ResignIsOfLastTerm,
    /// A takeover after a resignation waits for the writes that are still under way.
    ResignGuard,
    /// A renewal at the arbiter fails if the peer's slot is higher.
    RenewalLooksAtSlot,
    /// The gate is shut before a resignation or handover is sent.
    ShutBeforeResign,
}

/// The rules that a pair keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    broken: u32,
}

impl Rules {
    pub(crate) const ALL: Self = Self { broken: 0 };

    pub(crate) const fn keep(self, rule: Rule) -> bool {
        self.broken & (1 << rule as u32) == 0
    }

    #[cfg(feature = "model")]
    pub(crate) const fn without(rules: &[Rule]) -> Self {
        let mut broken = 0;
        let mut rest = rules;
        while let [rule, others @ ..] = rest {
            broken |= 1 << *rule as u32;
            rest = others;
        }
        Self { broken }
    }
}
