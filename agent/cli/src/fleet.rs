//! `takt fleet`: the vehicles of a site, their orders, and why a vehicle is where it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent_status::{Fleet, Vehicle};

use crate::client;
use crate::view::{self, View};

/// Show the fleet, or explain what a vehicle waits for.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Vehicles and orders
    Status {
        /// The agent's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Why a vehicle is where it is, and why those are on whom that depends
    Explain {
        /// The vehicle's name, or its number in the configuration, from 1.
        #[arg(value_name = "VEHICLE")]
        vehicle: String,
        /// The agent's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
}

const EXIT_CODES: &str = "Exit codes:\n  \
    0  shown\n  \
    1  the fleet is degraded: the reasons are in the output\n  \
    2  wrong usage, or no such vehicle\n  \
    3  no agent answers, or it has no fleet\n\n\
    Transport orders are given over MQTT: see `transport` in the README.";

/// Shows or explains.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.action {
        Action::Status { socket, json } => status(socket, *json),
        Action::Explain { vehicle, socket, json } => explain(socket, vehicle, *json),
    };
    done.unwrap_or_else(|why| {
        eprintln!("takt fleet: {why}");
        ExitCode::from(3)
    })
}

fn look(socket: &Path) -> Result<Fleet, String> {
    let report = client::report(socket).map_err(|error| error.to_string())?;
    report.fleet.ok_or_else(|| {
        format!("{}: this agent has no fleet\n  remedy: give its site a [fleet] section", socket.display())
    })
}

fn status(socket: &Path, json: bool) -> Result<ExitCode, String> {
    let fleet = look(socket)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&fleet).map_err(|error| error.to_string())?);
    } else {
        print!("{}\n{}\n", view::fleet(&fleet), View::WHOLE.vehicles(&fleet).trim_fmt());
        for reason in &fleet.degraded {
            println!("  degraded: {reason}");
        }
    }
    Ok(ExitCode::from(u8::from(!fleet.degraded.is_empty())))
}

fn explain(socket: &Path, wanted: &str, json: bool) -> Result<ExitCode, String> {
    let fleet = look(socket)?;
    let Some(vehicle) = find(&fleet, wanted) else {
        eprintln!(
            "takt fleet: there is no vehicle {wanted}\n  remedy: take one of the {} that `takt fleet status` lists",
            fleet.vehicles.len()
        );
        return Ok(ExitCode::from(2));
    };
    if json {
        println!("{}", serde_json::to_string_pretty(vehicle).map_err(|error| error.to_string())?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} is {} at {}: {}", vehicle.name, vehicle.state, vehicle.at, vehicle.task);
    for cause in &vehicle.why {
        println!("  {cause}");
    }
    Ok(ExitCode::SUCCESS)
}

/// By name, or by number.
fn find<'a>(fleet: &'a Fleet, wanted: &str) -> Option<&'a Vehicle> {
    let by_name = fleet.vehicles.iter().find(|vehicle| vehicle.name == wanted);
    let by_number = || {
        let number: usize = wanted.parse().ok()?;
        fleet.vehicles.get(number.checked_sub(1)?)
    };
    by_name.or_else(by_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        let vehicle = |name: &str| Vehicle { name: name.to_owned(), ..Vehicle::default() };
        Fleet { vehicles: ["agv-1", "2"].map(vehicle).into(), ..Fleet::default() }
    }

    #[test]
    fn a_vehicle_is_found_by_its_name_first_and_then_by_its_number() {
        let fleet = fleet();
        let name = |wanted| find(&fleet, wanted).map(|vehicle| vehicle.name.as_str());
        assert_eq!((name("agv-1"), name("1"), name("2")), (Some("agv-1"), Some("agv-1"), Some("2")));
        assert_eq!((name("0"), name("3"), name("agv")), (None, None, None));
    }
}
