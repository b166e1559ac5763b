//! Capabilities: what a thread may do, and giving up what it needs no more.
//!
//! Capabilities belong to a **thread**, not to the process: a thread gives up its own, and threads that it
//! creates afterwards start with what it then has. So [`keep_only`] is called in `main` once set-up is
//! done, and in each thread that was created earlier; [`threads_with_more_than`] proves that none was
//! forgotten.
//!
//! Setting goes through the `caps` crate; reading back goes through `/proc`, which shows all bits, also
//! those of a kernel newer than the crate.

use std::fmt;
use std::fs;

use caps::CapSet;
pub use caps::Capability;

use crate::memory::{LockLimit, lock_capability_needed};
use crate::procfs;

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// The set of these capabilities.
    #[must_use]
    pub fn of(capabilities: &[Capability]) -> Self {
        Self(capabilities.iter().fold(0, |bits, capability| bits | capability.bitmask()))
    }

    /// Whether the capability is in the set.
    #[must_use]
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bitmask() != 0
    }

    /// Whether every capability of this set is in `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn parse(hexadecimal: &str) -> Option<Self> {
        u64::from_str_radix(hexadecimal, 16).ok().map(Self)
    }
}

impl fmt::Display for CapabilitySet {
    /// The names, or `none`; a capability without a name by its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let named = caps::all();
        let mut separator = "";
        for bit in (0..64_u8).filter(|bit| self.0 & (1 << bit) != 0) {
            match named.iter().find(|capability| capability.index() == bit) {
                Some(capability) => write!(f, "{separator}{capability}")?,
                None => write!(f, "{separator}capability {bit}")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

/// A thread's capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// What it may do now.
    pub effective: CapabilitySet,
    /// What it may take into the effective set.
    pub permitted: CapabilitySet,
    /// What a program that it executes may keep.
    pub inheritable: CapabilitySet,
    /// What a program that it executes may ever have.
    pub bounding: CapabilitySet,
    /// What an unprivileged program that it executes gets.
    pub ambient: CapabilitySet,
}

impl Capabilities {
    /// Reads a thread's status as in `/proc/self/status`; `None` if a line is missing.
    #[must_use]
    pub fn parse(status: &str) -> Option<Self> {
        let set = |name| procfs::status_field(status, name).and_then(CapabilitySet::parse);
        Some(Self {
            effective: set("CapEff")?,
            permitted: set("CapPrm")?,
            inheritable: set("CapInh")?,
            bounding: set("CapBnd")?,
            ambient: set("CapAmb")?,
        })
    }
}

/// Why capabilities could not be read or given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The kernel's status cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        error: String,
    },
    /// The kernel refused to change a set.
    #[error("cannot change the {set} set: {error}")]
    Change {
        /// Which set.
        set: &'static str,
        /// Why.
        error: String,
    },
    /// The kernel accepted, and still more is found than was to be kept.
    #[error("asked to keep only {wanted} in the {set} set, found {found}")]
    NotTaken {
        /// Which set.
        set: &'static str,
        /// What was to be kept.
        wanted: CapabilitySet,
        /// What was found.
        found: CapabilitySet,
    },
}

const STATUS: &str = "/proc/thread-self/status";

/// The calling thread's capabilities.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn of_current_thread() -> Result<Capabilities, CapabilityError> {
    read_status(STATUS)
}

fn read_status(path: &str) -> Result<Capabilities, CapabilityError> {
    let error = |error: String| CapabilityError::Read { path: path.to_owned(), error };
    let status = procfs::read(path).map_err(|cause| error(cause.to_string()))?;
    Capabilities::parse(&status).ok_or_else(|| error("a line of capabilities is missing".to_owned()))
}

/// What a process with locked memory still needs once it is set up: `CAP_IPC_LOCK` if its memory-lock
/// limit is finite, since each later mapping counts against that; nothing otherwise. A thread keeps its
/// real-time policy without any capability, and renews a lease without any; only the client of a pair's
/// arbiter needs [`crate::lease_gate::NEEDED_TO_MARK`] besides.
#[must_use]
pub fn needed_after_set_up(limit: LockLimit) -> Vec<Capability> {
    if lock_capability_needed(limit) { vec![Capability::CAP_IPC_LOCK] } else { Vec::new() }
}

/// Gives up every capability of the calling thread but `kept`, in all five sets, and reads back. What it
/// did not have it does not get.
///
/// The bounding set can only be cut with `CAP_SETPCAP`; without it the other four sets are cut and the
/// bounding set stays, which the returned value shows. The inheritable and ambient sets end empty.
///
/// # Errors
/// If the kernel refuses, or if more than `kept` is found afterwards.
pub fn keep_only(kept: &[Capability]) -> Result<Capabilities, CapabilityError> {
    let before = of_current_thread()?;
    let wanted = CapabilitySet::of(kept);
    let change =
        |set| move |error: caps::errors::CapsError| CapabilityError::Change { set, error: error.to_string() };
    let can_cut_bounding = before.effective.contains(Capability::CAP_SETPCAP);
    if can_cut_bounding {
        for capability in caps::all() {
            if before.bounding.contains(capability) && !wanted.contains(capability) {
                caps::drop(None, CapSet::Bounding, capability).map_err(change("bounding"))?;
            }
        }
    }
    let remaining: caps::CapsHashSet =
        kept.iter().copied().filter(|capability| before.permitted.contains(*capability)).collect();
    if !before.ambient.is_empty() {
        caps::clear(None, CapSet::Ambient).map_err(change("ambient"))?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(change("inheritable"))?;
    // The effective set first: the kernel keeps it within the permitted one.
    caps::set(None, CapSet::Effective, &remaining).map_err(change("effective"))?;
    caps::set(None, CapSet::Permitted, &remaining).map_err(change("permitted"))?;

    let after = of_current_thread()?;
    let proved = [
        ("effective", after.effective),
        ("permitted", after.permitted),
        ("inheritable", after.inheritable),
        ("ambient", after.ambient),
    ];
    let bounding = can_cut_bounding.then_some(("bounding", after.bounding));
    for (set, found) in proved.into_iter().chain(bounding) {
        if !found.is_subset(wanted) {
            return Err(CapabilityError::NotTaken { set, wanted, found });
        }
    }
    Ok(after)
}

/// The threads of this process whose permitted set holds more than `kept`, by number.
///
/// # Errors
/// If `/proc` cannot be read. A thread that ends meanwhile is not an error.
pub fn threads_with_more_than(kept: &[Capability]) -> Result<Vec<(i32, CapabilitySet)>, CapabilityError> {
    const TASKS: &str = "/proc/self/task";
    let wanted = CapabilitySet::of(kept);
    let entries = fs::read_dir(TASKS)
        .map_err(|error| CapabilityError::Read { path: TASKS.to_owned(), error: error.to_string() })?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Ok(capabilities) = read_status(&format!("{TASKS}/{thread}/status"))
            && !capabilities.permitted.is_subset(wanted)
        {
            found.push((thread, capabilities.permitted));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "CapInh:\t0000000000000000\nCapPrm:\t0000000000804000\nCapEff:\t0000000000804000\n\
                          CapBnd:\t00000400fffeffff\nCapAmb:\t0000000000000000\n";

    #[test]
    fn a_status_is_read_into_named_sets() {
        let found = Capabilities::parse(STATUS).unwrap();
        assert_eq!(found.effective, CapabilitySet::of(&[Capability::CAP_SYS_NICE, Capability::CAP_IPC_LOCK]));
        assert_eq!(found.permitted.to_string(), "CAP_IPC_LOCK, CAP_SYS_NICE");
        assert_eq!(found.ambient.to_string(), "none");
    }

    #[test]
    fn a_capability_newer_than_this_program_is_shown_by_its_number() {
        assert!(Capabilities::parse(STATUS).unwrap().bounding.to_string().ends_with("capability 42"));
    }

    #[test]
    fn a_status_without_a_line_is_not_taken_for_no_capabilities() {
        assert_eq!(Capabilities::parse(&STATUS.replace("CapBnd", "Cap")), None);
    }

    #[test]
    fn the_lock_capability_is_kept_exactly_while_a_limit_applies() {
        let limit = |soft_bytes| LockLimit { soft_bytes, hard_bytes: None };
        assert_eq!(needed_after_set_up(limit(Some(8 << 20))), [Capability::CAP_IPC_LOCK]);
        assert_eq!(needed_after_set_up(limit(None)), []);
    }
}
