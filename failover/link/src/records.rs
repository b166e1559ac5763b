//! Small things that must arrive, once, in order.
//!
//! # Model
//!
//! The sender numbers its records, keeps each until it is acknowledged, and sends those at the front of its
//! queue again until then. The receiver takes the next number and no other, and says up to which it has
//! taken: what it misses comes again. A new session starts at 1; records that the last one left behind are
//! sent in the new one, so over sessions a record may come twice, to two different runs of the peer.

use hal_units::{Duration, Instant};
use std::collections::VecDeque;

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024;
/// Records that are on their way at the same time.
const IN_FLIGHT_MAX: usize = 16;

/// Names a record of this run of the sender; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// As many are waiting as there is room for.
    #[error("{waiting} records wait for the peer already")]
    Full {
        /// How many.
        waiting: usize,
    },
    /// It is too long.
    #[error("a record of {bytes} bytes is longer than {RECORD_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

#[derive(Debug)]
struct Record {
    length: usize,
    bytes: [u8; RECORD_BYTES_MAX],
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    waiting: VecDeque<Record>,
    capacity: usize,
    /// The ticket of the first one waiting.
    first: u64,
    /// The ticket that is number 1 of the session.
    session_start: u64,
    /// Records at the front that were sent in this session.
    sent: usize,
    resend_at: Instant,
    resend_after: Duration,
}

impl Outgoing {
    pub(crate) fn new(capacity: usize, resend_after: Duration) -> Self {
        Self {
            waiting: VecDeque::with_capacity(capacity),
            capacity,
            first: 1,
            session_start: 1,
            sent: 0,
            resend_at: Instant::ZERO,
            resend_after,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Ticket, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { bytes: bytes.len() });
        }
        if self.waiting.len() >= self.capacity {
            return Err(RecordError::Full { waiting: self.waiting.len() });
        }
        let mut record = Record { length: bytes.len(), bytes: [0; RECORD_BYTES_MAX] };
        record.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let ticket = self.first + self.waiting.len() as u64;
        self.waiting.push_back(record);
        Ok(Ticket(ticket))
    }

    pub(crate) fn new_session(&mut self) {
        self.session_start = self.first;
        self.sent = 0;
    }

    pub(crate) fn is_acknowledged(&self, ticket: Ticket) -> bool {
        ticket.0 < self.first
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The peer has all numbers up to `through`. False if it cannot: they were not sent yet.
    pub(crate) fn acknowledge(&mut self, through: u64, now: Instant) -> bool {
        // The ticket after the last one that the peer has.
        let next = self.session_start.saturating_add(through);
        if next > self.first.saturating_add(self.sent as u64) {
            return false;
        }
        while self.first < next && self.waiting.pop_front().is_some() {
            self.first += 1;
            self.sent = self.sent.saturating_sub(1);
            self.resend_at = now + self.resend_after;
        }
        true
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next_at(now).is_some_and(|at| at <= now)
    }

    /// What is to be sent now: number and contents.
    pub(crate) fn due(&mut self, now: Instant) -> impl Iterator<Item = (u64, &[u8])> {
        let again = self.sent > 0 && now >= self.resend_at;
        let from = if again { 0 } else { self.sent };
        let to = self.waiting.len().min(IN_FLIGHT_MAX);
        if from < to {
            self.resend_at = now + self.resend_after;
            self.sent = self.sent.max(to);
        }
        let number = self.first - self.session_start + 1;
        let range = from.min(to)..to;
        self.waiting.iter().enumerate().skip(range.start).take(range.len()).map(move |(at, record)| {
            (number + at as u64, record.bytes.get(..record.length).unwrap_or_default())
        })
    }

    /// When something is due if no acknowledgement comes; `None` if nothing waits.
    pub(crate) fn next_at(&self, now: Instant) -> Option<Instant> {
        let unsent = self.sent < self.waiting.len().min(IN_FLIGHT_MAX);
        match (unsent, self.sent) {
            (true, _) => Some(now),
            (false, 0) => None,
            (false, _) => Some(self.resend_at),
        }
    }
}

/// The receiving end.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The number up to which everything was taken.
    pub(crate) through: u64,
    pub(crate) ack_due: bool,
}

impl Incoming {
    /// Whether the record with this number is the next one, and so is taken now.
    pub(crate) fn take(&mut self, number: u64) -> bool {
        self.ack_due = true;
        let is_next = self.through.checked_add(1) == Some(number);
        if is_next {
            self.through = number;
        }
        is_next
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RESEND: Duration = Duration::from_millis(20);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn numbers(outgoing: &mut Outgoing, millis: u64) -> Vec<u64> {
        outgoing.due(at(millis)).map(|(number, _)| number).collect()
    }

    fn queue(records: usize) -> Outgoing {
        let mut outgoing = Outgoing::new(64, RESEND);
        for record in 0..records {
            outgoing.push(&[record as u8]).unwrap();
        }
        outgoing
    }

    #[test]
    fn a_record_is_sent_at_once_and_again_until_it_is_acknowledged() {
        let mut outgoing = queue(2);
        assert_eq!(outgoing.next_at(at(0)), Some(at(0)));
        assert_eq!(numbers(&mut outgoing, 0), [1, 2]);
        assert!(numbers(&mut outgoing, 19).is_empty());
        assert_eq!(outgoing.next_at(at(19)), Some(at(20)));
        assert_eq!(numbers(&mut outgoing, 20), [1, 2]);
        assert!(outgoing.acknowledge(1, at(21)));
        assert_eq!(numbers(&mut outgoing, 41), [2]);
        assert!(outgoing.acknowledge(2, at(42)));
        assert_eq!((outgoing.waiting(), outgoing.next_at(at(42))), (0, None));
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let mut outgoing = queue(20);
        assert!(!outgoing.acknowledge(1, at(0)));
        assert_eq!(numbers(&mut outgoing, 0).len(), IN_FLIGHT_MAX);
        assert!(!outgoing.acknowledge(17, at(1)) && !outgoing.acknowledge(u64::MAX, at(1)));
        assert!(outgoing.acknowledge(16, at(1)));
        assert_eq!(numbers(&mut outgoing, 1), [17, 18, 19, 20]);
    }

    #[test]
    fn a_new_session_starts_at_one_with_what_is_left() {
        let mut outgoing = queue(3);
        let last = outgoing.push(b"last").unwrap();
        assert_eq!(numbers(&mut outgoing, 0), [1, 2, 3, 4]);
        assert!(outgoing.acknowledge(2, at(1)));
        outgoing.new_session();
        let sent: Vec<(u64, Vec<u8>)> = outgoing.due(at(2)).map(|(n, bytes)| (n, bytes.to_vec())).collect();
        assert_eq!(sent, [(1, vec![2]), (2, b"last".to_vec())]);
        assert!(!outgoing.is_acknowledged(last));
        assert!(outgoing.acknowledge(2, at(3)));
        assert!(outgoing.is_acknowledged(last));
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut outgoing = queue(64);
        assert_eq!(outgoing.push(b""), Err(RecordError::Full { waiting: 64 }));
        let mut outgoing = queue(0);
        assert_eq!(outgoing.push(&[0; 1025]), Err(RecordError::TooLong { bytes: 1025 }));
    }

    proptest! {
        #[test]
        fn whatever_is_lost_every_record_comes_once_and_in_order(
            losses in proptest::collection::vec(any::<(bool, bool)>(), 1..200), records in 1_usize..60,
        ) {
            let (mut outgoing, mut incoming) = (queue(records), Incoming::default());
            let mut taken: Vec<u8> = Vec::new();
            // After the given losses nothing is lost any more.
            for round in 0..losses.len() + records + 1 {
                let now = at(20 * round as u64);
                let (lose_even, lose_ack) = losses.get(round).copied().unwrap_or((false, false));
                let due: Vec<(u64, Vec<u8>)> = outgoing.due(now).map(|(n, b)| (n, b.to_vec())).collect();
                for (number, bytes) in due.iter().chain(&due) {
                    if !(lose_even && number % 2 == 0) && incoming.take(*number) {
                        taken.extend(bytes);
                    }
                }
                if !lose_ack {
                    prop_assert!(outgoing.acknowledge(incoming.through, now));
                }
            }
            prop_assert_eq!(taken, (0..records as u8).collect::<Vec<_>>());
            prop_assert_eq!(outgoing.waiting(), 0);
        }
    }
}
