//! Whether there is a gate, and why not.

use std::fmt;
use std::path::PathBuf;

use super::DEVICES_MAX;
use crate::errno::{CallError, Errno};

/// Whether the kernel keeps a node without a lease from writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// It does.
    Fenced,
    /// It does not: only the process's own checks and the devices do.
    Unfenced {
        /// Why.
        reason: Unfenced,
    },
}

/// Why the kernel does not watch over the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfenced {
    /// The configuration does not want it.
    Configured,
    /// It could not be set up.
    Refused(GateError),
}

impl Profile {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Unfenced { .. } => "unfenced",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("fenced"),
            Self::Unfenced { reason: Unfenced::Configured } => f.write_str("unfenced, as configured"),
            Self::Unfenced { reason: Unfenced::Refused(error) } => write!(f, "unfenced: {error}"),
        }
    }
}

/// Why there is no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The site's or the node's name is empty or has other characters.
    #[error("`{name}` must have letters, digits, `-` and `_` only")]
    Name {
        /// The name.
        name: String,
    },
    /// More devices than a gate takes.
    #[error("{devices} devices are more than the {DEVICES_MAX} of a gate")]
    TooMany {
        /// How many.
        devices: usize,
    },
    /// There is no cgroup v2 hierarchy.
    #[error("no cgroup v2 hierarchy is mounted here")]
    NoHierarchy,
    /// The group could not be made, entered or read.
    #[error("cannot {action} {}: {}", path.display(), errno.map_or("unknown error".to_owned(), |e| e.to_string()))]
    Group {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's error.
        errno: Option<Errno>,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The kernel did not take the program.
    #[error("{error}{}{verifier}", if verifier.is_empty() { "" } else { ": " })]
    Program {
        /// The call's error.
        error: CallError,
        /// What the verifier said.
        verifier: String,
    },
    /// The kernel accepted, and something else was found than was asked for.
    #[error("asked for {asked}, found {found}")]
    NotTaken {
        /// What was to be.
        asked: String,
        /// What is.
        found: String,
    },
}

impl GateError {
    /// The kernel's error, if one is the cause.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Group { errno, .. } => *errno,
            Self::Call(error) | Self::Program { error, .. } => Some(error.errno),
            Self::Name { .. } | Self::TooMany { .. } | Self::NoHierarchy | Self::NotTaken { .. } => None,
        }
    }
}
