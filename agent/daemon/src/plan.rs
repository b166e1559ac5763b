//! From a plan file to the tables that the cycles take.

use std::path::Path;

use agent_cycle::{PlanDemand, PlanTable};
use agent_plan::{Plan, Request};
use hal_diagnostics::{Diagnostic, Document};
use hal_units::Watts;

use crate::config::{PlantConfig, SiteConfig};

/// Reads a plan and checks it against the site.
///
/// # Errors
/// At the first thing that is wrong, with its place.
pub fn read(path: &Path, site: &SiteConfig) -> Result<Plan, Diagnostic> {
    Plan::parse_for(&Document::read(path)?, &site.unit_limits())
}

/// One group's table: a demand for each of its units, in the group's order. Units that the plan does not
/// name stop.
#[must_use]
pub fn table(plan: &Plan, site: &SiteConfig, group: usize) -> Box<PlanTable> {
    let demand = |name: &str, rated: Watts| {
        plan.units.iter().find(|demand| demand.unit == name).map_or(
            PlanDemand { request: Request::Stop, power_limit: Watts::ZERO },
            |demand| PlanDemand { request: demand.request, power_limit: demand.power_limit.unwrap_or(rated) },
        )
    };
    let demands = site
        .units_of(group)
        .map(|(_, unit)| match &unit.plant {
            PlantConfig::Turbine(parameters) => demand(&unit.name, parameters.rated_power),
            // Where it goes is for fleet control.
            PlantConfig::Vehicle(_) => PlanDemand { request: Request::Run, power_limit: Watts::ZERO },
        })
        .collect();
    Box::new(PlanTable::new(plan.epoch, demands))
}
