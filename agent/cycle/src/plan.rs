//! The plan as the cycle takes it: demands, schedules and rules of one group, looked up by time alone.
//!
//! # Model
//!
//! A [`PlanTable`] is built by an ordinary thread and never changed. What a unit shall do at a time is its
//! demand, with the power limit of its schedule at that time; and if a rule applies, the rule's fallback
//! instead. All of this is a few comparisons and a binary search: it allocates nothing and always ends.
//!
//! # Terms
//!
//! - rule: what to do when something is lost; it applies when that was not seen for as long as the plan holds on,
//!   and until it was there again for long enough.
//! - mask: the rules that apply, one bit each, the first rule in the lowest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hal_units::{Duration, Instant, Watts};

use crate::demand::PlanDemand;
use crate::park::WakeTable;

/// Rules in a table at most: one bit each.
pub const RULES_MAX: usize = 8;

/// What holds between two points of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// The earlier point's value.
    Step,
    /// The straight line between the two.
    Line,
}

/// A unit's power limit over time; without points the demand's holds.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSchedule {
    /// What holds between two points.
    pub between: Between,
    /// The points, strictly later one after the other.
    pub points: Box<[(Instant, Watts)]>,
}

impl UnitSchedule {
    /// No points.
    #[must_use]
    pub fn none() -> Self {
        Self { between: Between::Step, points: Box::default() }
    }

    /// The power limit at a time; `None` before the first point.
    #[must_use]
    pub fn limit(&self, now: Instant) -> Option<Watts> {
        let next = self.points.partition_point(|(at, _)| *at <= now);
        let (from, low) = *self.points.get(next.checked_sub(1)?)?;
        match (self.between, self.points.get(next)) {
            (Between::Step, _) | (Between::Line, None) => Some(low),
            (Between::Line, Some((to, high))) => {
                let share = now.since(from).as_secs_f64() / to.since(from).as_secs_f64();
                Some(Watts(low.get() + (high.get() - low.get()) * share))
            }
        }
    }
}

/// What can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Whoever sends plans.
    Centre,
    /// The electrical grid.
    Grid,
    /// A device of the site, by position.
    Device(usize),
}

/// When each thing that can be lost was last seen. Shared by all groups of a site and by whoever hears the
/// centre; written and read without waiting.
#[derive(Debug)]
pub struct LastSeen {
    centre: AtomicU64,
    grid: AtomicU64,
    devices: Box<[AtomicU64]>,
}

impl LastSeen {
    /// Everything was seen just now, with so many devices. Allocates: set-up only.
    #[must_use]
    pub fn new(now: Instant, devices: usize) -> Arc<Self> {
        let seen = || AtomicU64::new(now.as_nanos());
        Arc::new(Self { centre: seen(), grid: seen(), devices: (0..devices).map(|_| seen()).collect() })
    }

    fn cell(&self, source: Source) -> Option<&AtomicU64> {
        match source {
            Source::Centre => Some(&self.centre),
            Source::Grid => Some(&self.grid),
            Source::Device(device) => self.devices.get(device),
        }
    }

    /// Notes that something was seen.
    pub fn note(&self, source: Source, at: Instant) {
        if let Some(cell) = self.cell(source) {
            cell.fetch_max(at.as_nanos(), Ordering::Relaxed);
        }
    }

    /// For how long something was not seen; a device that there is not counts as seen.
    #[must_use]
    pub fn unseen_for(&self, source: Source, now: Instant) -> Duration {
        self.cell(source)
            .map_or(Duration::ZERO, |cell| now.since(Instant::from_nanos(cell.load(Ordering::Relaxed))))
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTable {
    /// What is lost.
    pub source: Source,
    /// How long the plan goes on without it.
    pub hold: Duration,
    /// How long it must be there again before the plan applies again.
    pub back: Duration,
    /// What each unit of the group shall do meanwhile; `None`: go on by the plan.
    pub fallback: Box<[Option<PlanDemand>]>,
}

/// What is remembered of a rule from one cycle to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RuleState {
    applies: bool,
    there_since: Option<Instant>,
}

/// What is remembered of all rules of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleStates([RuleState; RULES_MAX]);

/// A plan as the cycle takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTable {
    /// The plan's number.
    pub epoch: u32,
    /// A hash of what the plan asks of this group.
    pub digest: u64,
    /// A demand for each unit of the group, in the group's order.
    pub demands: Box<[PlanDemand]>,
    /// A schedule for each unit; fewer are as good as none for the rest.
    pub schedules: Box<[UnitSchedule]>,
    /// Rules, in the order of their precedence; those beyond [`RULES_MAX`] are not looked at.
    pub rules: Box<[RuleTable]>,
    /// How a park's turbines share its power, by the direction of the wind.
    pub wake: Option<WakeTable>,
    /// Time from the grid point by which a cycle must have ended; `None`: that of the group's settings.
    pub deadline: Option<Duration>,
}

impl PlanTable {
    /// A table of demands alone, with a digest that follows from them.
    #[must_use]
    pub fn new(epoch: u32, demands: Box<[PlanDemand]>) -> Self {
        // FNV-1a, 64 bits (Fowler, Noll, Vo): two nodes compare it, nobody has to trust it.
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |word: u64| {
            for byte in word.to_le_bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        mix(u64::from(epoch));
        for demand in &demands {
            mix(demand.request as u64);
            mix(demand.power_limit.get().to_bits());
        }
        Self {
            epoch,
            digest,
            demands,
            schedules: Box::default(),
            rules: Box::default(),
            wake: None,
            deadline: None,
        }
    }

    /// What a unit shall do. A unit that the plan does not name keeps still.
    #[must_use]
    pub fn demand(&self, unit: usize, now: Instant, mask: u8) -> PlanDemand {
        const UNPLANNED: PlanDemand =
            PlanDemand { request: agent_plan::Request::Stop, power_limit: Watts::ZERO };
        for (at, rule) in self.rules.iter().take(RULES_MAX).enumerate() {
            if mask & (1 << at) != 0
                && let Some(Some(fallback)) = rule.fallback.get(unit)
            {
                return *fallback;
            }
        }
        let planned = self.demands.get(unit).copied().unwrap_or(UNPLANNED);
        match self.schedules.get(unit).and_then(|schedule| schedule.limit(now)) {
            Some(power_limit) => PlanDemand { power_limit, ..planned },
            None => planned,
        }
    }

    /// The rules that apply now.
    #[must_use]
    pub fn mask(&self, states: &mut RuleStates, seen: &LastSeen, now: Instant) -> u8 {
        let mut mask = 0;
        for (at, (rule, state)) in self.rules.iter().zip(&mut states.0).enumerate() {
            let is_there = seen.unseen_for(rule.source, now) <= rule.hold;
            state.there_since = is_there.then(|| state.there_since.unwrap_or(now));
            state.applies = match state.there_since {
                None => true,
                Some(since) => state.applies && now.since(since) < rule.back,
            };
            mask |= u8::from(state.applies) << at;
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_plan::Request;
    use proptest::prelude::*;

    const RUN: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };
    const SUPPLY: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts(1e6) };

    fn at_s(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn schedule(between: Between) -> UnitSchedule {
        UnitSchedule { between, points: Box::new([(at_s(10), Watts(2e6)), (at_s(20), Watts(4e6))]) }
    }

    #[test]
    fn a_step_holds_its_value_until_the_next_point() {
        let limits = [9, 10, 19, 20, 99].map(|s| schedule(Between::Step).limit(at_s(s)).map(Watts::get));
        assert_eq!(limits, [None, Some(2e6), Some(2e6), Some(4e6), Some(4e6)]);
    }

    #[test]
    fn a_line_goes_straight_from_point_to_point_and_then_holds() {
        let limits = [9, 10, 15, 20, 99].map(|s| schedule(Between::Line).limit(at_s(s)).map(Watts::get));
        assert_eq!(limits, [None, Some(2e6), Some(3e6), Some(4e6), Some(4e6)]);
    }

    proptest! {
        #[test]
        fn a_schedule_never_leaves_the_range_of_its_points(
            gaps in proptest::collection::vec((1_u64..1_000_000, 0_u32..5_000_000), 1..40),
            at in 0_u64..50_000_000,
            line in any::<bool>(),
        ) {
            let mut time = Instant::ZERO;
            let points: Box<[_]> = gaps.iter().map(|(gap, watts)| {
                time = time + Duration::from_micros(*gap);
                (time, Watts(f64::from(*watts)))
            }).collect();
            let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, w)| (low.min(w.get()), high.max(w.get())));
            let between = if line { Between::Line } else { Between::Step };
            let first = points[0].0;
            let limit = UnitSchedule { between, points }.limit(Instant::ZERO + Duration::from_micros(at));
            prop_assert_eq!(limit.is_none(), Instant::ZERO + Duration::from_micros(at) < first);
            if let Some(limit) = limit {
                prop_assert!((low - 1e-6..=high + 1e-6).contains(&limit.get()));
            }
        }
    }

    /// A site with two units; the first falls back to 1 MW when the centre is gone for 30 s, until it was there
    /// again for 5 s.
    struct Site {
        table: PlanTable,
        states: RuleStates,
        seen: Arc<LastSeen>,
    }

    impl Site {
        fn new() -> Self {
            let rule = RuleTable {
                source: Source::Centre,
                hold: Duration::from_secs(30),
                back: Duration::from_secs(5),
                fallback: Box::new([Some(SUPPLY), None]),
            };
            let table = PlanTable { rules: Box::new([rule]), ..PlanTable::new(1, Box::new([RUN, RUN])) };
            Self { table, states: RuleStates::default(), seen: LastSeen::new(Instant::ZERO, 1) }
        }

        fn limits_mw(&mut self, seconds: u64) -> [f64; 2] {
            let mask = self.table.mask(&mut self.states, &self.seen, at_s(seconds));
            [0, 1].map(|unit| self.table.demand(unit, at_s(seconds), mask).power_limit.get() / 1e6)
        }
    }

    #[test]
    fn the_plan_is_held_for_a_while_and_then_the_fallback_applies_to_the_units_it_names() {
        let mut site = Site::new();
        assert_eq!(site.limits_mw(30), [5.0, 5.0]);
        assert_eq!(site.limits_mw(31), [1.0, 5.0]);
        assert_eq!(site.limits_mw(3_000_000), [1.0, 5.0]);
    }

    #[test]
    fn the_plan_applies_again_when_what_was_lost_was_there_for_long_enough() {
        let mut site = Site::new();
        site.limits_mw(31);
        site.seen.note(Source::Centre, at_s(40));
        assert_eq!(site.limits_mw(40), [1.0, 5.0]);
        assert_eq!(site.limits_mw(44), [1.0, 5.0]);
        assert_eq!(site.limits_mw(45), [5.0, 5.0]);
    }

    #[test]
    fn the_first_rule_that_names_a_unit_wins() {
        let mut site = Site::new();
        let low = PlanDemand { power_limit: Watts(2e5), ..RUN };
        let grid = RuleTable {
            source: Source::Grid,
            hold: Duration::ZERO,
            back: Duration::ZERO,
            fallback: Box::new([Some(low), Some(low)]),
        };
        site.table.rules = site.table.rules.iter().cloned().chain([grid]).collect();
        assert_eq!(site.limits_mw(1), [0.2, 0.2]);
        assert_eq!(site.limits_mw(31), [1.0, 0.2]);
        site.seen.note(Source::Grid, at_s(32));
        assert_eq!(site.limits_mw(32), [1.0, 5.0]);
    }

    #[test]
    fn a_device_is_lost_by_itself() {
        let seen = LastSeen::new(Instant::ZERO, 2);
        seen.note(Source::Device(1), at_s(50));
        assert_eq!(seen.unseen_for(Source::Device(0), at_s(60)), Duration::from_secs(60));
        assert_eq!(seen.unseen_for(Source::Device(1), at_s(60)), Duration::from_secs(10));
        assert_eq!(seen.unseen_for(Source::Device(9), at_s(60)), Duration::ZERO);
    }
}
