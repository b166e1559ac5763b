//! Programs that bring their C library with them: for images and machines that hold nothing else.

use std::path::PathBuf;

use crate::Failure;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// Named, so that what runs at build time is linked as usual.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the programs of these packages, and gives their folder. They lie apart from the ordinary ones.
///
/// # Errors
/// If something does not compile.
pub fn statically(workspace: &Workspace, packages: &[&str]) -> Result<PathBuf, Failure> {
    let folder = workspace.target.join("static");
    let mut build = cargo();
    build.args(["build", "--release", "--bins", "--target", TARGET, "--target-dir"]).arg(&folder);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(&mut build)?;
    Ok(folder.join(TARGET).join("release"))
}
