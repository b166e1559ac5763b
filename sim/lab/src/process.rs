//! Child processes: started beside this one, never left behind.
//!
//! Children inherit which signals this process blocks. The agent reads its signals from a descriptor and
//! is ended by one; the simulator ends when its standard input closes, so also when its owner is killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hal_linux_rt::signal::{self, Signal};

use crate::LabError;

/// A child process in a process group of its own: Ctrl-C reaches its owner alone, which ends its children
/// in the right order.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    end_by: EndBy,
    log: PathBuf,
}

/// How a child is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBy {
    /// SIGTERM.
    Signal,
    /// The end of its standard input.
    ClosingStandardInput,
}

impl Process {
    /// Starts the program `name` that lies beside this one; what it prints goes to `log`.
    ///
    /// # Errors
    /// If it is not there or does not start.
    pub fn start(name: &str, arguments: &[&str], end_by: EndBy, log: &Path) -> Result<Self, LabError> {
        Self::start_in(None, name, arguments, end_by, log)
    }

    /// The same in the network namespace that `namespace` names, if one is given; everything else, such
    /// as the control groups, stays as it is here.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_in(
        namespace: Option<&Path>,
        name: &str,
        arguments: &[&str],
        end_by: EndBy,
        log: &Path,
    ) -> Result<Self, LabError> {
        let program = beside_this(name)?;
        let mut command = command_in(namespace, &program);
        command.args(arguments);
        Self::start_command(name, command, end_by, log)
    }

    /// Starts any program.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_command(
        name: &str,
        mut command: Command,
        end_by: EndBy,
        log: &Path,
    ) -> Result<Self, LabError> {
        let failed = |why: std::io::Error| LabError::Program { name: name.to_owned(), why: why.to_string() };
        let out = File::create(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let child = command
            .stdin(match end_by {
                EndBy::Signal => Stdio::null(),
                EndBy::ClosingStandardInput => Stdio::piped(),
            })
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name: name.to_owned(), child, end_by, log: log.to_owned() })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// With the end of the log, if the process has ended by itself.
    pub fn check(&mut self) -> Result<(), LabError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(error) => Err(LabError::Program { name: self.name.clone(), why: error.to_string() }),
        }
    }

    /// Asks the process to end and waits for it, at most for `limit`.
    ///
    /// # Errors
    /// If it did not end in time; then it was killed.
    pub fn end(&mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        let name = self.name.clone();
        let failed = |why: String| LabError::Program { name: name.clone(), why };
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        match self.end_by {
            EndBy::Signal => {
                signal::send(self.child.id(), Signal::Terminate).map_err(|error| failed(error.to_string()))?
            }
            EndBy::ClosingStandardInput => drop(self.child.stdin.take()),
        }
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        Err(failed(format!("did not end within {limit:?} and was killed; {}", self.tail())))
    }

    /// An error that says how the process ended.
    #[must_use]
    pub fn ended(&self, status: ExitStatus) -> LabError {
        LabError::Program { name: self.name.clone(), why: format!("ended with {status}; {}", self.tail()) }
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

/// A command that runs a program in a network namespace: it becomes the program, so the process is the same.
#[must_use]
pub fn command_in(namespace: Option<&Path>, program: &Path) -> Command {
    let Some(namespace) = namespace else { return Command::new(program) };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg(program);
    command
}

/// The program of this name that lies beside this one.
///
/// # Errors
/// If there is none.
pub fn beside_this(name: &str) -> Result<PathBuf, LabError> {
    let missing = |why: String| LabError::Program { name: name.to_owned(), why };
    let this = std::env::current_exe().map_err(|error| missing(error.to_string()))?;
    let program = this.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(missing(format!("{} is not there; `cargo build --release` builds all programs", program.display())))
}
