//! Breaks what each check looks at, and sees that the check finds it.
//!
//! What can be broken for real is: threads without a capability, a process with little memory to lock, a core
//! that others hold, a clock that has to be asked of the kernel. What belongs to the whole machine is broken in
//! a copy of its files ([`files`]). A check without a test here does not compile.

mod files;
#[path = "../../../tests/common/mod.rs"]
mod own_process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::trials::{judge_helper, policy_of_a_helper};
use super::{Check, Finding, Patient, Request, Status, default_core, gate};
use crate::capability::{Capability, keep_only};
use crate::clock::{AbsoluteWait, now};
use crate::errno::Errno;
use crate::lease_gate::NEEDED_TO_SET_UP;
use crate::sys;
use crate::thread::{Policy, Priority, Realtime, RtThread, ThreadSpec, set_fifo, spawn};
use files::Files;
use own_process::in_own_process_with_memlock;

/// The test of one check.
#[derive(Debug, Clone, Copy)]
struct Case {
    check: Check,
    /// The test's name, as the test harness knows it.
    test: &'static str,
}

/// That a check was seen to find what was broken.
struct Found;

macro_rules! breaking_tests {
    ($($check:ident: $(#[$part:meta])* $test:ident => $body:expr;)*) => {
        $(
            $(#[$part])*
            #[test]
            fn $test() {
                let body: fn(Case) -> Found = $body;
                let test = concat!("doctor::broken::", stringify!($test));
                let Found = body(Case { check: Check::$check, test });
            }
        )*

        /// The tests, by the check that each is about.
        pub(super) const TESTS: &[(Check, &str)] = &[$((Check::$check, stringify!($test))),*];

        /// Without a `_` arm: a check that no test breaks is an error here, and so is a second test of one.
        const _: fn(Check) = |check| match check {
            $(Check::$check => (),)*
        };
    };
}

breaking_tests! {
    Kernel: a_kernel_without_full_preemption_is_found => |case| {
        case.file("proc/version", "Linux version 6.12.0 #1 SMP PREEMPT_DYNAMIC")
    };
    Hypervisor: a_hypervisor_is_found => |case| case.file("proc/cpuinfo", "flags : fpu hypervisor lm\n");
    Cores: a_core_that_does_not_exist_is_found => |case| {
        let broken = Patient { core: 1023, ..here() };
        case.finds(Some(&here()), &broken, Some(Errno::EINVAL))
    };
    Policy:
        #[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
        a_process_that_may_not_be_real_time_is_found => |case| {
            case.finds_without(&[Capability::CAP_IPC_LOCK], Some(Errno::EPERM), "CAP_SYS_NICE")
        };
    HelperThreads:
        #[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
        a_helper_that_inherits_the_policy_is_found => |case| {
            let fit = here().check(case.check);
            let inherited = on_a_thread(|| {
                set_fifo(Priority::MIN).unwrap();
                // As a library would make a thread real-time: without resetting what it creates.
                let careless = sys::Attributes { reset_on_fork: false, ..sys::scheduling().unwrap() };
                sys::set_scheduling(&careless).unwrap();
                policy_of_a_helper()
            });
            assert_eq!(inherited, Some(Policy::Fifo));
            case.judges(Some(&fit), &judge_helper(inherited), None)
        };
    RealTimeBudget: a_group_without_real_time_is_found => |case| {
        case.file("groups/cpu/agent/cpu.rt_runtime_us", "0\n")
    };
    Throttling: little_time_for_all_real_time_threads_is_found => |case| {
        case.file("proc/sys/kernel/sched_rt_runtime_us", "500000\n")
    };
    DeadlinePolicy:
        #[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
        a_deadline_policy_that_is_refused_is_told => |case| {
            let refused = with_only(&[], || here().check(case.check));
            // It is not needed: told, and no complaint.
            assert_eq!((refused.status, refused.errno), (Status::Skipped, Some(Errno::EPERM)), "{refused:?}");
            Found
        };
    Capabilities: a_capability_that_is_missing_is_found => |case| {
        case.finds_without(&[Capability::CAP_IPC_LOCK], None, "CAP_SYS_NICE")
    };
    PacketGate:
        #[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
        a_gate_that_does_not_bind_is_found => |case| {
            let leaks = gate::judge_trial(gate::try_gate(|_| Ok(())));
            assert_eq!(leaks.found, "a write passes the shut gate");
            let Found = case.judges(Some(&here().check(case.check)), &leaks, None);
            case.finds_without(&NEEDED_TO_SET_UP[..1], None, "grant")
        };
    MemoryLock:
        #[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
        memory_that_may_not_be_locked_is_found => |case| {
            case.finds_with_little_to_lock(Errno::ENOMEM.into())
        };
    MemoryLockLimit:
        #[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
        a_low_limit_of_locked_memory_is_found => |case| case.finds_with_little_to_lock(None);
    Clock: a_clock_that_has_to_be_asked_of_the_kernel_is_found => |case| {
        let broken = Patient {
            clock: || hal_units::Instant::from_nanos(sys::clock_nanos(sys::Clock::OwnTime)),
            ..here()
        };
        // The clock of the machine that runs this may be one, too.
        case.finds(None, &broken, None)
    };
    TimerResolution: timers_on_the_tick_are_found => |case| {
        case.finds(Some(&here()), &Patient { timer_resolution: Duration::from_millis(4), ..here() }, None)
    };
    ExclusiveCores: a_core_that_the_group_lacks_or_shares_is_found => |case| {
        let Found = case.file("groups/unified/agent/cpuset.cpus.effective", "0\n");
        case.file("groups/unified/agent/cpuset.cpus.partition", "isolated invalid (Cpu list is not exclusive)\n")
    };
    Isolation: a_core_that_the_scheduler_uses_is_found => |case| case.file("sys/devices/system/cpu/isolated", "\n");
    Tick: a_core_that_is_ticked_is_found => |case| case.file("sys/devices/system/cpu/nohz_full", "(null)\n");
    Interrupts: a_core_that_serves_interrupts_is_found => |case| {
        case.file("proc/irq/30/smp_affinity_list", "0-1\n")
    };
    Siblings: a_core_that_shares_its_units_is_found => |case| {
        case.file("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n")
    };
    Governor: a_core_that_saves_power_is_found => |case| {
        case.file("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n")
    };
    IdleStates: a_core_that_sleeps_deeply_is_found => |case| {
        case.file("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "133\n")
    };
    HugePages: pages_that_are_merged_are_found => |case| {
        case.file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
    };
    Swap: swap_is_found => |case| case.file("proc/meminfo", "SwapTotal:  2097148 kB\n");
    Quota: a_quota_is_found => |case| case.file("groups/cpu/agent/cpu.cfs_quota_us", "50000\n");
    MemoryLimit: a_tight_memory_limit_is_found => |case| {
        case.file("groups/unified/agent/memory.max", "33554432\n")
    };
    WakeUps:
        #[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
        a_core_that_another_thread_holds_is_found => |case| {
            let measured = Arc::new(AtomicBool::new(false));
            let holder = hold_half_of(default_core(), Arc::clone(&measured));
            let late = Patient { priority: Priority::MIN, ..here() }.check(case.check);
            measured.store(true, Ordering::Relaxed);
            holder.join().unwrap();
            case.judges(None, &late, None)
        };
}

/// A thread of higher priority than the lowest that takes the core for 5 ms of every 10, until `end`, for two
/// seconds at most.
fn hold_half_of(core: usize, end: Arc<AtomicBool>) -> RtThread<()> {
    let spec = ThreadSpec::fifo("takt-holder", core, Priority::new(2).unwrap(), Realtime::Required);
    let body = move |_: &_| {
        let start = now();
        for turn in (0..200).map(|turn| start + turn * Duration::from_millis(10)) {
            if end.load(Ordering::Relaxed) {
                return;
            }
            AbsoluteWait::until(turn).unwrap();
            while now().since(turn) < Duration::from_millis(5) {}
        }
    };
    spawn(spec, body).unwrap()
}

fn here() -> Patient {
    Patient::here(&Request { measure_for: Duration::from_millis(20), ..Request::default() })
}

fn on_a_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(body).join().unwrap())
}

/// Runs `body` on a thread with these capabilities only.
fn with_only<T: Send>(kept: &[Capability], body: impl FnOnce() -> T + Send) -> T {
    on_a_thread(|| {
        keep_only(kept).unwrap();
        body()
    })
}

impl Case {
    /// The check is content with what is fit, and complains of what is broken.
    fn judges(self, fit: Option<&Finding>, broken: &Finding, errno: Option<Errno>) -> Found {
        assert_eq!(broken.check, self.check);
        assert!(broken.status >= Status::Warning, "{broken:?}");
        assert_eq!(broken.errno, errno, "{broken:?}");
        assert!(!broken.found.is_empty() && !broken.meaning.is_empty() && !broken.remedy.is_empty());
        if let Some(fit) = fit {
            assert_eq!((fit.check, fit.status), (self.check, Status::Ok), "{fit:?}");
        }
        Found
    }

    fn finds(self, fit: Option<&Patient>, broken: &Patient, errno: Option<Errno>) -> Found {
        let fit = fit.map(|patient| patient.check(self.check));
        self.judges(fit.as_ref(), &broken.check(self.check), errno)
    }

    /// With one text changed in a machine that is fit, this check complains, and no other that reads files.
    fn file(self, path: &str, text: &str) -> Found {
        let files = Files::fit();
        let before = files.findings();
        files.change(path, text);
        let mut found = None;
        for (fit, broken) in before.iter().zip(&files.findings()) {
            if fit.check == self.check {
                found = Some(self.judges(Some(fit), broken, None));
            } else {
                assert_eq!(fit, broken, "{path} is about {}", self.check);
            }
        }
        found.expect("a check that reads files")
    }

    /// A thread that has all capabilities but for what is left to it complains, and names `remedy`.
    fn finds_without(self, kept: &[Capability], errno: Option<Errno>, remedy: &str) -> Found {
        let broken = with_only(kept, || here().check(self.check));
        assert!(broken.remedy.contains(remedy), "{broken:?}");
        self.judges(None, &broken, errno)
    }

    /// A process that may lock a megabyte is content with `CAP_IPC_LOCK`, and complains without.
    fn finds_with_little_to_lock(self, errno: Option<Errno>) -> Found {
        in_own_process_with_memlock(self.test, 1024, || {
            let fit = here().check(self.check);
            keep_only(&[]).unwrap();
            let Found = self.judges(Some(&fit), &here().check(self.check), errno);
        });
        Found
    }
}
