//! `cargo xtask latency`: measure beside peers, built with optimisation, and write a report.

use crate::Failure;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// The package that measures.
const PACKAGE: &str = "latency-tests-cli";

/// Builds the instrument in release mode and runs all its probes with the given arguments; the report lies in
/// `target/latency` afterwards.
///
/// # Errors
/// If the build fails, or the agent's own figures cannot be measured.
pub fn latency(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let folder = workspace.root.join("target/latency");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display()), ""))?;
    // One of the probes starts the demo, and that the programs beside it.
    run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    run(cargo()
        .args(["run", "--release", "--package", PACKAGE, "--", "all"])
        .arg("--html")
        .arg(folder.join("report.html"))
        .arg("--json")
        .arg(folder.join("report.json"))
        .args(arguments))
}
