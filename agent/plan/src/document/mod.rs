//! The scheduling plan as it is written, signed and sent: plain data, integers and names.
//!
//! # Model
//!
//! A [`SchedulingPlan`] travels inside a [`SignedPlan`], which adds its digest and a signature. Both are read
//! from JSON (people may write the plan itself in TOML: same names, same meaning). These types say how things
//! are written; what they mean, and whether they make sense, is decided once, at the border, by
//! [`CheckedPlan::of`](crate::CheckedPlan::of). Nothing else in the agent looks at them.
//!
//! No field is a fraction: power is in whole watts, times of tasks are in whole microseconds, points in time
//! in milliseconds. So a plan has one canonical form ([`crate::canonical`]), whoever wrote it in which
//! language. A field that is not known here is refused: it may be the one that matters.
//!
//! # Terms
//!
//! - epoch: number of the plan; a site's epochs only grow.
//! - canary: the node on which a plan is tried before the others get it.
//! - soak: time that a plan must have run without a failure before it is the last known good one.

mod signed;
mod time;

use serde::{Deserialize, Serialize};

use crate::Request;

pub use signed::{PlanSignature, SIGNED_BYTES_MAX, SignedPlan};
pub use time::{TimeError, UtcTime};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// What a site shall do, when, and under which conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchedulingPlan {
    /// Name, for people: 1 to 63 letters, digits, `-`, `_` or `.`.
    pub name: String,
    /// Number of the plan, from 1. A node takes only plans with a higher epoch than any before.
    pub epoch: u32,
    /// Which site and nodes it is for.
    pub target: Target,
    /// Timing that the plan relies on: loop groups of the site by name.
    #[serde(default)]
    pub tasks: Vec<PlanTask>,
    /// What units shall do. Units that no demand names come to rest.
    #[serde(default)]
    pub demands: Vec<Demand>,
    /// Power limits that change with time. Such a unit needs a demand too.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
    /// How parks share what they give among their turbines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wakes: Vec<Wake>,
    /// Orders for the site's fleet, given once at activation.
    #[serde(default)]
    pub transports: Vec<TransportOrder>,
    /// What to do when the centre, a device or the grid is lost; the first that applies to a unit wins.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Limits that the plan keeps as a whole.
    #[serde(default)]
    pub limits: PlanLimits,
    /// When it takes effect.
    #[serde(default)]
    pub activation: Activation,
    /// After this the plan must not be activated any more. A plan that is active stays so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UtcTime>,
    /// How it spreads over nodes, and when it is the last known good one.
    #[serde(default)]
    pub rollout: Rollout,
}

/// Which site and nodes a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// The site's name.
    pub site: String,
    /// Names of nodes; empty for all nodes of the site.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// A periodic task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanTask {
    /// A loop group of the site.
    pub name: String,
    /// Time between two releases, microseconds, 100 to 3 600 000 000.
    pub period_us: u64,
    /// Time from the release by which a cycle must have ended, microseconds; at most the period.
    pub deadline_us: u64,
    /// Processor time of a cycle at most, microseconds.
    pub budget_us: u64,
    /// SCHED_FIFO priority, 1 to 99, higher first.
    pub priority: u8,
    /// The core that it is pinned to.
    pub core: u16,
}

/// What a unit shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Demand {
    /// The unit.
    pub unit: String,
    /// Run, stop or service.
    pub request: Request,
    /// Electrical power at most, watts; left out: its rated power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_w: Option<u64>,
}

/// A unit's power limit over time. Before the first point the demand's limit holds, after the last point the
/// last one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// The unit.
    pub unit: String,
    /// What holds between two points.
    #[serde(default)]
    pub between: Between,
    /// The points, in the order of time.
    pub points: Vec<SetPoint>,
}

/// What holds between two points of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Between {
    /// The earlier point's value.
    #[default]
    Step,
    /// The straight line between the two.
    Line,
}

/// A point of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPoint {
    /// From when.
    pub at: UtcTime,
    /// Electrical power at most, watts.
    pub power_limit_w: u64,
}

/// Wake-aware set points of a park: how its turbines share what it gives, by the direction that the wind comes from.
/// Between two directions weights lie on the straight line, also over north; without a table all weigh the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wake {
    /// The park.
    pub park: String,
    /// Directions, degrees from north clockwise, 0 to 359, ascending.
    pub directions_deg: Vec<u16>,
    /// Weights of its turbines; those that are not named weigh 100 everywhere.
    pub weights: Vec<WakeWeights>,
}

/// Weights of a turbine in its park.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WakeWeights {
    /// The turbine.
    pub unit: String,
    /// One for each direction, percent, 1 to 1000: of two turbines that could give the same, one with 50 gives half as
    /// much as one with 100.
    pub percent: Vec<u16>,
}

/// An order to fetch a load and bring it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransportOrder {
    /// Names the order; an order with the same id in a later plan is the same order and is not given again.
    pub id: String,
    /// The station where the load is.
    pub from: String,
    /// The station where it is to be.
    pub to: String,
    /// 0 to 9, 9 the most urgent.
    #[serde(default = "usual_priority")]
    pub priority: u8,
    /// When the load should be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<UtcTime>,
}

const fn usual_priority() -> u8 {
    4
}

/// What to do when something is lost: hold the plan for a while, then fall back until it is there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Name, for people.
    pub name: String,
    /// What is lost.
    pub lost: Loss,
    /// Which device, if a device is lost; otherwise left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// How long the plan goes on without it, milliseconds.
    pub hold_ms: u64,
    /// How long it must be there again before the plan applies again, milliseconds.
    #[serde(default)]
    pub return_ms: u64,
    /// What units shall do then; units that are not named go on by the plan.
    pub fallback: Vec<Demand>,
}

/// What can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The central cluster, as the sidecar sees it, or the sidecar itself.
    Centre,
    /// A field device: no scan of it is fresh.
    Device,
    /// The electrical grid: no unit of the loop group reports it.
    Grid,
}

/// Limits that a plan keeps as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanLimits {
    /// The sum of all units' power limits at any time, watts; left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_power_w: Option<u64>,
}

/// When a plan takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activation {
    /// Not before this time; left out: as soon as it is staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UtcTime>,
    /// On which boundary.
    #[serde(default)]
    pub boundary: Boundary,
    /// What to do with a plan that comes, or finds nobody to activate it, later than `notBefore` and `graceMs`.
    #[serde(default)]
    pub if_missed: IfMissed,
    /// How late is not yet missed, milliseconds.
    #[serde(default = "usual_grace")]
    pub grace_ms: u64,
}

const fn usual_grace() -> u64 {
    10_000
}

impl Default for Activation {
    fn default() -> Self {
        Self {
            not_before: None,
            boundary: Boundary::default(),
            if_missed: IfMissed::default(),
            grace_ms: usual_grace(),
        }
    }
}

/// On which boundary of the cycles a plan takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// Each loop group at its first cycle from one common time on.
    #[default]
    Cycle,
    /// All loop groups at the same grid point: a multiple of all their periods.
    Hyperperiod,
}

/// What to do with a plan that missed its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IfMissed {
    /// Do not activate it.
    #[default]
    Skip,
    /// Activate it at once.
    AtOnce,
}

/// How a plan spreads over nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The node that gets it first; left out: all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// How long it must run without a failure before it is the last known good one, milliseconds.
    #[serde(default = "usual_soak")]
    pub soak_ms: u64,
    /// Nodes on which it may fail before it reaches no further ones.
    #[serde(default)]
    pub max_failures: u32,
}

const fn usual_soak() -> u64 {
    60_000
}

impl Default for Rollout {
    fn default() -> Self {
        Self { canary: None, soak_ms: usual_soak(), max_failures: 0 }
    }
}
