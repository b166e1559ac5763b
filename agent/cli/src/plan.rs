//! `takt plan`: work on plan files without an agent.

use std::path::PathBuf;
use std::process::ExitCode;

use agent_plan::Plan;
use clap::Subcommand;
use hal_diagnostics::Document;
use serde_json::json;

/// Work on plan files.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a plan file, and print what it demands.
    ///
    /// Checks all that can be known without a site: syntax, names, numbers. Whether the units exist and the
    /// limits fit is checked by `takt-agent --config SITE --check`.
    ///
    /// Exit codes: 0 the plan is sound, 2 it is not.
    Check {
        /// The plan, a TOML file.
        file: PathBuf,
        /// Print the plan as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check { file, json } => {
            let plan = match Document::read(file).and_then(|document| Plan::parse(&document)) {
                Ok(plan) => plan,
                Err(error) => {
                    eprintln!("takt plan check: {error}");
                    return ExitCode::from(2);
                }
            };
            if *json {
                print_json(&plan)
            } else {
                print(&plan)
            }
            ExitCode::SUCCESS
        }
    }
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
