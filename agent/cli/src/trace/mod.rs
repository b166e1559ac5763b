//! `takt trace`: what the black box of an agent has kept.
//!
//! # Map
//!
//! - [`mod@show`]: a trace for people.
//! - [`perfetto`]: a trace for a viewer of timelines.

mod perfetto;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_status::trace::{FORMAT, Trace};
use serde_json::json;

use crate::client;

/// A trace is written about a second after it was asked for: it waits for cycles to come.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Show, export and ask for traces of the last cycles
///
/// An agent keeps its last cycles in memory, and writes them to the folder `traces` of its state_dir when a deadline
/// was missed, a group went to its safe state, a unit tripped, or somebody asks.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The traces of a folder, newest first
    List {
        /// The folder; without it that of the agent behind the socket.
        folder: Option<PathBuf>,
        /// The agent's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What happened, why, and how the cycles around it were
    Show {
        /// A file of the folder.
        file: PathBuf,
        /// Print as JSON: the figures and the stories, without the cycles.
        #[arg(long)]
        json: bool,
    },
    /// Write a timeline that ui.perfetto.dev and chrome://tracing read
    Export {
        /// A file of the folder.
        file: PathBuf,
        /// Where to write it.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Have a running agent write its last cycles now
    Dump {
        /// The agent's admin socket.
        #[arg(long, value_name = "PATH", default_value = "/run/takt/takt.sock")]
        socket: PathBuf,
    },
}

const HELP: &str = "Examples:
  takt trace list
  takt trace show /var/lib/takt/traces/20261125T101500-turbines-4711-overrun.json
  takt trace export FILE --output timeline.json

Exit codes:
  0  done
  1  the trace could not be written
  2  wrong usage, or the file is no trace
  3  no agent answers";

/// Why there is nothing to show, and the exit code that says so.
type Complaint = (u8, String);

/// Shows, exports or asks.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.action {
        Action::List { folder, socket, json } => list(folder.as_deref(), socket, *json),
        Action::Show { file, json } => read(file).and_then(|trace| show(&trace, *json)),
        Action::Export { file, output } => read(file).and_then(|trace| export(&trace, output)),
        Action::Dump { socket } => dump(socket),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("takt trace: {why}");
            ExitCode::from(code)
        }
    }
}

fn read(file: &Path) -> Result<Trace, Complaint> {
    let complain = |why: String| (2, format!("{}: {why}", file.display()));
    let bytes =
        std::fs::read(file).map_err(|error| complain(format!("{error}\n  remedy: `takt trace list`")))?;
    let trace: Trace = serde_json::from_slice(&bytes).map_err(|error| {
        complain(format!("this is no trace: {error}\n  remedy: give a file of the folder `traces`"))
    })?;
    if trace.format != FORMAT {
        let remedy = "remedy: use the takt of the agent that wrote it";
        return Err(complain(format!(
            "its form is {}, this version reads {FORMAT}\n  {remedy}",
            trace.format
        )));
    }
    Ok(trace)
}

fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

fn show(trace: &Trace, as_json: bool) -> Result<(), Complaint> {
    if as_json {
        print_json(&show::figures(trace));
    } else {
        print!("{}", show::text(trace));
    }
    Ok(())
}

fn export(trace: &Trace, output: &Path) -> Result<(), Complaint> {
    let timeline = perfetto::timeline(trace);
    std::fs::write(output, timeline.to_string())
        .map_err(|error| (1, format!("{}: {error}\n  remedy: give another --output", output.display())))?;
    println!("{} cycles in {}: open it in https://ui.perfetto.dev", trace.cycles.len(), output.display());
    Ok(())
}

fn list(folder: Option<&Path>, socket: &Path, as_json: bool) -> Result<(), Complaint> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => client::report(socket).map_err(|error| (3, error.to_string()))?.traces.folder.into(),
    };
    let traces = traces_in(&folder)?;
    if as_json {
        let line = |(file, trace): &(PathBuf, Trace)| json!({ "file": file, "at": trace.at, "group": trace.group, "occasion": trace.occasion, "why": trace.why });
        print_json(&traces.iter().map(line).collect());
        return Ok(());
    }
    for (file, trace) in &traces {
        println!("{}\n  {}", file.display(), trace.why);
    }
    if traces.is_empty() {
        println!("{}: no traces: nothing has happened so far", folder.display());
    }
    Ok(())
}

/// Newest first; what is no trace is left out. A folder that is not there has none.
fn traces_in(folder: &Path) -> Result<Vec<(PathBuf, Trace)>, Complaint> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((2, format!("{}: {error}", folder.display()))),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut traces: Vec<_> = paths.filter_map(|path| Some((path.clone(), read(&path).ok()?))).collect();
    traces.sort_by(|one, other| other.0.cmp(&one.0));
    Ok(traces)
}

fn dump(socket: &Path) -> Result<(), Complaint> {
    let written =
        || client::report(socket).map(|report| report.traces).map_err(|error| (3, error.to_string()));
    let before = written()?;
    client::ask_trace(socket).map_err(|error| (3, error.to_string()))?.map_err(|why| (1, why))?;
    let end = Instant::now() + WRITTEN_WITHIN;
    while Instant::now() < end {
        let now = written()?;
        if let Some(why) = now.failed {
            return Err((1, format!("{}: {why}", now.folder)));
        }
        if now.written > before.written {
            println!("{}", now.last.unwrap_or(now.folder));
            return Ok(());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Err((1, format!("nothing was written within {WRITTEN_WITHIN:?}\n  remedy: see `takt status`")))
}
