//! Network namespaces, by the `ip` program.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::DrillError;

/// Runs `ip` with these arguments; gives its output.
pub(super) fn ip(arguments: &[&str]) -> Result<String, DrillError> {
    run(arguments, "")
}

/// Runs many commands of `ip` in one process, in a namespace: quick, and in order.
pub(super) fn batch(namespace: &str, lines: &[String]) -> Result<(), DrillError> {
    run(&["-n", namespace, "-batch", "-"], &lines.join("\n")).map(drop)
}

fn run(arguments: &[&str], input: &str) -> Result<String, DrillError> {
    let failed = |why: String| DrillError::Network { command: format!("ip {}", arguments.join(" ")), why };
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{error}; install iproute2")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A network namespace of the drill; dropped, it ends its processes and is removed.
pub(super) struct Namespace {
    name: String,
}

/// Begins every name; the drill's process id follows.
const PREFIX: &str = "takt-drill-";
/// Namespaces that this process made: a number of its own for each.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    /// Makes the namespace of this drill for `role`.
    pub(super) fn new(role: &str) -> Result<Self, DrillError> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        batch(namespace.name(), &["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file by which it is entered.
    pub(super) fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Kills every process in it: all of them were started by the drill.
    pub(super) fn kill_all(&self) {
        kill_all(&self.name);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Moves the calling thread, and those that it will create, into a namespace.
pub(super) fn enter(file: &Path) -> std::io::Result<()> {
    let file = File::open(file)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

fn kill_all(name: &str) {
    let Ok(pids) = ip(&["netns", "pids", name]) else { return };
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        // The drill's own threads enter the namespace too.
        if pid != std::process::id() {
            let _ = super::process::signal(pid, super::process::Kick::Kill);
        }
    }
}

fn remove(name: &str) {
    kill_all(name);
    let _ = ip(&["netns", "delete", name]);
}

/// Removes what drills left that were killed: their names hold the id of a process that is no more.
pub(super) fn remove_stale() {
    let Ok(list) = ip(&["netns", "list"]) else { return };
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        if owner(name).is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            remove(name);
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_drills_own_namespaces_have_an_owner() {
        assert_eq!(owner("takt-drill-123-0-field"), Some(123));
        for other in ["takt-drill-x-a", "takt-drill-123", "cni-123-a", "123"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
