//! The cycle under LLVM's RealtimeSanitizer, in a build of its own.
//!
//! `Executive::cycle` is marked as a function that must not block; the sanitizer ends the program at the first
//! call in it that allocates, locks, or makes a system call that may wait. The counting allocator and the
//! system-call gate of the plain build see what such a cycle did, the sanitizer names the line.

use crate::Failure;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// The flags are unstable, and this is how the stable compiler takes them.
const FLAGS: &str = "-Zsanitizer=realtime --cfg takt_rtsan";

/// Runs the loops of both plant families, and shows that what is forbidden is caught.
///
/// # Errors
/// If a cycle does what it must not, or the sanitizer does not work here.
pub fn check(workspace: &Workspace) -> Result<(), Failure> {
    // With a target by name, build scripts are built without the sanitizer.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let tests = [("agent-cycle", "sanitizer"), ("agent-daemon", "steady_state")];
    tests.into_iter().try_for_each(|(package, test)| {
        let mut command = cargo();
        command.args(["test", "--package", package, "--test", test, "--target", &target, "--target-dir"]);
        command.arg(workspace.target.join("rtsan")).args(["--", "--nocapture"]);
        run(command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS))
    })
}
