//! The program itself between an API server and an agent's socket.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_plan::document::SignedPlan;
use agent_plan::wire::{
    Answer, Ask, FleetStatus, PlanEntry, PlanStatus, Stage, Verdict, read_frame, write_frame,
};
use agent_plan::{PlanId, PlanKey, TrustedKeys};
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
pub(crate) struct Agent(Arc<Mutex<Said>>);

#[derive(Default)]
pub(crate) struct Said {
    status: PlanStatus,
    fleet: Option<FleetStatus>,
    offers: Vec<(PlanId, Instant)>,
    /// Plans that it has on disk.
    plans: Vec<SignedPlan>,
    /// It rolls every plan back at once instead.
    gives_up: bool,
}

impl Agent {
    pub(crate) fn at(socket: &Path) -> Self {
        Self::default().serving(socket)
    }

    /// One on which no plan works.
    fn that_gives_up_at(socket: &Path) -> Self {
        let agent = Self::default();
        agent.0.lock().unwrap().gives_up = true;
        agent.serving(socket)
    }

    fn serving(self, socket: &Path) -> Self {
        let agent = self;
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
                if let Err(refusal) = trusted().verify(&plan) {
                    return Answer::Verdict(Verdict::Refused { refusal });
                }
                let id = plan.id();
                said.plans.push(plan.clone());
                said.offers.push((id, Instant::now()));
                let stage = if said.gives_up { Stage::RolledBack } else { Stage::LastKnownGood };
                let (name, epoch, digest) = (plan.plan.name, id.epoch, Some(id.digest));
                let entry = PlanEntry { name, epoch, digest, stage, ..PlanEntry::default() };
                if said.gives_up {
                    said.status.given_up = Some(entry);
                } else {
                    said.status.in_force = entry;
                    said.status.last_known_good = said.status.in_force.clone();
                }
                said.status.highest_epoch = id.epoch;
                Answer::Verdict(Verdict::Taken { id, stage: Stage::Staged })
            }
            Ask::Status => Answer::Status(Box::new(said.status.clone())),
            Ask::Plan(id) => {
                let plan = said.plans.iter().find(|plan| plan.id() == id);
                Answer::Plan(plan.map(SignedPlan::to_json).unwrap_or_default())
            }
            Ask::Fleet => Answer::Fleet(said.fleet),
            Ask::Rollback(_) | Ask::CentreSeen => Answer::Done,
        }
    }

    /// What it says of its fleet from now on.
    pub(crate) fn leads(&self, fleet: FleetStatus) {
        self.0.lock().unwrap().fleet = Some(fleet);
    }

    /// When this plan was offered.
    fn offered(&self, epoch: u32) -> Option<Instant> {
        let said = self.0.lock().unwrap();
        said.offers.iter().find(|(id, _)| id.epoch == epoch).map(|(_, at)| *at)
    }

    pub(crate) fn offers(&self) -> Vec<u32> {
        self.0.lock().unwrap().offers.iter().map(|(id, _)| id.epoch).collect()
    }
}

/// The program, ended with its owner.
pub(crate) struct Sidecar(pub(crate) Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sidecar {
    fn start(server: &Server, namespace: &str, socket: &Path) -> Self {
        Self::of("edge-a", server, namespace, socket)
    }

    fn of(node: &str, server: &Server, namespace: &str, socket: &Path) -> Self {
        Self::at(node, &server.kubeconfig(), namespace, socket)
    }

    pub(crate) fn at(node: &str, kubeconfig: &Path, namespace: &str, socket: &Path) -> Self {
        Self::between(node, kubeconfig, None, namespace, socket)
    }

    /// One with a central cluster besides.
    pub(crate) fn between(
        node: &str,
        edge: &Path,
        centre: Option<&Path>,
        namespace: &str,
        socket: &Path,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
        command.args(["run", "--site", "north", "--node", node, "--namespace", namespace, "--socket"]);
        command.arg(socket).arg("--status-socket").arg(status_socket(socket));
        if let Some(centre) = centre {
            command.arg("--central-kubeconfig").arg(centre);
        }
        command.env("KUBECONFIG", edge).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

pub(crate) fn status_socket(socket: &Path) -> PathBuf {
    socket.with_extension("status")
}

/// What `takt-sidecar status` prints.
pub(crate) fn said_by(socket: &Path) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
    command.args(["status", "--json", "--socket"]).arg(socket);
    let output = command.arg("--status-socket").arg(status_socket(socket)).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The key of the tests.
fn trusted() -> TrustedKeys {
    let mut keys = TrustedKeys::default();
    keys.add_pem(&PlanKey::from_seed(&[7; 32]).public_pem().unwrap()).unwrap();
    keys
}

/// Nodes of a site, each with an agent and a sidecar of its own.
struct Site {
    agents: Vec<Agent>,
    _sidecars: Vec<Sidecar>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// `edge-a`, `edge-b` and `edge-c`; on the first no plan works if it `fails`.
    fn of_three(server: &Server, namespace: &str, fails: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nodes = ["edge-a", "edge-b", "edge-c"];
        let socket = |node: &str| folder.path().join(node);
        let agent = |node: &&str| match fails && **node == *nodes[0] {
            true => Agent::that_gives_up_at(&socket(node)),
            false => Agent::at(&socket(node)),
        };
        let agents = nodes.iter().map(agent).collect();
        let sidecars = nodes.iter().map(|node| Sidecar::of(node, server, namespace, &socket(node))).collect();
        Self { agents, _sidecars: sidecars, _folder: folder }
    }

    fn offers(&self) -> Vec<Vec<u32>> {
        self.agents.iter().map(Agent::offers).collect()
    }
}

/// Tried on the first node.
fn careful(epoch: u32) -> serde_json::Value {
    let mut plan = plan(epoch);
    plan["rollout"] = json!({ "canary": "edge-a", "soakMs": 0 });
    plan
}

pub(crate) fn plan(epoch: u32) -> serde_json::Value {
    json!({ "name": format!("plan-{epoch}"), "epoch": epoch, "target": { "site": "north" } })
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
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
pub(crate) async fn status_with(nodes: &Api<ControlNode>, epoch: u32) -> (ControlNode, ControlNodeStatus) {
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

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_that_fails_on_the_canary_reaches_no_other_node() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let plans: Api<SchedulingPlan> = Api::namespaced(prepared(&server, "canary").await, "canary");
    let site = Site::of_three(&server, "canary", true);
    plans.create(&PostParams::default(), &signed("plan-7", &careful(7))).await.unwrap();
    until("the canary has had it", async || (site.offers()[0] == [7]).then_some(())).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(site.offers(), [vec![7], vec![], vec![]]);
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_that_is_kept_on_the_canary_reaches_all_nodes_once() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let plans: Api<SchedulingPlan> = Api::namespaced(prepared(&server, "rollout").await, "rollout");
    let site = Site::of_three(&server, "rollout", false);
    plans.create(&PostParams::default(), &signed("plan-7", &careful(7))).await.unwrap();
    until("all have had it", async || site.offers().iter().all(|offers| *offers == [7]).then_some(())).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(site.offers(), [[7], [7], [7]]);
}

/// `TAKT_KILLS=100` for a campaign.
#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_sidecar_that_is_killed_at_any_moment_loses_no_plan_and_offers_none_twice() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "killed").await;
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), "killed");
    let nodes: Api<ControlNode> = Api::namespaced(client, "killed");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("plans.sock");
    let agent = Agent::at(&socket);
    let kills = times("TAKT_KILLS", 10);
    for epoch in 1..=kills {
        let sidecar = Sidecar::start(&server, "killed", &socket);
        let name = format!("plan-{epoch}");
        plans.create(&PostParams::default(), &signed(&name, &plan(epoch))).await.unwrap();
        // From before it is connected until after all is done.
        tokio::time::sleep(Duration::from_millis(u64::from(epoch * 97 % 400))).await;
        drop(sidecar);
    }
    let _sidecar = Sidecar::start(&server, "killed", &socket);
    status_with(&nodes, kills).await;
    let offers = agent.offers();
    assert!(offers.windows(2).all(|pair| pair[0] < pair[1]), "{offers:?}");
}

/// `TAKT_PLANS=300` for figures that mean something.
#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn plans_reach_the_agent_one_by_one_through_a_sidecar_that_stays_small() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let plans: Api<SchedulingPlan> = Api::namespaced(prepared(&server, "small").await, "small");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("plans.sock");
    let agent = Agent::at(&socket);
    let sidecar = Sidecar::start(&server, "small", &socket);
    let mut taken_ms = Vec::new();
    for epoch in 1..=times("TAKT_PLANS", 20) {
        let begun = Instant::now();
        let name = format!("plan-{epoch}");
        plans.create(&PostParams::default(), &signed(&name, &plan(epoch))).await.unwrap();
        let offered = until("the agent has it", async || agent.offered(epoch)).await;
        taken_ms.push(offered.duration_since(begun).as_secs_f64() * 1e3);
    }
    taken_ms.sort_by(f64::total_cmp);
    let at = |share: f64| taken_ms[((taken_ms.len() - 1) as f64 * share) as usize];
    let resident_mib = resident_kib(sidecar.0.id()) / 1024;
    println!(
        "from the API write to the agent's socket, {} plans: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; \
         sidecar {resident_mib} MiB resident",
        taken_ms.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    assert!(resident_mib <= 40, "{resident_mib} MiB");
}

fn resident_kib(process: u32) -> u64 {
    of_process(process, "VmRSS:")
}

/// A line of `/proc/PID/status`, KiB.
pub(crate) fn of_process(process: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn times(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
