//! The fuzz targets: that they build, and that a short fixed run of each finds nothing.
//!
//! Real fuzzing is a matter of hours on a machine of its own. The run here has a fixed seed and a fixed
//! number of inputs, so that it says the same each time: it shows that the targets work, and catches
//! what breaks at once.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// How many inputs each target gets.
const INPUTS: u32 = 20_000;

/// A target that is still running after so many seconds has shown enough.
const SECONDS_MAX: u32 = 60;

/// Builds all fuzz targets and runs each for a moment.
///
/// # Errors
/// If a target does not build, or an input makes one fail.
pub fn check(workspace: &Workspace) -> Result<(), Failure> {
    tools::FUZZ.provide()?;
    let target = workspace.target.join("fuzz");
    process::run(cargo_fuzz("build", workspace, &target).arg("--dev"))?;
    for name in targets(workspace)? {
        try_out(workspace, &target, &name)?;
    }
    Ok(())
}

/// Runs one target for a moment; what the fuzzer says is shown only if it found something.
fn try_out(workspace: &Workspace, target: &Path, name: &str) -> Result<(), Failure> {
    // The fuzzer adds what it finds interesting to the first folder, and learns from the others.
    let found = target.join("found").join(name);
    let unusable = |e: io::Error| Failure::new(format!("{}: {e}", found.display()), "make it writable");
    if found.exists() {
        fs::remove_dir_all(&found).map_err(unusable)?;
    }
    fs::create_dir_all(&found).map_err(unusable)?;
    let mut command = cargo_fuzz("run", workspace, target);
    command.args(["--dev", name]).arg(&found);
    let seeds = workspace.root.join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.args(["--", "-seed=1", "-timeout=10"]);
    command.arg(format!("-runs={INPUTS}")).arg(format!("-max_total_time={SECONDS_MAX}"));
    let mut said = Vec::new();
    let (status, _) = process::each_line(command, |line| said.push(line.to_owned()))?;
    if status.success() {
        let done = said.iter().rev().find(|line| line.starts_with("Done ")).map_or("done", String::as_str);
        println!("{name}: {done}");
        return Ok(());
    }
    println!("{}", said.join("\n"));
    Err(Failure::new(
        format!("the fuzz target {name} failed: {status}"),
        format!("repair the parser, and keep the input from fuzz/artifacts/{name} as a named test"),
    ))
}

/// The names of the targets, as `cargo fuzz` lists them.
fn targets(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut command = process::cargo();
    command.args(["fuzz", "list"]).current_dir(&workspace.root);
    let (status, text) = process::output(&mut command)?;
    process::succeeded(&command, status)?;
    let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::new("there is no fuzz target", "see fuzz/Cargo.toml"));
    }
    Ok(names)
}

/// `cargo fuzz` with the stable toolchain: its sanitizer flags are unstable, and this is how the stable
/// compiler takes them. So every machine that builds the project can build these, without a nightly.
fn cargo_fuzz(verb: &str, workspace: &Workspace, target: &Path) -> Command {
    let mut command = process::cargo();
    command.args(["fuzz", verb, "--target-dir"]).arg(target);
    command.current_dir(&workspace.root).env("RUSTC_BOOTSTRAP", "1");
    command
}
