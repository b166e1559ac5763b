//! For subscribers: dropping what comes a second time.
//!
//! Every message of an outbox carries its sequence and the outbox's name as user properties
//! ([`PROPERTY_SEQUENCE`], [`PROPERTY_OUTBOX`]); one that may have been sent before carries
//! [`PROPERTY_RESEND`]. QoS 1 delivers at least once: whoever counts or sums must drop the repetitions.

use std::collections::BTreeSet;

use crate::outbox::{OutboxId, Sequence};

/// User property with the message's sequence, a decimal number.
pub const PROPERTY_SEQUENCE: &str = "takt-seq";
/// User property with the outbox's name, 16 hexadecimal digits: sequences count per outbox.
pub const PROPERTY_OUTBOX: &str = "takt-outbox";
/// User property `1` on a message that may have been sent before.
pub const PROPERTY_RESEND: &str = "takt-resend";

/// The most gaps below the highest sequence that are remembered.
pub const GAPS_MAX: usize = 65_536;

/// Tells new messages of one publisher from repetitions, also when they come out of order.
#[derive(Debug, Clone, Default)]
pub struct Deduplicator {
    outbox: Option<OutboxId>,
    /// All sequences below it were seen, or were given up for want of room.
    seen_below: u64,
    /// Seen at or above it.
    seen_above: BTreeSet<u64>,
}

impl Deduplicator {
    /// Whether the message is new. A new outbox name starts a new count.
    pub fn is_new(&mut self, outbox: OutboxId, sequence: Sequence) -> bool {
        if self.outbox != Some(outbox) {
            // Sequences start at 1.
            *self = Self { outbox: Some(outbox), seen_below: 1, seen_above: BTreeSet::new() };
        }
        if sequence.0 < self.seen_below || !self.seen_above.insert(sequence.0) {
            return false;
        }
        while self.seen_above.remove(&self.seen_below) {
            self.seen_below += 1;
        }
        while self.seen_above.len() > GAPS_MAX {
            if let Some(lowest) = self.seen_above.pop_first() {
                self.seen_below = lowest.saturating_add(1);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_of(sequences: &[u64]) -> Vec<u64> {
        let mut dedup = Deduplicator::default();
        let is_new = |sequence: &&u64| dedup.is_new(OutboxId(1), Sequence(**sequence));
        sequences.iter().filter(is_new).copied().collect()
    }

    #[test]
    fn repetitions_are_dropped_and_late_ones_kept() {
        assert_eq!(new_of(&[1, 2, 2, 4, 1, 3, 4, 3, 5]), [1, 2, 4, 3, 5]);
    }

    #[test]
    fn a_subscriber_that_comes_late_drops_repetitions_too() {
        assert_eq!(new_of(&[900, 901, 900, 902]), [900, 901, 902]);
    }

    #[test]
    fn a_new_outbox_counts_anew() {
        let mut dedup = Deduplicator::default();
        assert!(dedup.is_new(OutboxId(1), Sequence(1)));
        assert!(dedup.is_new(OutboxId(2), Sequence(1)));
        assert!(!dedup.is_new(OutboxId(2), Sequence(1)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedup = Deduplicator::default();
        for sequence in (2..400_000).step_by(2) {
            assert!(dedup.is_new(OutboxId(1), Sequence(sequence)));
        }
        assert!(dedup.seen_above.len() <= GAPS_MAX);
        assert!(!dedup.is_new(OutboxId(1), Sequence(399_998)));
    }
}
