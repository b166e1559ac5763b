//! What a command can end with, other than success.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use hal_diagnostics::Diagnostic;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The user's input cannot be used: exit status 2.
    Input(Diagnostic),
    /// The input was fine, but the work could not be done: exit status 1.
    Work(Diagnostic),
}

impl Failure {
    /// A complaint about the combination of arguments.
    pub(crate) fn arguments(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input(Diagnostic {
            file: "command line".to_owned(),
            position: None,
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    /// The work of a command could not be done.
    pub(crate) fn of(command: &str, what: impl Into<String>, remedy: &str) -> Self {
        Self::Work(Diagnostic {
            file: format!("takt-sim {command}"),
            position: None,
            what: what.into(),
            remedy: remedy.to_owned(),
        })
    }

    /// Everything was done, but what came out is not what was asked for.
    pub(crate) fn result(what: impl Into<String>) -> Self {
        Self::Work(Diagnostic {
            file: "result".to_owned(),
            position: None,
            what: what.into(),
            remedy: String::new(),
        })
    }

    /// An output file that cannot be written.
    pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        Self::Work(Diagnostic {
            file: path.display().to_string(),
            position: None,
            what: format!("cannot be written: {error}"),
            remedy: "give a path in a folder that exists and may be written to".to_owned(),
        })
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Work(_) => ExitCode::from(1),
            Self::Input(_) => ExitCode::from(2),
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(complaint: Diagnostic) -> Self {
        Self::Input(complaint)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(complaint) | Self::Work(complaint) => complaint.fmt(f),
        }
    }
}
