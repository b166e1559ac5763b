//! A site's own plan.

use agent_plan::Plan;
use hal_diagnostics::{Diagnostic, Document};
use serde_json::json;

/// Checks the plan and prints it.
pub(super) fn check(document: &Document, json: bool) -> Result<u8, Diagnostic> {
    let plan = Plan::parse(document)?;
    if json {
        print_json(&plan)
    } else {
        print(&plan)
    }
    Ok(0)
}

fn print(plan: &Plan) {
    println!("plan `{}`, epoch {}: {} units", plan.name, plan.epoch, plan.units.len());
    for demand in &plan.units {
        let limit = demand
            .power_limit
            .map_or_else(|| "rated power".to_owned(), |limit| format!("{} kW", limit.as_kilowatts()));
        println!("  {:<16} {:<8} at most {limit}", demand.unit, demand.request.as_str());
    }
}

fn print_json(plan: &Plan) {
    let units: Vec<_> = plan
        .units
        .iter()
        .map(|demand| {
            json!({
                "unit": demand.unit,
                "request": demand.request.as_str(),
                "power_limit_kw": demand.power_limit.map(hal_units::Watts::as_kilowatts),
            })
        })
        .collect();
    println!("{:#}", json!({ "name": plan.name, "epoch": plan.epoch, "units": units }));
}
