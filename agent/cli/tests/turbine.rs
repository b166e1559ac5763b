//! `takt turbine tune` as its users meet it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A rotor in ROSCO's text format, by the formula of Heier (Grid Integration of Wind Energy, 1998).
fn rotor_text() -> String {
    let (pitches, ratios) = ((0..=40).map(f64::from), (8..=60).map(|k| f64::from(k) / 4.0));
    let join = |values: Vec<String>| values.join(" ");
    let mut text = join(pitches.clone().map(|p| p.to_string()).collect());
    write!(text, "\n{}\n10\n", join(ratios.clone().map(|r| r.to_string()).collect())).unwrap();
    let power = |ratio: f64, beta: f64| {
        let inverse = 1.0 / (ratio + 0.08 * beta) - 0.035 / (beta * beta * beta + 1.0);
        0.5176 * (116.0 * inverse - 0.4 * beta - 5.0) * (-21.0 * inverse).exp() + 0.0068 * ratio
    };
    let thrust = |_: f64, beta: f64| (0.9 - 0.02 * beta).max(0.05);
    for value in [&power as &dyn Fn(f64, f64) -> f64, &thrust, &|ratio, beta| power(ratio, beta) / ratio] {
        for ratio in ratios.clone() {
            let row = pitches.clone().map(|beta| format!("{:.7}", value(ratio, beta))).collect();
            writeln!(text, "{}", join(row)).unwrap();
        }
    }
    text
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        std::fs::write(desk.path("rotor.txt"), rotor_text()).unwrap();
        std::fs::write(desk.path("turbine.toml"), control_loops_tuning::NREL_5MW).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tune(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_takt"))
            .args(["turbine", "tune", "--rotor-table", "rotor.txt"])
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }
}

#[test]
fn gains_schedule_and_margins_are_printed_and_drawn() {
    let desk = Desk::new();
    let output = desk.tune("--turbine turbine.toml --svg schedule.svg");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for needed in ["NREL 5-MW", "baseline law: k", "Takt law: speed loop 0.600", "pitch deg", "delay ms"] {
        assert!(text.contains(needed), "{needed} is not in\n{text}");
    }
    assert!(std::fs::read_to_string(desk.path("schedule.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn the_same_as_json() {
    let output = Desk::new().tune("--turbine turbine.toml --json");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let schedule = found["schedule"].as_array().unwrap();
    assert_eq!(schedule.len(), 45, "3 to 25 m/s in halves");
    let last = schedule.last().unwrap();
    assert!((last["power_kw"].as_f64().unwrap() - 5000.0).abs() < 1.0, "{last}");
    assert!(found["margins"].as_array().unwrap().len() > 10);
    assert!(found["takt"]["sensitivity_radps2_per_rad"].as_array().unwrap().len() > 10);
}

#[test]
fn bad_input_is_refused_with_file_and_remedy() {
    let desk = Desk::new();
    std::fs::write(desk.path("bad.toml"), control_loops_tuning::NREL_5MW.replace("63.0", "0.0")).unwrap();
    for (arguments, needed) in [
        ("--turbine bad.toml", "bad.toml: rotor.radius_m is 0"),
        ("--turbine none.toml", "none.toml: cannot be read"),
    ] {
        let output = desk.tune(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(needed) && complaint.contains("remedy:"), "{complaint}");
    }
    let output = desk.tune("--turbine turbine.toml --svg none/schedule.svg");
    assert_eq!(output.status.code(), Some(1));
}
