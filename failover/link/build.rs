//! Finds out what this machine permits, so that tests of what it does not are reported as ignored.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Bits of a capability set (linux/capability.h).
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const BPF: u32 = 39;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set it to another value to have the machine examined again.
    println!("cargo:rerun-if-env-changed=TAKT_PROBE");
    let gate = [NET_ADMIN, BPF].into_iter().all(has_capability) && version_2_is_writable();
    report("takt_packet_gate", gate);
    let tools = ["ip", "unshare"].into_iter().all(runs);
    report("takt_network_namespace", [NET_ADMIN, SYS_ADMIN].into_iter().all(has_capability) && tools);
}

fn report(name: &str, found: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if found {
        println!("cargo:rustc-cfg={name}");
    }
}

fn has_capability(bit: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

fn version_2_is_writable() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"));
    mount.and_then(|fields| fields.get(1).map(|point| (*point).to_owned())).is_some_and(|point| {
        let group = Path::new(&point).join(format!("takt-probe-{}", std::process::id()));
        let made = fs::create_dir(&group).is_ok();
        let _ = fs::remove_dir(&group);
        made
    })
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok_and(|output| output.status.success())
}
