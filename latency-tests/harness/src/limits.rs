//! The limits of a pod for whoever is measured, and the load inside or beside them.
//!
//! A group with all cores, some memory and a budget for real-time threads, as the agent's container has one. A load
//! inside shares all of that with whoever is measured: what the agent's own helpers could do to its loops. A load beside
//! is another pod on the same node.

use hal_linux_rt::CoreSet;
use hal_linux_rt::cgroup::budget::RtBudget;
use hal_linux_rt::cgroup::{Group, GroupSpec, Layout};
use hal_linux_rt::thread::Found;
use hal_units::Duration;

use crate::load::{Load, LoadError};

/// Whoever is measured, and a load, need less.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// Whoever is measured sleeps nearly all of the time; the other groups of the machine need their shares as well.
const RT_BUDGET: RtBudget =
    RtBudget { runtime: Some(Duration::from_millis(400)), period: Duration::from_secs(1) };

/// Where the load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody is limited.
    Unlimited,
    /// In the limits of whoever is measured.
    Inside,
    /// Whoever is measured is limited, the load is not.
    Beside,
}

/// Why there is no load, or there are no limits.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// The load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The group.
    #[error("limits as of a pod: {0}")]
    Group(String),
}

/// A load with the limits around it; dropped, both are gone.
#[derive(Debug)]
pub struct Placed {
    // Ends before the group is removed.
    load: Load,
    place: Place,
    _limits: Option<Limits>,
}

impl Placed {
    /// Starts a load at its place.
    ///
    /// # Errors
    /// See [`LimitsError`].
    pub fn start(name: &str, place: Place) -> Result<Self, LimitsError> {
        let (load, limits) = match place {
            Place::Unlimited => (Load::start(name)?, None),
            Place::Beside => {
                let load = Load::start(name)?;
                (load, Some(Limits::enter()?))
            }
            Place::Inside => {
                let limits = Limits::enter()?;
                (Load::start(name)?, Some(limits))
            }
        };
        Ok(Self { load, place, _limits: limits })
    }

    /// What runs where, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let load = self.load.words();
        match self.place {
            Place::Unlimited => load.to_owned(),
            Place::Inside => format!("{load}, inside the limits of whoever is measured"),
            Place::Beside => format!("{load}, beside the limits of whoever is measured"),
        }
    }
}

/// A group that this process is in, with all that it starts.
#[derive(Debug)]
struct Limits(Option<Group>);

impl Limits {
    fn enter() -> Result<Self, LimitsError> {
        let failed = |error: &dyn std::fmt::Display| LimitsError::Group(error.to_string());
        let layout = Layout::detect().map_err(|error| failed(&error))?;
        let cores: Option<CoreSet> = Found::of_current_thread().ok().map(|found| found.cores);
        let spec = GroupSpec {
            name: format!("takt-latency-{}", std::process::id()),
            cores,
            memory_bytes_max: Some(MEMORY_BYTES_MAX),
            cpu_quota: None,
            rt_budget: Some(RT_BUDGET),
        };
        let (group, _) = Group::create(&layout, &spec).map_err(|error| failed(&error))?;
        let limits = Self(Some(group));
        if let Some(group) = &limits.0 {
            group.join_process(std::process::id()).map_err(|error| failed(&error))?;
        }
        Ok(limits)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        let Some(group) = self.0.take() else { return };
        // What is left behind is an empty group with the number of this process.
        let _ = group.release_process(std::process::id());
        let _ = group.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_without_limits_says_so_by_its_words_alone() {
        assert_eq!(Placed::start("idle", Place::Unlimited).unwrap().words(), "nothing");
    }

    #[test]
    fn a_load_that_is_not_known_leaves_no_group_behind() {
        assert!(Placed::start("earthquake", Place::Beside).is_err());
    }
}
