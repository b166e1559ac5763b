//! A plan that makes sense: names and numbers turned into types, and checked against the site.
//!
//! # Model
//!
//! [`CheckedPlan::of`] is the border: a [`SchedulingPlan`] is text, a [`CheckedPlan`] has no duplicates, no
//! number outside its range, no point of a schedule out of order. [`CheckedPlan::fit`] compares it with what
//! the site has: units and their rated power, loop groups and their timing, devices, stations. A plan that
//! passes both can be activated as a whole.

mod power;
mod site;
mod wake;

use core::fmt;
use std::collections::HashSet;

use hal_units::{Duration, Watts};

use crate::canonical::{Digest, INTEGER_MAX};
use crate::document::{Between, Boundary, Demand, IfMissed, Loss, SchedulingPlan, UtcTime};
use crate::refusal::{Reason, Refusal};
use crate::{PlanId, Request, UnitDemand};

pub use site::SiteFacts;
pub use wake::{CheckedWake, DIRECTIONS_MAX, WAKES_MAX};

/// Units in a plan at most.
pub const UNITS_MAX: usize = 1024;
/// Tasks in a plan at most.
pub const TASKS_MAX: usize = 64;
/// Points in a schedule at most.
pub const POINTS_MAX: usize = 1024;
/// Points in all schedules of a plan together at most.
pub const POINTS_TOTAL_MAX: usize = 1 << 15;
/// Transport orders in a plan at most.
pub const TRANSPORTS_MAX: usize = 4096;
/// Rules in a plan at most: each is looked at in each cycle.
pub const RULES_MAX: usize = 8;
/// Nodes that a plan may name.
pub const NODES_MAX: usize = 1024;
/// The longest hold, soak or grace: 30 days.
pub const SPAN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A point of a checked schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From when.
    pub at: UtcTime,
    /// Electrical power at most.
    pub power_limit: Watts,
}

/// A unit's power limit over time: at least one point, strictly later one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSchedule {
    /// The unit.
    pub unit: String,
    /// What holds between two points.
    pub between: Between,
    /// The points.
    pub points: Vec<Point>,
}

/// What is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The central cluster.
    Centre,
    /// A field device.
    Device(String),
    /// The electrical grid.
    Grid,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Centre => f.write_str("centre"),
            Self::Device(device) => write!(f, "device {device}"),
            Self::Grid => f.write_str("grid"),
        }
    }
}

/// What to do when something is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRule {
    /// Name, for people.
    pub name: String,
    /// What is lost.
    pub lost: Lost,
    /// How long the plan goes on without it.
    pub hold: Duration,
    /// How long it must be there again before the plan applies again.
    pub back: Duration,
    /// What units shall do meanwhile.
    pub fallback: Vec<UnitDemand>,
}

/// A transport order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTransport {
    /// Names the order.
    pub id: String,
    /// Where the load is.
    pub from: String,
    /// Where it is to be.
    pub to: String,
    /// 0 to 9.
    pub priority: u8,
    /// When it should be there.
    pub deadline: Option<UtcTime>,
}

/// Timing that a plan relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTask {
    /// A loop group.
    pub name: String,
    /// Time between two releases.
    pub period: Duration,
    /// Time from the release by which a cycle must have ended.
    pub deadline: Duration,
    /// Processor time of a cycle at most.
    pub budget: Duration,
    /// SCHED_FIFO priority.
    pub priority: u8,
    /// Core.
    pub core: u16,
}

/// When a plan takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedActivation {
    /// Not before.
    pub not_before: Option<UtcTime>,
    /// On which boundary.
    pub boundary: Boundary,
    /// What to do later than `not_before` and `grace`.
    pub if_missed: IfMissed,
    /// How late is not yet missed.
    pub grace: Duration,
}

/// A plan that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedPlan {
    /// Epoch and digest: what it is known by.
    pub id: PlanId,
    /// Name, for people.
    pub name: String,
    /// The site that it is for.
    pub site: String,
    /// The nodes that it is for; empty for all of the site.
    pub nodes: Vec<String>,
    /// Timing that it relies on.
    pub tasks: Vec<CheckedTask>,
    /// At most one demand a unit.
    pub demands: Vec<UnitDemand>,
    /// At most one schedule a unit, each for a unit with a demand.
    pub schedules: Vec<CheckedSchedule>,
    /// At most one table a park.
    pub wakes: Vec<CheckedWake>,
    /// Orders for the fleet.
    pub transports: Vec<CheckedTransport>,
    /// Rules, in the order of their precedence.
    pub rules: Vec<CheckedRule>,
    /// The sum of all units' power limits at any time.
    pub site_power: Option<Watts>,
    /// When it takes effect.
    pub activation: CheckedActivation,
    /// After this it must not be activated.
    pub expires_at: Option<UtcTime>,
    /// How long it must run without a failure to be the last known good one.
    pub soak: Duration,
}

impl CheckedPlan {
    /// Checks all that can be known without the site.
    ///
    /// # Errors
    /// [`Reason::Oversized`] for too many of something, [`Reason::OutOfLimits`] for a number,
    /// [`Reason::UnknownName`] for what is no name or stands twice, [`Reason::Malformed`] for parts that do
    /// not belong together.
    pub fn of(plan: &SchedulingPlan) -> Result<Self, Refusal> {
        name("name", &plan.name)?;
        name("target.site", &plan.target.site)?;
        count("target.nodes", plan.target.nodes.len(), NODES_MAX)?;
        distinct("target.nodes", plan.target.nodes.iter().map(String::as_str))?;
        if plan.epoch == 0 {
            return Err(Reason::OutOfLimits.because("epoch is 0; epochs count from 1"));
        }
        if let Some(canary) = &plan.rollout.canary {
            name("rollout.canary", canary)?;
        }
        Ok(Self {
            id: PlanId { epoch: plan.epoch, digest: Digest::of(plan) },
            name: plan.name.clone(),
            site: plan.target.site.clone(),
            nodes: plan.target.nodes.clone(),
            tasks: tasks(plan)?,
            demands: demands("demands", &plan.demands)?,
            schedules: schedules(plan)?,
            wakes: wake::wakes(plan)?,
            transports: transports(plan)?,
            rules: rules(plan)?,
            site_power: plan.limits.site_power_w.map(|w| watts("limits.sitePowerW", w)).transpose()?,
            activation: CheckedActivation {
                not_before: plan.activation.not_before,
                boundary: plan.activation.boundary,
                if_missed: plan.activation.if_missed,
                grace: span_millis("activation.graceMs", plan.activation.grace_ms)?,
            },
            expires_at: plan.expires_at,
            soak: span_millis("rollout.soakMs", plan.rollout.soak_ms)?,
        })
    }
}

fn tasks(plan: &SchedulingPlan) -> Result<Vec<CheckedTask>, Refusal> {
    count("tasks", plan.tasks.len(), TASKS_MAX)?;
    distinct("tasks", plan.tasks.iter().map(|task| task.name.as_str()))?;
    let checked = |task: &crate::document::PlanTask| {
        let micros = |what: &str, value: u64, from: u64, to: u64| {
            range(&format!("tasks: {what} of `{}`", task.name), value, from, to).map(Duration::from_micros)
        };
        let period = micros("periodUs", task.period_us, 100, 3_600_000_000)?;
        Ok(CheckedTask {
            name: task.name.clone(),
            period,
            deadline: micros("deadlineUs", task.deadline_us, 1, task.period_us)?,
            budget: micros("budgetUs", task.budget_us, 1, task.period_us)?,
            priority: range("tasks: priority", task.priority, 1, 99)?,
            core: range("tasks: core", task.core, 0, 1023)?,
        })
    };
    plan.tasks.iter().map(checked).collect()
}

fn demands(what: &str, demands: &[Demand]) -> Result<Vec<UnitDemand>, Refusal> {
    count(what, demands.len(), UNITS_MAX)?;
    distinct(what, demands.iter().map(|demand| demand.unit.as_str()))?;
    let checked = |demand: &Demand| {
        let limit = |w| watts(&format!("{what}: powerLimitW of `{}`", demand.unit), w);
        Ok(UnitDemand {
            unit: demand.unit.clone(),
            request: demand.request,
            power_limit: demand.power_limit_w.map(limit).transpose()?,
        })
    };
    demands.iter().map(checked).collect()
}

fn schedules(plan: &SchedulingPlan) -> Result<Vec<CheckedSchedule>, Refusal> {
    count("schedules", plan.schedules.len(), UNITS_MAX)?;
    let points = plan.schedules.iter().map(|schedule| schedule.points.len()).sum();
    count("points in all schedules", points, POINTS_TOTAL_MAX)?;
    distinct("schedules", plan.schedules.iter().map(|schedule| schedule.unit.as_str()))?;
    plan.schedules
        .iter()
        .map(|schedule| {
            let unit = &schedule.unit;
            count(&format!("points of `{unit}`"), schedule.points.len(), POINTS_MAX)?;
            if !plan.demands.iter().any(|demand| demand.unit == *unit) {
                return Err(Reason::Malformed
                    .because(format!("schedules: `{unit}` has no demand; say that it shall run")));
            }
            if schedule.points.is_empty() {
                return Err(Reason::Malformed.because(format!("schedules: `{unit}` has no points")));
            }
            let mut pairs = schedule.points.iter().zip(schedule.points.iter().skip(1));
            if let Some((_, late)) = pairs.find(|(one, next)| one.at >= next.at) {
                return Err(Reason::Malformed
                    .because(format!("schedules: the points of `{unit}` go back at {}", late.at)));
            }
            let point = |point: &crate::document::SetPoint| {
                let power_limit = watts(&format!("schedules: powerLimitW of `{unit}`"), point.power_limit_w)?;
                Ok(Point { at: point.at, power_limit })
            };
            Ok(CheckedSchedule {
                unit: unit.clone(),
                between: schedule.between,
                points: schedule.points.iter().map(point).collect::<Result<_, Refusal>>()?,
            })
        })
        .collect()
}

fn transports(plan: &SchedulingPlan) -> Result<Vec<CheckedTransport>, Refusal> {
    count("transports", plan.transports.len(), TRANSPORTS_MAX)?;
    distinct("transports", plan.transports.iter().map(|order| order.id.as_str()))?;
    plan.transports
        .iter()
        .map(|order| {
            name("transports: from", &order.from)?;
            name("transports: to", &order.to)?;
            Ok(CheckedTransport {
                id: order.id.clone(),
                from: order.from.clone(),
                to: order.to.clone(),
                priority: range("transports: priority", order.priority, 0, 9)?,
                deadline: order.deadline,
            })
        })
        .collect()
}

fn rules(plan: &SchedulingPlan) -> Result<Vec<CheckedRule>, Refusal> {
    count("rules", plan.rules.len(), RULES_MAX)?;
    distinct("rules", plan.rules.iter().map(|rule| rule.name.as_str()))?;
    plan.rules
        .iter()
        .map(|rule| {
            let lost = match (rule.lost, &rule.device) {
                (Loss::Centre, None) => Lost::Centre,
                (Loss::Grid, None) => Lost::Grid,
                (Loss::Device, Some(device)) => {
                    name("rules: device", device)?;
                    Lost::Device(device.clone())
                }
                (Loss::Device, None) | (Loss::Centre | Loss::Grid, Some(_)) => {
                    return Err(Reason::Malformed.because(format!(
                        "rules: `{}`: `device` goes with `lost: device`, and only with that",
                        rule.name
                    )));
                }
            };
            Ok(CheckedRule {
                name: rule.name.clone(),
                lost,
                hold: span_millis("rules: holdMs", rule.hold_ms)?,
                back: span_millis("rules: returnMs", rule.return_ms)?,
                fallback: demands("rules: fallback", &rule.fallback)?,
            })
        })
        .collect()
}

/// 1 to 63 characters that stand in topics, files and labels of Kubernetes alike.
fn name(what: &str, name: &str) -> Result<(), Refusal> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=63).contains(&name.len()) && name.bytes().all(sound) {
        return Ok(());
    }
    Err(Reason::UnknownName
        .because(format!("{what}: `{name:.70}` is no name; use 1 to 63 letters, digits, `-`, `_` or `.`")))
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for one in names {
        name(what, one)?;
        if !seen.insert(one) {
            return Err(Reason::UnknownName.because(format!("{what}: `{one}` stands twice; keep one")));
        }
    }
    Ok(())
}

fn count(what: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if count <= max {
        return Ok(());
    }
    Err(Reason::Oversized.because(format!("{count} {what}; at most {max}")))
}

fn range<N: PartialOrd + core::fmt::Display>(what: &str, value: N, from: N, to: N) -> Result<N, Refusal> {
    if value >= from && value <= to {
        return Ok(value);
    }
    Err(Reason::OutOfLimits.because(format!("{what} is {value}; give {from} to {to}")))
}

fn span_millis(what: &str, millis: u64) -> Result<Duration, Refusal> {
    let max = u64::try_from(SPAN_MAX.as_millis()).unwrap_or(u64::MAX);
    range(what, millis, 0, max).map(Duration::from_millis)
}

/// Whole watts are exact in an `f64` up to the largest integer of a plan.
fn watts(what: &str, watts: u64) -> Result<Watts, Refusal> {
    range(what, watts, 0, INTEGER_MAX).map(|watts| Watts(watts as f64))
}

impl CheckedPlan {
    /// The demand on a unit, if the plan names it.
    #[must_use]
    pub fn demand(&self, unit: &str) -> Option<&UnitDemand> {
        self.demands.iter().find(|demand| demand.unit == unit)
    }

    /// Whether a unit is to run.
    fn runs(demand: &UnitDemand) -> bool {
        demand.request == Request::Run
    }
}
