//! `takt-sidecar status`: what the sidecar of this node, and the agent beside it, say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::agent::Agent;
use crate::door;
use crate::report::{Link, Report, Sourced};

/// The name of the sidecar's socket in the folder of the agent's.
pub(crate) const SOCKET: &str = "sidecar.sock";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArguments {
    /// The agent's socket for plans
    #[arg(long, value_name = "PATH", env = "TAKT_PLANS_SOCKET", default_value = "/run/takt/plans.sock")]
    socket: PathBuf,
    /// The sidecar's socket [default: sidecar.sock beside the agent's]
    #[arg(long, value_name = "PATH", env = "TAKT_SIDECAR_SOCKET")]
    status_socket: Option<PathBuf>,
    /// Print all of it as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  takt-sidecar status
  takt-sidecar status --socket /var/lib/takt/plans.sock --json
  kubectl exec takt-0 -c sidecar -- /takt-sidecar status

How to read it:
  in force, last known good, staged, given up: the agent's plans. The source is the cluster that has the plan, or
    `node` for the node's own file, its peer, or somebody at its socket.
  edge, central: a cluster that is lost stops nothing: the plan in force goes on, and its rules say what then.
  fleet: where this node leads one; `takt status` beside the agent names its vehicles and what degrades it.
  plans: how they came. As changes they take a few per cent of their bytes; a plan comes whole when the node does not
    have the one that the change was made of.

Exit status: 0 all is well, 1 something is degraded (the last lines say what), 2 wrong usage, 3 neither sidecar nor agent
answers.";

/// Where the sidecar beside this agent is asked.
pub(crate) fn socket_beside(agent: &Path, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| agent.with_file_name(SOCKET), Path::to_owned)
}

/// Prints it; the exit code that goes with it.
pub(crate) fn run(arguments: &StatusArguments) -> ExitCode {
    let socket = socket_beside(&arguments.socket, arguments.status_socket.as_deref());
    let report = match door::ask(&socket) {
        Ok(report) => report,
        Err(error) => match without_sidecar(&arguments.socket, &socket, &error) {
            Ok(report) => report,
            Err(why) => {
                eprintln!(
                    "takt-sidecar status: {}: {error}; {why}\n  remedy: give the agent's [plans] socket with --socket, \
                     or start agent and sidecar",
                    socket.display()
                );
                return ExitCode::from(3);
            }
        },
    };
    if arguments.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("takt-sidecar status: {error}"),
        }
    } else {
        print!("{}", text(&report));
    }
    ExitCode::from(u8::from(!report.degraded.is_empty()))
}

/// The agent answers even if no sidecar runs.
fn without_sidecar(agent: &Path, socket: &Path, error: &std::io::Error) -> Result<Report, String> {
    let beside = Agent::at(agent);
    let plans = beside.status()?;
    let mut report = Report { site: plans.site.clone(), node: plans.node.clone(), ..Report::default() };
    report.agent = Link { reached: true, since: None };
    report.of_agent(&plans, |_| "unknown".to_owned());
    report.note_fleet(beside.fleet());
    report.degraded.insert(0, format!("no sidecar answers at {}: {error}", socket.display()));
    Ok(report)
}

fn text(report: &Report) -> String {
    let mut text = format!("site {}, node {}\n", report.site, report.node);
    // Writing into a text cannot fail.
    let link = |link: &Link| {
        let state = if link.reached { "reached" } else { "LOST" };
        link.since.map_or(state.to_owned(), |since| format!("{state} since {since}"))
    };
    let _ = writeln!(text, "  {:<16} {}", "agent", link(&report.agent));
    for cluster in &report.clusters {
        let _ =
            writeln!(text, "  {:<16} {}, {} plans known", cluster.name, link(&cluster.link), cluster.plans);
    }
    let plans = [
        ("in force", &report.in_force),
        ("last known good", &report.last_known_good),
        ("staged", &report.staged),
        ("given up", &report.given_up),
    ];
    for (what, plan) in plans {
        let Some(Sourced { plan, source }) = plan else { continue };
        let digest = plan.digest.map(|digest| format!(" ({:.8})", digest.to_string())).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {what:<16} `{}` epoch {}{digest} {} since {}, from {source}",
            plan.name,
            plan.epoch,
            plan.stage.as_str(),
            plan.since
        );
        if let Some(refusal) = &plan.refusal {
            let _ = writeln!(text, "  {:<16} {refusal}", "");
        }
    }
    if !report.waits.is_empty() {
        let _ = writeln!(text, "  {:<16} {}", "newest plan", report.waits);
    }
    let (plans, status) = (&report.plans, &report.status);
    if report.running {
        let _ = writeln!(
            text,
            "  {:<16} {} as changes, {} bytes; {} whole, {} bytes",
            "plans came", plans.delta, plans.bytes_delta, plans.whole, plans.bytes_full
        );
        let _ = writeln!(
            text,
            "  {:<16} {} times, {} bytes whole, {} as changes instead of {}",
            "status went", status.writes, status.full, status.delta, status.instead_of
        );
    }
    if let Some(fleet) = &report.fleet {
        let _ = writeln!(
            text,
            "  {:<16} {} of {} vehicles take part; orders: {} wait, {} under way, {} done, {} failed, {} cancelled",
            "fleet",
            fleet.taking_part,
            fleet.vehicles,
            fleet.orders_waiting,
            fleet.orders_under_way,
            fleet.orders_done,
            fleet.orders_failed,
            fleet.orders_cancelled
        );
    }
    if let Some(refusal) = &report.last_refusal {
        let _ = writeln!(text, "  {:<16} {refusal}", "last refusal");
    }
    for (reason, count) in &report.refused {
        let _ = writeln!(text, "  {:<16} {reason}: {count}", "refused as");
    }
    for why in &report.degraded {
        let _ = writeln!(text, "  degraded: {why}");
    }
    text
}
