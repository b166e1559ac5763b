//! The demo's child processes: started beside this one, never left behind.
//!
//! Children inherit which signals this process blocks. The agent reads its signals from a descriptor and
//! is ended by one; the simulator ends when its standard input closes, so also when the demo is killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hal_linux_rt::signal::{self, Signal};

use super::DemoError;

/// A child process in a process group of its own: Ctrl-C reaches the demo alone, which ends its children
/// in the right order.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    end_by: EndBy,
    log: PathBuf,
}

/// How a child is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndBy {
    Signal,
    ClosingStandardInput,
}

impl Process {
    /// Starts the program `name` that lies beside this one; what it prints goes to `log`.
    pub(crate) fn start(
        name: &'static str,
        arguments: &[&str],
        end_by: EndBy,
        log: &Path,
    ) -> Result<Self, DemoError> {
        Self::start_in(None, name, arguments, end_by, log)
    }

    /// The same in the network namespace that `namespace` names, if one is given; everything else, such
    /// as the control groups, stays as it is here.
    pub(crate) fn start_in(
        namespace: Option<&Path>,
        name: &'static str,
        arguments: &[&str],
        end_by: EndBy,
        log: &Path,
    ) -> Result<Self, DemoError> {
        let program = beside_this(name)?;
        let failed = |why: std::io::Error| DemoError::Start { name, why: why.to_string() };
        let out = File::create(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let mut command = match namespace {
            None => Command::new(program),
            Some(namespace) => {
                // It becomes the program: the process is the same.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", namespace.display())).arg(program);
                command
            }
        };
        let child = command
            .args(arguments)
            .stdin(match end_by {
                EndBy::Signal => Stdio::null(),
                EndBy::ClosingStandardInput => Stdio::piped(),
            })
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name, child, end_by, log: log.to_owned() })
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log, if the process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(error) => Err(DemoError::Start { name: self.name, why: error.to_string() }),
        }
    }

    /// Asks the process to end and waits for it, at most for `limit`; then it is killed.
    pub(crate) fn end(&mut self, limit: Duration) -> Result<ExitStatus, DemoError> {
        let failed = |name, why: String| DemoError::Start { name, why };
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        match self.end_by {
            EndBy::Signal => signal::send(self.child.id(), Signal::Terminate)
                .map_err(|error| failed(self.name, error.to_string()))?,
            EndBy::ClosingStandardInput => drop(self.child.stdin.take()),
        }
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(failed(self.name, error.to_string())),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        Err(failed(self.name, format!("did not end within {limit:?} and was killed; {}", self.tail())))
    }

    /// An error that says how the process ended.
    pub(crate) fn ended(&self, status: ExitStatus) -> DemoError {
        DemoError::Start { name: self.name, why: format!("ended with {status}; {}", self.tail()) }
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
        format!("the end of {}:\n{}", self.log.display(), last.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn beside_this(name: &'static str) -> Result<PathBuf, DemoError> {
    let missing = |why: String| DemoError::Start { name, why };
    let this = std::env::current_exe().map_err(|error| missing(error.to_string()))?;
    let program = this.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(missing(format!(
        "{} is not there; `cargo xtask demo` builds all that the demo needs",
        program.display()
    )))
}
