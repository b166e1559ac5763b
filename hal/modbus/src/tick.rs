//! The cycle's beat on its way to the lines.
//!
//! # Model
//!
//! A cycle announces two phases: *acquire* (read the inputs now, the controllers run next) and *apply*
//! (the controllers have run, write the outputs). A `watch` channel keeps only its newest value, so a
//! tick carries the number of the newest cycle of **each** phase: a line that was busy finds out which
//! phases it has missed, counts them, and serves only the newest. Nothing queues.

use hal_units::Instant;
use tokio::sync::watch;

/// A phase of the cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Read the inputs.
    Acquire,
    /// Write the outputs.
    Apply,
}

/// The newest announced cycle of each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusTick {
    /// Number of the newest cycle that wants its inputs, from 1; 0 before the first.
    pub acquire: u64,
    /// Number of the newest cycle that wants its outputs written, from 1; 0 before the first.
    pub apply: u64,
    /// When the next acquire phase is due: until then the time left over is slack, in which devices
    /// that do not answer are retried.
    pub next_acquire_at: Instant,
}

/// The sending side of the ticks: one for all lines that serve one loop group.
#[derive(Debug)]
pub struct Ticker(watch::Sender<BusTick>);

impl Ticker {
    /// A ticker and its first receiver; more come from [`Ticker::subscribe`].
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<BusTick>) {
        let (sender, receiver) = watch::channel(BusTick::default());
        (Self(sender), receiver)
    }

    /// One more receiver.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BusTick> {
        self.0.subscribe()
    }

    /// Announces a phase of a cycle. `cycle` counts from 1 and grows; a number that is not above the
    /// phase's last one is ignored by the lines.
    pub fn announce(&self, phase: Phase, cycle: u64, next_acquire_at: Instant) {
        self.0.send_modify(|tick| {
            match phase {
                Phase::Acquire => tick.acquire = cycle,
                Phase::Apply => tick.apply = cycle,
            }
            tick.next_acquire_at = next_acquire_at;
        });
    }
}

/// What the owner of the lines wants of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// Go on.
    #[default]
    Run,
    /// Bring every device to the end of its safe action, but no later than `deadline`; then close.
    Safe {
        /// From here on the line gives up and closes.
        deadline: Instant,
    },
}

/// Which phases are still to be served, in the order in which they were announced.
#[derive(Debug, Default)]
pub(crate) struct PhaseLog {
    acquire: u64,
    apply: u64,
}

/// A phase to serve now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DuePhase {
    pub(crate) phase: Phase,
    pub(crate) cycle: u64,
    /// Phases of this kind that passed unserved before this one.
    pub(crate) skipped: u64,
}

impl PhaseLog {
    /// The next phase of `tick` that was not served yet. Acquire comes before apply of its cycle.
    pub(crate) fn next(&mut self, tick: BusTick) -> Option<DuePhase> {
        let acquire = tick.acquire > self.acquire;
        let apply = tick.apply > self.apply;
        let (phase, served, cycle) = match (acquire, apply) {
            (false, false) => return None,
            (true, false) => (Phase::Acquire, &mut self.acquire, tick.acquire),
            (true, true) if tick.acquire <= tick.apply => (Phase::Acquire, &mut self.acquire, tick.acquire),
            (false | true, true) => (Phase::Apply, &mut self.apply, tick.apply),
        };
        // Before the first tick there is nothing to have missed.
        let skipped = if *served == 0 { 0 } else { cycle - *served - 1 };
        *served = cycle;
        Some(DuePhase { phase, cycle, skipped })
    }

    /// Forgets what passed while no device could be served: that was no fault of the line's speed.
    pub(crate) fn catch_up(&mut self, tick: BusTick) {
        self.acquire = tick.acquire;
        self.apply = tick.apply;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(acquire: u64, apply: u64) -> BusTick {
        BusTick { acquire, apply, ..BusTick::default() }
    }

    fn due(log: &mut PhaseLog, tick: BusTick) -> Option<(Phase, u64, u64)> {
        log.next(tick).map(|due| (due.phase, due.cycle, due.skipped))
    }

    #[test]
    fn a_line_that_keeps_up_serves_each_phase_once() {
        let mut log = PhaseLog::default();
        assert_eq!(due(&mut log, tick(1, 0)), Some((Phase::Acquire, 1, 0)));
        assert_eq!(due(&mut log, tick(1, 0)), None);
        assert_eq!(due(&mut log, tick(1, 1)), Some((Phase::Apply, 1, 0)));
        assert_eq!(due(&mut log, tick(2, 1)), Some((Phase::Acquire, 2, 0)));
    }

    #[test]
    fn a_slow_line_serves_the_newest_of_each_phase_and_counts_the_rest() {
        let mut log = PhaseLog::default();
        assert_eq!(due(&mut log, tick(1, 0)), Some((Phase::Acquire, 1, 0)));
        assert_eq!(due(&mut log, tick(1, 1)), Some((Phase::Apply, 1, 0)));
        assert_eq!(due(&mut log, tick(5, 4)), Some((Phase::Apply, 4, 2)));
        assert_eq!(due(&mut log, tick(5, 4)), Some((Phase::Acquire, 5, 3)));
        assert_eq!(due(&mut log, tick(5, 4)), None);
    }

    #[test]
    fn an_apply_tick_does_not_hide_the_acquire_tick_before_it() {
        let mut log = PhaseLog::default();
        assert_eq!(due(&mut log, tick(1, 1)), Some((Phase::Acquire, 1, 0)));
        assert_eq!(due(&mut log, tick(1, 1)), Some((Phase::Apply, 1, 0)));
    }
}
