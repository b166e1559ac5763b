//! The checks there are.

use std::fmt;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// How the kernel lets itself be interrupted.
    Kernel,
    /// Whether something underneath may stop a core.
    Hypervisor,
    /// Whether threads can be pinned, above all to the loop's core.
    Cores,
    /// Whether a thread gets `SCHED_FIFO`.
    Policy,
    /// Whether what a real-time thread creates is a normal one.
    HelperThreads,
    /// The budgets of the control groups of version 1.
    RealTimeBudget,
    /// How much of a core all real-time threads together may take.
    Throttling,
    /// Whether `SCHED_DEADLINE` could be had. The agent does not use it.
    DeadlinePolicy,
    /// What the process may do.
    Capabilities,
    /// Whether the kernel can keep a node without a lease from writing.
    PacketGate,
    /// Whether memory can be locked.
    MemoryLock,
    /// How much memory may be locked.
    MemoryLockLimit,
    /// Whether reading the time is free of system calls.
    Clock,
    /// How fine timers are.
    TimerResolution,
    /// Whether the control group has the loop's core, and has it for itself.
    ExclusiveCores,
    /// Whether the scheduler leaves the loop's core alone.
    Isolation,
    /// Whether the kernel's tick interrupts the loop's core.
    Tick,
    /// Whether devices interrupt the loop's core.
    Interrupts,
    /// Whether the loop's core shares its execution units.
    Siblings,
    /// Whether the loop's core changes its frequency.
    Governor,
    /// How long the loop's core takes to wake from its deepest sleep.
    IdleStates,
    /// Whether the kernel merges pages in the background.
    HugePages,
    /// Whether memory can be swapped out.
    Swap,
    /// Whether the control group's time is limited.
    Quota,
    /// How much memory the control group may use.
    MemoryLimit,
    /// How late a thread wakes up.
    WakeUps,
}

impl Check {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 26] = [
        Self::Kernel,
        Self::Hypervisor,
        Self::Cores,
        Self::Policy,
        Self::HelperThreads,
        Self::RealTimeBudget,
        Self::Throttling,
        Self::DeadlinePolicy,
        Self::Capabilities,
        Self::PacketGate,
        Self::MemoryLock,
        Self::MemoryLockLimit,
        Self::Clock,
        Self::TimerResolution,
        Self::ExclusiveCores,
        Self::Isolation,
        Self::Tick,
        Self::Interrupts,
        Self::Siblings,
        Self::Governor,
        Self::IdleStates,
        Self::HugePages,
        Self::Swap,
        Self::Quota,
        Self::MemoryLimit,
        Self::WakeUps,
    ];

    /// Its name, as it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel preemption",
            Self::Hypervisor => "hypervisor",
            Self::Cores => "cores",
            Self::Policy => "real-time policy",
            Self::HelperThreads => "helper threads",
            Self::RealTimeBudget => "real-time budget",
            Self::Throttling => "real-time throttling",
            Self::DeadlinePolicy => "deadline policy",
            Self::Capabilities => "capabilities",
            Self::PacketGate => "packet gate",
            Self::MemoryLock => "memory lock",
            Self::MemoryLockLimit => "memory-lock limit",
            Self::Clock => "clock",
            Self::TimerResolution => "timer resolution",
            Self::ExclusiveCores => "exclusive cores",
            Self::Isolation => "core isolation",
            Self::Tick => "periodic tick",
            Self::Interrupts => "interrupts",
            Self::Siblings => "shared execution units",
            Self::Governor => "core frequency",
            Self::IdleStates => "idle states",
            Self::HugePages => "transparent huge pages",
            Self::Swap => "swap",
            Self::Quota => "processor quota",
            Self::MemoryLimit => "memory limit",
            Self::WakeUps => "wake-up delay",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
