//! Locked memory, each test in a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;

use common::{in_own_process, in_own_process_with_memlock};
use hal_linux_rt::Errno;
use hal_linux_rt::capability::keep_only;
use hal_linux_rt::counters;
use hal_linux_rt::memory::{self, MemoryError, MemoryPlan};

const PLAN: MemoryPlan = MemoryPlan { heap_bytes: 8 << 20, stack_bytes: 128 << 10, arenas_max: Some(2) };

#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn locked_memory_is_read_back_from_the_kernel() {
    in_own_process("locked_memory_is_read_back_from_the_kernel", || {
        assert_eq!(memory::read_back().unwrap().locked_bytes, 0);
        let report = memory::lock(&PLAN).unwrap();
        assert!(report.locked_bytes >= PLAN.heap_bytes as u64, "{report:?}");
        assert!(report.resident_bytes >= PLAN.heap_bytes as u64, "{report:?}");
    });
}

#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn memory_that_comes_later_is_locked_too() {
    in_own_process("memory_that_comes_later_is_locked_too", || {
        let before = memory::lock(&PLAN).unwrap().locked_bytes;
        let later = vec![0_u8; 64 << 20];
        black_box(&later);
        assert!(memory::read_back().unwrap().locked_bytes >= before + (48 << 20));
    });
}

#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn the_steady_state_faults_nothing_though_it_allocates() {
    in_own_process("the_steady_state_faults_nothing_though_it_allocates", || {
        memory::lock(&PLAN).unwrap();
        let round = || {
            for bytes in [64, 4 << 10, 300 << 10, memory::OWN_MAPPING_BYTES - 64] {
                black_box(vec![1_u8; bytes]);
            }
            memory::prefault_stack(64 << 10);
        };
        round();
        let before = counters::of_current_thread().unwrap();
        for _ in 0..50 {
            round();
        }
        let used = counters::of_current_thread().unwrap().since(&before);
        assert_eq!((used.faults_minor, used.faults_major), (0, 0));
    });
}

#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn a_large_block_is_present_when_it_comes_and_gone_when_it_goes() {
    in_own_process("a_large_block_is_present_when_it_comes_and_gone_when_it_goes", || {
        let resident = || memory::read_back().unwrap().resident_bytes;
        let before = memory::lock(&PLAN).unwrap().resident_bytes;
        let untouched: Vec<u8> = Vec::with_capacity(32 << 20);
        black_box(&untouched);
        assert!(resident() >= before + (32 << 20), "{} after {before}", resident());
        drop(untouched);
        assert!(resident() < before + (1 << 20), "{} after {before}", resident());
    });
}

#[test]
fn a_refusal_tells_the_limit_and_the_remedy() {
    let error = MemoryError::Call {
        error: hal_linux_rt::CallError { call: "mlockall", errno: hal_linux_rt::Errno::ENOMEM },
        limit: Some(memory::LockLimit { soft_bytes: Some(8 << 20), hard_bytes: Some(8 << 20) }),
        size_bytes: Some(100 << 20),
    };
    let text = error.to_string();
    for part in ["mlockall: ENOMEM", "limit is 8192 KiB", "102400 KiB", "CAP_IPC_LOCK"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn locking_beyond_the_limit_is_refused_and_locks_nothing() {
    in_own_process_with_memlock("locking_beyond_the_limit_is_refused_and_locks_nothing", 1024, || {
        keep_only(&[]).unwrap();
        let error = memory::lock(&PLAN).unwrap_err();
        let MemoryError::Call { error, limit: Some(limit), size_bytes: Some(size) } = error else {
            panic!("{error}");
        };
        assert_eq!((error.call, error.errno), ("mlockall", Errno::ENOMEM));
        assert_eq!(limit.soft_bytes, Some(1 << 20));
        assert!(size > 1 << 20);
        assert_eq!(memory::read_back().unwrap().locked_bytes, 0);
    });
}

/// Why a locked process keeps `CAP_IPC_LOCK` while its limit is finite.
#[test]
#[cfg_attr(not(takt_lock_memory), ignore = "needs CAP_IPC_LOCK")]
fn a_locked_process_that_gave_up_everything_can_start_no_thread_beyond_its_limit() {
    let name = "a_locked_process_that_gave_up_everything_can_start_no_thread_beyond_its_limit";
    in_own_process_with_memlock(name, 1024, || {
        memory::lock(&PLAN).unwrap();
        keep_only(&[]).unwrap();
        let refused = std::thread::Builder::new().stack_size(4 << 20).spawn(|| ()).unwrap_err();
        assert_eq!(Errno::of(&refused), Some(Errno::EAGAIN));
    });
}
