//! The outbox: what was accepted for publishing and not yet acknowledged by the broker, on disk.
//!
//! # Problem
//!
//! "Published" must mean that the broker has it. Between accepting a message and the broker's PUBACK lie
//! broker restarts, network cuts, and the death of our own process, at any byte.
//!
//! # Model
//!
//! Each message gets the next [`Sequence`] of this outbox and stays an *entry* until it is *settled*: the
//! broker acknowledged it, or refused it for good. Entries are kept in memory (bounded) and in a
//! [`RecordLog`]; only durable entries may be sent, so a sequence never stands for two messages.
//!
//! A sequence counts within one outbox, named by its [`OutboxId`]: a new folder starts a new count under a
//! new name, and a subscriber that drops duplicates by sequence does so per name.
//!
//! # Durability
//!
//! [`Outbox::commit`] makes all entries appended before it durable with one disk write (group commit).
//! Settled marks are written without waiting for the disk: losing one costs a message sent again, marked as
//! such. After a crash every entry found counts as possibly sent ([`Entry::resend`]).
//!
//! # Bounds
//!
//! Entries and bytes are limited ([`OutboxLimits`]); a message that does not fit is refused with
//! [`OutboxError::Full`], never dropped. On disk the log takes at most about three times the bytes of the
//! entries plus [`OutboxLimits::slack_bytes`].

mod message;
mod record;

use std::collections::BTreeMap;
use std::fmt;

use crate::log::{LogError, RecordLog, Recovered, Storage, Sync};

pub use message::{CORRELATION_BYTES_MAX, Message, MessageError, PAYLOAD_BYTES_MAX};
use record::{Record, encode_entry, encode_head, encode_settled};

/// Position of a message in its outbox, from 1, without gaps and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of an outbox, drawn when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutboxId(pub u64);

impl fmt::Display for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// Whether it may have reached the broker before.
    pub resend: bool,
}

/// How much an outbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Entries at most.
    pub entries_max: usize,
    /// Bytes of all entries at most, [`Message::outbox_bytes`] each.
    pub bytes_max: u64,
    /// Bytes of settled entries that are tolerated in the log before it is rewritten.
    pub slack_bytes: u64,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { entries_max: 100_000, bytes_max: 64 << 20, slack_bytes: 4 << 20 }
    }
}

/// Why the outbox did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// It holds as much as it may.
    #[error(
        "the outbox is full ({entries} messages, {bytes} bytes); wait until the broker acknowledges some"
    )]
    Full {
        /// Entries it holds.
        entries: usize,
        /// Bytes it holds.
        bytes: u64,
    },
    /// The message cannot be published.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The log failed. [`Outbox::mend`] is due.
    #[error("the outbox cannot be written: {0}")]
    Log(#[from] LogError),
}

/// What was found when an outbox was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRecovery {
    /// Messages that are not settled.
    pub entries: usize,
    /// Bytes cut from the end of the log: the traces of a crash.
    pub torn_bytes: u64,
    /// Bytes that bad storage destroyed: messages may be missing.
    pub damaged_bytes: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct Outbox<S> {
    log: RecordLog<S>,
    id: OutboxId,
    limits: OutboxLimits,
    sync: Sync,
    entries: BTreeMap<Sequence, Entry>,
    entries_bytes: u64,
    /// The next sequence to give.
    next: Sequence,
    /// All sequences below are durable.
    durable_below: Sequence,
    /// Settled, and not yet marked so in the log: ranges, both ends inclusive.
    unmarked: Vec<(Sequence, Sequence)>,
}

impl<S: Storage> Outbox<S> {
    /// Opens an outbox and finds what is not settled. `id_if_new` names the outbox if there is none yet.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn open(
        storage: S,
        limits: OutboxLimits,
        sync: Sync,
        id_if_new: OutboxId,
    ) -> Result<(Self, OutboxRecovery), LogError> {
        let (log, recovered) = RecordLog::open(storage)?;
        let mut outbox = Self {
            log,
            id: id_if_new,
            limits,
            sync,
            entries: BTreeMap::new(),
            entries_bytes: 0,
            next: Sequence(1),
            durable_below: Sequence(1),
            unmarked: Vec::new(),
        };
        let unreadable_bytes = outbox.replay(&recovered);
        outbox.durable_below = outbox.next;
        outbox.entries_bytes = outbox.entries.values().map(|entry| entry.message.outbox_bytes()).sum();
        outbox.log.append(&outbox.head())?;
        let recovery = OutboxRecovery {
            entries: outbox.entries.len(),
            torn_bytes: recovered.torn_bytes,
            damaged_bytes: recovered.damaged_bytes + unreadable_bytes,
        };
        Ok((outbox, recovery))
    }

    /// Applies the records, and returns the bytes of those that mean nothing.
    fn replay(&mut self, recovered: &Recovered) -> u64 {
        let mut unreadable_bytes = 0;
        for record in &recovered.records {
            match Record::decode(record) {
                Some(Record::Head { id, next }) => {
                    self.id = id;
                    self.next = self.next.max(next);
                }
                Some(Record::Entry { sequence, message }) => {
                    self.next = self.next.max(Sequence(sequence.0.saturating_add(1)));
                    self.entries.insert(sequence, Entry { message, resend: true });
                }
                Some(Record::Settled { first, last }) => {
                    self.next = self.next.max(Sequence(last.0.saturating_add(1)));
                    let mut kept = self.entries.split_off(&first);
                    self.entries.append(&mut kept.split_off(&Sequence(last.0.saturating_add(1))));
                }
                None => unreadable_bytes += record.len() as u64,
            }
        }
        unreadable_bytes
    }

    /// Takes a message. It is durable after the next [`commit`](Self::commit), and may be sent then.
    ///
    /// # Errors
    /// If the outbox is full, the message cannot be published, or the log failed before.
    pub fn append(&mut self, message: Message) -> Result<Sequence, OutboxError> {
        message.check()?;
        let bytes = message.outbox_bytes();
        if self.entries.len() >= self.limits.entries_max || self.entries_bytes + bytes > self.limits.bytes_max
        {
            return Err(OutboxError::Full { entries: self.entries.len(), bytes: self.entries_bytes });
        }
        let sequence = self.next;
        // With a broken log the entry waits in memory for `mend`.
        if !self.log.is_broken() {
            self.log.append(&encode_entry(sequence, &message))?;
        }
        self.next = Sequence(sequence.0.saturating_add(1));
        self.entries.insert(sequence, Entry { message, resend: false });
        self.entries_bytes += bytes;
        Ok(sequence)
    }

    /// Makes all entries durable.
    ///
    /// # Errors
    /// If the log failed; nothing is lost in memory, and [`mend`](Self::mend) is due.
    pub fn commit(&mut self) -> Result<(), LogError> {
        self.mark_settled()?;
        self.log.commit(self.sync)?;
        self.durable_below = self.next;
        self.rewrite_if_due()
    }

    /// Writes what was settled since the last time, without waiting for the disk.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.unmarked.is_empty() {
            return Ok(());
        }
        self.mark_settled()?;
        // What was appended is written too, but is not durable by that.
        self.log.commit(Sync::Kernel)?;
        self.rewrite_if_due()
    }

    /// After a failure: writes everything anew.
    ///
    /// # Errors
    /// If the storage still fails.
    pub fn mend(&mut self) -> Result<(), LogError> {
        let head = self.head();
        let live = self.entries.iter().map(|(sequence, entry)| encode_entry(*sequence, &entry.message));
        self.log.rewrite(std::iter::once(head).chain(live))?;
        self.unmarked.clear();
        self.durable_below = self.next;
        Ok(())
    }

    fn mark_settled(&mut self) -> Result<(), LogError> {
        for &(first, last) in &self.unmarked {
            self.log.append(&encode_settled(first, last))?;
        }
        self.unmarked.clear();
        Ok(())
    }

    fn rewrite_if_due(&mut self) -> Result<(), LogError> {
        let tolerated_bytes = 2 * self.entries_bytes + self.limits.slack_bytes;
        if self.log.total_bytes() > tolerated_bytes { self.mend() } else { Ok(()) }
    }

    /// The broker has it, or will never take it: it goes. Returns the message if it was there.
    pub fn settle(&mut self, sequence: Sequence) -> Option<Message> {
        let entry = self.entries.remove(&sequence)?;
        self.entries_bytes = self.entries_bytes.saturating_sub(entry.message.outbox_bytes());
        match self.unmarked.last_mut() {
            Some((_, last)) if last.0.saturating_add(1) == sequence.0 => *last = sequence,
            Some(_) | None => self.unmarked.push((sequence, sequence)),
        }
        Some(entry.message)
    }

    /// The next durable entry after `after`, in the order of sequences.
    #[must_use]
    pub fn next_to_send(&self, after: Sequence) -> Option<(Sequence, &Entry)> {
        let from = Sequence(after.0.saturating_add(1));
        if from >= self.durable_below {
            return None;
        }
        self.entries.range(from..self.durable_below).next().map(|(sequence, entry)| (*sequence, entry))
    }

    /// An entry that is not settled.
    #[must_use]
    pub fn get(&self, sequence: Sequence) -> Option<&Entry> {
        self.entries.get(&sequence)
    }

    /// From now on the entry counts as possibly sent.
    pub fn mark_sent(&mut self, sequence: Sequence) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.resend = true;
        }
    }

    /// The outbox's name.
    #[must_use]
    pub const fn id(&self) -> OutboxId {
        self.id
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(&self) -> OutboxLimits {
        self.limits
    }

    /// The sequence that the next message gets.
    #[must_use]
    pub const fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Entries that are not settled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything is settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all entries.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.entries_bytes
    }

    /// Whether something was appended that is not durable.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.durable_below < self.next
    }

    /// Whether the log failed and [`mend`](Self::mend) is due.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.log.is_broken()
    }

    fn head(&self) -> Vec<u8> {
        encode_head(self.id, self.next)
    }
}

#[cfg(test)]
mod tests;
