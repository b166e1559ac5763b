//! Load beside a measurement, by stress-ng.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Kinds of load by name, and what stress-ng is told. Each keeps all cores busy, but for `idle`.
const PROFILES: [(&str, &[&str]); 7] = [
    ("idle", &[]),
    ("cpu", &["--cpu", "0"]),
    ("cache", &["--cache", "0"]),
    ("memory", &["--vm", "2", "--vm-bytes", "256M"]),
    ("io", &["--hdd", "1", "--hdd-bytes", "64M", "--iomix", "1"]),
    ("network", &["--sock", "1", "--udp", "1"]),
    (
        "all",
        &[
            "--cpu",
            "0",
            "--vm",
            "2",
            "--vm-bytes",
            "256M",
            "--hdd",
            "1",
            "--hdd-bytes",
            "64M",
            "--iomix",
            "1",
            "--sock",
            "1",
            "--udp",
            "1",
        ],
    ),
];

/// Why there is no load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The name.
    #[error("there is no load `{0}`; give one of: {known}", known = names().join(", "))]
    Unknown(String),
    /// Its files.
    #[error("no folder for the files of stress-ng: {0}")]
    Folder(std::io::Error),
    /// The program.
    #[error("stress-ng cannot be started: {0}; install it, or measure without load")]
    Start(std::io::Error),
}

/// The running program; dropped, it ends.
#[derive(Debug)]
pub struct Load {
    words: String,
    running: Option<(Child, TempDir)>,
}

/// The kinds of load.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PROFILES.iter().map(|(name, _)| *name).collect()
}

impl Load {
    /// Starts a kind of load, in a folder of its own.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn start(name: &str) -> Result<Self, LoadError> {
        let found = PROFILES.iter().find(|(known, _)| *known == name);
        let (_, arguments) = found.ok_or_else(|| LoadError::Unknown(name.to_owned()))?;
        if arguments.is_empty() {
            return Ok(Self { words: "nothing".to_owned(), running: None });
        }
        let folder = tempfile::tempdir().map_err(LoadError::Folder)?;
        let child = Command::new("stress-ng")
            .args(*arguments)
            .arg("--quiet")
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(LoadError::Start)?;
        Ok(Self { words: format!("stress-ng {}", arguments.join(" ")), running: Some((child, folder)) })
    }

    /// What runs, in words.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let Some((child, _)) = &mut self.running else { return };
        // All of its processes, whatever they do: the files are in a folder that goes with this.
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_is_not_known_is_refused_with_those_that_are() {
        let error = Load::start("earthquake").unwrap_err().to_string();
        assert!(error.contains("earthquake") && error.contains("idle, cpu"), "{error}");
    }

    #[test]
    fn no_load_needs_no_program() {
        assert_eq!(Load::start("idle").unwrap().words(), "nothing");
    }
}
