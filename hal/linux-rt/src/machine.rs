//! What the kernel was built and started with, and how the machine is set up for real time.
//!
//! Everything is read from the text files of a [`Machine`]: the running one, or a folder with copies of
//! another one's `/proc` and `/sys`. What a machine does not tell is `None`, never a default.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::budget::RtBudget;
use crate::core_set::CoreSet;
use crate::procfs;

/// Where a machine's `/proc` and `/sys` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    root: PathBuf,
}

/// How the kernel lets its own code be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preemption {
    /// `PREEMPT_RT`: nearly everywhere, with bounded delay.
    Realtime,
    /// `PREEMPT_DYNAMIC`: chosen at boot by `preempt=`.
    Dynamic,
    /// `PREEMPT`: outside critical sections.
    Full,
    /// At few places or none.
    Little,
}

impl fmt::Display for Preemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Realtime => "PREEMPT_RT",
            Self::Dynamic => "PREEMPT_DYNAMIC",
            Self::Full => "PREEMPT",
            Self::Little => "without kernel preemption",
        })
    }
}

/// The clock behind the monotonic time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockSource {
    /// The one in use.
    pub current: String,
    /// All that the kernel could use.
    pub available: Vec<String>,
}

/// An interrupt line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupt {
    /// Its number.
    pub number: u32,
    /// The cores that serve it.
    pub cores: CoreSet,
}

/// An idle state of a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleState {
    /// Its name.
    pub name: String,
    /// How long it takes to leave it, in microseconds.
    pub exit_us: u64,
}

impl Machine {
    /// The running machine.
    #[must_use]
    pub fn running() -> Self {
        Self::at(Path::new("/"))
    }

    /// A machine whose `/proc` and `/sys` are below `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without surrounding white space.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, path: &str) -> io::Result<String> {
        procfs::read(self.path(path)).map(|text| text.trim().to_owned())
    }

    fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    fn core_list(&self, path: &str) -> Option<CoreSet> {
        CoreSet::parse(&self.text(path)?).ok()
    }

    /// The kernel's release.
    #[must_use]
    pub fn release(&self) -> Option<String> {
        self.text("/proc/sys/kernel/osrelease")
    }

    /// How the kernel lets itself be interrupted.
    #[must_use]
    pub fn preemption(&self) -> Option<Preemption> {
        let version = self.text("/proc/version")?;
        let says = |word: &str| version.split_whitespace().any(|found| found == word);
        Some(match () {
            () if self.is_realtime_kernel() => Preemption::Realtime,
            () if says("PREEMPT_DYNAMIC") => Preemption::Dynamic,
            () if says("PREEMPT") => Preemption::Full,
            () => Preemption::Little,
        })
    }

    /// Whether the kernel is built with `PREEMPT_RT`.
    #[must_use]
    pub fn is_realtime_kernel(&self) -> bool {
        self.text("/sys/kernel/realtime").as_deref() == Some("1")
            || self.text("/proc/version").is_some_and(|version| version.contains("PREEMPT_RT"))
    }

    /// The share of time that all real-time threads together may take on a core before they are stopped.
    #[must_use]
    pub fn rt_throttling(&self) -> Option<RtBudget> {
        RtBudget::parse(
            &self.text("/proc/sys/kernel/sched_rt_runtime_us")?,
            &self.text("/proc/sys/kernel/sched_rt_period_us")?,
        )
    }

    /// The clock behind the monotonic time.
    #[must_use]
    pub fn clock_source(&self) -> Option<ClockSource> {
        const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
        let available = self.text(&format!("{FOLDER}/available_clocksource"))?;
        Some(ClockSource {
            current: self.text(&format!("{FOLDER}/current_clocksource"))?,
            available: available.split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// The value of a parameter of the kernel's command line; empty for one without a value.
    #[must_use]
    pub fn boot_parameter(&self, name: &str) -> Option<String> {
        let line = self.text("/proc/cmdline")?;
        // What follows `--` belongs to the first process, not to the kernel.
        let mut words = line.split_whitespace().take_while(|word| *word != "--");
        words.find_map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key == name).then(|| value.to_owned())
        })
    }

    /// The cores that run.
    #[must_use]
    pub fn online_cores(&self) -> Option<CoreSet> {
        self.core_list("/sys/devices/system/cpu/online")
    }

    /// The cores that the scheduler leaves alone (`isolcpus=`, isolated cpusets).
    #[must_use]
    pub fn isolated_cores(&self) -> Option<CoreSet> {
        self.core_list("/sys/devices/system/cpu/isolated")
    }

    /// The cores without a periodic tick while one thread runs (`nohz_full=`); none if the kernel cannot.
    #[must_use]
    pub fn tickless_cores(&self) -> CoreSet {
        // The kernel writes `(null)` if it can and no core is given.
        self.core_list("/sys/devices/system/cpu/nohz_full").unwrap_or_default()
    }

    /// The cores that share execution units with this one, itself included.
    #[must_use]
    pub fn siblings(&self, core: usize) -> Option<CoreSet> {
        self.core_list(&format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"))
    }

    /// The frequency governor of a core; `None` if the kernel does not control its frequency.
    #[must_use]
    pub fn governor(&self, core: usize) -> Option<String> {
        self.text(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
    }

    /// The idle states of a core that are not disabled.
    #[must_use]
    pub fn idle_states(&self, core: usize) -> Vec<IdleState> {
        /// More than any processor has.
        const STATES_MAX: usize = 16;
        let state = |index: usize| {
            let folder = format!("/sys/devices/system/cpu/cpu{core}/cpuidle/state{index}");
            let value = |file: &str| self.text(&format!("{folder}/{file}"));
            let state = IdleState { name: value("name")?, exit_us: value("latency")?.parse().ok()? };
            Some((state, value("disable").as_deref() == Some("1")))
        };
        let states = (0..STATES_MAX).map_while(state);
        states.filter(|(_, disabled)| !disabled).map(|(state, _)| state).collect()
    }

    /// The interrupt lines that have a core to serve them, by number.
    #[must_use]
    pub fn interrupts(&self) -> Vec<Interrupt> {
        let Ok(entries) = fs::read_dir(self.path("/proc/irq")) else { return Vec::new() };
        let line = |entry: fs::DirEntry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let cores = self
                .core_list(&format!("/proc/irq/{number}/effective_affinity_list"))
                .or_else(|| self.core_list(&format!("/proc/irq/{number}/smp_affinity_list")))?;
            Some(Interrupt { number, cores })
        };
        let mut lines: Vec<Interrupt> = entries.flatten().filter_map(line).collect();
        lines.sort_by_key(|line| line.number);
        lines
    }

    /// Whether the kernel shows how it manages memory. If it does, what is not among that is not built in.
    #[must_use]
    pub fn manages_memory(&self) -> bool {
        self.path("/sys/kernel/mm").is_dir()
    }

    /// The mode of transparent huge pages: `always`, `madvise` or `never`; `None` with a kernel without.
    #[must_use]
    pub fn huge_pages(&self) -> Option<String> {
        let modes = self.text("/sys/kernel/mm/transparent_hugepage/enabled")?;
        let selected = modes.split_whitespace().find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'));
        selected.map(str::to_owned)
    }

    /// The swap space in bytes.
    #[must_use]
    pub fn swap_bytes(&self) -> Option<u64> {
        procfs::status_bytes(&self.text("/proc/meminfo")?, "SwapTotal")
    }

    /// Whether a hypervisor is underneath, which may stop a core at any time.
    #[must_use]
    pub fn is_virtual(&self) -> Option<bool> {
        let info = self.text("/proc/cpuinfo")?;
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        let (_, flags) = lines.find(|(key, _)| key.trim() == "flags")?;
        Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
    }

    /// Time that the hypervisor withheld from all cores since boot, in ticks of 10 ms.
    #[must_use]
    pub fn stolen_ticks(&self) -> Option<u64> {
        // cpu user nice system idle iowait irq softirq steal ... (proc_stat(5)).
        let stat = self.text("/proc/stat")?;
        stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Duration;

    /// A machine that consists of these files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn a_real_time_kernel_is_told_by_its_version_or_its_flag() {
        let by_version = [("proc/version", "Linux version 6.6 #1 SMP PREEMPT_RT Debian")];
        let by_flag = [("proc/version", "Linux version 5.4 #1 SMP"), ("sys/kernel/realtime", "1\n")];
        for files in [&by_version[..], &by_flag[..]] {
            assert_eq!(machine(files).1.preemption(), Some(Preemption::Realtime));
        }
    }

    #[test]
    fn other_kernels_are_told_by_their_version() {
        for (version, preemption) in [
            ("Linux version 6.18 #1 SMP PREEMPT_DYNAMIC @0", Preemption::Dynamic),
            ("Linux version 6.1 #1 SMP PREEMPT Tue", Preemption::Full),
            ("Linux version 6.1 #1 SMP Tue", Preemption::Little),
        ] {
            assert_eq!(machine(&[("proc/version", version)]).1.preemption(), Some(preemption));
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_is_not_taken_for_one_that_is_fine() {
        let (_root, machine) = machine(&[]);
        assert_eq!(machine.preemption(), None);
        assert_eq!(machine.rt_throttling(), None);
        assert_eq!(machine.isolated_cores(), None);
        assert_eq!(machine.huge_pages(), None);
        assert_eq!(machine.swap_bytes(), None);
        assert_eq!(machine.is_virtual(), None);
        assert!(machine.idle_states(0).is_empty() && machine.interrupts().is_empty());
    }

    #[test]
    fn throttling_that_is_off_is_unlimited() {
        let (_root, machine) = machine(&[
            ("proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
            ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
        ]);
        let off = RtBudget { runtime: None, period: Duration::from_secs(1) };
        assert_eq!(machine.rt_throttling(), Some(off));
    }

    #[test]
    fn a_boot_parameter_is_found_with_and_without_a_value() {
        let (_root, machine) =
            machine(&[("proc/cmdline", "quiet isolcpus=2,3 nohz_full=3 rdinit=/x -- nohz_full=9 skew\n")]);
        assert_eq!(machine.boot_parameter("isolcpus").as_deref(), Some("2,3"));
        assert_eq!(machine.boot_parameter("quiet").as_deref(), Some(""));
        assert_eq!(machine.boot_parameter("skew"), None, "it is the first process's");
        assert_eq!(machine.boot_parameter("iso"), None);
    }

    #[test]
    fn no_tickless_core_is_an_empty_set() {
        let path = "sys/devices/system/cpu/nohz_full";
        assert!(machine(&[(path, "(null)\n")]).1.tickless_cores().is_empty());
        assert_eq!(machine(&[(path, "2-3\n")]).1.tickless_cores().len(), 2);
    }

    #[test]
    fn only_enabled_idle_states_count() {
        let (_root, machine) = machine(&[
            ("sys/devices/system/cpu/cpu1/cpuidle/state0/name", "POLL\n"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "0\n"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state0/disable", "0\n"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state1/name", "C6\n"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state1/latency", "133\n"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state1/disable", "1\n"),
        ]);
        assert_eq!(machine.idle_states(1), [IdleState { name: "POLL".to_owned(), exit_us: 0 }]);
    }

    #[test]
    fn an_interrupt_is_where_it_is_served_not_where_it_might_be() {
        let (_root, machine) = machine(&[
            ("proc/irq/30/smp_affinity_list", "0-3\n"),
            ("proc/irq/30/effective_affinity_list", "2\n"),
            ("proc/irq/9/smp_affinity_list", "0-3\n"),
            ("proc/irq/default_smp_affinity", "f\n"),
        ]);
        let found: Vec<_> = machine.interrupts().iter().map(|i| (i.number, i.cores.to_string())).collect();
        assert_eq!(found, [(9, "0-3".to_owned()), (30, "2".to_owned())]);
    }

    #[test]
    fn the_selected_mode_of_huge_pages_is_the_one_in_brackets() {
        let path = "sys/kernel/mm/transparent_hugepage/enabled";
        assert_eq!(machine(&[(path, "always [madvise] never\n")]).1.huge_pages().as_deref(), Some("madvise"));
    }

    #[test]
    fn a_virtual_machine_shows_in_its_processor_flags() {
        let cpuinfo = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\nbugs\t\t:\n";
        assert_eq!(machine(&[("proc/cpuinfo", cpuinfo)]).1.is_virtual(), Some(true));
        let metal = cpuinfo.replace("hypervisor ", "");
        assert_eq!(machine(&[("proc/cpuinfo", &metal)]).1.is_virtual(), Some(false));
    }

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let (_root, machine) = machine(&[("proc/stat", "cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 2\n")]);
        assert_eq!(machine.stolen_ticks(), Some(88));
    }
}
