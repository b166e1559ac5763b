//! `cargo xtask latency`: measure beside peers, built with optimisation, and write a report.

use crate::Failure;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// The program that measures.
const PROGRAM: &str = "takt-latency";

/// Builds the instrument in release mode and runs all its probes with the given arguments; the report lies in
/// `target/latency` afterwards.
///
/// # Errors
/// If the build fails, or the agent's own figures cannot be measured.
pub fn latency(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let folder = workspace.root.join("target/latency");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display()), ""))?;
    // One of the probes starts the demo, and that the programs beside it. Without a package's name both commands mean
    // the whole workspace, with the same features: nothing is built twice.
    run(cargo().args(["build", "--release", "--bins"]))?;
    run(cargo()
        .args(["run", "--release", "--bin", PROGRAM, "--", "all"])
        .arg("--html")
        .arg(folder.join("report.html"))
        .arg("--json")
        .arg(folder.join("report.json"))
        .args(arguments))
}
