//! A machine on which all is as it should be, as copies of its files, and the same with one file changed.

use std::fs;

use tempfile::TempDir;

use super::super::{Check, Finding, Patient};
use super::here;
use crate::cgroup::{Layout, facts};
use crate::machine::Machine;

/// The checks that only read files.
pub(super) const READING: [Check; 15] = [
    Check::Kernel,
    Check::Hypervisor,
    Check::RealTimeBudget,
    Check::Throttling,
    Check::ExclusiveCores,
    Check::Isolation,
    Check::Tick,
    Check::Interrupts,
    Check::Siblings,
    Check::Governor,
    Check::IdleStates,
    Check::HugePages,
    Check::Swap,
    Check::Quota,
    Check::MemoryLimit,
];

/// The core of the loop.
const CORE: usize = 1;

const FIT: [(&str, &str); 23] = [
    ("proc/version", "Linux version 6.12.0 #1 SMP PREEMPT_RT Debian"),
    ("proc/cpuinfo", "flags : fpu lm\n"),
    ("proc/stat", "cpu  1 2 3 4 5 6 7 0 0 0\n"),
    ("proc/sys/kernel/osrelease", "6.12.0-rt\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("proc/irq/30/smp_affinity_list", "0\n"),
    ("proc/meminfo", "SwapTotal:        0 kB\n"),
    ("sys/devices/system/cpu/isolated", "1\n"),
    ("sys/devices/system/cpu/nohz_full", "1\n"),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/name", "C1\n"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "2\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    // A hybrid machine: the processor in version 1, cores and memory in version 2.
    ("groups/cpu/agent/cpu.rt_runtime_us", "400000\n"),
    ("groups/cpu/agent/cpu.rt_period_us", "1000000\n"),
    ("groups/cpu/agent/cpu.cfs_period_us", "100000\n"),
    ("groups/cpu/agent/cpu.cfs_quota_us", "-1\n"),
    ("groups/unified/agent/cgroup.controllers", "cpuset memory\n"),
    ("groups/unified/agent/cpuset.cpus.effective", "1\n"),
    ("groups/unified/agent/cpuset.cpus.partition", "isolated\n"),
    ("groups/unified/agent/memory.max", "max\n"),
];

/// The files of a machine.
pub(super) struct Files(TempDir);

impl Files {
    /// Those of the fit machine.
    pub(super) fn fit() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        FIT.iter().for_each(|(path, text)| files.write(path, text));
        files
    }

    /// Puts another text into one of them.
    pub(super) fn change(&self, path: &str, text: &str) {
        assert!(self.0.path().join(path).exists(), "{path} is not a file of the machine");
        self.write(path, text);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What the checks make of them, as they are now.
    pub(super) fn findings(&self) -> [Finding; READING.len()] {
        let groups = self.0.path().join("groups");
        let mounts = format!(
            "32 31 0:29 / {groups}/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / {groups}/unified rw - cgroup2 cgroup2 rw\n",
            groups = groups.display()
        );
        let patient = Patient {
            machine: Machine::at(self.0.path()),
            groups: facts(&Layout::parse("1:cpu:/agent\n0::/agent\n", &mounts)),
            core: CORE,
            ..here()
        };
        READING.map(|check| patient.check(check))
    }
}
