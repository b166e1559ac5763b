//! Takeovers as the devices saw them, by `takt drill`, for the same report.

use std::process::Command;

use latency_tests_harness::report::Finding;
use serde_json::{Map, Value};

use crate::Options;
use crate::demo::beside;

/// One fault of each kind that is timed: the parent resigns, the gate shuts, the nodes agree.
const FAULTS: [&str; 3] = ["kill", "stop", "planned"];

/// The drills' findings by fault.
pub(crate) fn measure(options: &Options) -> Result<Map<String, Value>, String> {
    let takt = beside("takt")?;
    let trials = if options.quick { 2 } else { options.rounds };
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut found = Map::new();
    for fault in FAULTS {
        eprintln!("drill: {fault}, {trials} trials");
        let file = folder.path().join(format!("{fault}.json"));
        let output = Command::new(&takt)
            .args(["drill", "--fault", fault, "--trials", &trials.to_string(), "--json"])
            .arg(&file)
            .output()
            .map_err(|error| format!("{}: {error}", takt.display()))?;
        // It ends with 1 if a promise was not kept: that is a finding. Without a file there is none.
        let json = std::fs::read(&file).map_err(|_| {
            let words = String::from_utf8_lossy(&output.stderr);
            format!("takt drill: {}", words.trim().lines().last().unwrap_or("no finding"))
        })?;
        let mut drill: Map<String, Value> =
            serde_json::from_slice(&json).map_err(|error| format!("takt drill: {error}"))?;
        drill.remove("each");
        found.insert(fault.to_owned(), Value::Object(drill));
    }
    Ok(found)
}

/// The drills in a table.
pub(crate) fn finding(found: &Map<String, Value>) -> Finding {
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.1}"));
    let count = |value: &Value| value.as_u64().map_or("-".to_owned(), |count| count.to_string());
    let row = |(fault, drill): (&String, &Value)| {
        let takeover = &drill["takeover_ms"];
        vec![
            fault.clone(),
            count(&drill["trials"]),
            number(&takeover["p50"]),
            number(&takeover["p99"]),
            number(&takeover["max"]),
            count(&drill["dual_writes"]),
            count(&drill["lost_commands"]),
            count(&drill["duplicated_commands"]),
            drill["broken"].as_array().map_or(String::new(), |broken| {
                broken.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
            }),
        ]
    };
    Finding {
        title: "Takeovers: without a write at the slowest turbine, ms".to_owned(),
        columns: ["fault", "trials", "p50", "p99", "max", "dual writes", "lost", "twice", "promises broken"]
            .map(str::to_owned)
            .into(),
        rows: found.iter().map(row).collect(),
        meaning: "kill: the parent of a dead agent resigns for it. stop: the kernel's gate shuts, and the other node waits \
                  until it must have. planned: both agree on a cycle."
            .to_owned(),
    }
}
