//! From a plan to the tables that the cycles take.

use std::path::Path;

use agent_cycle::{Between, PlanDemand, PlanTable, RuleTable, Source, UnitSchedule, WakeTable};
use agent_plan::document::{self, Boundary, UtcTime};
use agent_plan::inbox::Clock;
use agent_plan::{
    CheckedPlan, CheckedRule, CheckedSchedule, Lost, Plan, PlanId, Request, SiteFacts, UnitDemand,
};
use hal_diagnostics::{Diagnostic, Document};
use hal_units::{Duration, Instant, Radians, Watts};

use crate::admission;
use crate::config::{PlantConfig, SiteConfig, UnitConfig};

/// Reads a plan and checks it against the site.
///
/// # Errors
/// At the first thing that is wrong, with its place.
pub fn read(path: &Path, site: &SiteConfig) -> Result<Plan, Diagnostic> {
    Plan::parse_for(&Document::read(path)?, &site.unit_limits())
}

/// What a signed plan can name here.
pub(super) fn facts(site: &SiteConfig, stations: Option<Vec<String>>) -> SiteFacts {
    SiteFacts {
        site: site.name.clone(),
        node: site.plans.as_ref().map(|plans| plans.node.clone()).unwrap_or_default(),
        units: site.unit_limits(),
        tasks: admission::tasks(site),
        devices: site.devices.iter().map(|device| device.name.clone()).collect(),
        stations,
    }
}

/// Where a plan comes from, and what it says.
#[derive(Debug, Clone)]
enum Content {
    /// From the site's file.
    Local(Plan),
    /// From outside.
    Signed(Box<CheckedPlan>),
}

/// A plan that the cycles can run, by what it is known.
#[derive(Debug, Clone)]
pub(super) struct KnownPlan {
    pub(super) id: PlanId,
    content: Content,
}

impl KnownPlan {
    /// A plan from the site's file.
    pub(super) fn local(plan: Plan, id: PlanId) -> Self {
        Self { id, content: Content::Local(plan) }
    }

    /// A plan from outside that fits the site.
    pub(super) fn signed(plan: CheckedPlan) -> Self {
        Self { id: plan.id, content: Content::Signed(Box::new(plan)) }
    }

    pub(super) fn name(&self) -> &str {
        match &self.content {
            Content::Local(plan) => &plan.name,
            Content::Signed(plan) => &plan.name,
        }
    }

    /// The content, if it came from outside.
    pub(super) fn as_signed(&self) -> Option<&CheckedPlan> {
        match &self.content {
            Content::Local(_) => None,
            Content::Signed(plan) => Some(plan),
        }
    }

    /// What the cycles call it: the same at both nodes of a pair.
    pub(super) fn key(&self) -> (u32, u64) {
        let digest = self.id.digest.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        (self.id.epoch, digest)
    }

    /// One group's table. Points of schedules are laid on the monotonic clock as both clocks stand now.
    pub(super) fn table(&self, site: &SiteConfig, group: usize, clock: Clock) -> Box<PlanTable> {
        let (epoch, digest) = self.key();
        let demands = match &self.content {
            Content::Local(plan) => demands(site, group, &plan.units),
            Content::Signed(plan) => demands(site, group, &plan.demands),
        };
        let plain = PlanTable { epoch, digest, ..PlanTable::new(epoch, demands) };
        Box::new(match &self.content {
            Content::Local(_) => plain,
            Content::Signed(plan) => PlanTable {
                schedules: units(site, group).map(|unit| schedule(plan, unit, clock)).collect(),
                wake: wake_table(plan, site, group),
                rules: plan.rules.iter().map(|rule| rule_table(rule, site, group)).collect(),
                deadline: site
                    .groups
                    .get(group)
                    .and_then(|group| plan.tasks.iter().find(|task| task.name == group.name))
                    .map(|task| task.deadline),
                ..plain
            },
        })
    }
}

fn units(site: &SiteConfig, group: usize) -> impl Iterator<Item = &UnitConfig> {
    site.units_of(group).map(|(_, unit)| unit)
}

fn of_unit(demand: &UnitDemand, unit: &UnitConfig) -> PlanDemand {
    let Some(rated_power) = unit.plant.rated_power() else { return IN_FLEET };
    PlanDemand { request: demand.request, power_limit: demand.power_limit.unwrap_or(rated_power) }
}

/// Where a vehicle goes is for fleet control, not for the plan's demands.
const IN_FLEET: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts::ZERO };

/// A demand for each of the group's units, in the group's order. Units that the plan does not name stop.
fn demands(site: &SiteConfig, group: usize, demands: &[UnitDemand]) -> Box<[PlanDemand]> {
    const STOP: PlanDemand = PlanDemand { request: Request::Stop, power_limit: Watts::ZERO };
    let demand = |unit: &UnitConfig| match &unit.plant {
        PlantConfig::Turbine(_) | PlantConfig::Der(_) | PlantConfig::Park(_) => {
            let demand = demands.iter().find(|demand| demand.unit == unit.name);
            demand.map_or(STOP, |demand| of_unit(demand, unit))
        }
        PlantConfig::Vehicle(_) => IN_FLEET,
    };
    units(site, group).map(demand).collect()
}

fn schedule(plan: &CheckedPlan, unit: &UnitConfig, clock: Clock) -> UnitSchedule {
    let Some(schedule) = plan.schedules.iter().find(|schedule| schedule.unit == unit.name) else {
        return UnitSchedule::none();
    };
    let between = match schedule.between {
        document::Between::Step => Between::Step,
        document::Between::Line => Between::Line,
    };
    UnitSchedule { between, points: points(schedule, clock) }
}

/// How the turbines of the group's park share what it gives.
fn wake_table(plan: &CheckedPlan, site: &SiteConfig, group: usize) -> Option<WakeTable> {
    let wake = plan.wakes.iter().find(|wake| units(site, group).any(|unit| unit.name == wake.park))?;
    let of_unit = |name: &str| wake.weights.iter().find(|(unit, _)| unit == name).map(|(_, weights)| weights);
    let row = |at: usize| {
        let weight = |unit: &UnitConfig| of_unit(&unit.name)?.get(at).copied();
        units(site, group).map(|unit| weight(unit).unwrap_or(1.0)).collect()
    };
    Some(WakeTable {
        directions: wake.directions_deg.iter().map(|deg| Radians::from_degrees(f64::from(*deg))).collect(),
        weights: (0..wake.directions_deg.len()).map(row).collect(),
    })
}

/// Points on the monotonic clock. Those that lie before its beginning are over, but for the last of them: its
/// value still holds, and a line starts there.
fn points(schedule: &CheckedSchedule, clock: Clock) -> Box<[(Instant, Watts)]> {
    let mut points: Vec<(Instant, Watts)> = Vec::with_capacity(schedule.points.len());
    for point in &schedule.points {
        let at = monotonic(point.at, clock);
        match points.last_mut() {
            Some(last) if last.0 >= at => *last = (at, point.power_limit),
            Some(_) | None => points.push((at, point.power_limit)),
        }
    }
    points.into()
}

/// A point of the wall clock on the monotonic one; its beginning for what was before.
pub(super) fn monotonic(at: UtcTime, clock: Clock) -> Instant {
    let ahead = Duration::from_millis(at.millis_since(clock.wall));
    let ago = Duration::from_millis(clock.wall.millis_since(at));
    let now = Duration::from_nanos(clock.now.as_nanos());
    Instant::ZERO + (now + ahead).saturating_sub(ago)
}

fn rule_table(rule: &CheckedRule, site: &SiteConfig, group: usize) -> RuleTable {
    let source = match &rule.lost {
        Lost::Centre => Source::Centre,
        Lost::Grid => Source::Grid,
        Lost::Device(name) => {
            // That the device exists was checked; one that does not never counts as lost.
            let device = site.devices.iter().position(|device| device.name == *name);
            Source::Device(device.unwrap_or(usize::MAX))
        }
    };
    let fallback = units(site, group).map(|unit| {
        rule.fallback.iter().find(|demand| demand.unit == unit.name).map(|demand| of_unit(demand, unit))
    });
    RuleTable { source, hold: rule.hold, back: rule.back, fallback: fallback.collect() }
}

/// The grids of all groups: they have one origin.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    origin: Instant,
    periods: Vec<Duration>,
}

/// A longer hyperperiod is none: nobody would wait for it.
const HYPERPERIOD_MAX: Duration = Duration::from_secs(60);

impl Timing {
    pub(crate) fn new(origin: Instant, site: &SiteConfig) -> Self {
        Self { origin, periods: site.groups.iter().map(|group| group.period).collect() }
    }

    /// The first cycle of each group at or after the first boundary that is not before `at`.
    pub(super) fn cycles_from(&self, at: Instant, boundary: Boundary) -> Vec<u64> {
        let elapsed = at.since(self.origin).as_nanos();
        let from = match boundary {
            Boundary::Cycle => elapsed,
            Boundary::Hyperperiod => match self.hyperperiod() {
                Some(hyperperiod) => elapsed.div_ceil(hyperperiod) * hyperperiod,
                None => elapsed,
            },
        };
        let first = |period: &Duration| from.div_ceil(period.as_nanos().max(1));
        self.periods.iter().map(first).map(|cycle| u64::try_from(cycle).unwrap_or(u64::MAX)).collect()
    }

    /// The least common multiple of all periods, in nanoseconds.
    fn hyperperiod(&self) -> Option<u128> {
        let max = HYPERPERIOD_MAX.as_nanos();
        self.periods.iter().try_fold(1_u128, |multiple, period| {
            let period = period.as_nanos().max(1);
            Some(multiple / greatest_common_divisor(multiple, period) * period).filter(|all| *all <= max)
        })
    }

    /// The longest period; zero without groups.
    pub(super) fn longest_period(&self) -> Duration {
        self.periods.iter().max().copied().unwrap_or_default()
    }
}

fn greatest_common_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(periods_ms: &[u64]) -> Timing {
        let origin = Instant::ZERO + Duration::from_secs(5);
        Timing { origin, periods: periods_ms.iter().map(|ms| Duration::from_millis(*ms)).collect() }
    }

    fn after_ms(timing: &Timing, millis: u64, boundary: Boundary) -> Vec<u64> {
        timing.cycles_from(timing.origin + Duration::from_millis(millis), boundary)
    }

    #[test]
    fn each_group_changes_over_at_its_first_cycle_from_the_agreed_time_on() {
        let timing = timing(&[10, 25]);
        assert_eq!(after_ms(&timing, 101, Boundary::Cycle), [11, 5]);
        assert_eq!(after_ms(&timing, 100, Boundary::Cycle), [10, 4]);
    }

    #[test]
    fn at_a_hyperperiod_all_groups_change_over_at_the_same_time() {
        let timing = timing(&[10, 25]);
        assert_eq!(after_ms(&timing, 101, Boundary::Hyperperiod), [15, 6]);
        assert_eq!(after_ms(&timing, 150, Boundary::Hyperperiod), [15, 6]);
    }

    #[test]
    fn periods_without_a_reasonable_common_multiple_change_over_as_without_one() {
        let timing = timing(&[9_973, 9_967]);
        assert_eq!(after_ms(&timing, 1, Boundary::Hyperperiod), [1, 1]);
    }

    #[test]
    fn a_wall_clock_time_lies_as_far_ahead_on_the_monotonic_clock() {
        let wall: UtcTime = "2026-11-25T12:00:00Z".parse().unwrap();
        let clock = Clock { now: Instant::ZERO + Duration::from_secs(100), wall };
        let at = |text: &str| monotonic(text.parse().unwrap(), clock).since(Instant::ZERO).as_secs();
        assert_eq!(at("2026-11-25T12:00:30Z"), 130);
        assert_eq!(at("2026-11-25T11:59:30Z"), 70);
        assert_eq!(at("2026-11-25T10:00:00Z"), 0, "before the machine started");
    }
}
