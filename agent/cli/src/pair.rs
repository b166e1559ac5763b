//! `takt pair`: the hot-standby pair, as one of its nodes sees it, and the planned switchover.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_status::Pair;

use crate::{client, view};

/// How long a switchover may take until somebody has to look.
const SWITCHOVER_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at the role.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Show the pair, or switch over to the other node.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What this node is in the pair, and what it knows of the other
    Status {
        /// The node's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the active node hand over to the standby, on a cycle that both agree on
    ///
    /// Ask at the active node. Nothing happens, and the reason is told, if there is no standby that could
    /// take over, or if there were too many switchovers lately.
    Switchover {
        /// The active node's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
    },
}

const EXIT_CODES: &str = "Exit codes:\n  \
    0  the pair is whole, or the switchover is done\n  \
    1  the pair is degraded, or the switchover was refused: the reasons are in the output\n  \
    2  wrong usage\n  \
    3  no agent answers, or it is not one of a pair";

/// Shows or switches over.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.action {
        Action::Status { socket, json } => status(socket, *json),
        Action::Switchover { socket } => switchover(socket),
    };
    done.unwrap_or_else(|why| {
        eprintln!("takt pair: {why}");
        ExitCode::from(3)
    })
}

fn look(socket: &Path) -> Result<Pair, String> {
    let report = client::report(socket).map_err(|error| error.to_string())?;
    report.pair.ok_or_else(|| {
        format!("{}: this agent runs alone\n  remedy: give its site a [pair] section", socket.display())
    })
}

fn status(socket: &Path, json: bool) -> Result<ExitCode, String> {
    let pair = look(socket)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&pair).map_err(|error| error.to_string())?);
    } else {
        print!("{}", view::pair(&pair));
        for reason in &pair.degraded {
            println!("  degraded: {reason}");
        }
    }
    Ok(ExitCode::from(u8::from(!pair.degraded.is_empty())))
}

fn switchover(socket: &Path) -> Result<ExitCode, String> {
    let before = look(socket)?;
    if before.role != "active" {
        eprintln!("takt pair: this node is {}\n  remedy: ask at the active node", before.role);
        return Ok(ExitCode::FAILURE);
    }
    if let Err(why) = client::ask_switchover(socket).map_err(|error| error.to_string())? {
        eprintln!("takt pair: {why}");
        return Ok(ExitCode::FAILURE);
    }
    let asked_at = Instant::now();
    while asked_at.elapsed() < SWITCHOVER_WITHIN {
        let now = look(socket)?;
        if now.role != "active" {
            println!("node {} handed over; it is {} now", now.node, now.role);
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let after = look(socket)?;
    eprintln!("takt pair: node {} is still active; {}", after.node, after.degraded.join("; "));
    Ok(ExitCode::FAILURE)
}
