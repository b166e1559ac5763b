//! Load beside the pair, by stress-ng.

use std::process::{Child, Command, Stdio};

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
}

impl Stress {
    /// Starts it, in a folder for temporary files.
    pub(super) fn start() -> Result<Self, DrillError> {
        let child = Command::new("stress-ng")
            .args(ARGUMENTS)
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| DrillError::Impossible {
                why: format!("stress-ng cannot be started: {error}; install it, or drill without --stress"),
            })?;
        Ok(Self { child })
    }

    /// How it was called.
    pub(super) fn words(&self) -> String {
        format!("stress-ng {}", ARGUMENTS.join(" "))
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // It ends its own children, and removes its files.
        let asked = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        if !matches!(asked, Some(Ok(()))) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
