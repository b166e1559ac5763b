//! Real-time budgets for the pods of a node.
//!
//! # Problem
//!
//! With `RT_GROUP_SCHED` three levels of a pod start with the budget 0: all pods, the pod, the container. No
//! kubelet grants any, so `SCHED_FIFO` is refused inside, and only the node can help. Not every pod may have
//! one: the shares of siblings must fit into that of their parent, and a budget in the wrong container, such
//! as the one that holds the pod's namespaces, is one that the right container cannot get.
//!
//! # Model
//!
//! A pod *asks for cores* if it is Guaranteed, so that its group lies directly below that of all pods, and one
//! of its containers requests a whole core or more (1024 shares and up, the unit of the version 1 `cpu`
//! controller). Exactly those containers, and their pods, get a budget. A group is made with 1024 shares and gets
//! its own a moment later, so one that turns out to have fewer loses what it was given.

use std::fs;
use std::path::{Path, PathBuf};

use super::budget::{RtBudget, read_budget, write_budget};
use super::group::{GroupError, Setting};
use crate::procfs;

/// Shares of a container that requests one core.
const SHARES_OF_A_CORE: u64 = 1024;
/// Pods of a node, and containers of a pod, that are looked at.
const ENTRIES_MAX: usize = 1024;

/// What a look at all pods has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodBudgets {
    /// What was set.
    pub settings: Vec<Setting>,
    /// What could not be set: mostly a parent that has no more to give.
    pub refused: Vec<GroupError>,
    /// The groups in which pods and containers appear.
    pub groups: Vec<PathBuf>,
}

/// Where the groups of pods are and what they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlan {
    /// The mounted hierarchy of the `cpu` controller, version 1.
    pub cpu: PathBuf,
    /// The group of all pods below it, such as `kubepods` or `kubepods.slice`.
    pub pods: PathBuf,
    /// What all pods together get.
    pub all: RtBudget,
    /// What each pod that asks for cores gets.
    pub each: RtBudget,
}

impl PodPlan {
    /// Looks at all pods once, grants what is missing and takes back what is wrong. Pods that come and go
    /// meanwhile are seen the next time.
    #[must_use]
    pub fn apply(&self) -> PodBudgets {
        let mut done = PodBudgets::default();
        let all = self.cpu.join(&self.pods);
        let mut levels: Vec<&Path> =
            all.ancestors().take_while(|level| *level != self.cpu && level.starts_with(&self.cpu)).collect();
        levels.reverse();
        for level in levels {
            done.raise(level, &self.all);
        }
        done.groups.push(all.clone());
        for pod in subgroups(&all).into_iter().filter(|pod| is_guaranteed_pod(pod)) {
            done.pod(&pod, &self.each);
        }
        done
    }

    /// Whether the kernel has budgets for groups at all.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        read_budget(&self.cpu).is_some()
    }

    /// The `cpu` hierarchy below a folder in which all are mounted, such as `/sys/fs/cgroup`; `None` where it is
    /// of version 2, which has no budgets.
    #[must_use]
    pub fn find_cpu(cgroups: &Path) -> Option<PathBuf> {
        ["cpu", "cpu,cpuacct"]
            .into_iter()
            .map(|name| cgroups.join(name))
            .find(|cpu| cpu.join("cpu.shares").exists())
    }
}

impl PodBudgets {
    fn pod(&mut self, pod: &Path, each: &RtBudget) {
        self.groups.push(pod.to_path_buf());
        let (asking, other): (Vec<PathBuf>, Vec<PathBuf>) =
            subgroups(pod).into_iter().partition(|container| asks_for_cores(container));
        for container in other {
            self.take_back(&container, each);
        }
        if asking.is_empty() {
            self.take_back(pod, each);
            return;
        }
        self.raise(pod, each);
        for container in asking {
            self.raise(&container, each);
        }
    }

    fn take_back(&mut self, group: &Path, given: &RtBudget) {
        if read_budget(group).is_some_and(|budget| !budget.is_zero()) {
            let none = RtBudget { runtime: Some(hal_units::Duration::ZERO), ..*given };
            self.note(write_budget(group, &none));
        }
    }

    fn raise(&mut self, group: &Path, wanted: &RtBudget) {
        if read_budget(group).is_some_and(|budget| !budget.covers(wanted)) {
            self.note(write_budget(group, wanted));
        }
    }

    fn note(&mut self, done: Result<Vec<Setting>, GroupError>) {
        match done {
            Ok(settings) => self.settings.extend(settings),
            Err(error) => self.refused.push(error),
        }
    }
}

fn subgroups(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found: Vec<PathBuf> = folders.take(ENTRIES_MAX).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// `podUID`, or `kubepods-podUID.slice` where systemd makes the groups; pods of the lesser classes lie below
/// groups of their class.
fn is_guaranteed_pod(group: &Path) -> bool {
    let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("pod") || name.starts_with("kubepods-pod")
}

fn asks_for_cores(group: &Path) -> bool {
    let shares = procfs::read(group.join("cpu.shares")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    shares.is_some_and(|shares| shares >= SHARES_OF_A_CORE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Duration;

    fn share(permille: u64) -> RtBudget {
        let period = Duration::from_secs(1);
        RtBudget { runtime: Some(Duration::from_millis(permille)), period }
    }

    fn none() -> (String, String) {
        ("0".to_owned(), "0".to_owned())
    }

    /// A node's groups as files.
    struct Node(tempfile::TempDir);

    impl Node {
        fn new() -> Self {
            let node = Self(tempfile::tempdir().unwrap());
            node.group("", 1024, "950000").group("kubepods", 2048, "0")
        }

        fn group(self, path: &str, shares: u64, runtime_us: &str) -> Self {
            let group = self.0.path().join(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("cpu.shares"), format!("{shares}\n")).unwrap();
            fs::write(group.join("cpu.rt_runtime_us"), format!("{runtime_us}\n")).unwrap();
            fs::write(group.join("cpu.rt_period_us"), "1000000\n").unwrap();
            self
        }

        fn apply(&self) -> PodBudgets {
            self.plan().apply()
        }

        fn plan(&self) -> PodPlan {
            let (cpu, pods) = (self.0.path().to_path_buf(), PathBuf::from("kubepods"));
            PodPlan { cpu, pods, all: share(400), each: share(400) }
        }

        fn runtime(&self, path: &str) -> String {
            let text = fs::read_to_string(self.0.path().join(path).join("cpu.rt_runtime_us")).unwrap();
            // A file keeps what lies beyond what was written; the kernel's own do not.
            text.trim().parse::<u64>().unwrap().to_string()
        }
    }

    #[test]
    fn a_container_with_a_core_of_its_own_gets_a_budget_and_all_above_it() {
        let node = Node::new().group("kubepods/pod1", 1075, "0").group("kubepods/pod1/agent", 1024, "0");
        let done = node.apply();
        for group in ["kubepods", "kubepods/pod1", "kubepods/pod1/agent"] {
            assert_eq!(node.runtime(group), "400000", "{group}");
        }
        assert_eq!((node.runtime(""), done.settings.len()), ("950000".to_owned(), 3));
        assert_eq!(node.apply().settings, [], "nothing is left to do");
    }

    #[test]
    fn what_holds_the_namespaces_and_what_has_a_share_of_a_core_get_nothing() {
        let node = Node::new()
            .group("kubepods/pod1", 1075, "0")
            .group("kubepods/pod1/sandbox", 2, "0")
            .group("kubepods/pod1/sidecar", 51, "0")
            .group("kubepods/pod1/agent", 1024, "0");
        let _ = node.apply();
        assert_eq!(node.runtime("kubepods/pod1/sandbox"), "0");
        assert_eq!(node.runtime("kubepods/pod1/sidecar"), "0");
    }

    #[test]
    fn a_group_that_was_taken_for_another_loses_its_budget() {
        let node = Node::new().group("kubepods/pod1", 1026, "0").group("kubepods/pod1/sandbox", 1024, "0");
        let _ = node.apply();
        assert_eq!(node.runtime("kubepods/pod1/sandbox"), "400000", "new, and not known yet");
        let node = node.group("kubepods/pod1/sandbox", 2, "400000");
        let _ = node.apply();
        assert_eq!((node.runtime("kubepods/pod1/sandbox"), node.runtime("kubepods/pod1")), none());
        let node = node.group("kubepods/pod1/agent", 1024, "0");
        let _ = node.apply();
        assert_eq!(node.runtime("kubepods/pod1/sandbox"), "0");
        assert_eq!(node.runtime("kubepods/pod1/agent"), "400000");
    }

    #[test]
    fn pods_of_lesser_classes_get_nothing() {
        let node = Node::new()
            .group("kubepods/burstable", 1024, "0")
            .group("kubepods/burstable/pod2", 1024, "0")
            .group("kubepods/burstable/pod2/app", 1024, "0");
        let _ = node.apply();
        assert_eq!(node.runtime("kubepods/burstable/pod2/app"), "0");
        assert_eq!(node.runtime("kubepods/burstable"), "0");
    }

    #[test]
    fn pods_of_systemd_are_found_too() {
        assert!(is_guaranteed_pod(Path::new("/x/kubepods.slice/kubepods-pod12_3.slice")));
        assert!(!is_guaranteed_pod(Path::new("/x/kubepods.slice/kubepods-burstable.slice")));
    }

    #[test]
    fn a_kernel_without_budgets_needs_nothing() {
        let node = Node::new();
        assert!(node.plan().is_needed());
        fs::remove_file(node.0.path().join("cpu.rt_runtime_us")).unwrap();
        assert!(!node.plan().is_needed());
        assert_eq!(PodPlan::find_cpu(node.0.path()), None, "the controller is not mounted here");
    }
}
