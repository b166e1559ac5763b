//! The command line as a user and a script meet it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

fn takt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).args(args).env_remove("NO_COLOR").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_wrong_command_line_has_status_2_and_says_where_help_is() {
    let output = takt(&["doctor", "--frobnicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--help"));
}

#[test]
fn every_subcommand_explains_itself() {
    let help = stdout(&takt(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // A name is indented by two spaces, the rest of a long explanation by more.
    let named = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names: Vec<_> =
        commands.lines().filter(named).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"completion") && names.contains(&"doctor"), "{help}");
    for name in names {
        assert!(stdout(&takt(&["help", name])).contains("Usage: takt"), "{name}");
    }
}

#[test]
fn each_shell_gets_a_script_that_names_the_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = takt(&["completion", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(stdout(&output).contains("completion"), "{shell}");
    }
}

#[test]
#[cfg_attr(not(takt_bash), ignore = "needs bash")]
fn the_bash_script_is_valid_bash() {
    let script = stdout(&takt(&["completion", "bash"]));
    let checked = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_doctor_speaks_plain_text_to_what_is_no_terminal() {
    let output = takt(&["doctor"]);
    assert!(!output.stdout.contains(&0x1b), "colours in a pipe");
    assert!(stdout(&output).contains("wake-up delay"));
}

#[test]
fn the_doctors_json_has_the_verdict_of_its_exit_status() {
    let output = takt(&["doctor", "--json", "--priority", "70"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let status = match report["verdict"].as_str().unwrap() {
        "fit" => 0,
        "degraded" => 1,
        "unfit" => 3,
        other => panic!("{other}"),
    };
    assert_eq!(output.status.code(), Some(status));
    assert_eq!(report["priority"], 70);
    for finding in report["findings"].as_array().unwrap() {
        for field in ["check", "status", "found", "errno", "meaning", "remedy"] {
            assert!(finding.get(field).is_some(), "{field} in {finding}");
        }
    }
}

#[test]
fn a_core_that_does_not_exist_makes_the_machine_unfit_and_shows_the_errno() {
    let output = takt(&["doctor", "--core", "1023"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("EINVAL"));
}

#[test]
fn a_priority_out_of_range_is_a_wrong_command_line() {
    for priority in ["0", "100", "high"] {
        assert_eq!(takt(&["doctor", "--priority", priority]).status.code(), Some(2), "{priority}");
    }
}
