//! The last cycles of a group, kept for the moment in which somebody asks why.
//!
//! # Model
//!
//! A ring of fixed size takes every cycle. On an occasion (an overrun, the safe state, a trip, a request) it waits
//! for what comes shortly after, then gives all that it holds. Occasions in the meantime belong to the same
//! trace. A second trace comes at the earliest [`PAUSE`] after the first: who misses every deadline must not fill
//! the disk. What happens before waits for it. At 100 Hz the ring holds as much as the pause is long, so nothing is
//! without a trace; of faster cycles an occasion may be gone from the ring by then, and is counted.

use std::collections::VecDeque;

use agent_cycle::CycleRecord;
use agent_status::trace::{FORMAT, KernelCounts, Trace, TracedCycle};
use hal_units::{Duration, Instant};
use jiff::Timestamp;

use super::collector::GroupFacts;
use super::kernel::Counts;

/// Cycles that are kept: 10 s at 100 Hz, and what passes until somebody looks.
const CYCLES: usize = 1_024;
/// Cycles that a trace waits for after its occasion.
const CYCLES_AFTER: u32 = 100;
/// Further occasions that are named in a trace.
const MORE_MAX: usize = 32;
/// From one trace of a group to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a trace is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Overrun,
    SafeState,
    Trip,
    Asked,
}

impl Occasion {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Overrun => "overrun",
            Self::SafeState => "safe-state",
            Self::Trip => "trip",
            Self::Asked => "asked",
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    record: CycleRecord,
    kernel: Option<Counts>,
    story: Option<String>,
}

/// A trace that waits for what comes after.
#[derive(Debug)]
struct Pending {
    occasion: Occasion,
    why: String,
    cycle: u64,
    at: Timestamp,
    /// Further occasions, each with its cycle.
    more: Vec<(u64, String)>,
    cycles_left: u32,
    /// Not complete before this.
    not_before: Option<Instant>,
}

impl Pending {
    fn is_complete(&self, now: Instant) -> bool {
        self.cycles_left == 0 && self.not_before.is_none_or(|at| now >= at)
    }

    /// Occasions of which the cycles are gone that came before this one.
    fn gone_before(&self, oldest: u64) -> u64 {
        let cycles = self.more.iter().map(|(cycle, _)| *cycle).chain([self.cycle]);
        cycles.filter(|cycle| *cycle < oldest).count() as u64
    }
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct BlackBox {
    kept: VecDeque<Kept>,
    pending: Option<Pending>,
    /// No trace before this.
    next_at: Option<Instant>,
    passed_over: u64,
}

impl BlackBox {
    pub(super) fn new() -> Self {
        Self { kept: VecDeque::with_capacity(CYCLES), pending: None, next_at: None, passed_over: 0 }
    }

    /// Occasions whose cycles were gone before a trace was made.
    pub(super) const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Takes a cycle.
    pub(super) fn take(&mut self, record: CycleRecord) {
        if self.kept.len() == CYCLES {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { record, kernel: None, story: None });
        if let Some(pending) = &mut self.pending {
            pending.cycles_left = pending.cycles_left.saturating_sub(1);
        }
    }

    /// What the kernel has counted up to the newest cycle.
    pub(super) fn count(&mut self, since: Counts) {
        if let Some(newest) = self.kept.back_mut() {
            newest.kernel = Some(newest.kernel.map_or(since, |before| before.and(&since)));
        }
    }

    /// Why a cycle was late, or grid points passed after it.
    pub(super) fn tell(&mut self, cycle: u64, story: &str) {
        if let Some(kept) = self.kept.iter_mut().rev().find(|kept| kept.record.cycle == cycle) {
            kept.story = Some(story.to_owned());
        }
    }

    /// Something happened of which a trace is to be made.
    pub(super) fn note(&mut self, occasion: Occasion, why: String) {
        let cycle = self.kept.back().map_or(0, |kept| kept.record.cycle);
        let (at, more) = (Timestamp::now(), Vec::new());
        let not_before = self.next_at.filter(|_| occasion != Occasion::Asked);
        match &mut self.pending {
            Some(pending) => {
                // Who asks does not wait.
                pending.not_before = pending.not_before.and(not_before);
                if pending.more.len() < MORE_MAX {
                    pending.more.push((cycle, why));
                }
            }
            None => {
                let cycles_left = CYCLES_AFTER;
                self.pending = Some(Pending { occasion, why, cycle, at, more, cycles_left, not_before });
            }
        }
    }

    /// The trace that is complete, at the end of the agent also one that is not.
    pub(super) fn take_trace(
        &mut self,
        now: Instant,
        site: &str,
        facts: &GroupFacts,
        end: bool,
    ) -> Option<Trace> {
        let pending = self.pending.take_if(|pending| end || pending.is_complete(now))?;
        self.next_at = Some(now + PAUSE);
        let oldest = self.kept.front().map_or(0, |kept| kept.record.cycle);
        self.passed_over += pending.gone_before(oldest);
        let origin = self.kept.front().map_or(Instant::ZERO, |kept| kept.record.scheduled_at);
        Some(Trace {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: site.to_owned(),
            group: facts.name.clone(),
            period_us: whole_us(facts.period),
            deadline_us: whole_us(facts.deadline),
            thread: facts.thread.clone(),
            occasion: pending.occasion.as_str().to_owned(),
            why: pending.why,
            at: pending.at.to_string(),
            cycle: pending.cycle,
            more: pending.more.into_iter().map(|(_, why)| why).collect(),
            records_dropped: self.kept.back().map_or(0, |kept| kept.record.records_dropped),
            cycles: self.kept.iter().map(|kept| traced(kept, origin)).collect(),
        })
    }
}

fn traced(kept: &Kept, origin: Instant) -> TracedCycle {
    let record = &kept.record;
    TracedCycle {
        cycle: record.cycle,
        scheduled_us: us(record.scheduled_at.since(origin)),
        wake_up_us: us(record.woke_at.since(record.scheduled_at)),
        run_us: us(record.finished_at.since(record.woke_at)),
        skipped: record.skipped,
        late: record.late,
        units_blind: record.units_blind,
        input_age_us: us(record.input_age_max),
        mode: record.mode.as_str().to_owned(),
        plan_epoch: record.plan_epoch,
        kernel: kept.kernel.map(|counts| KernelCounts {
            run_queue_us: us(counts.run_queue),
            switches_involuntary: counts.switches_involuntary,
            faults_minor: counts.faults_minor,
            faults_major: counts.faults_major,
            stolen_us: us(counts.stolen),
            interrupts_us: us(counts.interrupts),
        }),
        story: kept.story.clone(),
    }
}

fn us(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn whole_us(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::miss::tests::cycle_woken_after_and_run_for;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn facts() -> GroupFacts {
        GroupFacts {
            name: "turbines".to_owned(),
            period: MS * 10,
            deadline: MS * 8,
            response: MS,
            thread: agent_status::Thread::default(),
            thread_id: 1,
            devices: Vec::new(),
        }
    }

    fn run(black_box: &mut BlackBox, cycles: std::ops::Range<u64>) {
        for cycle in cycles {
            let usual = cycle_woken_after_and_run_for(MS / 20, MS / 2);
            let scheduled_at = Instant::ZERO + MS * 10 * u32::try_from(cycle).unwrap();
            let moved = |at: Instant| scheduled_at + at.since(usual.scheduled_at);
            let (woke_at, finished_at) = (moved(usual.woke_at), moved(usual.finished_at));
            black_box.take(CycleRecord { cycle, scheduled_at, woke_at, finished_at, late: false, ..usual });
        }
    }

    fn at_s(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn trace_of(black_box: &mut BlackBox, seconds: u64) -> Option<Trace> {
        black_box.take_trace(at_s(seconds), "north", &facts(), false)
    }

    #[test]
    fn a_trace_holds_what_came_before_and_shortly_after() {
        let mut black_box = BlackBox::new();
        run(&mut black_box, 0..5_000);
        black_box.tell(4_999, "cycle 4999: slow");
        black_box.note(Occasion::Overrun, "cycle 4999: slow".to_owned());
        run(&mut black_box, 5_000..5_099);
        assert_eq!(trace_of(&mut black_box, 51), None, "more is to come");
        run(&mut black_box, 5_099..5_100);
        let trace = trace_of(&mut black_box, 51).unwrap();
        let numbers: Vec<u64> = trace.cycles.iter().map(|cycle| cycle.cycle).collect();
        assert_eq!(numbers, (4_076..5_100).collect::<Vec<_>>());
        let told: Vec<u64> =
            trace.cycles.iter().filter(|cycle| cycle.story.is_some()).map(|cycle| cycle.cycle).collect();
        assert_eq!((trace.cycle, told), (4_999, vec![4_999]));
        assert_eq!(trace_of(&mut black_box, 52), None, "once");
    }

    #[test]
    fn who_misses_every_deadline_does_not_fill_the_disk_and_every_miss_is_told() {
        let mut black_box = BlackBox::new();
        let mut told = Vec::new();
        let mut traces = 0;
        for second in 0..60 {
            let late = second * 100 + 50;
            run(&mut black_box, second * 100..late + 1);
            black_box.tell(late, &format!("second {second}"));
            black_box.note(Occasion::Overrun, format!("second {second}"));
            run(&mut black_box, late + 1..(second + 1) * 100);
            if let Some(trace) = trace_of(&mut black_box, second + 1) {
                traces += 1;
                told.extend(trace.cycles.into_iter().filter_map(|cycle| cycle.story));
            }
        }
        told.dedup();
        assert!((5..=6).contains(&traces), "{traces}");
        assert_eq!(told, (0..told.len()).map(|second| format!("second {second}")).collect::<Vec<_>>());
        assert!(told.len() > 50, "{told:?}");
        assert_eq!(black_box.passed_over(), 0);
    }

    #[test]
    fn what_is_gone_from_the_ring_before_the_pause_is_over_is_counted() {
        let mut black_box = BlackBox::new();
        run(&mut black_box, 0..100);
        black_box.note(Occasion::Overrun, "the first".to_owned());
        run(&mut black_box, 100..200);
        assert!(trace_of(&mut black_box, 1).is_some());
        black_box.note(Occasion::Overrun, "the second".to_owned());
        run(&mut black_box, 200..2_000);
        assert_eq!(trace_of(&mut black_box, 10), None, "the pause is not over");
        assert_eq!(trace_of(&mut black_box, 11).unwrap().why, "the second");
        assert_eq!(black_box.passed_over(), 1);
    }

    #[test]
    fn who_asks_gets_a_trace_at_any_time() {
        let mut black_box = BlackBox::new();
        for second in 0..3 {
            black_box.note(Occasion::Overrun, "in the pause".to_owned());
            black_box.note(Occasion::Asked, "asked".to_owned());
            run(&mut black_box, second * 100..(second + 1) * 100);
            assert!(trace_of(&mut black_box, second).is_some());
        }
    }
}
