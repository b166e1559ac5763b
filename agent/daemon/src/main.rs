//! `takt-agent`: runs the control loops of a site.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use agent_daemon::config::{LogConfig, SiteConfig};
use agent_daemon::{Outcome, StartError, admission, plan, run};
use clap::Parser;
use hal_linux_rt::signal::{Signal, Signals};
use tracing_subscriber::EnvFilter;

/// Runs the control loops of a site until SIGTERM, then brings the plant to rest.
///
/// The configuration says what exists: buses, devices, turbines, loop groups with their cores and
/// priorities. The plan file that it names says what to do. SIGHUP reads the plan again.
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
    match run(&site, &signals, arguments.report.as_deref()) {
        Ok(Outcome::AtRest) => ExitCode::SUCCESS,
        Ok(Outcome::SafeActionsOnly) => ExitCode::from(4),
        Err(error) => fail(&error),
    }
}

fn check(site: &SiteConfig) -> ExitCode {
    let admitted = admission::admit(site).map_err(StartError::from);
    match admitted.and_then(|responses| Ok((responses, plan::read(&site.plan, site)?))) {
        Ok((responses, plan)) => {
            println!(
                "{}: {} turbines, {} devices, {} buses; plan `{}`, epoch {}",
                site.name,
                site.turbines.len(),
                site.devices.len(),
                site.buses.len(),
                plan.name,
                plan.epoch
            );
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
        StartError::Text(_) | StartError::Binding(_) => 2,
        StartError::Admission(_) | StartError::Realtime { .. } => 3,
        StartError::Thread(_)
        | StartError::Overrides(_)
        | StartError::Admin(_)
        | StartError::Operators(_)
        | StartError::StateDir { .. }
        | StartError::Wiring { .. } => 1,
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
