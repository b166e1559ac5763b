//! The program `takt-sidecar`: brings plans from clusters to the agent, and its status back.

mod agent;
mod cluster;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent_plan::document::UtcTime;
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use k8s_crd::ControlNodeStatus;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};

use agent::Agent;
use cluster::Cluster;
use step::{Place, Sidecar, View};

/// How often clusters and agent are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A status that has not changed is told again so often, so that a cluster that lost it has it back.
const STATUS_INTERVAL: Duration = Duration::from_secs(60);
/// A status that changes all the time is told at most so often.
const STATUS_PAUSE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  takt-sidecar crd | kubectl apply -f -
  takt-sidecar run --site north --node edge-1 --socket /run/takt/plans.sock
  takt-sidecar run --site north --node edge-1 --socket /run/takt/plans.sock --central-kubeconfig /etc/takt/central.yaml
  takt-sidecar status --socket /run/takt/plans.sock

Plans are SchedulingPlan objects of the edge cluster, and of the central cluster if its kubeconfig is given; of all
that are for this node the one with the highest epoch is offered to the agent. Deleting a plan, or losing a cluster,
changes nothing at the agent. The node's status is the ControlNode object of its name in the edge cluster.

Exit status: 0 ended as asked, 1 failed, 2 wrong usage.";

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
    /// Print what the agent says of its plans, as JSON
    Status {
        /// The agent's socket for plans
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
    },
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
}

fn main() -> ExitCode {
    let done = match &Arguments::parse().what {
        What::Crd => crd(),
        What::Status { socket } => status(socket),
        What::Run(arguments) => run(arguments),
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

fn status(socket: &std::path::Path) -> Result<(), String> {
    let status = Agent::at(socket).status()?;
    println!("{}", serde_json::to_string_pretty(&status).map_err(|error| error.to_string())?);
    Ok(())
}

fn run(arguments: &RunArguments) -> Result<(), String> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &RunArguments) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let clusters = clusters(arguments).await?;
    for cluster in &clusters {
        tokio::spawn(cluster.clone().watch());
        tokio::spawn(cluster.clone().probe());
    }
    tracing::info!(site = %arguments.site, node = %arguments.node, clusters = clusters.len(), "running");
    let place = Place { site: arguments.site.clone(), node: arguments.node.clone() };
    let mut beside = Beside {
        agent: Agent::at(&arguments.socket),
        sidecar: Sidecar::new(place.clone()),
        place,
        told: None,
    };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = looks.tick() => beside.look(&clusters).await,
        }
    }
}

/// The edge cluster first. A kubeconfig that cannot be read is an error; a cluster that cannot be reached is not.
async fn clusters(arguments: &RunArguments) -> Result<Vec<Cluster>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the edge cluster's configuration: {error}");
    let config = Config::infer().await.map_err(|error| unusable(&error))?;
    let client = Client::try_from(config).map_err(|error| unusable(&error))?;
    let mut clusters = vec![Cluster::new("edge", client, &arguments.namespace)];
    if let Some(file) = &arguments.central_kubeconfig {
        let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let kubeconfig = Kubeconfig::read_from(file).map_err(|error| unusable(&error))?;
        let options = KubeConfigOptions::default();
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?;
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        clusters.push(Cluster::new("central", client, &arguments.namespace));
    }
    Ok(clusters)
}

/// The agent, and what is known about it.
struct Beside {
    agent: Agent,
    sidecar: Sidecar,
    place: Place,
    told: Option<(std::time::Instant, ControlNodeStatus)>,
}

impl Beside {
    async fn look(&mut self, clusters: &[Cluster]) {
        let agent = match self.agent.status() {
            Ok(status) => Some(status),
            Err(why) => {
                tracing::debug!(%why, "the agent does not answer");
                None
            }
        };
        let mut others = clusters.iter().map(Cluster::nodes).next().unwrap_or_default();
        others.remove(&self.place.node);
        if let Some(agent) = &agent {
            clusters.iter().for_each(|cluster| cluster.forget_plans_below(agent.last_known_good.epoch));
        }
        let plans = clusters.iter().flat_map(Cluster::plans).collect();
        let view = View { plans, others, agent };
        // The last cluster is the centre.
        if clusters.last().is_some_and(Cluster::is_reached) {
            let _ = self.agent.centre_seen();
        }
        let decision = self.sidecar.step(&view);
        if let Some(epoch) = decision.rollback {
            match self.agent.roll_back(epoch) {
                Ok(verdict) => tracing::warn!(epoch, ?verdict, "given up: it failed on too many other nodes"),
                Err(why) => tracing::warn!(%why, "a plan could not be given up"),
            }
        }
        if let Some(plan) = &decision.offer {
            match self.agent.offer(plan) {
                Ok(verdict) => {
                    tracing::info!(plan = %plan.id(), ?verdict, "offered");
                    self.sidecar.heard(plan.id(), &verdict);
                }
                Err(why) => tracing::warn!(%why, "a plan could not be offered"),
            }
        }
        let millis = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        let status = self.sidecar.status(&view, &decision.waits, UtcTime::from_unix_millis(millis));
        self.tell(clusters, status).await;
    }

    /// Tells the edge cluster what has changed.
    async fn tell(&mut self, clusters: &[Cluster], status: ControlNodeStatus) {
        let due = self.told.as_ref().is_none_or(|(at, told)| {
            at.elapsed() >= STATUS_INTERVAL || (*told != status && at.elapsed() >= STATUS_PAUSE)
        });
        let Some(edge) = clusters.first().filter(|_| due) else { return };
        self.told = Some((std::time::Instant::now(), status.clone()));
        // It must not keep the agent from its plans.
        let (edge, place) = (edge.clone(), self.place.clone());
        tokio::spawn(async move {
            if let Err(error) = edge.tell(&place.node, &place.site, &status).await {
                tracing::debug!(%error, "the status is not told");
            }
        });
    }
}
