//! Finds out what this machine permits: tests of what it does not permit report as ignored.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=PATH");
    // Set it to another value to have the machine examined again.
    println!("cargo:rerun-if-env-changed=TAKT_PROBE");
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join("setpriv").is_file());
    let mosquitto = env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    report("takt_mosquitto", mosquitto.into_iter().any(|folder| folder.join("mosquitto").is_file()));
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    report("takt_setpriv", is_there && is_root);
    let fifo = Command::new("chrt").args(["-f", "1", "true"]).output();
    report("takt_sched_fifo", fifo.is_ok_and(|output| output.status.success()));
    // A group can be made at the top of a version 1 controller; such a group may have a real-time budget.
    report("takt_cgroup_v1_rt", group_has("/sys/fs/cgroup/cpu", "cpu.rt_runtime_us"));
    let limits =
        [("cpu", "cpu.cfs_quota_us"), ("cpuset", "cpuset.cpus"), ("memory", "memory.limit_in_bytes")];
    let v1 = |(controller, file): &(&str, &str)| group_has(&format!("/sys/fs/cgroup/{controller}"), file);
    report("takt_cgroup_v1", limits.iter().all(v1));
}

/// Whether a group can be made in a hierarchy, and has the file.
fn group_has(hierarchy: &str, file: &str) -> bool {
    let group = Path::new(hierarchy).join(format!("takt-probe-{}", std::process::id()));
    let found = fs::create_dir(&group).is_ok() && group.join(file).exists();
    let _ = fs::remove_dir(&group);
    found
}

fn report(name: &str, found: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if found {
        println!("cargo:rustc-cfg={name}");
    }
}
