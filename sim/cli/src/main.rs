//! `takt-sim`: the simulated plant on the command line.
//!
//! Each subcommand is a module with its arguments and one `run`; what goes wrong is a [`Failure`], and
//! that alone decides the exit status.

mod bladed;
mod bus_fault;
mod compare;
mod der;
mod ending;
mod failure;
mod fleet;
mod law;
mod meter;
mod number;
mod openfast;
mod park;
mod pilot;
mod plant;
mod serve;
mod text_file;
mod turbine;
mod vehicles;
mod write_log;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Simulated wind turbines and vehicle fleets under the production controllers.
///
/// The physics is a model (see the README for what it leaves out); the controllers are those that the
/// agent runs.
#[derive(Debug, Parser)]
#[command(name = "takt-sim", version, propagate_version = true)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage or bad input.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Turbine(turbine::Arguments),
    Compare(compare::Arguments),
    Park(park::Arguments),
    Law(law::Arguments),
    Serve(serve::Arguments),
    Der(der::Arguments),
    #[command(hide = true)]
    DisconHost(bladed::HostArguments),
    Fleet(fleet::Arguments),
    Vehicles(vehicles::Arguments),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Turbine(arguments) => turbine::run(&arguments),
        Command::Park(arguments) => park::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Law(arguments) => law::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Der(arguments) => der::run(&arguments),
        Command::DisconHost(arguments) => bladed::host(&arguments),
        Command::Fleet(arguments) => fleet::run(&arguments),
        Command::Vehicles(arguments) => vehicles::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
