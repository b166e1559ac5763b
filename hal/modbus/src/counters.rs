//! What a line counts about each of its devices. Written by the line, read by anyone, without a lock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::distribution::Distribution;
use crate::fault::Fault;

/// Where a device stands with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum DeviceState {
    /// No connection, or not yet shown to be in step.
    #[default]
    Connecting = 0,
    /// Answers; polled every cycle.
    Online = 1,
    /// Did not answer as it should; retried in slack, ever more rarely.
    Quarantined = 2,
    /// The line has ended.
    Closed = 3,
}

impl DeviceState {
    /// The word for people, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Quarantined => "quarantined",
            Self::Closed => "closed",
        }
    }

    const fn from_u8(raw: u8) -> Self {
        match raw {
            1 => Self::Online,
            2 => Self::Quarantined,
            3 => Self::Closed,
            _ => Self::Connecting,
        }
    }
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The count now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// Counts, state and distributions of one device.
#[derive(Debug, Default)]
pub struct DeviceCounters {
    /// Requests that left.
    pub transactions: Count,
    /// Scans that were complete and published.
    pub scans: Count,
    /// Sets of commanded outputs that the device acknowledged whole.
    pub writes: Count,
    /// Sets of safe outputs that the device acknowledged whole.
    pub safe_writes: Count,
    /// Requests whose only purpose was to show that answers match requests (serial lines).
    pub probes: Count,
    /// Outputs that were dropped because they had expired.
    pub expired_outputs: Count,
    /// Acquire and apply phases that passed while the line was still busy with an earlier one.
    pub skipped_phases: Count,
    /// Times that the device came online.
    pub connects: Count,
    /// Number of the last cycle whose acquire phase was served, well or not.
    pub acquire_served: Count,
    /// Number of the last cycle whose apply phase was served, well or not.
    pub apply_served: Count,
    /// Time from just before a request left until its answer had been checked.
    pub round_trip: Distribution,
    /// Time between the acquisition times of two published scans that follow one another.
    pub input_interval: Distribution,
    faults: [Count; Fault::COUNT],
    exceptions: [Count; 16],
    state: AtomicU8,
}

impl DeviceCounters {
    /// How often a fault of this name occurred; an exception's code does not matter.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults.get(fault.index()).map_or(0, Count::get)
    }

    /// Sum of all faults.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.iter().map(Count::get).sum()
    }

    /// Answers with this exception code; codes from 15 up, which the standard does not define, are
    /// counted together under 15.
    #[must_use]
    pub fn exceptions(&self, code: u8) -> u64 {
        self.exceptions.get(usize::from(code.min(15))).map_or(0, Count::get)
    }

    /// Where the device stands.
    #[must_use]
    pub fn state(&self) -> DeviceState {
        DeviceState::from_u8(self.state.load(Relaxed))
    }

    /// Times that the device came online again after it had been.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.connects.get().saturating_sub(1)
    }

    pub(crate) fn count_fault(&self, fault: Fault) {
        if let Some(count) = self.faults.get(fault.index()) {
            count.one();
        }
        if let Fault::Exception(code) = fault
            && let Some(count) = self.exceptions.get(usize::from(code.min(15)))
        {
            count.one();
        }
    }

    pub(crate) fn set_state(&self, state: DeviceState) {
        self.state.store(state as u8, Relaxed);
    }
}
