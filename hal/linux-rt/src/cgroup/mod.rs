//! Control groups, version 1, 2 and both at once: where this process is, what limits it there, and groups
//! of its own.
//!
//! # Model
//!
//! A *hierarchy* is one mounted tree of groups. With version 1 there are several, each with its own
//! controllers; with version 2 there is one. On a hybrid machine the controllers live in version 1 and an
//! empty version 2 hierarchy exists beside them, so a controller is looked up by its name, never by the
//! version of the machine. A process has one group in each hierarchy; limits of all *levels* above it
//! count.
//!
//! [`facts()`] reads the limits, [`Group`] makes a group and sets them, [`budget`] deals with real-time
//! budgets, which only version 1 has, and [`pods`] those of the pods of a Kubernetes node.

pub mod budget;
mod facts;
mod group;
pub mod pods;

use std::io;
use std::path::{Path, PathBuf};

pub use facts::{CpuLevel, CpuQuota, Cpuset, Facts, facts, parse_memory_limit};
pub use group::{Group, GroupError, GroupReport, GroupSpec, Setting};

use crate::procfs;

/// Levels of a hierarchy that are looked at: the kernel's own default limit is deeper, real trees are not.
const LEVELS_MAX: usize = 64;

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// One hierarchy for each controller or group of controllers.
    V1,
    /// One hierarchy for all.
    V2,
}

/// What is mounted on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing that this process can see.
    None,
    /// Version 1 only.
    V1,
    /// Version 2 only.
    V2,
    /// Both.
    Hybrid,
}

/// A mounted hierarchy with this process's place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its version.
    pub version: Version,
    /// Its controllers for version 1; empty for version 2, which tells them in each group.
    pub controllers: Vec<String>,
    /// Where it is mounted: the topmost group that this process can see.
    pub mount: PathBuf,
    /// The group of this process, within [`Hierarchy::mount`].
    pub directory: PathBuf,
}

impl Hierarchy {
    /// The groups from the topmost visible one down to that of this process.
    #[must_use]
    pub fn levels(&self) -> Vec<PathBuf> {
        let mut levels: Vec<PathBuf> = self
            .directory
            .ancestors()
            .take_while(|level| level.starts_with(&self.mount))
            .take(LEVELS_MAX)
            .map(Path::to_path_buf)
            .collect();
        levels.reverse();
        levels
    }
}

/// All hierarchies of this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The mounted hierarchies that this process is in.
    pub hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Finds the hierarchies of this process.
    ///
    /// # Errors
    /// If `/proc/self/mountinfo` or `/proc/self/cgroup` cannot be read. A kernel without control groups has
    /// no such file: an empty layout, not an error.
    pub fn detect() -> io::Result<Self> {
        let groups = match procfs::read("/proc/self/cgroup") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        Ok(Self::parse(&groups, &procfs::read("/proc/self/mountinfo")?))
    }

    /// Reads the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`. Lines that do not belong to a
    /// mounted hierarchy are passed over.
    #[must_use]
    pub fn parse(groups: &str, mounts: &str) -> Self {
        let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
        let hierarchies = groups
            .lines()
            .filter_map(|line| {
                // number:controllers:path; version 2 has no controllers and number 0 (cgroups(7)).
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                let controllers: Vec<String> =
                    controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                mounts.iter().filter(|mount| mount.carries(&controllers)).find_map(|mount| {
                    Some(Hierarchy {
                        version: mount.version,
                        controllers: controllers.clone(),
                        mount: mount.point.clone(),
                        directory: mount.directory_of(path)?,
                    })
                })
            })
            .collect();
        Self { hierarchies }
    }

    /// Which versions are mounted.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let has = |version| self.hierarchies.iter().any(|hierarchy| hierarchy.version == version);
        match (has(Version::V1), has(Version::V2)) {
            (false, false) => Kind::None,
            (true, false) => Kind::V1,
            (false, true) => Kind::V2,
            (true, true) => Kind::Hybrid,
        }
    }

    /// The hierarchy with a controller, such as `cpu`: the version 1 hierarchy that lists it, else the
    /// version 2 one if the group of this process has it.
    #[must_use]
    pub fn controller(&self, name: &str) -> Option<&Hierarchy> {
        let lists = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|listed| listed == name);
        self.hierarchies.iter().find(lists).or_else(|| {
            let v2 = self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)?;
            let available = procfs::read(v2.directory.join("cgroup.controllers")).ok()?;
            available.split_whitespace().any(|listed| listed == name).then_some(v2)
        })
    }
}

/// Whether a group of version 1 is the root of its hierarchy: only the root has this file.
fn is_root(group: &Path) -> bool {
    group.join("release_agent").exists()
}

/// A mounted hierarchy as `/proc/self/mountinfo` shows it.
struct Mount {
    version: Version,
    /// The group that is visible at the mount point, from the hierarchy's root.
    root: PathBuf,
    point: PathBuf,
    options: Vec<String>,
}

impl Mount {
    /// `id parent device root point options [optional...] - type source superoptions` (proc(5)).
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let version = match right.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let options = right.nth(1).unwrap_or("").split(',').map(str::to_owned).collect();
        Some(Self { version, root: root.into(), point: point.into(), options })
    }

    fn carries(&self, controllers: &[String]) -> bool {
        match self.version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => {
                !controllers.is_empty() && controllers.iter().all(|name| self.options.contains(name))
            }
        }
    }

    /// Where the group at `path` is visible; `None` if this mount does not show it.
    fn directory_of(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let below = path.strip_prefix(&self.root).ok()?;
        let escapes = below.components().any(|part| part == std::path::Component::ParentDir);
        if escapes { None } else { Some(self.point.join(below)) }
    }
}

/// Undoes the octal escapes of white space and backslash in mountinfo.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const HYBRID_GROUPS: &str = "\
9:name=systemd:/agent
3:cpuset:/
1:cpu,cpuacct:/edge/agent
0::/edge
";

    fn directory(layout: &Layout, controller: &str) -> String {
        layout.controller(controller).unwrap().directory.display().to_string()
    }

    #[test]
    fn a_hybrid_machine_has_its_controllers_in_version_1() {
        let layout = Layout::parse(HYBRID_GROUPS, HYBRID_MOUNTS);
        assert_eq!(layout.kind(), Kind::Hybrid);
        assert_eq!(layout.hierarchies.len(), 4);
        assert_eq!(directory(&layout, "cpu"), "/sys/fs/cgroup/cpu,cpuacct/edge/agent");
        assert_eq!(directory(&layout, "cpuset"), "/sys/fs/cgroup/cpuset/");
        assert_eq!(layout.controller("memory"), None);
    }

    #[test]
    fn the_levels_run_from_the_mount_down_to_the_group() {
        let layout = Layout::parse(HYBRID_GROUPS, HYBRID_MOUNTS);
        let levels = layout.controller("cpu").unwrap().levels();
        let names: Vec<_> = levels.iter().map(|level| level.display().to_string()).collect();
        let top = "/sys/fs/cgroup/cpu,cpuacct";
        assert_eq!(names, [top.to_owned(), format!("{top}/edge"), format!("{top}/edge/agent")]);
    }

    #[test]
    fn a_pure_machine_is_told_by_its_version() {
        let v2 = Layout::parse("0::/x\n", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(v2.kind(), Kind::V2);
        let v1 = Layout::parse("3:cpuset:/\n", HYBRID_MOUNTS);
        assert_eq!(v1.kind(), Kind::V1);
        assert_eq!(Layout::parse("", "").kind(), Kind::None);
    }

    #[test]
    fn in_a_container_that_sees_only_its_own_group_the_mount_is_that_group() {
        let mounts = "50 40 0:29 /pods/a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        let layout = Layout::parse("1:cpu:/pods/a\n", mounts);
        assert_eq!(directory(&layout, "cpu"), "/sys/fs/cgroup/cpu/");
        assert_eq!(layout.controller("cpu").unwrap().levels().len(), 1);
    }

    #[test]
    fn a_group_that_the_mount_does_not_show_is_passed_over() {
        let mounts = "50 40 0:29 /pods/a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        assert_eq!(Layout::parse("1:cpu:/pods/b\n", mounts).kind(), Kind::None);
        let outside = Layout::parse("1:cpu:/../b\n", HYBRID_MOUNTS);
        assert_eq!(outside.kind(), Kind::None);
    }

    #[test]
    fn a_mount_point_with_a_space_is_unescaped() {
        let mounts = "41 31 0:38 / /my\\040groups rw - cgroup2 cgroup2 rw\n";
        let layout = Layout::parse("0::/x\n", mounts);
        assert_eq!(layout.hierarchies[0].directory, Path::new("/my groups/x"));
    }

    #[test]
    fn lines_of_another_shape_are_passed_over() {
        assert_eq!(Layout::parse("garbage\n1:cpu\n", "garbage\n1 2 - \n - cgroup\n"), Layout::default());
    }

    #[test]
    fn on_version_2_a_controller_counts_only_if_the_group_has_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), "cpuset memory\n").unwrap();
        let mounts = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.path().display());
        let layout = Layout::parse("0::/\n", &mounts);
        assert!(layout.controller("cpuset").is_some());
        assert!(layout.controller("cpu").is_none());
    }
}
