//! Load beside the pair, by stress-ng.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::DrillError;

/// Stressors for all cores: arithmetic, memory that is written over and over, a disk that is written and
/// synced, small mixed input and output.
const ARGUMENTS: [&str; 13] = [
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
    "--quiet",
];

/// The running program; dropped, it ends.
pub(super) struct Stress {
    child: Child,
    /// Its files.
    _folder: TempDir,
}

impl Stress {
    /// Starts it, in a folder of its own.
    pub(super) fn start() -> Result<Self, DrillError> {
        let folder = tempfile::tempdir().map_err(|error| DrillError::Impossible {
            why: format!("no folder for the files of stress-ng: {error}"),
        })?;
        let child = Command::new("stress-ng")
            .args(ARGUMENTS)
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| DrillError::Impossible {
                why: format!("stress-ng cannot be started: {error}; install it, or drill without --stress"),
            })?;
        Ok(Self { child, _folder: folder })
    }

    /// How it was called.
    pub(super) fn words(&self) -> String {
        format!("stress-ng {}", ARGUMENTS.join(" "))
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        // All of its processes, whatever they do: the files are in a folder that goes with this.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
