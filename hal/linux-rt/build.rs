//! Finds out what this machine permits, so that tests of what it does not are reported as ignored.

use std::thread;

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set it to another value to have the machine examined again.
    println!("cargo:rerun-if-env-changed=TAKT_PROBE");
    report("takt_sched_fifo", fifo_is_permitted());
    report("takt_lock_memory", has_capability(caps::Capability::CAP_IPC_LOCK));
    report("takt_two_cores", thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2));
}

fn report(name: &str, found: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if found {
        println!("cargo:rustc-cfg={name}");
    }
}

fn fifo_is_permitted() -> bool {
    let attempt = || {
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let lowest = ThreadPriorityValue::try_from(1).map(ThreadPriority::Crossplatform);
        lowest.is_ok_and(|lowest| set_thread_priority_and_policy(thread_native_id(), lowest, policy).is_ok())
    };
    thread::spawn(attempt).join().unwrap_or(false)
}

fn has_capability(capability: caps::Capability) -> bool {
    caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or(false)
}
