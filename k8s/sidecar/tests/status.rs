//! `takt-sidecar status`, as a script meets it: without any cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent_plan::Reason;
use agent_plan::wire::{Answer, Ask, FleetStatus, PlanEntry, PlanStatus, read_frame, write_frame};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(20);

/// A node with whatever is started there.
struct Node {
    folder: tempfile::TempDir,
    sidecar: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(sidecar) = &mut self.sidecar {
            let _ = sidecar.kill();
            let _ = sidecar.wait();
        }
    }
}

impl Node {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sidecar: None }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("plans.sock")
    }

    /// An agent that says this of itself.
    fn with_agent(self, status: PlanStatus) -> Self {
        let listener = UnixListener::bind(self.socket()).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Ok(frame) = read_frame(&mut stream) else { continue };
                let answer = match Ask::decode(frame).unwrap() {
                    Ask::Status => Answer::Status(Box::new(status.clone())),
                    Ask::Fleet => Answer::Fleet(Some(fleet())),
                    Ask::Offer(_) | Ask::Rollback(_) | Ask::CentreSeen | Ask::Plan(_) => Answer::Done,
                };
                let (kind, body) = answer.encode();
                let _ = write_frame(&mut stream, kind, &body);
            }
        });
        self
    }

    /// A sidecar whose clusters are both nowhere.
    fn with_sidecar(mut self) -> Self {
        let kubeconfig = self.folder.path().join("nowhere.yaml");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{ name: x, cluster: { server: \
                    'http://127.0.0.1:9' } }]\nusers: [{ name: x, user: {} }]\ncontexts: [{ name: x, context: { \
                    cluster: x, user: x } }]\n";
        std::fs::write(&kubeconfig, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
        command.args(["run", "--site", "north", "--node", "edge-a", "--socket"]).arg(self.socket());
        command.arg("--central-kubeconfig").arg(&kubeconfig).env("KUBECONFIG", &kubeconfig);
        self.sidecar = Some(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + WITHIN;
        while self.json().is_none_or(|report| report["running"] != true) {
            assert!(Instant::now() < end, "the sidecar does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    fn status(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt-sidecar"));
        command.arg("status").args(options).arg("--socket").arg(self.socket()).output().unwrap()
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.status(&["--json"]).stdout).ok()
    }
}

fn fleet() -> FleetStatus {
    FleetStatus {
        vehicles: 200,
        taking_part: 198,
        orders_under_way: 31,
        degraded: 2,
        ..FleetStatus::default()
    }
}

fn status() -> PlanStatus {
    let entry = |name: &str, epoch| PlanEntry { name: name.to_owned(), epoch, ..PlanEntry::default() };
    PlanStatus {
        site: "north".to_owned(),
        in_force: entry("evening", 7),
        last_known_good: entry("noon", 6),
        staged: Some(entry("night", 8)),
        last_refusal: Some(Reason::Expired.because("since noon")),
        refused: [("expired".to_owned(), 2)].into(),
        ..PlanStatus::default()
    }
}

#[test]
fn plans_links_and_refusals_are_told_to_people() {
    let node = Node::new().with_agent(status()).with_sidecar();
    let output = node.status(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "agent            reached since",
        "edge             LOST since",
        "central          LOST since",
        "in force         `evening` epoch 7",
        "last known good  `noon` epoch 6",
        "staged           `night` epoch 8",
        "from node",
        "fleet            198 of 200 vehicles take part; orders: 0 wait, 31 under way",
        "degraded: the fleet, for 2 reasons",
        "last refusal     expired: since noon",
        "refused as       expired: 2",
        "degraded: the edge cluster is not reached",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert_eq!(output.status.code(), Some(1), "a lost cluster degrades");
}

#[test]
fn all_of_it_is_there_for_scripts() {
    let report = Node::new().with_agent(status()).with_sidecar().json().unwrap();
    assert_eq!(report["inForce"]["epoch"], 7);
    assert_eq!(report["agent"]["reached"], true);
    assert_eq!(report["clusters"][1]["name"], "central");
    assert_eq!(report["plans"]["bytesDelta"], 0);
    assert_eq!(report["fleet"]["takingPart"], 198);
    assert_eq!(report["lastRefusal"]["reason"], "expired");
}

#[test]
fn an_agent_that_is_silent_is_told_by_the_sidecar() {
    let report = Node::new().with_sidecar().json().unwrap();
    assert_eq!((&report["agent"]["reached"], &report["inForce"]), (&Value::Bool(false), &Value::Null));
    assert!(report["degraded"].to_string().contains("the agent does not answer"), "{report}");
}

#[test]
fn without_a_sidecar_the_agent_is_asked_and_that_is_degraded() {
    let output = Node::new().with_agent(status()).status(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("`evening` epoch 7") && text.contains("degraded: no sidecar answers"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn where_nobody_answers_the_exit_status_is_3_and_says_what_to_do() {
    let output = Node::new().status(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--socket"));
}
