//! Network namespaces, by the `ip` program.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::LabError;
use crate::kick::{Kick, signal};

/// Runs `ip` with these arguments; gives its output.
///
/// # Errors
/// If it is missing, or refuses.
pub fn ip(arguments: &[&str]) -> Result<String, LabError> {
    run(arguments, "")
}

/// Runs many commands of `ip` in one process, in a namespace: quick, and in order.
///
/// # Errors
/// As [`ip`].
pub fn batch(namespace: &str, lines: &[String]) -> Result<(), LabError> {
    run(&["-n", namespace, "-batch", "-"], &lines.join("\n")).map(drop)
}

fn run(arguments: &[&str], input: &str) -> Result<String, LabError> {
    let failed = |why: String| LabError::Network { command: format!("ip {}", arguments.join(" ")), why };
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

/// A network namespace; dropped, it ends its processes and is removed.
///
/// Its name is `PREFIX-PID-NUMBER-ROLE`, with the id of the process that owns it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// Namespaces that this process made: a number of its own for each.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    /// Makes a namespace of this process for `role`.
    ///
    /// # Errors
    /// Without root, or if `ip` is missing.
    pub fn new(prefix: &str, role: &str) -> Result<Self, LabError> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        batch(namespace.name(), &["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file by which it is entered.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Kills every process in it: all of them were started by its owner.
    pub fn kill_all(&self) {
        kill_all(&self.name);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Moves the calling thread, and those that it will create, into a namespace.
///
/// # Errors
/// If the namespace is none, or without root.
pub fn enter(file: &Path) -> std::io::Result<()> {
    let file = File::open(file)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

fn kill_all(name: &str) {
    let Ok(pids) = ip(&["netns", "pids", name]) else { return };
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        // The owner's own threads enter the namespace too.
        if pid != std::process::id() {
            let _ = signal(pid, Kick::Kill);
        }
    }
}

fn remove(name: &str) {
    kill_all(name);
    let _ = ip(&["netns", "delete", name]);
}

/// Removes what owners left that were killed: the names hold the id of a process that is no more.
pub fn remove_stale(prefix: &str) {
    let Ok(list) = ip(&["netns", "list"]) else { return };
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        if owner(prefix, name).is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            remove(name);
        }
    }
}

fn owner(prefix: &str, name: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.strip_prefix('-')?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_the_prefix_have_an_owner() {
        assert_eq!(owner("takt-drill", "takt-drill-123-0-field"), Some(123));
        for other in ["takt-drill-x-a", "takt-drill-123", "cni-123-a", "123"] {
            assert_eq!(owner("takt-drill", other), None, "{other}");
        }
    }
}
