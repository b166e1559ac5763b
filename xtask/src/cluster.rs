//! `cargo xtask cluster`: the pair as pods in a real Kubernetes cluster of two nodes.

use std::process::Command;

use crate::Failure;
use crate::process::{cargo, run};
use crate::statically::statically;
use crate::testenv::testenv;
use crate::workspace::Workspace;

/// The programs of the image.
const IN_IMAGE: [&str; 3] = ["agent-daemon", "k8s-sidecar", "agent-cli"];

/// Compiles what is missing, builds the programs and those of the image, and runs the cluster with the given
/// arguments.
///
/// # Errors
/// If something does not compile, the cluster cannot be built, or a promise was broken.
pub fn cluster(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    // Without nodes neither their programs nor an image are needed.
    let api_only = arguments.iter().any(|argument| argument == "--api-only");
    let programs = testenv(&workspace.root, !api_only)?;
    let image = if api_only { None } else { Some(statically(workspace, &IN_IMAGE)?) };
    // All of them, as for the demo: a selection would be built with other features, and so anew.
    run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let mut cluster = Command::new(workspace.target.join("release/takt-cluster"));
    cluster.arg("--programs").arg(programs).arg("--sources").arg(workspace.root.join("k8s"));
    if let Some(image) = image {
        cluster.arg("--image").arg(image);
    }
    run(cluster.args(arguments))
}
