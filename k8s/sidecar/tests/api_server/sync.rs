//! Plans as changes of earlier ones, through a real API server: what arrives, what does not, and what it costs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_plan::PlanKey;
use agent_plan::delta::PlanDelta;
use agent_plan::document::SignedPlan;
use k8s_crd::{Brief, ControlNode, ControlNodeStatus, DELTAS, PlanSync, SchedulingPlan};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::resources::prepared;
use crate::server::Server;
use crate::sidecar::{Agent, Sidecar, of_process, said_by, status_with, until};

const QUARTER_MS: u64 = 15 * 60 * 1000;

/// A day of four turbines in quarters of an hour; each plan moves four points of one of them.
fn day(epoch: u32) -> SignedPlan {
    site_plan(epoch, 4, 96)
}

/// As many turbines and points as wanted.
fn site_plan(epoch: u32, turbines: u64, points: u64) -> SignedPlan {
    let begin_ms = 1_795_000_000_000;
    let moved = |turbine: u64, point: u64| {
        (1..=u64::from(epoch))
            .rev()
            .find(|e| e % turbines == turbine && point / 4 == e % (points / 4))
            .unwrap_or(0)
    };
    let schedule = |turbine: u64| {
        let point = |point: u64| {
            let at = agent_plan::document::UtcTime::from_unix_millis(begin_ms + point * QUARTER_MS);
            let power = 2_000_000 + (turbine * 37 + point * 11 + moved(turbine, point) * 101) % 300 * 10_000;
            json!({ "at": at, "powerLimitW": power })
        };
        json!({ "unit": format!("WT{turbine:02}"), "points": (0..points).map(point).collect::<Vec<_>>() })
    };
    let demand = |turbine: u64| json!({ "unit": format!("WT{turbine:02}"), "request": "run" });
    let plan = json!({
        "name": "day-ahead", "epoch": epoch, "target": { "site": "north" },
        "demands": (0..turbines).map(demand).collect::<Vec<_>>(),
        "schedules": (0..turbines).map(schedule).collect::<Vec<_>>(),
    });
    key().sign(serde_json::from_value(plan).unwrap())
}

fn key() -> PlanKey {
    PlanKey::from_seed(&[7; 32])
}

fn object(plan: &SignedPlan, bases: &[SignedPlan]) -> SchedulingPlan {
    Brief::object(&format!("day-{}", plan.plan.epoch), plan, bases).unwrap()
}

/// A node with an agent and a sidecar in a namespace of its own.
struct Node {
    server: Arc<Server>,
    client: Client,
    namespace: &'static str,
    agent: Agent,
    sidecar: Sidecar,
    folder: tempfile::TempDir,
}

impl Node {
    async fn new(namespace: &'static str) -> Self {
        Self::through(namespace, Server::kubeconfig).await
    }

    async fn through(namespace: &'static str, kubeconfig: impl FnOnce(&Server) -> PathBuf) -> Self {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let client = prepared(&server, namespace).await;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("plans.sock");
        let agent = Agent::at(&socket);
        let sidecar = Sidecar::at("edge-a", &kubeconfig(&server), namespace, &socket);
        Self { server, client, namespace, agent, sidecar, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("plans.sock")
    }

    async fn publish(&self, object: &SchedulingPlan) {
        let plans: Api<SchedulingPlan> = Api::namespaced(self.client.clone(), self.namespace);
        plans.create(&PostParams::default(), object).await.unwrap();
    }

    /// Its status once this plan runs there.
    async fn runs(&self, epoch: u32) -> ControlNodeStatus {
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), self.namespace);
        status_with(&nodes, epoch).await.1
    }

    /// How plans came, as the sidecar's own status says.
    fn came(&self) -> PlanSync {
        serde_json::from_value(said_by(&self.socket())["plans"].clone()).unwrap()
    }

    /// The reason of a condition, once it is this one.
    async fn has_condition(&self, reason: &str) {
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), self.namespace);
        until(reason, async || {
            let status = nodes.get("edge-a").await.ok()?.status?;
            status.conditions.iter().any(|condition| condition.reason == reason).then_some(())
        })
        .await;
    }
}

/// A way to the server on which bytes are counted.
struct Meter {
    port: u16,
    down: Arc<AtomicU64>,
}

impl Meter {
    fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let meter = Self { port: listener.local_addr().unwrap().port(), down: Arc::default() };
        let down = Arc::clone(&meter.down);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let down = Arc::clone(&down);
                let up = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(up.0, up.1, &AtomicU64::new(0)));
                std::thread::spawn(move || pass(server, client, &down));
            }
        });
        meter
    }

    fn kubeconfig(&self, server: &Server, folder: &Path) -> PathBuf {
        let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
        let path = folder.join(format!("metered-{}", self.port));
        std::fs::write(&path, text.replace(&format!(":{}'", server.port()), &format!(":{}'", self.port)))
            .unwrap();
        path
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut bytes = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        count.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_comes_as_the_change_of_what_the_agent_has() {
    let node = Node::new("delta").await;
    node.publish(&object(&day(1), &[])).await;
    node.runs(1).await;
    node.publish(&object(&day(2), &[day(1)])).await;
    node.runs(2).await;
    let came = node.came();
    assert_eq!((came.whole, came.delta, &came.last_refusal), (1, 1, &None));
    assert!(came.bytes_delta * 6 < came.bytes_full, "{came:?}");
    node.has_condition("Delta").await;
    assert_eq!(said_by(&node.socket())["inForce"]["source"], "edge");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn with_another_base_a_plan_comes_whole_and_the_node_says_which_it_lacks() {
    let node = Node::new("base").await;
    node.publish(&object(&day(1), &[])).await;
    node.runs(1).await;
    node.publish(&object(&day(3), &[day(2)])).await;
    node.runs(3).await;
    let came = node.came();
    assert_eq!((came.whole, came.delta, came.base_missing), (2, 0, Some(day(2).digest)));
    node.has_condition("OtherBase").await;
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_damaged_change_is_refused_for_its_own_reason_and_the_plan_comes_whole() {
    let node = Node::new("damaged").await;
    node.publish(&object(&day(1), &[])).await;
    node.runs(1).await;
    let mut damaged = object(&day(2), &[day(1)]);
    let mut delta = PlanDelta::between(&day(1), &day(2)).unwrap();
    let middle = delta.data.len() / 2;
    delta.data[middle] ^= 1;
    let annotations = damaged.metadata.annotations.as_mut().unwrap();
    annotations.insert(DELTAS.to_owned(), serde_json::to_string(&[delta]).unwrap());
    node.publish(&damaged).await;
    let status = node.runs(2).await;
    assert_eq!(status.plans.unwrap().in_force.digest, Some(day(2).digest));
    assert_eq!(node.agent.offers(), [1, 2], "nothing came of the change");
    node.has_condition("BadDelta").await;
    let said = said_by(&node.socket());
    assert_eq!(
        (&said["refused"]["bad-delta"], &said["lastRefusal"]["reason"]),
        (&json!(1), &json!("bad-delta"))
    );
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_change_to_a_plan_with_a_forged_signature_does_not_keep_the_right_one_away() {
    let node = Node::new("forged").await;
    node.publish(&object(&day(1), &[])).await;
    node.runs(1).await;
    let mut forged = day(2);
    forged.signature.as_mut().unwrap().value = "00".repeat(64);
    let mut wrong = object(&day(2), &[]);
    let delta = PlanDelta::between(&day(1), &forged).unwrap();
    let annotations = wrong.metadata.annotations.as_mut().unwrap();
    annotations.insert(DELTAS.to_owned(), serde_json::to_string(&[delta]).unwrap());
    node.publish(&wrong).await;
    node.runs(2).await;
    assert_eq!(said_by(&node.socket())["refused"]["bad-delta"], 1);
    assert_eq!(node.agent.offers(), [1, 2]);
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn publish_makes_changes_of_what_the_nodes_keep() {
    let node = Node::new("publish").await;
    node.publish(&object(&day(1), &[])).await;
    node.runs(1).await;
    let file = node.folder.path().join("two.json");
    std::fs::write(&file, day(2).to_json()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
    command.args(["publish", "--json", "--namespace", node.namespace]).arg(&file);
    let output = command.env("KUBECONFIG", node.server.kubeconfig()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(written["deltas"][0]["base"], day(1).digest.to_string());
    node.runs(2).await;
    assert_eq!(node.came().delta, 1);
}

/// `TAKT_PLANS=100` for figures that mean something.
#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_day_of_plans_costs_a_fraction_as_changes() {
    let plans = std::env::var("TAKT_PLANS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let folder = tempfile::tempdir().unwrap();
    let mut wire = Vec::new();
    for (namespace, is_incremental) in [("day-whole", false), ("day-changes", true)] {
        let mut meter = None;
        let node = Node::through(namespace, |server| {
            meter.insert(Meter::before(server.port())).kubeconfig(server, folder.path())
        })
        .await;
        let meter = meter.unwrap();
        node.publish(&object(&day(1), &[])).await;
        node.runs(1).await;
        let (down, came) = (meter.down.load(Ordering::Relaxed), node.came());
        for epoch in 2..=plans + 1 {
            let mut object = object(&day(epoch), &[day(epoch - 1)]);
            if !is_incremental {
                object.metadata.annotations = None;
            }
            node.publish(&object).await;
            node.runs(epoch).await;
        }
        let now = node.came();
        let bytes = now.bytes_full + now.bytes_delta - came.bytes_full - came.bytes_delta;
        let down = meter.down.load(Ordering::Relaxed) - down;
        println!(
            "{namespace}: {plans} plans, {} bytes a plan; with all that comes down besides {} bytes a plan; status {}",
            bytes / u64::from(plans),
            down / u64::from(plans),
            said_by(&node.socket())["status"],
        );
        wire.push((bytes, down));
    }
    let [(whole, whole_down), (changes, changes_down)] = wire[..] else { panic!("two runs") };
    assert!(changes * 100 < whole * 17, "{changes} of {whole} bytes");
    assert!(changes_down < whole_down / 2, "{changes_down} of {whole_down} bytes");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn the_longest_plans_do_not_make_the_sidecar_large() {
    let node = Node::new("large").await;
    let large = |epoch| site_plan(epoch, 79, 240);
    let bytes = large(1).to_json().len();
    assert!((900 << 10..1 << 20).contains(&bytes), "{bytes}");
    for epoch in 1..=5 {
        let bases: Vec<_> = (epoch > 3).then(|| large(epoch - 1)).into_iter().collect();
        node.publish(&object(&large(epoch), &bases)).await;
        node.runs(epoch).await;
    }
    let came = node.came();
    assert_eq!((came.whole, came.delta), (3, 2));
    let [now, peak] = ["VmRSS:", "VmHWM:"].map(|what| of_process(node.sidecar.0.id(), what) / 1024);
    println!(
        "five plans of {bytes} bytes, two of them as changes: {now} MiB resident, {peak} MiB at the most"
    );
    assert!(peak <= 40, "{peak} MiB");
}
