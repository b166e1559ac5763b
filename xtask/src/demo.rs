//! `cargo xtask demo`: build the programs, then let `takt demo` take over the terminal.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::Failure;
use crate::process;

/// The packages whose programs the demo starts.
const PACKAGES: [&str; 3] = ["agent-cli", "agent-daemon", "sim-cli"];

/// The programs that must come out of the build; the first one is started.
const PROGRAMS: [&str; 3] = ["takt", "takt-agent", "takt-sim"];

/// Builds the programs in release mode and becomes `takt demo` with the given arguments.
///
/// # Errors
/// If the build fails, a program is missing from it, or `takt` cannot be started. On success it does
/// not return: signals and the exit code are those of `takt demo` itself.
pub fn demo(arguments: &[String]) -> Result<std::convert::Infallible, Failure> {
    let takt = build()?;
    let mut command = Command::new(&takt);
    command.arg("demo").args(arguments);
    println!("$ {}", process::shown(&command));
    let error = command.exec();
    Err(Failure::new(format!("{} cannot be started: {error}", takt.display()), "build it again"))
}

/// Builds the programs; cargo shows its progress. Returns the path of `takt`.
///
/// Where the programs are is cargo's to say: its messages are right with any target folder.
fn build() -> Result<PathBuf, Failure> {
    let mut command = process::cargo();
    command.args(["build", "--release", "--message-format=json-render-diagnostics"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    println!("$ {}", process::shown(&command));
    let (status, messages) = process::output(&mut command)?;
    process::succeeded(&command, status)?;
    let built = programs(&messages);
    let find = |name: &str| {
        built.iter().find(|(program, _)| program == name).map(|(_, path)| path.clone()).ok_or_else(|| {
            Failure::new(
                format!("the build made no program `{name}`"),
                format!("see that one of {PACKAGES:?} has a [[bin]] of that name"),
            )
        })
    };
    let [takt, agent, sim] = PROGRAMS;
    find(agent)?;
    find(sim)?;
    find(takt)
}

/// The programs that cargo's build messages name, each with its path.
fn programs(messages: &str) -> Vec<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let parse = |line: &str| serde_json::from_str::<Message>(line).ok();
    messages.lines().filter_map(parse).filter_map(|m| Some((m.target.name, m.executable?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_the_build_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"hal_units","kind":["lib"]},"executable":null}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","target":{"name":"takt","kind":["bin"]},"executable":"/somewhere/release/takt"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), [("takt".to_owned(), PathBuf::from("/somewhere/release/takt"))]);
    }
}
