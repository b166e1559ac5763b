//! `takt plan` with scheduling plans, as a script meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use agent_plan::document::SignedPlan;
use agent_plan::wire::{Answer, Ask, PlanEntry, PlanStatus, Stage, Verdict, read_frame, write_frame};
use agent_plan::{PlanId, Reason, Refusal};
use serde_json::Value;
use tempfile::TempDir;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/evening.toml")
}

/// A folder with keys and the example plan, signed.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::copy(example(), desk.path("evening.toml")).unwrap();
        std::fs::create_dir(desk.path("keys")).unwrap();
        desk.ok(&["keygen", "keys/centre"]);
        desk.ok(&["sign", "evening.toml", "--key", "keys/centre.key", "--output", "evening.json"]);
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn takt(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
        command.current_dir(self.0.path()).arg("plan").args(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.takt(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Exit code and standard error.
    fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.takt(args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    fn change(&self, from: &str, to: &str, into: &str) {
        let text = std::fs::read_to_string(self.path("evening.toml")).unwrap();
        assert!(text.contains(from));
        self.write(into, &text.replacen(from, to, 1));
    }
}

#[test]
fn the_example_is_signed_and_its_signature_holds() {
    let desk = Desk::new();
    let checked = desk.json(&["check", "evening.json", "--keys", "keys", "--json"]);
    assert_eq!((&checked["epoch"], &checked["verified"]), (&7.into(), &true.into()));
    let bare = desk.json(&["check", "evening.toml", "--json"]);
    assert_eq!(bare["digest"], checked["digest"], "the digest does not depend on the file's format");
    assert_eq!(bare["keyId"], Value::Null);
    assert!(desk.ok(&["check", "evening.json"]).contains("not verified: give --keys"));
}

#[test]
fn a_private_key_is_readable_by_its_owner_alone_and_never_overwritten() {
    let desk = Desk::new();
    let mode = std::fs::metadata(desk.path("keys/centre.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, complaint) = desk.fails(&["keygen", "keys/centre"]);
    assert!(code == Some(2) && complaint.contains("keys/centre.key"), "{complaint}");
}

#[test]
fn a_signed_plan_that_was_changed_or_is_signed_by_others_has_status_2() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(desk.path("evening.json")).unwrap();
    desk.write("changed.json", &text.replace("3000000", "3000001"));
    let (code, complaint) = desk.fails(&["check", "changed.json"]);
    assert!(code == Some(2) && complaint.contains("bad-digest"), "{complaint}");
    desk.ok(&["keygen", "other"]);
    desk.ok(&["sign", "evening.toml", "--key", "other.key", "--output", "other.json"]);
    let (code, complaint) = desk.fails(&["check", "other.json", "--keys", "keys"]);
    assert!(code == Some(2) && complaint.contains("unknown-key"), "{complaint}");
}

#[test]
fn a_plan_that_makes_no_sense_is_not_signed() {
    let desk = Desk::new();
    for (from, to, word) in [
        ("epoch = 7", "epoch = 0", "out-of-limits"),
        ("unit = \"WT02\"", "unit = \"WT01\"", "unknown-name"),
        ("request = \"stop\"", "request = \"sleep\"", "unknown variant"),
        ("[limits]", "[limits]\ngold = 1", "unknown field"),
    ] {
        desk.change(from, to, "bad.toml");
        let (code, complaint) = desk.fails(&["sign", "bad.toml", "--key", "keys/centre.key"]);
        assert!(code == Some(2) && complaint.contains(word) && complaint.contains("bad.toml"), "{complaint}");
    }
}

#[test]
fn a_difference_is_shown_by_what_it_means() {
    let desk = Desk::new();
    desk.change("powerLimitW = 3000000", "powerLimitW = 2500000", "later.toml");
    let output = desk.takt(&["diff", "evening.json", "later.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("~ demands[WT01].powerLimitW: 3000000 -> 2500000\n1 changes"), "{text}");
    let json = desk.takt(&["diff", "--json", "evening.json", "later.toml"]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert!(json["deltaBytes"].as_u64().unwrap() < 100, "{json}");
    assert!(desk.ok(&["diff", "evening.toml", "evening.json"]).starts_with("0 changes"));
}

/// An agent that gives these answers, one after the other, and keeps what it was asked.
fn agent(desk: &Desk, answers: Vec<Answer>) -> Arc<Mutex<Vec<Ask>>> {
    let listener = UnixListener::bind(desk.path("plans.sock")).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            kept.lock().unwrap().push(Ask::decode(read_frame(&mut stream).unwrap()).unwrap());
            let (kind, body) = answer.encode();
            write_frame(&mut stream, kind, &body).unwrap();
        }
    });
    asked
}

fn id(desk: &Desk) -> PlanId {
    SignedPlan::from_json(&std::fs::read(desk.path("evening.json")).unwrap()).unwrap().id()
}

fn taken(desk: &Desk, stage: Stage) -> Answer {
    Answer::Verdict(Verdict::Taken { id: id(desk), stage })
}

fn status(desk: &Desk, in_force: u32, given_up: Option<Refusal>) -> Answer {
    let entry = |epoch, stage, refusal| PlanEntry {
        name: "evening".to_owned(),
        epoch,
        digest: Some(id(desk).digest),
        stage,
        refusal,
        ..PlanEntry::default()
    };
    Answer::Status(Box::new(PlanStatus {
        site: "north-field".to_owned(),
        in_force: entry(in_force, Stage::Soaking, None),
        given_up: given_up.map(|refusal| entry(7, Stage::RolledBack, Some(refusal))),
        ..PlanStatus::default()
    }))
}

#[test]
fn publish_offers_the_file_and_tells_the_verdict() {
    let desk = Desk::new();
    let asked = agent(&desk, vec![taken(&desk, Stage::Staged)]);
    let verdict = desk.json(&["publish", "evening.json", "--socket", "plans.sock", "--json"]);
    assert_eq!((&verdict["verdict"], &verdict["stage"]), (&"taken".into(), &"staged".into()));
    let asked = asked.lock().unwrap();
    let Ask::Offer(json) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(SignedPlan::from_json(json).unwrap().id(), id(&desk));
}

#[test]
fn publish_waits_until_the_plan_is_in_force() {
    let desk = Desk::new();
    let answers = vec![taken(&desk, Stage::Staged), status(&desk, 6, None), status(&desk, 7, None)];
    agent(&desk, answers);
    let text = desk.ok(&["publish", "evening.json", "--socket", "plans.sock", "--wait"]);
    assert!(text.contains("plan 7") && text.contains("soaking"), "{text}");
}

#[test]
fn a_plan_that_is_given_up_while_publish_waits_has_status_1_and_the_reason() {
    let desk = Desk::new();
    let refusal = Reason::FailedSoak.because("unit WT01 tripped");
    agent(&desk, vec![taken(&desk, Stage::Staged), status(&desk, 6, Some(refusal))]);
    let output = desk.takt(&["publish", "evening.json", "--socket", "plans.sock", "--wait"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("failed-soak: unit WT01 tripped"));
}

#[test]
fn what_is_not_signed_is_not_published_and_nobody_to_publish_to_has_status_3() {
    let desk = Desk::new();
    let (code, complaint) = desk.fails(&["publish", "evening.toml", "--socket", "plans.sock"]);
    assert!(code == Some(2) && complaint.contains("takt plan sign"), "{complaint}");
    let (code, complaint) = desk.fails(&["publish", "evening.json", "--socket", "plans.sock"]);
    assert!(code == Some(3) && complaint.contains("--socket"), "{complaint}");
}

#[test]
fn the_status_is_for_people_and_for_scripts() {
    let desk = Desk::new();
    let refusal = Reason::Asked.because("somebody asked for it");
    agent(&desk, vec![status(&desk, 6, Some(refusal.clone())), status(&desk, 6, Some(refusal))]);
    let text = desk.ok(&["status", "--socket", "plans.sock"]);
    assert!(text.contains("in force") && text.contains("asked: somebody asked for it"), "{text}");
    let json = desk.json(&["status", "--socket", "plans.sock", "--json"]);
    assert_eq!(json["givenUp"]["refusal"]["reason"], "asked");
}
