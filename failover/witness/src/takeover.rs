//! What the devices saw of a change of office: pure functions over their writes.
//!
//! # Terms
//!
//! - takeover of a device: from its last applied write of the old epoch to its first applied write of a
//!   newer one. A write that holds an epoch alone moves nothing and does not count. The takeover of a
//!   trial is that of the slowest device, and a device that the new term never wrote to is *missing*.
//! - dual write: an applied write of an older epoch after an applied write of a newer one, at any device
//!   of the site.
//! - bump: the largest step of an output over the takeover and the writes that follow it, less the
//!   largest step that it ordinarily makes from write to write.
//! - gap: the time between two applied writes of a device that follow each other. It is *late* if it is longer
//!   than a period and a half, whoever wrote.

use std::collections::BTreeMap;

use crate::write_log::{Verdict, Write};

/// Steps from the first write of the new term on that belong to the takeover: a tenth of a second.
const STEPS: usize = 10;
/// Spans of the actuators: 0 to 90 degrees, and 0 to the torque limit of the device profile.
const PITCH_SPAN_RAD: f64 = core::f64::consts::FRAC_PI_2;
const TORQUE_SPAN_NM: f64 = 47_402.91;

/// A takeover, as the slowest device saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takeover {
    /// The epoch of the old term.
    pub old_epoch: u32,
    /// The epoch of the new one.
    pub new_epoch: u32,
    /// From 1.
    pub device: u16,
    /// Its last write of the old epoch.
    pub from_ns: u64,
    /// Its first write of the new one.
    pub to_ns: u64,
}

impl Takeover {
    /// How long it took, in milliseconds.
    #[must_use]
    pub fn ms(&self) -> f64 {
        (self.to_ns - self.from_ns) as f64 / 1e6
    }
}

/// What the devices saw in a trial.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The first change of office, if there was one.
    pub takeover: Option<Takeover>,
    /// Devices, from 1, that were written to under the old epoch and not under a newer one.
    pub missing: Vec<u16>,
    /// Epochs above the old one, in the order in which they appeared.
    pub new_epochs: Vec<u32>,
    /// Writes of the old term that a device's fence held off.
    pub fenced_off: u64,
    /// The worst bump.
    pub bump: Option<Bump>,
}

/// A step of an output, in percent of its actuator's span.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Bump {
    /// `pitch` or `generator_torque`.
    pub signal: &'static str,
    /// From 1.
    pub device: u16,
    /// Largest step over the takeover.
    pub raw_percent: f64,
    /// Largest step from write to write before it.
    pub ordinary_percent: f64,
    /// What is above the ordinary.
    pub percent_of_span: f64,
}

/// The epoch in force at `at_ns`: the highest that was applied until then.
#[must_use]
pub fn epoch_at(writes: &[Write], at_ns: u64) -> Option<u32> {
    let until = writes.iter().filter(|write| write.verdict == Verdict::Applied && write.at_ns <= at_ns);
    until.map(|write| write.epoch).max()
}

/// Looks at the writes of a trial in which `old_epoch` was in force at first.
#[must_use]
pub fn examine(writes: &[Write], old_epoch: u32) -> Seen {
    let mut seen = Seen::default();
    let mut devices: BTreeMap<u16, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        match write.verdict {
            Verdict::Applied if write.epoch > old_epoch && !seen.new_epochs.contains(&write.epoch) => {
                seen.new_epochs.push(write.epoch);
            }
            Verdict::RefusedEpoch => seen.fenced_off += 1,
            Verdict::Applied | Verdict::Fence | Verdict::RefusedValue => {}
        }
        if write.verdict == Verdict::Applied {
            devices.entry(write.device).or_default().push(write);
        }
    }
    if seen.new_epochs.is_empty() {
        return seen;
    }
    for (device, applied) in devices {
        let first_new = applied.iter().position(|write| write.epoch > old_epoch);
        match first_new.and_then(|at| Some((at, applied.get(at.checked_sub(1)?)?, applied.get(at)?))) {
            Some((at, last, first)) => {
                let takeover = Takeover {
                    old_epoch,
                    new_epoch: first.epoch,
                    device,
                    from_ns: last.at_ns,
                    to_ns: first.at_ns.max(last.at_ns),
                };
                let slowest = seen.takeover.is_none_or(|other| takeover.ms() > other.ms());
                seen.takeover = if slowest { Some(takeover) } else { seen.takeover };
                seen.bump = worse(seen.bump, worst_bump(device, &applied, at));
            }
            // A device that only the new term wrote to shows no takeover.
            None if first_new.is_some() => {}
            None => seen.missing.push(device),
        }
    }
    seen
}

/// An output: its name, its actuator's span, and its value in a write.
type Signal = (&'static str, f64, fn(&Write) -> f64);

/// The worst step of one device; `first_new` is the place of the new term's first write.
fn worst_bump(device: u16, applied: &[&Write], first_new: usize) -> Option<Bump> {
    let signals: [Signal; 2] = [
        ("pitch", PITCH_SPAN_RAD, |write| write.pitch_rad),
        ("generator_torque", TORQUE_SPAN_NM, |write| write.torque_nm),
    ];
    signals.into_iter().fold(None, |worst, (signal, span, value)| {
        // The step to write `at + 1` is number `at`.
        let steps = |from: usize, count: usize| {
            let pairs = applied.windows(2).skip(from).take(count);
            pairs.fold(0.0_f64, |largest, pair| match pair {
                [before, after] => largest.max((value(after) - value(before)).abs()),
                _ => largest,
            })
        };
        let taking = first_new.saturating_sub(1);
        let raw_percent = 100.0 * steps(taking, STEPS) / span;
        let ordinary_percent = 100.0 * steps(0, taking) / span;
        let percent_of_span = (raw_percent - ordinary_percent).max(0.0);
        worse(worst, Some(Bump { signal, device, raw_percent, ordinary_percent, percent_of_span }))
    })
}

/// The larger of two bumps.
#[must_use]
pub fn worse(one: Option<Bump>, other: Option<Bump>) -> Option<Bump> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let key = |bump: &Bump| (bump.percent_of_span, bump.raw_percent);
            Some(if key(&other) > key(&one) { other } else { one })
        }
        (one, other) => one.or(other),
    }
}

/// How regularly the devices were written to in a while.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Gaps {
    /// Gaps between applied writes, of all devices.
    pub count: u64,
    /// Those that were late.
    pub late: u64,
    /// The longest, in milliseconds.
    pub max_ms: f64,
}

/// The gaps that ended in `from_ns..to_ns`, of writes that come every `period_ns`, in the order of their times.
#[must_use]
pub fn gaps(writes: &[Write], from_ns: u64, to_ns: u64, period_ns: u64) -> Gaps {
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    let mut gaps = Gaps::default();
    for write in writes.iter().filter(|write| write.verdict == Verdict::Applied) {
        let Some(before) = last.insert(write.device, write.at_ns) else { continue };
        if !(from_ns..to_ns).contains(&write.at_ns) {
            continue;
        }
        let gap_ns = write.at_ns.saturating_sub(before);
        gaps.count += 1;
        gaps.late += u64::from(gap_ns > period_ns + period_ns / 2);
        gaps.max_ms = gaps.max_ms.max(gap_ns as f64 / 1e6);
    }
    gaps
}

/// Counts dual writes over a whole run.
#[derive(Debug, Clone, Copy, Default)]
pub struct DualWatch {
    /// The newest epoch that drove an actuator.
    pub newest: u32,
    /// How many there were.
    pub count: u64,
}

impl DualWatch {
    /// Takes the next write, in the order of the log.
    pub fn take(&mut self, write: &Write) {
        if write.verdict != Verdict::Applied {
            return;
        }
        if write.epoch < self.newest {
            self.count += 1;
        }
        self.newest = self.newest.max(write.epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log under construction.
    #[derive(Default)]
    struct Log(Vec<Write>);

    impl Log {
        fn write(mut self, at_ms: f64, device: u16, epoch: u32, verdict: Verdict) -> Self {
            let at_ns = (at_ms * 1e6) as u64;
            self.0.push(Write { at_ns, device, epoch, verdict, torque_nm: 4000.0, pitch_rad: 0.1 });
            self
        }

        fn applied(self, at_ms: f64, device: u16, epoch: u32) -> Self {
            self.write(at_ms, device, epoch, Verdict::Applied)
        }

        fn pitching(mut self, pitch_rad: f64) -> Self {
            self.0.last_mut().unwrap().pitch_rad = pitch_rad;
            self
        }

        fn dual_writes(&self) -> u64 {
            let mut watch = DualWatch::default();
            self.0.iter().for_each(|write| watch.take(write));
            watch.count
        }
    }

    #[test]
    fn the_takeover_is_that_of_the_slowest_device() {
        let log = Log::default()
            .applied(0.0, 1, 4)
            .applied(1.0, 2, 4)
            .applied(10.0, 1, 4)
            .applied(40.0, 1, 5)
            .applied(41.0, 2, 5)
            .applied(50.0, 1, 5);
        let takeover = examine(&log.0, 4).takeover.unwrap();
        assert_eq!((takeover.device, takeover.ms(), takeover.new_epoch), (2, 40.0, 5));
    }

    #[test]
    fn a_fence_and_a_refused_write_are_no_takeover() {
        let log = Log::default()
            .applied(0.0, 1, 4)
            .write(10.0, 1, 5, Verdict::Fence)
            .write(11.0, 1, 4, Verdict::RefusedEpoch)
            .applied(30.0, 1, 5);
        let seen = examine(&log.0, 4);
        assert_eq!(seen.takeover.unwrap().ms(), 30.0);
        assert_eq!((seen.fenced_off, seen.new_epochs), (1, vec![5]));
    }

    #[test]
    fn a_device_that_the_new_term_never_wrote_to_is_missing() {
        let log = Log::default().applied(0.0, 1, 4).applied(0.0, 2, 4).applied(30.0, 1, 5);
        assert_eq!(examine(&log.0, 4).missing, [2]);
    }

    #[test]
    fn without_a_newer_epoch_nothing_was_taken_over_and_nothing_is_missing() {
        let log = Log::default().applied(0.0, 1, 4).applied(10.0, 1, 4);
        assert_eq!(examine(&log.0, 4), Seen::default());
    }

    #[test]
    fn two_changes_in_a_trial_show_two_epochs() {
        let log = Log::default().applied(0.0, 1, 4).applied(30.0, 1, 5).applied(60.0, 1, 7);
        assert_eq!(examine(&log.0, 4).new_epochs, [5, 7]);
    }

    #[test]
    fn an_old_write_after_a_new_one_at_any_device_is_a_dual_write() {
        let log = Log::default().applied(0.0, 1, 4).applied(9.0, 1, 5).applied(9.1, 2, 4).applied(9.2, 1, 5);
        assert_eq!(log.dual_writes(), 1);
        let log = Log::default().applied(0.0, 1, 4).write(1.0, 1, 5, Verdict::Fence).applied(2.0, 2, 4);
        assert_eq!(log.dual_writes(), 0, "a fence drives nothing yet");
    }

    #[test]
    fn a_bump_is_what_goes_beyond_the_ordinary_step() {
        let span = PITCH_SPAN_RAD;
        let log = Log::default()
            .applied(0.0, 1, 4)
            .pitching(0.10 * span)
            .applied(10.0, 1, 4)
            .pitching(0.11 * span)
            .applied(40.0, 1, 5)
            .pitching(0.14 * span)
            .applied(50.0, 1, 5)
            .pitching(0.16 * span);
        let bump = examine(&log.0, 4).bump.unwrap();
        assert_eq!((bump.signal, bump.device), ("pitch", 1));
        assert!((bump.raw_percent - 3.0).abs() < 1e-9, "{bump:?}");
        assert!((bump.ordinary_percent - 1.0).abs() < 1e-9, "{bump:?}");
        assert!((bump.percent_of_span - 2.0).abs() < 1e-9, "{bump:?}");
    }

    #[test]
    fn a_gap_counts_where_it_ends_and_is_late_beyond_a_period_and_a_half() {
        let log = Log::default()
            .applied(0.0, 1, 4)
            .applied(0.0, 2, 4)
            .applied(10.0, 1, 4)
            .write(12.0, 2, 3, Verdict::RefusedEpoch)
            .applied(16.0, 2, 4)
            .applied(40.0, 1, 5);
        let seen = gaps(&log.0, 5_000_000, 30_000_000, 10_000_000);
        assert_eq!((seen.count, seen.late, seen.max_ms), (2, 1, 16.0));
        assert_eq!(gaps(&log.0, 30_000_000, 50_000_000, 10_000_000).max_ms, 30.0);
    }

    #[test]
    fn the_epoch_in_force_is_the_highest_applied_one_until_then() {
        let log = Log::default().applied(0.0, 1, 4).write(1.0, 1, 9, Verdict::Fence).applied(5.0, 1, 5);
        assert_eq!(epoch_at(&log.0, 3_000_000), Some(4));
        assert_eq!(epoch_at(&log.0, 5_000_000), Some(5));
        assert_eq!(epoch_at(&[], 3), None);
    }
}
