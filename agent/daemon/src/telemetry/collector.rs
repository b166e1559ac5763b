//! Turns a group's records into figures.

use std::collections::BTreeMap;

use agent_cycle::{CycleRecord, GroupMode, PlantRecord, Record, UnitRecord};
use agent_status::trace::Trace;
use agent_status::{Group, Thread};
use hal_units::{Duration, Instant};
use heapless::spsc::Consumer;

use super::black_box::{BlackBox, Occasion};
use super::distribution::Spread;
use super::kernel::Counts;
use super::miss;

/// Misses that are kept in words.
const MISSES_KEPT: usize = 16;
/// A thread that reports no cycle for so long hangs.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// What is known of a group before its first cycle.
#[derive(Debug, Clone)]
pub struct GroupFacts {
    /// Name.
    pub name: String,
    /// Period.
    pub period: Duration,
    /// Deadline.
    pub deadline: Duration,
    /// Worst-case response by analysis.
    pub response: Duration,
    /// The thread's settings as read back.
    pub thread: Thread,
    /// The thread's number, to ask the kernel about it.
    pub thread_id: i32,
    /// Device of each unit, as a position in the site.
    pub devices: Vec<usize>,
}

impl GroupFacts {
    fn counts(&self) -> Counts {
        Counts::now(self.thread_id, self.thread.cores.first().copied())
    }
}

/// Gathers what one group reports.
#[derive(Debug)]
pub struct Collector {
    facts: GroupFacts,
    wake_up: Spread,
    cycle_time: Spread,
    cycles: u64,
    skipped: u64,
    late: u64,
    missed_by_cause: BTreeMap<String, u64>,
    misses: Vec<String>,
    last: Option<CycleRecord>,
    units: Vec<Option<UnitRecord>>,
    input_ages: Vec<Spread>,
    counters: Counts,
    /// Between the last two visits.
    lately: Counts,
    /// A late cycle whose story is not complete.
    held: Option<CycleRecord>,
    started_at: Instant,
    black_box: BlackBox,
}

impl Collector {
    /// A collector for a group with as many units as `facts` has devices.
    #[must_use]
    pub fn new(facts: GroupFacts, now: Instant) -> Self {
        let units = facts.devices.len();
        let counters = facts.counts();
        Self {
            facts,
            wake_up: Spread::fine(),
            cycle_time: Spread::fine(),
            cycles: 0,
            skipped: 0,
            late: 0,
            missed_by_cause: BTreeMap::new(),
            misses: Vec::new(),
            last: None,
            units: vec![None; units],
            input_ages: vec![Spread::coarse(); units],
            counters,
            lately: Counts::default(),
            held: None,
            started_at: now,
            black_box: BlackBox::new(),
        }
    }

    /// What is known of the group.
    #[must_use]
    pub fn facts(&self) -> &GroupFacts {
        &self.facts
    }

    /// Takes all records that wait; returns the units whose supervisor or interlocks changed.
    pub fn collect(&mut self, telemetry: &mut Consumer<'static, Record>) -> Vec<(u16, UnitRecord)> {
        let mut changed = Vec::new();
        let mut missed = Vec::new();
        // Bounded: no more than wait now, however fast the cycles are.
        for _ in 0..telemetry.len() {
            match telemetry.dequeue() {
                Some(Record::Cycle(record)) => self.take_cycle(record, &mut missed),
                Some(Record::Unit(record)) => changed.extend(self.take_unit(record)),
                None => break,
            }
        }
        let counters = self.facts.counts();
        let between = counters.since(&self.counters);
        self.counters = counters;
        self.black_box.count(between);
        // A miss may have begun before the last visit.
        let around = self.lately.and(&between);
        self.lately = between;
        for (record, skipped_after) in missed {
            self.explain(&record, skipped_after, around);
        }
        changed
    }

    fn take_cycle(&mut self, record: CycleRecord, missed: &mut Vec<(CycleRecord, u32)>) {
        self.cycles += 1;
        self.black_box.take(record);
        self.wake_up.record(record.woke_at.since(record.scheduled_at));
        self.cycle_time.record(record.finished_at.since(record.woke_at));
        self.skipped += u64::from(record.skipped);
        self.late += u64::from(record.late);
        // Grid points pass because the cycle before them ended late: one story, told once, and only when
        // the next cycle has said how many passed.
        if let Some(late) = self.held.take() {
            missed.push((late, record.skipped));
        } else if record.skipped > 0 {
            missed.push((self.last.unwrap_or(record), record.skipped));
        }
        self.held = record.late.then_some(record);
        let is_safe = |record: &CycleRecord| matches!(record.mode, GroupMode::Safe { .. });
        if is_safe(&record) && !self.last.as_ref().is_some_and(is_safe) {
            let why = format!("cycle {}: safe state after too many misses in a row", record.cycle);
            self.black_box.note(Occasion::SafeState, why);
        }
        self.last = Some(record);
    }

    /// Has a trace made of the last cycles and those that come now.
    pub fn ask_for_trace(&mut self) {
        self.black_box.note(Occasion::Asked, "somebody asked for it".to_owned());
    }

    /// A unit was stopped by its interlocks.
    pub fn note_trip(&mut self, unit: &str, trips: &[&str]) {
        self.black_box.note(Occasion::Trip, format!("unit {unit} tripped: {}", trips.join(", ")));
    }

    /// The trace that is complete; at the `end` of the agent also one that is not.
    pub fn take_trace(&mut self, now: Instant, site: &str, end: bool) -> Option<Trace> {
        self.black_box.take_trace(now, site, &self.facts, end)
    }

    /// Occasions whose cycles were gone before a trace was made.
    #[must_use]
    pub const fn traces_passed_over(&self) -> u64 {
        self.black_box.passed_over()
    }

    fn take_unit(&mut self, record: UnitRecord) -> Option<(u16, UnitRecord)> {
        let at = usize::from(record.unit);
        let ages = self.input_ages.get_mut(at)?;
        if let Some(age) = record.input_age {
            ages.record(age);
        }
        let before = self.units.get_mut(at)?.replace(record);
        let same = before.is_some_and(|before| is_same(&before.plant, &record.plant));
        (!same).then_some((record.unit, record))
    }

    fn explain(&mut self, record: &CycleRecord, skipped_after: u32, around: Counts) {
        let cause = miss::cause(record, around);
        let count = u64::from(record.late) + u64::from(skipped_after);
        *self.missed_by_cause.entry(cause.as_str().to_owned()).or_default() += count;
        let sentence = miss::sentence(record, cause, skipped_after);
        tracing::warn!(group = %self.facts.name, "deadline missed: {sentence}");
        self.black_box.tell(record.cycle, &sentence);
        self.black_box.note(Occasion::Overrun, sentence.clone());
        if self.misses.len() == MISSES_KEPT {
            self.misses.remove(0);
        }
        self.misses.push(sentence);
    }

    /// Takes all records that wait and completes the story of a late last cycle: call once, at the end.
    pub fn finish(&mut self, telemetry: &mut Consumer<'static, Record>) {
        self.collect(telemetry);
        if let Some(late) = self.held.take() {
            self.explain(&late, 0, self.lately);
        }
    }

    /// The last cycle that was reported.
    #[must_use]
    pub fn last(&self) -> Option<&CycleRecord> {
        self.last.as_ref()
    }

    /// The last report of a unit, by its position in the group.
    #[must_use]
    pub fn unit(&self, at: usize) -> Option<&UnitRecord> {
        self.units.get(at)?.as_ref()
    }

    /// Ages of a unit's inputs when cycles used them.
    #[must_use]
    pub fn input_age(&self, at: usize) -> agent_status::Distribution {
        self.input_ages.get(at).map(Spread::figures).unwrap_or_default()
    }

    /// The group's figures so far; `now` tells whether its thread hangs.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Group {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Group {
            name: self.facts.name.clone(),
            period_us: micros(self.facts.period),
            deadline_us: micros(self.facts.deadline),
            mode: self.last.map_or("starting", |last| last.mode.as_str()).to_owned(),
            cycles: self.cycles,
            missed_deadlines: self.skipped + self.late,
            skipped: self.skipped,
            late: self.late,
            missed_by_cause: self.missed_by_cause.clone(),
            misses: self.misses.clone(),
            wake_up: self.wake_up.figures(),
            cycle_time: self.cycle_time.figures(),
            response_us: micros(self.facts.response),
            units_blind: self.last.map_or(0, |last| last.units_blind),
            stalled: now.since(self.last.map_or(self.started_at, |last| last.finished_at)) > STALLED_AFTER,
            records_dropped: self.last.map_or(0, |last| last.records_dropped),
            thread: self.facts.thread.clone(),
        }
    }
}

/// Whether two records tell people the same: that a vehicle drives or stands changes all the time.
fn is_same(before: &PlantRecord, now: &PlantRecord) -> bool {
    match (before, now) {
        (PlantRecord::Turbine(before), PlantRecord::Turbine(now)) => {
            before.mode == now.mode && before.trips == now.trips
        }
        (PlantRecord::Vehicle(before), PlantRecord::Vehicle(now)) => before.stops == now.stops,
        (PlantRecord::Der(before), PlantRecord::Der(now)) => before.phase == now.phase,
        (PlantRecord::Park(before), PlantRecord::Park(now)) => before.phase == now.phase,
        (
            PlantRecord::Turbine(_) | PlantRecord::Vehicle(_) | PlantRecord::Der(_) | PlantRecord::Park(_),
            _,
        ) => false,
    }
}
