//! Every write of commands that reached a device, applied or refused, in the order in which it did.
//!
//! # Model
//!
//! The devices push records into a bounded queue; whoever keeps the log drains it from time to time. A
//! queue that is full drops the newest and counts it, so that a log that is not drained costs memory up
//! to its bound and nothing else. Times are the farm's: since its start, on the monotonic clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use hal_units::Instant;

use crate::registers::{self, CommandWords};

/// What became of a write of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carried out.
    Applied,
    /// Carried out; it held nothing but an epoch, so it moved no actuator.
    Fenced,
    /// Refused: its epoch is lower than one that was seen.
    LowerEpoch,
    /// Refused: it names no epoch, or half of one.
    NoEpoch,
    /// Refused: a number that no command can be.
    IllegalValue,
}

impl Verdict {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Fenced => "fence",
            Self::LowerEpoch => "refused-epoch",
            Self::NoEpoch => "refused-no-epoch",
            Self::IllegalValue => "refused-value",
        }
    }
}

/// One write of commands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteRecord {
    /// When the device carried it out or refused it, since the farm's start.
    pub at: Instant,
    /// The epoch that it named; `None` if it named none.
    pub epoch: Option<u32>,
    /// The watchdog register after it, or as it would have been.
    pub watchdog: u16,
    /// What became of it.
    pub verdict: Verdict,
    /// Generator torque after it, or as it would have been; N m.
    pub torque_nm: f32,
    /// Blade angle; rad.
    pub pitch_rad: f32,
    /// Yaw rate; rad/s.
    pub yaw_rad_per_s: f32,
    /// Whether the brake is commanded.
    pub brake: bool,
    /// Whether the generator is to be connected.
    pub connect: bool,
}

impl WriteRecord {
    pub(crate) fn new(at: Instant, asked: &CommandWords, epoch: Option<u32>, verdict: Verdict) -> Self {
        Self {
            at,
            epoch,
            watchdog: registers::WATCHDOG.u16(asked),
            verdict,
            torque_nm: registers::GENERATOR_TORQUE_CMD.f32(asked) as f32,
            pitch_rad: registers::PITCH_CMD.f32(asked) as f32,
            yaw_rad_per_s: registers::YAW_RATE_CMD.f32(asked) as f32,
            brake: registers::BRAKE_CMD.u16(asked) == 1,
            connect: registers::GENERATOR_CONNECT.u16(asked) == 1,
        }
    }
}

/// Records that wait to be kept.
#[derive(Debug)]
pub struct WriteLog {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<(u16, WriteRecord)>,
    capacity: usize,
    dropped: u64,
}

impl WriteLog {
    /// A log in which `capacity` records can wait; the memory is taken at once.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let waiting = VecDeque::with_capacity(capacity);
        Self { inner: Mutex::new(Inner { waiting, capacity, dropped: 0 }) }
    }

    /// Moves all that waits into `out`, each with its device (from 0), in the order of the writes.
    /// Returns how many records were dropped since the start.
    pub fn drain(&self, out: &mut Vec<(u16, WriteRecord)>) -> u64 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        out.extend(inner.waiting.drain(..));
        inner.dropped
    }

    pub(crate) fn push(&self, device: u16, record: WriteRecord) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.waiting.len() < inner.capacity {
            inner.waiting.push_back((device, record));
        } else {
            inner.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(watchdog: u16) -> WriteRecord {
        let mut words = [0; registers::COMMANDS_COUNT];
        registers::WATCHDOG.set_u16(&mut words, watchdog);
        WriteRecord::new(Instant::ZERO, &words, Some(1), Verdict::Applied)
    }

    #[test]
    fn a_log_that_is_full_drops_the_newest_and_counts_it() {
        let log = WriteLog::with_capacity(2);
        for watchdog in 0..5 {
            log.push(7, record(watchdog));
        }
        let mut out = Vec::new();
        assert_eq!(log.drain(&mut out), 3);
        assert_eq!(out, [(7, record(0)), (7, record(1))]);
        log.push(7, record(9));
        assert_eq!(log.drain(&mut out), 3);
        assert_eq!(out.len(), 3);
    }
}
