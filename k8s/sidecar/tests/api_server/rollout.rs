//! A plan's way over several nodes with real agents, each over a simulated turbine of its own, or two as a pair over one.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_plan::document::SignedPlan;
use agent_plan::wire::{Answer, Ask, Node as Role, PlanStatus, Stage, read_frame, write_frame};
use agent_plan::{PlanKey, Reason};
use k8s_crd::{Brief, SchedulingPlan};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use sim_lab::process::{EndBy, Process};
use sim_lab::site::{self, Law, NodeSpec, PairSpec, Places};

use crate::resources::prepared;
use crate::server::Server;
use crate::sidecar::{Sidecar, until};

const SITE: &str = "north";
const SOAK_MS: u64 = 3_000;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A program of the workspace: they lie one folder above the tests.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.parent().unwrap().with_file_name(name);
    assert!(
        program.is_file(),
        "{} is missing: `cargo build --workspace --bins` builds it",
        program.display()
    );
    program
}

fn start(name: &str, arguments: &[&str], end_by: EndBy, log: &Path) -> Process {
    let mut command = std::process::Command::new(program(name));
    command.args(arguments);
    Process::start_command(name, command, end_by, log).unwrap()
}

/// A simulated turbine in a process of its own.
struct Turbine {
    process: Process,
    address: SocketAddr,
}

impl Turbine {
    fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let ports = folder.join("ports.json");
        let file = ports.display().to_string();
        let mut options = vec!["serve", "--turbines", "1", "--wind", "const:14", "--ports-file", &file];
        options.extend(["--arbiter", "1", "--connections-max", "8", "--until-stdin-closes"]);
        let process = start("takt-sim", &options, EndBy::ClosingStandardInput, &folder.join("turbine.log"));
        let end = Instant::now() + STARTS_WITHIN;
        let address = loop {
            // The file appears whole, when everything listens.
            if let Ok(text) = std::fs::read_to_string(&ports) {
                let said: serde_json::Value = serde_json::from_str(&text).unwrap();
                break said["turbines"][0]["address"].as_str().unwrap().parse().unwrap();
            }
            assert!(Instant::now() < end, "the turbine does not say where it is");
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { process, address }
    }
}

/// An agent with its sidecar.
struct Node {
    _sidecar: Sidecar,
    _agent: Process,
    socket: PathBuf,
}

impl Node {
    fn start(
        name: &str,
        folder: &Path,
        turbine: SocketAddr,
        pair: Option<PairSpec>,
        server: &Server,
        namespace: &str,
    ) -> Self {
        let places = Places { plans: Some((name, "keys", "plans.sock")), ..Places::BESIDE };
        let spec = NodeSpec {
            site: SITE,
            broker: "mqtt://127.0.0.1:1",
            listen: None,
            core: None,
            turbines: &[turbine],
            law: Law::Baseline,
            pair,
            vehicles: 0,
            drives: &[],
            places,
        };
        let files = site::write(folder, &spec).unwrap();
        std::fs::create_dir_all(folder.join("keys")).unwrap();
        std::fs::write(folder.join("keys/centre.pem"), key().public_pem().unwrap()).unwrap();
        let config = files.config.display().to_string();
        let agent = start("takt-agent", &["--config", &config], EndBy::Signal, &files.log);
        let socket = folder.join("plans.sock");
        let end = Instant::now() + STARTS_WITHIN;
        while ask(&socket).is_none() {
            let log = || std::fs::read_to_string(&files.log).unwrap_or_default();
            assert!(Instant::now() < end, "the agent does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let sidecar = Sidecar::at(name, &server.kubeconfig(), namespace, &socket);
        Self { _sidecar: sidecar, _agent: agent, socket }
    }

    fn plans(&self) -> PlanStatus {
        ask(&self.socket).expect("the agent answers")
    }
}

fn ask(socket: &Path) -> Option<PlanStatus> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let (kind, body) = Ask::Status.encode();
    write_frame(&mut stream, kind, &body).ok()?;
    match Answer::decode(&read_frame(&mut stream).ok()?).ok()? {
        Answer::Status(status) => Some(*status),
        Answer::Verdict(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => None,
    }
}

fn key() -> PlanKey {
    PlanKey::from_seed(&[7; 32])
}

fn plan(epoch: u32, canary: &str) -> SignedPlan {
    let plan = json!({
        "name": format!("plan-{epoch}"), "epoch": epoch, "target": { "site": SITE },
        "demands": [{ "unit": "WT01", "request": "run", "powerLimitW": 2_000_000 }],
        "rollout": { "canary": canary, "soakMs": SOAK_MS },
    });
    key().sign(serde_json::from_value(plan).unwrap())
}

async fn publish(client: &Client, namespace: &str, plan: &SignedPlan) {
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), namespace);
    let object = Brief::object(&format!("plan-{}", plan.plan.epoch), plan, &[]).unwrap();
    plans.create(&PostParams::default(), &object).await.unwrap();
}

async fn runs(node: &Node, epoch: u32, stage: Stage) {
    until(&format!("plan {epoch} is {}", stage.as_str()), async || {
        let in_force = node.plans().in_force;
        (in_force.epoch == epoch && in_force.stage == stage).then_some(())
    })
    .await;
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_under_which_the_canarys_plant_fails_reaches_it_alone_and_is_rolled_back_within_one_soak() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "three").await;
    let folder = tempfile::tempdir().unwrap();
    let names = ["edge-a", "edge-b", "edge-c"];
    let mut turbines = names.map(|name| Turbine::start(&folder.path().join(name)));
    let nodes: Vec<_> = names
        .iter()
        .zip(&turbines)
        .map(|(name, turbine)| {
            Node::start(name, &folder.path().join(name), turbine.address, None, &server, "three")
        })
        .collect();
    publish(&client, "three", &plan(2, "edge-b")).await;
    for node in &nodes {
        runs(node, 2, Stage::LastKnownGood).await;
    }

    publish(&client, "three", &plan(3, "edge-b")).await;
    runs(&nodes[1], 3, Stage::Soaking).await;
    let on_trial = Instant::now();
    turbines[1].process.end(Duration::ZERO).ok();
    runs(&nodes[1], 2, Stage::LastKnownGood).await;
    let rolled_back = on_trial.elapsed();
    println!("rolled back {} ms after the plant failed", rolled_back.as_millis());
    assert!(rolled_back < Duration::from_millis(SOAK_MS), "{rolled_back:?}");
    let given_up = nodes[1].plans().given_up.unwrap();
    assert_eq!((given_up.epoch, given_up.refusal.unwrap().reason), (3, Reason::FailedSoak));
    tokio::time::sleep(Duration::from_millis(2 * SOAK_MS)).await;
    for other in [&nodes[0], &nodes[2]] {
        let plans = other.plans();
        assert_eq!((plans.highest_epoch, plans.in_force.epoch), (2, 2), "it never came there");
    }
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_whose_canary_is_the_standby_is_tried_by_the_pair_and_kept() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "standby").await;
    let folder = tempfile::tempdir().unwrap();
    let turbine = Turbine::start(&folder.path().join("turbine"));
    let held: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let ends: Vec<_> = held.iter().map(|socket| socket.local_addr().unwrap()).collect();
    drop(held);
    let pair = |node, links| Some(PairSpec { node, links, function: "fc23", gate: "off" });
    let node = |name: &str, pair| {
        Node::start(name, &folder.path().join(name), turbine.address, pair, &server, "standby")
    };
    let nodes = [
        node("edge-a", pair("a", [(ends[0], ends[1]), (ends[2], ends[3])])),
        node("edge-b", pair("b", [(ends[1], ends[0]), (ends[3], ends[2])])),
    ];
    let standby = until("one of them follows", async || {
        let plans = nodes.each_ref().map(Node::plans);
        let role = |role| plans.iter().position(|plans| plans.role == role && plans.peer.is_some());
        role(Role::Active)?;
        role(Role::Standby)
    })
    .await;
    publish(&client, "standby", &plan(2, ["edge-a", "edge-b"][standby])).await;
    for node in &nodes {
        runs(node, 2, Stage::LastKnownGood).await;
    }
    assert_eq!(nodes[standby].plans().role, Role::Standby, "nobody took over");
    let activations: Vec<_> = nodes.iter().map(|node| node.plans().activations).collect();
    assert_eq!(activations, [1, 1]);
}
