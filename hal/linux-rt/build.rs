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
    // A group can be made at the top of a version 1 controller; such a group may have a real-time budget.
    let v1 = |controller: &str, file: &str| group_has(&format!("/sys/fs/cgroup/{controller}"), file);
    report("takt_cgroup_v1_rt", v1("cpu", "cpu.rt_runtime_us"));
    report("takt_cgroup_v1", v1("cpuset", "cpuset.cpus") && v1("memory", "memory.limit_in_bytes"));
    let v2_file = |file: &str| std::path::Path::new("/sys/fs/cgroup").join(file).exists();
    report(
        "takt_cgroup_v2",
        v2_file("cgroup.subtree_control") && group_has("/sys/fs/cgroup", "cgroup.procs"),
    );
    let may_filter =
        [caps::Capability::CAP_BPF, caps::Capability::CAP_NET_ADMIN].into_iter().all(has_capability);
    let group_v2 = version_2_mount().is_some_and(|mount| group_has(&mount, "cgroup.procs"));
    report("takt_packet_gate", may_filter && group_v2);
}

/// Where the hierarchy of version 2 is mounted.
fn version_2_mount() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.find(|fields| fields.get(2) == Some(&"cgroup2"))?.get(1).map(|point| (*point).to_owned())
}

/// Whether a group can be made in a hierarchy, and has the file.
fn group_has(hierarchy: &str, file: &str) -> bool {
    let group = std::path::Path::new(hierarchy).join(format!("takt-probe-{}", std::process::id()));
    let found = std::fs::create_dir(&group).is_ok() && group.join(file).exists();
    let _ = std::fs::remove_dir(&group);
    found
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
