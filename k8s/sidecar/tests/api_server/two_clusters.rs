//! An edge and a central cluster at a time, each with a real API server, and a centre that goes away and comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_plan::wire::FleetStatus;
use k8s_crd::{ConditionType, ControlNode, ControlNodeStatus, SchedulingPlan, Truth};
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use crate::resources::{prepared, signed};
use crate::server::Server;
use crate::sidecar::{Agent, Sidecar, plan, said_by, status_with, until};

const NAMESPACE: &str = "two";
/// Several of the sidecar's looks at clusters and agent.
const A_WHILE: Duration = Duration::from_secs(2);

/// Both clusters as an administrator of both sees them.
struct Clusters {
    edge: Client,
    centre: Client,
}

impl Clusters {
    async fn publish(&self, cluster: &Client, epoch: u32) {
        let plans: Api<SchedulingPlan> = Api::namespaced(cluster.clone(), NAMESPACE);
        let object = signed(&format!("plan-{epoch}"), &plan(epoch));
        plans.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Until a cluster has been told that this plan runs.
    async fn told(&self, cluster: &Client, epoch: u32) -> ControlNodeStatus {
        status_with(&Api::namespaced(cluster.clone(), NAMESPACE), epoch).await.1
    }

    /// Names and identities of all that a cluster has.
    async fn objects(&self, cluster: &Client) -> Vec<(String, String)> {
        let of = |metadata: &kube::api::ObjectMeta| {
            (metadata.name.clone().unwrap(), metadata.uid.clone().unwrap())
        };
        let (plans, nodes): (Api<SchedulingPlan>, Api<ControlNode>) =
            (Api::namespaced(cluster.clone(), NAMESPACE), Api::namespaced(cluster.clone(), NAMESPACE));
        let all = ListParams::default();
        let mut found: Vec<_> =
            plans.list(&all).await.unwrap().iter().map(|plan| of(&plan.metadata)).collect();
        found.extend(nodes.list(&all).await.unwrap().iter().map(|node| of(&node.metadata)));
        found
    }
}

fn reached(socket: &Path) -> [bool; 2] {
    let said = said_by(socket);
    [0, 1].map(|at| said["clusters"][at]["reached"] == Value::Bool(true))
}

async fn server() -> Server {
    tokio::task::spawn_blocking(Server::start).await.unwrap()
}

fn socket_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("plans.sock")
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_centre_that_goes_away_and_comes_back_restarts_deletes_and_repeats_nothing() {
    let (edge, mut centre) = (server().await, server().await);
    let clusters =
        Clusters { edge: prepared(&edge, NAMESPACE).await, centre: prepared(&centre, NAMESPACE).await };
    let folder = tempfile::tempdir().unwrap();
    let socket = socket_in(&folder);
    let agent = Agent::at(&socket);
    let mut sidecar =
        Sidecar::between("edge-a", &edge.kubeconfig(), Some(&centre.kubeconfig()), NAMESPACE, &socket);

    clusters.publish(&clusters.centre, 1).await;
    clusters.told(&clusters.centre, 1).await;
    assert_eq!(said_by(&socket)["inForce"]["source"], "central");
    clusters.publish(&clusters.edge, 2).await;
    // Each cluster hears of what came from the other one.
    for cluster in [&clusters.edge, &clusters.centre] {
        clusters.told(cluster, 2).await;
    }
    assert_eq!(said_by(&socket)["inForce"]["source"], "edge");
    assert_eq!(reached(&socket), [true; 2]);
    let before = clusters.objects(&clusters.centre).await;

    centre.kill_api_server();
    until("the centre is missed, the edge is not", async || {
        (reached(&socket) == [true, false]).then_some(())
    })
    .await;
    clusters.publish(&clusters.edge, 3).await;
    clusters.told(&clusters.edge, 3).await;
    centre = tokio::task::spawn_blocking(move || centre.with_api_server()).await.unwrap();

    // What the centre missed it is told, and nothing of it is lost or made anew.
    clusters.told(&clusters.centre, 3).await;
    until("the centre is heard again", async || (reached(&socket) == [true; 2]).then_some(())).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(agent.offers(), [1, 2, 3], "nothing is offered again");
    assert_eq!(clusters.objects(&clusters.centre).await, before);
    clusters.publish(&clusters.centre, 4).await;
    for cluster in [&clusters.edge, &clusters.centre] {
        clusters.told(cluster, 4).await;
    }
    assert_eq!(agent.offers(), [1, 2, 3, 4], "plans of both clusters, each once");
    assert!(sidecar.0.try_wait().unwrap().is_none(), "the sidecar runs through");
    drop((edge, centre));
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_fleet_is_told_in_numbers_that_need_not_be_exact() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "fleet").await;
    let nodes: Api<ControlNode> = Api::namespaced(client.clone(), "fleet");
    let folder = tempfile::tempdir().unwrap();
    let socket = socket_in(&folder);
    let agent = Agent::at(&socket);
    let many = FleetStatus {
        vehicles: 200,
        taking_part: 190,
        orders_under_way: 100,
        orders_done: 500,
        ..FleetStatus::default()
    };
    agent.leads(many);
    let _sidecar = Sidecar::at("edge-a", &server.kubeconfig(), "fleet", &socket);
    let told = |wanted: FleetStatus| {
        let nodes = nodes.clone();
        async move {
            until("the fleet is told", async || {
                let status = nodes.get_opt("edge-a").await.ok()??.status?;
                (status.fleet == Some(wanted)).then_some(status)
            })
            .await
        }
    };
    told(many).await;
    agent.leads(FleetStatus { orders_under_way: 95, orders_done: 540, ..many });
    until("the sidecar has seen it", async || {
        (said_by(&socket)["fleet"]["ordersDone"] == json!(540)).then_some(())
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    told(many).await;
    let failed =
        FleetStatus { orders_under_way: 95, orders_done: 541, orders_failed: 1, degraded: 1, ..many };
    agent.leads(failed);
    told(failed).await;
    until("the node is not healthy", async || {
        let status = nodes.get("edge-a").await.ok()?.status?;
        let healthy = status.conditions.into_iter().find(|one| one.kind == ConditionType::Healthy)?;
        (healthy.status == Truth::False && healthy.message == "the fleet is degraded").then_some(())
    })
    .await;
}
