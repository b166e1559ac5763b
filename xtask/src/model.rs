//! `cargo xtask model`: explore the pair protocol, built with optimisation.

use crate::Failure;
use crate::process::{cargo, run};

/// The package that explores.
const PACKAGE: &str = "failover-model";

/// Builds the explorer in release mode and runs it with the given arguments.
///
/// # Errors
/// If the build fails, an invariant is broken, or a mutant is missed.
pub fn model(arguments: &[String]) -> Result<(), Failure> {
    run(cargo().args(["run", "--release", "--package", PACKAGE, "--"]).args(arguments))
}
