//! A group of one's own: made, limited, read back, entered, removed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::budget::{RtBudget, grant, read_budget, write_budget};
use super::{CpuQuota, Hierarchy, Layout, Version};
use crate::core_set::CoreSet;
use crate::errno::Errno;
use crate::procfs;

/// Memory limits are rounded down to a page by the kernel; 64 KiB is its largest.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// The group that is wanted, below the group that the process is in. A controller that is not asked for
/// is not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The only cores it may use.
    pub cores: Option<CoreSet>,
    /// The most memory it may use, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Its share of time for normal threads.
    pub cpu_quota: Option<CpuQuota>,
    /// Its share of time for real-time threads. Nothing is set where groups have no such budget: a kernel
    /// without `RT_GROUP_SCHED`, or version 2.
    pub rt_budget: Option<RtBudget>,
}

/// One value that was set, and what the kernel says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// What was written.
    pub requested: String,
    /// What was read back.
    pub found: String,
}

/// Everything that was set on a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupReport {
    /// In the order in which it was set.
    pub settings: Vec<Setting>,
}

/// Why there is no such group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The name is empty or has other characters.
    #[error("group name `{name}` must have letters, digits, `-` and `_` only")]
    Name {
        /// The name.
        name: String,
    },
    /// No hierarchy offers the controller to this process.
    #[error(
        "the {controller} controller is not available here: mount it, or on version 2 add it to \
         cgroup.subtree_control of the group above"
    )]
    NoController {
        /// Its name.
        controller: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {action} {}: {}", path.display(), errno.map_or("unknown error".to_owned(), |e| e.to_string()))]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's error.
        errno: Option<Errno>,
    },
    /// The kernel accepted a value and shows another one.
    #[error("asked for `{requested}` in {}, found `{found}`", file.display())]
    NotTaken {
        /// The file.
        file: PathBuf,
        /// What was written.
        requested: String,
        /// What was read back.
        found: String,
    },
}

fn refused(action: &'static str, path: &Path) -> impl Fn(io::Error) -> GroupError {
    move |error| GroupError::Refused { action, path: path.to_path_buf(), errno: Errno::of(&error) }
}

/// A group made by [`Group::create`]. It stays until [`Group::remove`]: a crash must not lift the limits
/// of what still runs in it.
#[derive(Debug)]
pub struct Group {
    /// One directory in each hierarchy that takes part.
    directories: Vec<PathBuf>,
}

impl Group {
    /// Makes the group, or takes the one that is there, sets its limits and reads them back.
    ///
    /// Version 2 allows controllers only in a group whose processes are all in groups below it: if the
    /// calling process is the only one in the way, it is moved into the new group already here.
    ///
    /// # Errors
    /// If the name is wrong, a controller is missing, or the kernel refuses; then what was made is removed.
    pub fn create(layout: &Layout, spec: &GroupSpec) -> Result<(Self, GroupReport), GroupError> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if spec.name.is_empty() || !spec.name.chars().all(fits) {
            return Err(GroupError::Name { name: spec.name.clone() });
        }
        let mut group = Self { directories: Vec::new() };
        match group.set_limits(layout, spec) {
            Ok(settings) => Ok((group, GroupReport { settings })),
            Err(error) => {
                for directory in &group.directories {
                    let _ = fs::remove_dir(directory);
                }
                Err(error)
            }
        }
    }

    fn set_limits(&mut self, layout: &Layout, spec: &GroupSpec) -> Result<Vec<Setting>, GroupError> {
        let mut settings = Vec::new();
        if let Some(cores) = &spec.cores {
            let (hierarchy, own) = self.enter_hierarchy(layout, "cpuset", &spec.name)?;
            if hierarchy.version == Version::V1 {
                // A new version 1 group has no memory nodes, and without them no process may enter.
                let above = procfs::read(hierarchy.directory.join("cpuset.mems")).unwrap_or_default();
                settings.push(set(&own.join("cpuset.mems"), above.trim())?);
            }
            settings.push(set(&own.join("cpuset.cpus"), &cores.to_string())?);
        }
        if let Some(bytes) = spec.memory_bytes_max {
            let (hierarchy, own) = self.enter_hierarchy(layout, "memory", &spec.name)?;
            let file = match hierarchy.version {
                Version::V1 => "memory.limit_in_bytes",
                Version::V2 => "memory.max",
            };
            settings.push(set_bytes(&own.join(file), bytes)?);
        }
        if let Some(quota) = &spec.cpu_quota {
            let (hierarchy, own) = self.enter_hierarchy(layout, "cpu", &spec.name)?;
            settings.extend(set_quota(&own, hierarchy.version, quota)?);
        }
        if let Some(budget) = &spec.rt_budget {
            let (hierarchy, own) = self.enter_hierarchy(layout, "cpu", &spec.name)?;
            if hierarchy.version == Version::V1 && read_budget(&own).is_some() {
                settings.extend(grant(layout, budget)?);
                settings.extend(write_budget(&own, budget)?);
            }
        }
        Ok(settings)
    }

    /// Makes the group in the hierarchy of a controller, once.
    fn enter_hierarchy<'l>(
        &mut self,
        layout: &'l Layout,
        controller: &'static str,
        name: &str,
    ) -> Result<(&'l Hierarchy, PathBuf), GroupError> {
        let hierarchy = layout.controller(controller).ok_or(GroupError::NoController { controller })?;
        let own = hierarchy.directory.join(name);
        if !self.directories.contains(&own) {
            match fs::create_dir(&own) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(refused("create", &own)(error));
                }
                _ => self.directories.push(own.clone()),
            }
        }
        if hierarchy.version == Version::V2 {
            enable(&hierarchy.directory, &own, controller)?;
        }
        Ok((hierarchy, own))
    }

    /// The group's directories, one in each hierarchy that takes part.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Moves a process with all its threads into the group.
    ///
    /// # Errors
    /// If the kernel refuses: `ESRCH` if there is no such process; `EINVAL` for one with real-time threads
    /// and a group without real-time budget.
    pub fn join_process(&self, process_id: u32) -> Result<(), GroupError> {
        self.directories.iter().try_for_each(|own| write(&own.join("cgroup.procs"), &process_id.to_string()))
    }

    /// Moves one thread into the group: version 1 only, where a process may be spread over groups.
    ///
    /// # Errors
    /// As [`Group::join_process`]; `ENOENT` in version 2.
    pub fn join_thread(&self, thread_id: i32) -> Result<(), GroupError> {
        self.directories.iter().try_for_each(|own| write(&own.join("tasks"), &thread_id.to_string()))
    }

    /// Moves a process back to the group above.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn release_process(&self, process_id: u32) -> Result<(), GroupError> {
        let above = self.directories.iter().filter_map(|own| own.parent());
        above
            .map(|above| above.join("cgroup.procs"))
            .try_for_each(|file| write(&file, &process_id.to_string()))
    }

    /// Removes the group. Processes must have left it.
    ///
    /// # Errors
    /// `EBUSY` while a process is in it.
    pub fn remove(self) -> Result<(), GroupError> {
        self.directories.iter().try_for_each(|own| fs::remove_dir(own).map_err(refused("remove", own)))
    }
}

/// Lets the groups below `above` use a controller of version 2.
fn enable(above: &Path, own: &Path, controller: &'static str) -> Result<(), GroupError> {
    let file = above.join("cgroup.subtree_control");
    let listed = || {
        let text = procfs::read(&file).unwrap_or_default();
        text.split_whitespace().any(|name| name == controller)
    };
    if listed() {
        return Ok(());
    }
    let request = format!("+{controller}");
    match write(&file, &request) {
        Err(GroupError::Refused { errno: Some(Errno::EBUSY), .. }) => {
            write(&own.join("cgroup.procs"), &std::process::id().to_string())?;
            write(&file, &request)?;
        }
        other => other?,
    }
    if listed() {
        Ok(())
    } else {
        let found = procfs::read(&file).unwrap_or_default().trim().to_owned();
        Err(GroupError::NotTaken { file, requested: request, found })
    }
}

fn set_quota(own: &Path, version: Version, quota: &CpuQuota) -> Result<Vec<Setting>, GroupError> {
    let period_us = quota.period.as_micros();
    let quota_us = quota.quota.map(|time| time.as_micros());
    match version {
        Version::V2 => {
            let quota = quota_us.map_or("max".to_owned(), |micros| micros.to_string());
            Ok(vec![set(&own.join("cpu.max"), &format!("{quota} {period_us}"))?])
        }
        Version::V1 => {
            let quota = quota_us.map_or("-1".to_owned(), |micros| micros.to_string());
            Ok(vec![
                set(&own.join("cpu.cfs_period_us"), &period_us.to_string())?,
                set(&own.join("cpu.cfs_quota_us"), &quota)?,
            ])
        }
    }
}

/// Writes a value into a file of the kernel and reads it back: it must show the same text, or the same
/// cores.
pub(super) fn set(file: &Path, value: &str) -> Result<Setting, GroupError> {
    set_if(file, value, |found| {
        let same_cores =
            || -> Option<bool> { Some(CoreSet::parse(value).ok()? == CoreSet::parse(found).ok()?) };
        found == value || same_cores() == Some(true)
    })
}

/// As [`set`], for a number of bytes, which the kernel rounds down to a page.
fn set_bytes(file: &Path, bytes: u64) -> Result<Setting, GroupError> {
    set_if(file, &bytes.to_string(), |found| {
        found.parse().is_ok_and(|found: u64| found <= bytes && bytes - found < PAGE_BYTES_MAX)
    })
}

fn set_if(file: &Path, value: &str, is_taken: impl Fn(&str) -> bool) -> Result<Setting, GroupError> {
    write(file, value)?;
    let found = procfs::read(file).map_err(refused("read back", file))?.trim().to_owned();
    let (file, requested) = (file.to_path_buf(), value.to_owned());
    if is_taken(&found) {
        Ok(Setting { file, requested, found })
    } else {
        Err(GroupError::NotTaken { file, requested, found })
    }
}

/// One write, as the kernel's files demand.
fn write(file: &Path, value: &str) -> Result<(), GroupError> {
    let mut open = OpenOptions::new().write(true).open(file).map_err(refused("open", file))?;
    open.write_all(value.as_bytes()).map_err(refused("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Duration;

    const FILES: [&str; 5] = ["cpuset.cpus", "memory.max", "cpu.max", "cgroup.procs", "cpuset.mems"];

    /// A version 2 tree as files, in which the group `loops` is there already.
    fn tree() -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("loops");
        fs::create_dir(&own).unwrap();
        for file in FILES {
            fs::write(own.join(file), "").unwrap();
        }
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            fs::write(root.path().join(file), "cpuset cpu memory\n").unwrap();
        }
        let mounts = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.path().display());
        let layout = Layout::parse("0::/\n", &mounts);
        (root, layout)
    }

    fn nothing(name: &str) -> GroupSpec {
        let name = name.to_owned();
        GroupSpec { name, cores: None, memory_bytes_max: None, cpu_quota: None, rt_budget: None }
    }

    #[test]
    fn version_2_files_get_version_2_values() {
        let (root, layout) = tree();
        let half = CpuQuota { quota: Some(Duration::from_millis(5)), period: Duration::from_millis(10) };
        let spec = GroupSpec {
            cores: Some(CoreSet::of(1)),
            memory_bytes_max: Some(1 << 20),
            cpu_quota: Some(half),
            ..nothing("loops")
        };
        let (group, report) = Group::create(&layout, &spec).unwrap();
        assert_eq!(group.directories(), [root.path().join("loops")], "one directory serves all");
        let found: Vec<_> = report.settings.iter().map(|setting| setting.found.as_str()).collect();
        assert_eq!(found, ["1", "1048576", "5000 10000"]);
        group.join_process(17).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("loops/cgroup.procs")).unwrap(), "17");
    }

    #[test]
    fn a_real_time_budget_is_not_set_where_groups_have_none() {
        let (_root, layout) = tree();
        let budget = RtBudget { runtime: Some(Duration::from_millis(9)), period: Duration::from_millis(10) };
        let spec = GroupSpec { rt_budget: Some(budget), ..nothing("loops") };
        assert_eq!(Group::create(&layout, &spec).unwrap().1, GroupReport::default());
    }

    #[test]
    fn a_value_that_is_not_taken_is_an_error() {
        // A device that swallows what is written and reads as nothing.
        let error = set(Path::new("/dev/null"), "5").unwrap_err();
        assert!(matches!(error, GroupError::NotTaken { .. }), "{error}");
        assert_eq!(error.to_string(), "asked for `5` in /dev/null, found ``");
    }

    #[test]
    fn a_missing_controller_is_named() {
        let spec = GroupSpec { cores: Some(CoreSet::of(0)), ..nothing("loops") };
        let error = Group::create(&Layout::default(), &spec).unwrap_err();
        assert_eq!(error, GroupError::NoController { controller: "cpuset" });
    }

    #[test]
    fn a_name_that_leaves_the_tree_is_refused() {
        for name in ["", "..", "a/b", "cpu.max"] {
            let error = Group::create(&Layout::default(), &nothing(name)).unwrap_err();
            assert_eq!(error, GroupError::Name { name: name.to_owned() });
        }
    }
}
