//! What the devices and the host showed so far: the recent past whole, the rest as counts.

use latency_tests_harness::stalls::Span;

use crate::LogError;
use crate::takeover::DualWatch;
use crate::write_log::{Line, LogReader, Verdict, Write};

/// Collected from the simulator's log.
#[derive(Debug)]
pub struct Evidence {
    reader: LogReader,
    /// Writes since the last [`Evidence::forget_before`].
    pub writes: Vec<Write>,
    /// Times since then in which the simulator did not get to run.
    pub simulator_stalls: Vec<Span>,
    /// Epochs that drove an actuator, with their first write, over the whole run.
    pub epochs: Vec<(u32, u64)>,
    /// Up to when the log is written.
    pub until_ns: u64,
    /// Dual writes, over the whole run.
    pub dual: DualWatch,
    /// Writes that the log lost.
    pub missing: u64,
    /// Refused writes over the whole run, by epoch.
    pub fenced_off: u64,
}

impl Evidence {
    /// Reads from a log.
    #[must_use]
    pub const fn new(reader: LogReader) -> Self {
        Self {
            reader,
            writes: Vec::new(),
            simulator_stalls: Vec::new(),
            epochs: Vec::new(),
            until_ns: 0,
            dual: DualWatch { newest: 0, count: 0 },
            missing: 0,
            fenced_off: 0,
        }
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn take(&mut self) -> Result<(), LogError> {
        let Self { reader, writes, simulator_stalls, epochs, until_ns, dual, missing, fenced_off } = self;
        reader.take(|line| match line {
            Line::Write(write) => {
                dual.take(&write);
                let applied = write.verdict == Verdict::Applied;
                if applied && epochs.last().is_none_or(|(epoch, _)| write.epoch > *epoch) {
                    epochs.push((write.epoch, write.at_ns));
                }
                *fenced_off += u64::from(write.verdict == Verdict::RefusedEpoch);
                writes.push(write);
            }
            Line::Stall(span) => simulator_stalls.push(span),
            Line::Until(ns) => *until_ns = ns,
            Line::Missing(count) => *missing = count,
            Line::Zero(_) => {}
        })
    }

    /// Drops what lies before.
    pub fn forget_before(&mut self, ns: u64) {
        self.writes.retain(|write| write.at_ns >= ns);
        self.simulator_stalls.retain(|span| span.to_ns >= ns);
    }

    /// Terms that began from `from_ns` on and before `to_ns`.
    #[must_use]
    pub fn terms_between(&self, from_ns: u64, to_ns: u64) -> usize {
        self.epochs.iter().filter(|(_, at_ns)| (from_ns..to_ns).contains(at_ns)).count()
    }
}
