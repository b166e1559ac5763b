//! `cargo xtask test`: provide the real parts, run every test, sum up what happened.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Failure;
use crate::libtest::{Reader, Report};
use crate::parts::{self, API_SERVER, DATA_VARIABLE, Found};
use crate::process;
use crate::workspace::Workspace;

/// What proptest reads its seed from.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";
/// The seed of a run that names none.
const SEED: &str = "5";

/// What of the tests is to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these packages; empty means the whole workspace.
    pub packages: Vec<String>,
    /// Only tests whose name contains one of these; empty means all.
    pub filters: Vec<String>,
    /// Leave the machine as it is: install nothing.
    pub install_nothing: bool,
}

/// The tests that ran, in numbers; prints as the closing line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed, and suites that did not finish.
    pub failed: u32,
    /// Tests that were ignored.
    pub skipped: u32,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tests: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Whether this is a run of the continuous integration, where a missing part is a failure.
#[must_use]
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Runs the tests and prints the summary. The tally is there as soon as tests could run at all.
///
/// # Errors
/// The first value is the tally, if tests ran; the second says what failed.
pub fn test(workspace: &Workspace, selection: &Selection) -> (Option<Tally>, Result<(), Failure>) {
    let found = match parts::provide(workspace, !selection.install_nothing) {
        Ok(found) => found,
        Err(failure) => return (None, Err(failure)),
    };
    if in_ci()
        && let Some(missing) = found.missing.first()
    {
        let what = format!("in CI every part must be there, but {}", missing.what);
        return (None, Err(Failure::new(what, missing.remedy.clone())));
    }
    match build(workspace, selection, &found).and_then(|suites| execute(selection, &found, &suites)) {
        Ok((report, succeeded, time)) => {
            let tally = tally(&report, succeeded);
            print!("{}", summary(&report, &found, tally, time));
            let stale = if in_ci() { ignored_for_a_part(&report) } else { Ok(()) };
            (Some(tally), verdict(&report, tally, succeeded).and(stale))
        }
        Err(failure) => (None, Err(failure)),
    }
}

/// The names of the suites by the file name of their programs.
type Suites = HashMap<String, String>;

/// Builds all test programs, with cargo's progress and colours in the terminal.
fn build(workspace: &Workspace, selection: &Selection, found: &Found) -> Result<Suites, Failure> {
    let mut command = cargo_test(selection, found);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    println!("$ {}", process::shown(&command));
    let (status, messages) = process::output(&mut command)?;
    process::succeeded(&command, status)?;
    Ok(suites(&messages, workspace))
}

/// Runs the test programs that were built.
fn execute(
    selection: &Selection,
    found: &Found,
    suites: &Suites,
) -> Result<(Report, bool, Duration), Failure> {
    let mut command = cargo_test(selection, found);
    command.arg("--no-fail-fast");
    if !selection.filters.is_empty() {
        command.arg("--").args(&selection.filters);
    }
    let mut reader = Reader::default();
    let started = Instant::now();
    let (status, left_behind) = process::each_line(command, |line| {
        println!("{line}");
        reader.take(line, |file| suites.get(file).cloned());
    })?;
    if left_behind {
        println!("note: a test left a process behind that still holds its outputs open");
    }
    Ok((reader.finish(), status.success(), started.elapsed()))
}

fn cargo_test(selection: &Selection, found: &Found) -> std::process::Command {
    let mut command = process::cargo();
    command.arg("test");
    if selection.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &selection.packages {
        command.args(["--package", package]);
    }
    if let Some(folder) = &found.data {
        command.env(DATA_VARIABLE, folder);
    }
    // A run repeats: the same inputs on every machine. Other inputs are explored on purpose, by setting it.
    if env::var_os(SEED_VARIABLE).is_none() {
        command.env(SEED_VARIABLE, SEED);
    }
    command
}

/// Reads the test programs out of cargo's build messages.
fn suites(messages: &str, workspace: &Workspace) -> Suites {
    #[derive(Deserialize)]
    struct Message {
        package_id: String,
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        src_path: PathBuf,
    }
    let mut suites = Suites::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()) {
        let Some(file) = message.executable.as_deref().and_then(Path::file_name) else { continue };
        let Some(package) = workspace.packages.iter().find(|p| p.id == message.package_id) else { continue };
        let source = message.target.src_path.strip_prefix(package.folder()).unwrap_or(Path::new(""));
        suites.insert(file.display().to_string(), format!("{} {}", package.name, source.display()));
    }
    suites
}

/// Suites without a closing line count as failed only if cargo says that something failed: otherwise
/// they are programs without the usual frame, and passed.
fn tally(report: &Report, succeeded: bool) -> Tally {
    let unfinished = u32::try_from(report.unfinished.len()).unwrap_or(u32::MAX);
    let skipped = u32::try_from(report.ignored.len()).unwrap_or(u32::MAX);
    if succeeded {
        Tally { passed: report.passed + unfinished, failed: report.failed, skipped }
    } else {
        Tally { passed: report.passed, failed: report.failed + unfinished, skipped }
    }
}

fn verdict(report: &Report, tally: Tally, succeeded: bool) -> Result<(), Failure> {
    if tally.failed > 0 || !succeeded {
        let named = report.failures.first().map(|t| format!(": `{}` of {}", t.test, t.suite));
        let died = report.unfinished.first().map(|suite| format!(": {suite} died or failed as a whole"));
        let first = named.or(died).unwrap_or_default();
        let what =
            format!("{} failed{first}{}", tally.failed, if tally.failed > 1 { " and more" } else { "" });
        return Err(Failure::new(what, "run one again: cargo xtask test --package PACKAGE NAME_OF_THE_TEST"));
    }
    if tally.passed == 0 {
        return Err(Failure::new("no test ran", "correct the names of the packages or tests"));
    }
    Ok(())
}

/// In CI every part is there: a test that is ignored for want of one was built without looking for it.
fn ignored_for_a_part(report: &Report) -> Result<(), Failure> {
    let wanted = |reason: &str| {
        let reason = reason.to_lowercase();
        let parts = parts::PARTS.iter().map(|part| part.name.to_lowercase());
        parts
            .chain([DATA_VARIABLE.to_lowercase(), API_SERVER.to_lowercase()])
            .any(|name| reason.contains(&name))
    };
    match report.ignored.iter().find(|(_, reason)| wanted(reason)) {
        None => Ok(()),
        Some((test, reason)) => Err(Failure::new(
            format!("`{}` of {} was ignored ({reason}), but the part is there", test.test, test.suite),
            "let the package's build.rs look for the part again, e.g. with cargo:rerun-if-changed",
        )),
    }
}

/// The text after the run: failures, ignored tests with their reasons, missing parts, the tally.
fn summary(report: &Report, found: &Found, tally: Tally, time: Duration) -> String {
    let mut text = format!("\n{} suites in {:.1} s\n", report.suites, time.as_secs_f64());
    for failed in &report.failures {
        text.push_str(&format!("FAILED   {}: {}\n", failed.suite, failed.test));
    }
    for suite in &report.unfinished {
        text.push_str(&format!(
            "no count {suite}: it died, or is no usual test program; cargo's verdict counts\n"
        ));
    }
    for (ignored, reason) in &report.ignored {
        let reason = if reason.is_empty() { "no reason given" } else { reason };
        text.push_str(&format!("ignored  {}: {}: {reason}\n", ignored.suite, ignored.test));
    }
    for missing in &found.missing {
        text.push_str(&format!("missing  {missing}\n"));
    }
    text.push_str(&format!("{tally}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::TestName;

    fn report(passed: u32, unfinished: &[&str]) -> Report {
        let unfinished = unfinished.iter().map(|s| (*s).to_owned()).collect();
        Report { passed, unfinished, ..Report::default() }
    }

    #[test]
    fn a_suite_without_a_count_passes_with_cargo() {
        assert_eq!(tally(&report(3, &["a"]), true), Tally { passed: 4, failed: 0, skipped: 0 });
    }

    #[test]
    fn a_suite_without_a_count_fails_with_cargo() {
        assert_eq!(tally(&report(3, &["a"]), false), Tally { passed: 3, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_run_in_which_cargo_fails_is_never_a_success() {
        let report = report(3, &[]);
        assert!(verdict(&report, tally(&report, false), false).is_err());
    }

    #[test]
    fn a_run_without_tests_is_never_a_success() {
        assert!(verdict(&report(0, &[]), Tally::default(), true).is_err());
    }

    fn ignored_for(reason: &str) -> Report {
        let name = TestName { suite: "hal-mqtt".to_owned(), test: "it_survives".to_owned() };
        Report { passed: 2, ignored: vec![(name, reason.to_owned())], ..Report::default() }
    }

    #[test]
    fn a_test_that_misses_a_part_which_is_there_fails_in_ci() {
        assert!(ignored_for_a_part(&ignored_for("needs Mosquitto in PATH")).is_err());
        assert!(ignored_for_a_part(&ignored_for("needs TAKT_DATA")).is_err());
        assert!(ignored_for_a_part(&ignored_for("takes an hour")).is_ok());
    }

    #[test]
    fn the_summary_gives_the_reason_of_an_ignored_test_and_closes_with_the_tally() {
        let name = TestName { suite: "hal-mqtt".to_owned(), test: "it_survives".to_owned() };
        let report =
            Report { passed: 2, ignored: vec![(name, "needs a broker".to_owned())], ..Report::default() };
        let text = summary(&report, &Found::default(), tally(&report, true), Duration::ZERO);
        assert!(text.contains("ignored  hal-mqtt: it_survives: needs a broker\n"), "{text}");
        assert!(text.ends_with("tests: 2 passed, 0 failed, 1 skipped\n"), "{text}");
    }

    #[test]
    fn suites_are_named_after_package_and_source() {
        let package = r#"{"name":"hal-units","id":"path+file:///c/hal/units#0.1.0",
            "manifest_path":"/c/hal/units/Cargo.toml","dependencies":[]}"#;
        let workspace: Workspace = serde_json::from_str(&format!(
            r#"{{"workspace_root":"/c","target_directory":"/t","packages":[{package}]}}"#
        ))
        .unwrap();
        let messages = r#"{"reason":"compiler-artifact","package_id":"path+file:///c/hal/units#0.1.0","target":{"src_path":"/c/hal/units/tests/time.rs"},"executable":"/t/debug/deps/time-0a1b"}"#;
        assert_eq!(suites(messages, &workspace).get("time-0a1b").unwrap(), "hal-units tests/time.rs");
    }
}
