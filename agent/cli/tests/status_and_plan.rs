//! `takt status`, `takt plan` and `takt demo` as a script meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agent_status::{Commands, Phase, Plan, Realtime, Report, Unit, Value};
use tempfile::TempDir;

fn takt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Answers one request on a socket.
struct Answering {
    folder: TempDir,
}

impl Answering {
    fn with(status: &'static str, body: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("takt.sock")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /v1/report "));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        });
        Self { folder }
    }

    fn socket(&self) -> String {
        self.folder.path().join("takt.sock").display().to_string()
    }
}

fn report() -> Report {
    Report {
        version: "0.1.0".to_owned(),
        site: "north-field".to_owned(),
        uptime_s: 12.0,
        phase: Phase::Running,
        groups: Vec::new(),
        units: Vec::new(),
        devices: Vec::new(),
        commands: Commands::default(),
        mqtt: None,
        plan: Plan { name: "evening".to_owned(), epoch: 3, ..Plan::default() },
        realtime: Realtime { wanted: "required".to_owned(), obtained: true, ..Realtime::default() },
        pair: None,
        fleet: None,
        traces: agent_status::Traces::default(),
    }
}

#[test]
fn status_without_an_agent_has_status_3_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("takt.sock").display().to_string();
    for how in ["--json", "--once"] {
        let output = takt(&["status", "--socket", &socket, how]);
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout.is_empty());
        let complaint = stderr(&output);
        assert!(complaint.contains(&socket) && complaint.contains("no agent answers"), "{complaint}");
        assert!(complaint.contains("remedy: ") && complaint.contains("--socket"), "{complaint}");
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_no_agent_either() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("takt.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let output = takt(&["status", "--socket", &socket.display().to_string(), "--once"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no agent answers"));
}

#[test]
fn an_answer_that_is_no_report_has_status_3() {
    for (status, body) in [("200 OK", "{\"hello\": 1}"), ("404 Not Found", "nothing")] {
        let agent = Answering::with(status, body.to_owned());
        let output = takt(&["status", "--socket", &agent.socket(), "--once"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains("the answer is no report"), "{}", stderr(&output));
    }
}

#[test]
fn the_json_is_the_agents_report() {
    let agent = Answering::with("200 OK", serde_json::to_string(&report()).unwrap());
    let output = takt(&["status", "--socket", &agent.socket(), "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Report>(&output.stdout).unwrap(), report());
}

#[test]
fn values_under_a_standard_s_names_are_shown_where_the_agent_has_them() {
    let known = [("WTUR.W", Value::Number(5e6)), ("WTRM.BrkOpMod", Value::Word("released".to_owned()))];
    let unit = |name: &str, values: &[(&str, Value)]| Unit {
        name: name.to_owned(),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        ..Unit::default()
    };
    let units = vec![unit("WT01", &known), unit("WT02", &known[..1])];
    let agent = Answering::with("200 OK", serde_json::to_string(&Report { units, ..report() }).unwrap());
    let text = String::from_utf8(takt(&["status", "--socket", &agent.socket(), "--once"]).stdout).unwrap();
    let row = |name: &str| {
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).rfind(|l| l.first() == Some(&name))
    };
    assert_eq!(row("UNIT").unwrap(), ["UNIT", "WTRM.BrkOpMod", "WTUR.W"], "{text}");
    assert_eq!(row("WT01").unwrap(), ["WT01", "released", "5000000.00"]);
    assert_eq!(row("WT02").unwrap(), ["WT02", "-", "5000000.00"]);
}

#[test]
fn a_degraded_agent_has_status_1_and_the_reasons_are_shown() {
    let mut degraded = report();
    degraded.plan.refused = Some("plan.toml:3:8: no such unit".to_owned());
    let agent = Answering::with("200 OK", serde_json::to_string(&degraded).unwrap());
    let output = takt(&["status", "--socket", &agent.socket(), "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("plan.toml:3:8: no such unit"), "{}", stdout(&output));
}

fn plan_file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn the_example_plan_is_sound() {
    let example: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plan.toml");
    let example = example.display().to_string();
    let output = takt(&["plan", "check", &example]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("plan `evening`, epoch 1: 2 units"), "{}", stdout(&output));

    let output = takt(&["plan", "check", "--json", &example]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["units"][0]["power_limit_kw"], 3000.0);
    assert_eq!(plan["units"][1]["request"], "stop");
}

#[test]
fn a_wrong_plan_has_status_2_and_the_complaint_names_file_line_and_remedy() {
    let mistakes = [
        ("name = \"x\"\n[[unit]]\nname = \"A\"\nrequest = \"fly\"\n", "4:11", "unknown variant `fly`"),
        (
            "name = \"x\"\n[[unit]]\nname = \"A\"\nrequest = \"run\"\nlimit = 3\n",
            "5:1",
            "unknown field `limit`",
        ),
        (
            "name = \"x\"\n[[unit]]\nname = \"A\"\nrequest = \"run\"\npower_limit_kw = -3\n",
            "5:18",
            "power_limit_kw is -3",
        ),
        ("name = \"x\"\nname = \"y\"\n", "2:1", "duplicate"),
        ("name = \n", "1:8", ""),
    ];
    for (text, place, what) in mistakes {
        let (_folder, path) = plan_file(text);
        let output = takt(&["plan", "check", &path]);
        let complaint = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(&format!("{path}:{place}: ")), "not at {place}: {complaint}");
        assert!(complaint.contains(what) && complaint.contains("remedy: "), "{complaint}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_plan_that_is_not_there_has_status_2() {
    let output = takt(&["plan", "check", "/nonexistent/plan.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/plan.toml: cannot be read"), "{}", stderr(&output));
}

#[test]
fn every_command_with_exit_codes_of_its_own_explains_them() {
    for command in [&["demo"][..], &["status"], &["plan", "check"], &["doctor"]] {
        let help = stdout(&takt(&[command, &["--help"]].concat()));
        let lower = help.to_lowercase();
        assert!(lower.contains("exit code") || lower.contains("exit status"), "{help}");
    }
}
