//! The program itself between an API server and an agent's socket.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_plan::PlanId;
use agent_plan::document::SignedPlan;
use agent_plan::wire::{Answer, Ask, PlanEntry, PlanStatus, Stage, Verdict, read_frame, write_frame};
use k8s_crd::{ControlNode, ControlNodeStatus, SchedulingPlan};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::resources::{prepared, signed};
use crate::server::Server;

const WITHIN: Duration = Duration::from_secs(30);
/// Several of the sidecar's looks at cluster and agent.
const A_WHILE: Duration = Duration::from_secs(2);

/// An agent that keeps whatever it is offered, at once.
#[derive(Clone, Default)]
struct Agent(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    status: PlanStatus,
    offers: Vec<PlanId>,
}

impl Agent {
    fn at(socket: &Path) -> Self {
        let agent = Self::default();
        let listener = UnixListener::bind(socket).unwrap();
        let serving = agent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        agent
    }

    fn serve(&self, mut stream: UnixStream) {
        while let Ok(frame) = read_frame(&mut stream) {
            let (kind, body) = self.answer(Ask::decode(frame).unwrap()).encode();
            if write_frame(&mut stream, kind, &body).is_err() {
                return;
            }
        }
    }

    fn answer(&self, ask: Ask) -> Answer {
        let mut said = self.0.lock().unwrap();
        match ask {
            Ask::Offer(json) => {
                let plan = SignedPlan::from_json(&json).unwrap();
                let id = plan.id();
                said.offers.push(id);
                said.status.in_force = PlanEntry {
                    name: plan.plan.name,
                    epoch: id.epoch,
                    digest: Some(id.digest),
                    stage: Stage::LastKnownGood,
                    ..PlanEntry::default()
                };
                said.status.last_known_good = said.status.in_force.clone();
                said.status.highest_epoch = id.epoch;
                Answer::Verdict(Verdict::Taken { id, stage: Stage::Staged })
            }
            Ask::Status => Answer::Status(Box::new(said.status.clone())),
            Ask::Rollback(_) | Ask::CentreSeen => Answer::Done,
        }
    }

    fn offers(&self) -> Vec<u32> {
        self.0.lock().unwrap().offers.iter().map(|id| id.epoch).collect()
    }
}

/// The program, ended with its owner.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sidecar {
    fn start(server: &Server, namespace: &str, socket: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
        command.args(["run", "--site", "north", "--node", "edge-a", "--namespace", namespace, "--socket"]);
        command.arg(socket).env("KUBECONFIG", server.kubeconfig()).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

fn plan(epoch: u32) -> serde_json::Value {
    json!({ "name": format!("plan-{epoch}"), "epoch": epoch, "target": { "site": "north" } })
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The node's status once it says that this plan runs.
async fn status_with(nodes: &Api<ControlNode>, epoch: u32) -> (ControlNode, ControlNodeStatus) {
    until("the status says what runs", async || {
        let node = nodes.get_opt("edge-a").await.ok()??;
        let status = node.status.clone()?;
        (status.plans.as_ref()?.in_force.epoch == epoch).then_some((node, status))
    })
    .await
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_goes_to_the_agent_once_and_its_status_comes_back() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "once").await;
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), "once");
    let nodes: Api<ControlNode> = Api::namespaced(client, "once");
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::at(&folder.path().join("plans.sock"));
    let _sidecar = Sidecar::start(&server, "once", &folder.path().join("plans.sock"));

    plans.create(&PostParams::default(), &signed("plan-7", &plan(7))).await.unwrap();
    let (node, status) = status_with(&nodes, 7).await;
    assert_eq!(node.spec.site, "north");
    let managers: Vec<_> = node
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter_map(|fields| fields.manager.as_deref())
        .collect();
    assert!(!managers.is_empty() && managers.iter().all(|name| *name == "takt-sidecar"), "{managers:?}");
    assert!(status.conditions.iter().any(|condition| condition.kind.as_str() == "Activated"));

    plans.create(&PostParams::default(), &signed("plan-5", &plan(5))).await.unwrap();
    plans.delete("plan-7", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(agent.offers(), [7], "neither an older plan nor a deletion is news");
    assert_eq!(status_with(&nodes, 7).await.0.spec.site, "north");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_sidecar_that_starts_anew_offers_nothing_anew() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "anew").await;
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), "anew");
    let nodes: Api<ControlNode> = Api::namespaced(client, "anew");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("plans.sock");
    let agent = Agent::at(&socket);
    plans.create(&PostParams::default(), &signed("plan-7", &plan(7))).await.unwrap();
    let first = Sidecar::start(&server, "anew", &socket);
    status_with(&nodes, 7).await;
    drop(first);

    let _second = Sidecar::start(&server, "anew", &socket);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(agent.offers(), [7]);
    plans.create(&PostParams::default(), &signed("plan-8", &plan(8))).await.unwrap();
    status_with(&nodes, 8).await;
    assert_eq!(agent.offers(), [7, 8], "and it still does its work");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn an_api_server_that_dies_and_comes_back_changes_nothing() {
    let mut server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let client = prepared(&server, "outage").await;
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), "outage");
    let nodes: Api<ControlNode> = Api::namespaced(client, "outage");
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::at(&folder.path().join("plans.sock"));
    let mut sidecar = Sidecar::start(&server, "outage", &folder.path().join("plans.sock"));
    plans.create(&PostParams::default(), &signed("plan-7", &plan(7))).await.unwrap();
    status_with(&nodes, 7).await;

    server = tokio::task::spawn_blocking(move || server.without_api_server(A_WHILE)).await.unwrap();
    plans.create(&PostParams::default(), &signed("plan-8", &plan(8))).await.unwrap();
    status_with(&nodes, 8).await;
    assert_eq!(agent.offers(), [7, 8], "each once");
    assert!(sidecar.0.try_wait().unwrap().is_none(), "the sidecar runs through");
    drop(server);
}
