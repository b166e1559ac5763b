//! What operators' commands have left standing, kept over restarts.
//!
//! A turbine that an operator stopped stays stopped when the agent starts again. One that had tripped does too: its
//! latched causes die with the process, so an emergency stop stands in their place until somebody resets it. Of one
//! that was operating when the agent died it is known, so that a device that is found in its own safe state is a trip; and
//! a counter of its cables' twist that was not believed is not believed by the next process either.
//! The file is replaced as a whole, before a command is reported as executed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use agent_cycle::{CommandAction, Overrides};
use hal_units::Watts;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::durable;

/// One unit's overrides as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    power_limit_kw: Option<f64>,
    #[serde(default)]
    emergency_stop: bool,
    #[serde(default)]
    tripped: bool,
    #[serde(default)]
    operating: bool,
    #[serde(default)]
    twist_lost: bool,
}

/// In what condition a turbine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// Causes of a trip are latched.
    pub tripped: bool,
    /// It was led out of rest, and not yet back to rest in order.
    pub operating: bool,
    /// The counter of its cables' twist has lost its place.
    pub twist_lost: bool,
}

/// What stands at a unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Standing {
    overrides: Overrides,
    condition: Condition,
    /// The emergency stop stands for causes that a process had latched.
    of_trip: bool,
}

/// What a person is told of a unit whose condition is not on disk.
const UNKEPT: &str =
    "whether it has tripped or operates cannot be stored: a restart of this node would forget it";

impl From<Standing> for Stored {
    fn from(Standing { overrides, condition, .. }: Standing) -> Self {
        Self {
            run: overrides.run,
            power_limit_kw: overrides.power_limit.map(Watts::as_kilowatts),
            emergency_stop: overrides.emergency_stop,
            tripped: condition.tripped,
            operating: condition.operating,
            twist_lost: condition.twist_lost,
        }
    }
}

impl From<Stored> for Standing {
    fn from(stored: Stored) -> Self {
        let overrides = Overrides {
            run: stored.run,
            power_limit: stored.power_limit_kw.map(Watts::from_kilowatts),
            emergency_stop: stored.emergency_stop || stored.tripped,
        };
        let condition =
            Condition { tripped: stored.tripped, operating: stored.operating, twist_lost: stored.twist_lost };
        Self { overrides, condition, of_trip: stored.tripped && !stored.emergency_stop }
    }
}

/// Why stored overrides cannot be used. Starting without them could start a turbine that somebody
/// stopped, so the agent does not.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    /// The file system.
    #[error("{path}: {error}; make the folder readable and writable")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it answered.
        error: io::Error,
    },
    /// The content.
    #[error("{path}: {error}; restore the file, or remove it after checking that no unit must stay stopped")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Another process has the folder. Two agents must not drive the same units.
    #[error("{path}: another agent uses this state folder; end it, or give another state_dir")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
}

/// The overrides of all units, by name, and their file. One process has a folder at a time; the kernel
/// gives it free when the process ends, however it does.
#[derive(Debug)]
pub struct OverrideStore {
    path: PathBuf,
    _lock: File,
    units: BTreeMap<String, Standing>,
    /// Units whose condition cannot be stored.
    unkept: BTreeSet<String>,
}

impl OverrideStore {
    /// Reads the store in `folder`; a missing file means that nothing stands.
    ///
    /// # Errors
    /// If the file is there and cannot be used, or another process has the folder.
    pub fn open(folder: &Path) -> Result<Self, OverridesError> {
        let lock = lock(folder)?;
        let path = folder.join("overrides.json");
        let units = match std::fs::read(&path) {
            Ok(bytes) => {
                let stored: BTreeMap<String, Stored> = serde_json::from_slice(&bytes)
                    .map_err(|error| OverridesError::Content { path: path.clone(), error })?;
                stored.into_iter().map(|(unit, stored)| (unit, stored.into())).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(OverridesError::Io { path, error }),
        };
        Ok(Self { path, _lock: lock, units, unkept: BTreeSet::new() })
    }

    /// What stands at a unit.
    #[must_use]
    pub fn of(&self, unit: &str) -> Overrides {
        self.standing(unit).overrides
    }

    fn standing(&self, unit: &str) -> Standing {
        self.units.get(unit).copied().unwrap_or_default()
    }

    /// Whether a unit was operating when its condition was noted last.
    #[must_use]
    pub fn was_operating(&self, unit: &str) -> bool {
        self.standing(unit).condition.operating
    }

    /// Whether the counter of a unit's cables had lost its place when its condition was noted last.
    #[must_use]
    pub fn had_lost_twist(&self, unit: &str) -> bool {
        self.standing(unit).condition.twist_lost
    }

    /// Notes conditions of units, all that are new with one write. To be called again and again: what cannot be
    /// stored is tried again, and an error only the first time.
    ///
    /// # Errors
    /// As [`OverrideStore::note`].
    pub fn note_conditions<'a>(
        &mut self,
        conditions: impl IntoIterator<Item = (&'a str, Condition)>,
    ) -> Result<(), OverridesError> {
        let mut new = Vec::new();
        for (unit, condition) in conditions {
            let before = self.standing(unit);
            if before.condition == condition {
                self.unkept.remove(unit);
            } else {
                new.push((unit, Standing { condition, ..before }));
            }
        }
        match self.put(&new) {
            Ok(()) => {
                for (unit, _) in &new {
                    self.unkept.remove(*unit);
                }
                Ok(())
            }
            Err(error) => {
                let untold = new.iter().filter(|(unit, _)| self.unkept.insert((*unit).to_owned())).count();
                if untold > 0 { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Notes a command: it stands when this has returned, and outlives the process.
    ///
    /// # Errors
    /// If the file cannot be replaced; then nothing has changed.
    pub fn note(&mut self, unit: &str, action: CommandAction) -> Result<(), OverridesError> {
        self.set(unit, self.of(unit).after(action))
    }

    /// Sets what stands at a unit, on disk first. What stands already is not written again.
    ///
    /// # Errors
    /// As [`OverrideStore::note`].
    pub fn set(&mut self, unit: &str, overrides: Overrides) -> Result<(), OverridesError> {
        let before = self.standing(unit);
        let of_trip = before.of_trip && overrides.emergency_stop;
        self.put(&[(unit, Standing { overrides, of_trip, ..before })])
    }

    fn put(&mut self, new: &[(&str, Standing)]) -> Result<(), OverridesError> {
        if new.iter().all(|(unit, standing)| self.standing(unit) == *standing) {
            return Ok(());
        }
        let mut units = self.units.clone();
        units.extend(new.iter().map(|(unit, standing)| ((*unit).to_owned(), *standing)));
        let stored: BTreeMap<&String, Stored> = units.iter().map(|(unit, s)| (unit, (*s).into())).collect();
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|error| OverridesError::Content { path: self.path.clone(), error })?;
        durable::replace(&self.path, &bytes)
            .map_err(|error| OverridesError::Io { path: self.path.clone(), error })?;
        self.units = units;
        Ok(())
    }

    /// What stands at a unit, in words.
    #[must_use]
    pub fn words(&self, unit: &str) -> Vec<String> {
        let Standing { overrides, of_trip, .. } = self.standing(unit);
        let run =
            overrides.run.map(|run| if run { "started by an operator" } else { "stopped by an operator" });
        let limit = overrides.power_limit.map(|limit| format!("limited to {} kW", limit.as_kilowatts()));
        let why = if of_trip { ": it had tripped when the agent ended" } else { "" };
        let emergency = overrides.emergency_stop.then(|| format!("emergency stop{why}"));
        let unkept = self.unkept.contains(unit).then(|| UNKEPT.to_owned());
        emergency.into_iter().chain(run.map(str::to_owned)).chain(limit).chain(unkept).collect()
    }
}

fn lock(folder: &Path) -> Result<File, OverridesError> {
    let path = folder.join("lock");
    let opened = File::options().write(true).create(true).truncate(false).open(&path);
    let failed = |error| OverridesError::Io { path: path.clone(), error };
    let file = opened.map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OverridesError::Taken { path: folder.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPPED: Condition = Condition { tripped: true, operating: false, twist_lost: false };
    const OPERATING: Condition = Condition { tripped: false, operating: true, twist_lost: false };
    const AT_REST: Condition = Condition { tripped: false, operating: false, twist_lost: false };

    #[test]
    fn a_stopped_unit_is_still_stopped_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = OverrideStore::open(folder.path()).unwrap();
        store.note("WT01", CommandAction::Stop).unwrap();
        store.note("WT01", CommandAction::Derate(Watts(2e6))).unwrap();
        drop(store);
        let again = OverrideStore::open(folder.path()).unwrap();
        assert_eq!(again.of("WT01").run, Some(false));
        assert_eq!(again.words("WT01"), ["stopped by an operator", "limited to 2000 kW"]);
        assert_eq!(again.of("WT02"), Overrides::default());
    }

    #[test]
    fn a_unit_that_had_tripped_is_stopped_after_a_restart_until_it_is_reset() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = OverrideStore::open(folder.path()).unwrap();
        store.note_conditions([("WT01", TRIPPED)]).unwrap();
        assert!(!store.of("WT01").emergency_stop, "while it lives the interlock holds it");
        drop(store);
        let mut again = OverrideStore::open(folder.path()).unwrap();
        assert!(again.of("WT01").emergency_stop);
        again.note("WT01", CommandAction::Reset).unwrap();
        again.note_conditions([("WT01", AT_REST)]).unwrap();
        drop(again);
        assert!(!OverrideStore::open(folder.path()).unwrap().of("WT01").emergency_stop);
    }

    #[test]
    fn a_unit_that_was_operating_is_known_to_have_been_after_a_restart_until_it_is_at_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = OverrideStore::open(folder.path()).unwrap();
        store.note_conditions([("WT01", OPERATING)]).unwrap();
        drop(store);
        let mut again = OverrideStore::open(folder.path()).unwrap();
        assert!(again.was_operating("WT01") && again.of("WT01") == Overrides::default());
        assert!(again.words("WT01").is_empty() && !again.was_operating("WT02"));
        again.note_conditions([("WT01", AT_REST)]).unwrap();
        drop(again);
        assert!(!OverrideStore::open(folder.path()).unwrap().was_operating("WT01"));
    }

    #[test]
    fn a_trip_that_cannot_be_stored_is_told_once_and_shown_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = OverrideStore::open(folder.path()).unwrap();
        // In the way of the file that would replace the stored one.
        let obstacle = folder.path().join("overrides.new");
        std::fs::create_dir(&obstacle).unwrap();
        assert!(store.note_conditions([("WT01", TRIPPED)]).is_err());
        assert!(store.note_conditions([("WT01", TRIPPED)]).is_ok());
        assert_eq!(store.words("WT01"), [UNKEPT]);
        std::fs::remove_dir(&obstacle).unwrap();
        store.note_conditions([("WT01", TRIPPED)]).unwrap();
        assert!(store.words("WT01").is_empty());
        drop(store);
        assert!(OverrideStore::open(folder.path()).unwrap().of("WT01").emergency_stop);
    }

    #[test]
    fn a_trip_that_is_over_leaves_an_operators_stop_standing() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = OverrideStore::open(folder.path()).unwrap();
        store.note("WT01", CommandAction::EmergencyStop).unwrap();
        store.note_conditions([("WT01", TRIPPED)]).unwrap();
        store.note_conditions([("WT01", AT_REST)]).unwrap();
        assert!(store.of("WT01").emergency_stop);
    }

    #[test]
    fn a_folder_has_one_agent_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = OverrideStore::open(folder.path()).unwrap();
        assert!(matches!(OverrideStore::open(folder.path()), Err(OverridesError::Taken { .. })));
        drop(store);
        OverrideStore::open(folder.path()).unwrap();
    }

    #[test]
    fn a_damaged_file_is_an_error_not_an_empty_store() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("overrides.json"), b"{\"WT01\":{\"run\":fal").unwrap();
        assert!(OverrideStore::open(folder.path()).unwrap_err().to_string().contains("restore the file"));
    }
}
