//! `takt-agent`: runs the control loops of a site.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use agent_daemon::config::{LogConfig, SiteConfig};
use agent_daemon::keeper::{self, KeeperError};
use agent_daemon::{Charge, Outcome, PlansError, StartError, admission, check_keys, read_plan, run};
use clap::Parser;
use failover_link::Incarnation;
use hal_linux_rt::lease_gate::LeaseCell;
use hal_linux_rt::signal::{Signal, Signals};
use tracing_subscriber::EnvFilter;

/// Runs the control loops of a site until SIGTERM, then brings the plant to rest.
///
/// The configuration says what exists: buses, devices, turbines, loop groups with their cores and
/// priorities. The plan file that it names says what to do. SIGHUP reads the plan and the trusted keys again.
#[derive(Debug, Parser)]
#[command(name = "takt-agent", version, after_long_help = EXIT_CODES)]
struct Arguments {
    /// The site's configuration, a TOML file. Paths in it start at its folder.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check configuration, profiles, plan, response times and bus time, print them, and end.
    #[arg(long)]
    check: bool,
    /// Write the last report to this file, as JSON, when the agent ends.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The lease's descriptor, from the parent that keeps this agent.
    #[arg(long, value_name = "FD", hide = true, requires_all = ["lease_profile", "incarnation"])]
    lease_fd: Option<i32>,
    /// What watches over the lease, from the parent that keeps this agent.
    #[arg(long, value_name = "TEXT", hide = true)]
    lease_profile: Option<String>,
    /// The name of this run, from the parent that keeps this agent.
    #[arg(long, value_name = "HEX", hide = true)]
    incarnation: Option<Incarnation>,
}

const EXIT_CODES: &str = "Exit codes:\n  \
    0  the plant came to rest, or the check passed\n  \
    1  the agent could not start: the reason is on standard error, nothing was written to the field\n  \
    2  wrong usage, or a file with an error: file, line and remedy are on standard error\n  \
    3  the site is not admitted, or real time is required and not to be had\n  \
    4  the plant did not come to rest in time: the devices' safe actions were written";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let site = match SiteConfig::read(&arguments.config) {
        Ok(site) => site,
        Err(error) => return fail(&StartError::Text(error)),
    };
    if arguments.check {
        return check(&site);
    }
    start_log(&site.log);
    // Before the first thread is created: threads inherit what is blocked.
    let signals = match Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt, Signal::HangUp]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("takt-agent: signals cannot be watched: {error}");
            return ExitCode::from(1);
        }
    };
    let charge = match (&site.pair, arguments.lease_fd) {
        (None, _) => None,
        (Some(_), None) => return kept(&site, &signals),
        (Some(_), Some(number)) => match charge(number, arguments.lease_profile, arguments.incarnation) {
            Ok(charge) => Some(charge),
            Err(error) => {
                eprintln!("takt-agent: the lease of the parent cannot be used: {error}");
                return ExitCode::from(1);
            }
        },
    };
    match run(&site, &signals, arguments.report.as_deref(), charge) {
        Ok(Outcome::AtRest) => ExitCode::SUCCESS,
        Ok(Outcome::SafeActionsOnly) => ExitCode::from(4),
        Err(error) => fail(&error),
    }
}

/// Runs the agent as a child, and resigns for it should it die.
fn kept(site: &SiteConfig, signals: &Signals) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match keeper::keep(site, &arguments, signals) {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("takt-agent: {error}");
            ExitCode::from(match error {
                KeeperError::Gate(_) => 3,
                KeeperError::Wire(_) | KeeperError::NoPair => 2,
                KeeperError::Lease(_) | KeeperError::Spawn(_) | KeeperError::Thread(_) => 1,
            })
        }
    }
}

/// What the parent has handed to this child.
fn charge(number: i32, profile: Option<String>, incarnation: Option<Incarnation>) -> Result<Charge, String> {
    // Without its parent nobody resigns for this agent when it dies: it hands over and ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(|error| error.to_string())?;
    // When it dies its peer waits for the last of its threads: the ordinary ones must not queue behind the
    // other work of a busy machine. Without the permission it only takes longer.
    let _ = rustix::process::nice(-15);
    let lease = LeaseCell::inherited(number).map_err(|error| error.to_string())?;
    let incarnation = incarnation.ok_or("it has no name")?;
    Ok(Charge { lease, profile: profile.unwrap_or_default(), incarnation })
}

fn check(site: &SiteConfig) -> ExitCode {
    let admitted = admission::admit(site).map_err(StartError::from);
    match admitted.and_then(|responses| Ok((responses, read_plan(&site.plan, site)?, check_keys(site)?))) {
        Ok((responses, plan, keys)) => {
            println!(
                "{}: {} units, {} devices, {} buses; plan `{}`, epoch {}",
                site.name,
                site.units.len(),
                site.devices.len(),
                site.buses.len(),
                plan.name,
                plan.epoch
            );
            if let Some(keys) = keys {
                println!("plans from outside: {keys} trusted keys");
            }
            for response in responses {
                println!(
                    "group {}: worst-case response {:?}, deadline {:?}",
                    response.name, response.response, response.deadline
                );
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &StartError) -> ExitCode {
    eprintln!("takt-agent: {error}");
    ExitCode::from(match error {
        StartError::Text(_) | StartError::Binding(_) | StartError::Pair(_) | StartError::Fleet(_) => 2,
        StartError::Plans(PlansError::Keys(_)) => 2,
        StartError::Admission(_) | StartError::Realtime { .. } => 3,
        StartError::Thread(_)
        | StartError::Overrides(_)
        | StartError::Plans(_)
        | StartError::Admin(_)
        | StartError::Operators(_)
        | StartError::StateDir { .. }
        | StartError::Traces(_)
        | StartError::Wiring { .. }
        | StartError::Bell(_) => 1,
    })
}

fn start_log(log: &LogConfig) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if log.json { builder.json().init() } else { builder.init() }
}
