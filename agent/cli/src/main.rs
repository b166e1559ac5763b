//! `takt`: the command line of the control agent.
//!
//! One module per subcommand, each with its arguments and its `run`. What a command found goes to standard
//! output, what went wrong to standard error, and the exit status tells the outcome: 0 is success, 2 is a
//! wrong command line, other numbers are explained in the command's own help.

mod client;
mod completion;
mod demo;
mod doctor;
mod drill;
mod fleet;
mod pair;
mod plan;
mod prepare_node;
mod status;
mod trace;
mod turbine;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Inspects and operates the Takt real-time control agent.
#[derive(Debug, Parser)]
#[command(name = "takt", version, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(status::Args),
    Pair(pair::Args),
    Fleet(fleet::Args),
    Trace(trace::Args),
    Plan(plan::Args),
    Turbine(turbine::Args),
    Demo(demo::Args),
    Drill(drill::Args),
    Doctor(doctor::Args),
    PrepareNode(prepare_node::Args),
    Completion(completion::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Status(args) => status::run(&args),
        Command::Pair(args) => pair::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Turbine(args) => turbine::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Drill(args) => drill::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::PrepareNode(args) => prepare_node::run(&args),
        Command::Completion(args) => completion::run(&args),
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
