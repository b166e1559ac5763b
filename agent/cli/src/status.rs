//! `takt status`: what a running agent says of itself.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::client;
use crate::view::View;

/// Show loops, devices, units, plan and quality of a running agent.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The agent's admin socket: `socket` in the admin table of its configuration.
    #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
    socket: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Print once and end; the default where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Renew the live table so often, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    interval: u64,
}

const EXIT_CODES: &str = "Exit codes:\n  \
    0  the agent runs and nothing is degraded\n  \
    1  the agent runs degraded: the reasons are in the output\n  \
    2  wrong usage\n  \
    3  no agent answers";

/// Prints the report, once or until Ctrl-C.
pub(crate) fn run(args: &Args) -> ExitCode {
    let live = !args.once && !args.json && std::io::stdout().is_terminal();
    loop {
        let report = match client::report(&args.socket) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("takt status: {error}");
                return ExitCode::from(3);
            }
        };
        if args.json {
            match serde_json::to_string_pretty(&report) {
                Ok(json) => println!("{json}"),
                Err(error) => eprintln!("takt status: {error}"),
            }
        } else if live {
            let view = View { rows_max: 40, colour: std::env::var_os("NO_COLOR").is_none() };
            print!("\x1b[H\x1b[2J{}", view.render(&report));
            let _ = std::io::stdout().flush();
        } else {
            print!("{}", View::WHOLE.render(&report));
        }
        if !live {
            return ExitCode::from(u8::from(!report.degradations().is_empty()));
        }
        std::thread::sleep(Duration::from_millis(args.interval));
    }
}
