//! The program `takt-sidecar`: brings plans from clusters to the agent, and its status back.

mod agent;
mod beside;
mod cluster;
mod door;
mod publish;
mod report;
mod shelf;
mod status;
mod step;
mod tell;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_plan::document::UtcTime;
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use agent::Agent;
use beside::Beside;
use cluster::Cluster;
use publish::PublishArguments;
use status::StatusArguments;
use step::Place;

/// How often clusters and agent are looked at,
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// and how soon after news: whatever a cluster sends, the agent is not asked more often.
const NEWS_PAUSE: Duration = Duration::from_millis(3);

const EXAMPLES: &str = "\
Examples:
  takt-sidecar crd | kubectl apply -f -
  takt-sidecar run --site north --node edge-1 --socket /run/takt/plans.sock
  takt-sidecar run --site north --node edge-1 --socket /run/takt/plans.sock --central-kubeconfig /etc/takt/central.yaml
  takt-sidecar status
  takt-sidecar publish evening.json --namespace takt

Plans are SchedulingPlan objects of the edge cluster, and of the central cluster if its kubeconfig is given; of all
that are for this node the one with the highest epoch is offered to the agent. Deleting a plan, or losing a cluster,
changes nothing at the agent. The node's status is the ControlNode object of its name in both clusters. A plan that
`publish` has written comes as the change of the one that the node keeps, any other one whole.

Exit status: 0 ended as asked, 1 failed, or degraded, 2 wrong usage, 3 nobody answers.";

/// Brings plans from clusters to the agent, and its status back
#[derive(Debug, Parser)]
#[command(name = "takt-sidecar", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run beside an agent, until SIGTERM
    Run(RunArguments),
    /// Print the definitions of the custom resources, as YAML
    Crd,
    /// Show plans and their sources, links to agent and clusters, bytes, refusals, and what is degraded
    Status(StatusArguments),
    /// Write a signed plan to the cluster of the kubeconfig, also as changes of what its nodes keep
    Publish(PublishArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The site's name, as in the agent's configuration
    #[arg(long, env = "TAKT_SITE")]
    site: String,
    /// This node's name; in a pod, from spec.nodeName
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// Namespace of the objects
    #[arg(long, env = "POD_NAMESPACE", default_value = "takt")]
    namespace: String,
    /// The agent's socket for plans
    #[arg(long, value_name = "PATH", env = "TAKT_PLANS_SOCKET")]
    socket: PathBuf,
    /// A kubeconfig for the central cluster; without it plans come from the edge cluster alone
    #[arg(long, value_name = "FILE", env = "TAKT_CENTRAL_KUBECONFIG")]
    central_kubeconfig: Option<PathBuf>,
    /// Where `takt-sidecar status` asks [default: sidecar.sock beside the agent's socket]
    #[arg(long, value_name = "PATH", env = "TAKT_SIDECAR_SOCKET")]
    status_socket: Option<PathBuf>,
    /// Serve metrics for Prometheus here, under /metrics; left out: not at all
    #[arg(long, value_name = "ADDRESS:PORT", env = "TAKT_SIDECAR_METRICS")]
    metrics: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let done = match &Arguments::parse().what {
        What::Crd => crd(),
        What::Status(arguments) => return status::run(arguments),
        What::Publish(arguments) => runtime().and_then(|runtime| runtime.block_on(publish::run(arguments))),
        What::Run(arguments) => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            runtime().and_then(|runtime| runtime.block_on(serve(arguments)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("takt-sidecar: {why}");
            ExitCode::FAILURE
        }
    }
}

fn crd() -> Result<(), String> {
    for definition in k8s_crd::definitions() {
        let yaml = serde_yaml_ng::to_string(&definition).map_err(|error| error.to_string())?;
        print!("---\n{yaml}");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))
}

/// The time of day.
fn wall_clock() -> UtcTime {
    UtcTime::from_unix_millis(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0))
}

async fn serve(arguments: &RunArguments) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let place = Place { site: arguments.site.clone(), node: arguments.node.clone() };
    let news = Arc::new(Notify::new());
    let clusters = clusters(arguments, &place, &news).await?;
    let shared = door::Shared::default();
    let socket = status::socket_beside(&arguments.socket, arguments.status_socket.as_deref());
    tokio::spawn(door::serve_status(door::open(&socket)?, shared.clone()));
    if let Some(address) = arguments.metrics {
        door::serve_metrics(address, shared.clone()).await?;
    }
    for cluster in &clusters {
        tokio::spawn(cluster.clone().watch());
        tokio::spawn(cluster.clone().probe());
    }
    tracing::info!(site = %arguments.site, node = %arguments.node, clusters = clusters.len(), "running");
    let mut beside = Beside::new(Agent::at(&arguments.socket), place, shared, Arc::clone(&news));
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = looks.tick() => {}
            () = news.notified() => tokio::time::sleep(NEWS_PAUSE).await,
        }
        beside.look(&clusters);
    }
}

/// The edge cluster first. A kubeconfig that cannot be read is an error; a cluster that cannot be reached is not.
async fn clusters(
    arguments: &RunArguments,
    place: &Place,
    news: &Arc<Notify>,
) -> Result<Vec<Cluster>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the edge cluster's configuration: {error}");
    let config = Config::infer().await.map_err(|error| unusable(&error))?;
    let client = Client::try_from(config).map_err(|error| unusable(&error))?;
    let of = |name, client| Cluster::new(name, client, &arguments.namespace, place, Arc::clone(news));
    let mut clusters = vec![of("edge", client)];
    if let Some(file) = &arguments.central_kubeconfig {
        let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let kubeconfig = Kubeconfig::read_from(file).map_err(|error| unusable(&error))?;
        let options = KubeConfigOptions::default();
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?;
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        clusters.push(of("central", client));
    }
    Ok(clusters)
}
