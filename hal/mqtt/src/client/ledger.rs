//! Who may still put something into the outbox: room is reserved by the caller, and given back when the broker
//! has acknowledged. So the outbox is never found full by a message that was taken.

use crossbeam_channel::TrySendError;

use super::PublishError;
use super::session::Released;
use super::worker::Request;
use crate::log::Storage;
use crate::outbox::{Outbox, OutboxLimits};

/// The n-th message that was taken since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

#[derive(Debug)]
pub(super) struct Ledger {
    entries: usize,
    bytes: u64,
    limits: OutboxLimits,
    last: Ticket,
    last_bytes: u64,
    durable: Ticket,
}

impl Ledger {
    /// An eighth of the outbox is kept for answers to commands.
    pub(super) fn of<S: Storage>(outbox: &Outbox<S>) -> Self {
        let limits = outbox.limits();
        let limits = OutboxLimits {
            entries_max: limits.entries_max - limits.entries_max / 8,
            bytes_max: limits.bytes_max - limits.bytes_max / 8,
            ..limits
        };
        let (entries, bytes) = (outbox.len(), outbox.bytes());
        Self { entries, bytes, limits, last: Ticket(0), last_bytes: 0, durable: Ticket(0) }
    }

    pub(super) fn reserve(&mut self, bytes: u64) -> Result<Ticket, PublishError> {
        if self.entries >= self.limits.entries_max || self.bytes + bytes > self.limits.bytes_max {
            return Err(PublishError::OutboxFull { entries: self.entries, bytes: self.bytes });
        }
        self.entries += 1;
        self.bytes += bytes;
        self.last = Ticket(self.last.0 + 1);
        self.last_bytes = bytes;
        Ok(self.last)
    }

    /// The message of the last ticket was not queued.
    pub(super) fn undo(&mut self, _not_queued: &TrySendError<Request>) {
        self.last = Ticket(self.last.0 - 1);
        self.release(Released { entries: 1, bytes: self.last_bytes });
    }

    /// An answer to a command went into the outbox.
    pub(super) fn add_answer(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    pub(super) fn release(&mut self, released: Released) {
        self.entries = self.entries.saturating_sub(released.entries);
        self.bytes = self.bytes.saturating_sub(released.bytes);
    }

    pub(super) fn set_durable(&mut self, through: Ticket) {
        self.durable = through;
    }

    pub(super) const fn durable(&self) -> Ticket {
        self.durable
    }
}
