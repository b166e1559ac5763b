//! `cargo xtask rt-vm`: the doctor and the demo on a kernel with full preemption, in a virtual machine.
//!
//! # Problem
//!
//! What a machine for control should be (`PREEMPT_RT`, an isolated core, no periodic tick there, one hierarchy of
//! control groups) is not what developers and CI have. So the checks that are green only there would never be seen
//! green.
//!
//! # Model
//!
//! Debian's kernel `linux-image-rt-amd64` boots under QEMU in software, from a root of our static programs and
//! busybox in memory alone. A script sets the machine up as `takt doctor` advises, runs the doctor and the demo, and
//! tells over the serial line. Emulated, it says nothing of times: this is a test that all of it works.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Failure;
use crate::process::{each_line, find_program, output, run, succeeded};
use crate::statically::statically;
use crate::workspace::Workspace;

/// The programs of the machine.
const PROGRAMS: [&str; 3] = ["takt", "takt-agent", "takt-sim"];
const PACKAGES: [&str; 3] = ["agent-cli", "agent-daemon", "sim-cli"];
/// What has to be there, and the Debian packages that bring it.
const NEEDED: [(&str, &str); 3] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("dpkg-deb", "dpkg")];
/// The package that depends on the newest kernel.
const KERNEL: &str = "linux-image-rt-amd64";
/// Longer than it takes in software, 1 to 3 minutes.
const LIMIT: &str = "900";
/// The second core is for control alone.
const BOOT: &str = "console=ttyS0 quiet panic=-1 isolcpus=managed_irq,domain,1 nohz_full=1 rcu_nocbs=1 irqaffinity=0 \
    transparent_hugepage=never clocksource=tsc tsc=reliable";
/// Begins the lines that are meant for us.
const MARK: &str = "takt-rt-vm:";
/// What an emulated machine cannot show.
const NOT_HERE: [&str; 1] = ["wake-up delay"];

/// The machine's first process.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin HOME=/tmp TMPDIR=/tmp
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t tmpfs tmpfs /run
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox mount -t bpf bpf /sys/fs/bpf
busybox ip link set lo up
echo "takt-rt-vm: kernel $(busybox uname -rv)"
# Real-time threads are never throttled for the sake of others: the core is theirs.
echo -1 > /proc/sys/kernel/sched_rt_runtime_us
# A partition of its own for the isolated core.
cd /sys/fs/cgroup
echo "+cpuset +cpu +memory" > cgroup.subtree_control
busybox mkdir control
echo 1 > control/cpuset.cpus
echo 0 > control/cpuset.mems
echo isolated > control/cpuset.cpus.partition
echo "takt-rt-vm: partition $(busybox cat control/cpuset.cpus.partition)"
echo $$ > control/cgroup.procs
cd /tmp
takt doctor --json > doctor.json
echo "takt-rt-vm: doctor-exit $?"
echo "takt-rt-vm: doctor $(busybox tr -d '\n' < doctor.json)"
takt doctor
takt demo --alone --agvs 0 --turbines 2 --seconds 20 --json demo.json
echo "takt-rt-vm: demo-exit $?"
echo "takt-rt-vm: demo $(busybox tr -d '\n' < demo.json)"
busybox poweroff -f
"#;

#[derive(Debug, Deserialize)]
struct Doctor {
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    check: String,
    status: String,
    found: String,
}

/// What the machine has told.
#[derive(Debug, Default)]
struct Told {
    doctor: Option<Doctor>,
    demo_exit: Option<u8>,
    partition: Option<String>,
}

impl Told {
    fn take(&mut self, line: &str) {
        let Some((_, told)) = line.split_once(MARK) else { return };
        let (what, value) = told.trim().split_once(' ').unwrap_or((told.trim(), ""));
        match what {
            "doctor" => self.doctor = serde_json::from_str(value).ok(),
            "demo-exit" => self.demo_exit = value.trim().parse().ok(),
            "partition" => self.partition = Some(value.trim().to_owned()),
            _ => {}
        }
    }

    /// What is not as it should be.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match &self.doctor {
            None => wrong.push("the doctor told nothing".to_owned()),
            Some(doctor) => wrong.extend(
                doctor
                    .findings
                    .iter()
                    .filter(|finding| matches!(finding.status.as_str(), "warning" | "failure"))
                    .filter(|finding| !NOT_HERE.contains(&finding.check.as_str()))
                    .map(|finding| format!("{}: {}: {}", finding.status, finding.check, finding.found)),
            ),
        }
        if self.partition.as_deref() != Some("isolated") {
            wrong.push(format!("the partition is {:?}", self.partition));
        }
        if self.demo_exit != Some(0) {
            wrong.push(format!("the demo ended with {:?}", self.demo_exit));
        }
        wrong
    }
}

/// Boots the machine, and judges what it tells.
///
/// # Errors
/// If a part is missing, the machine does not boot, a check of the doctor is not green, or the demo fails.
pub fn rt_vm(workspace: &Workspace) -> Result<(), Failure> {
    for (program, package) in NEEDED {
        if find_program(program).is_none() {
            let what = format!("{program} is missing: it is needed for the virtual machine");
            return Err(Failure::new(what, format!("as root: apt-get install {package}")));
        }
    }
    let folder = workspace.target.join("rt-vm");
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let kernel = kernel(&folder)?;
    let programs = statically(workspace, &PACKAGES)?;
    let root = root(&folder, &programs)?;
    let mut machine = Command::new("timeout");
    machine.arg(LIMIT).args([
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max,hypervisor=off",
    ]);
    machine.args(["-smp", "2", "-m", "1536", "-nographic", "-no-reboot", "-append", BOOT, "-kernel"]);
    machine.arg(kernel).arg("-initrd").arg(root);
    let mut told = Told::default();
    let (_, _) = each_line(machine, |line| {
        told.take(line);
        if !line.contains(MARK) || line.len() < 200 {
            println!("  {line}");
        }
    })?;
    let wrong = told.wrong();
    if wrong.is_empty() {
        println!("rt-vm: every check is green, and the demo ran");
        return Ok(());
    }
    Err(Failure::new(format!("in the virtual machine: {}", wrong.join("; ")), "see its output above"))
}

/// Debian's newest kernel with full preemption, unpacked.
fn kernel(folder: &Path) -> Result<PathBuf, Failure> {
    let boot = folder.join("kernel/boot");
    let find = || -> Option<PathBuf> {
        let entries = fs::read_dir(&boot).ok()?.flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.to_string_lossy().contains("vmlinuz-"))
    };
    if let Some(kernel) = find() {
        return Ok(kernel);
    }
    let (status, depends) = output(Command::new("apt-cache").args(["depends", "--important", KERNEL]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::trim);
    let Some(package) = package.filter(|_| status.success()) else {
        return Err(Failure::new(format!("the package {KERNEL} is not known"), "as root: apt-get update"));
    };
    run(Command::new("apt-get").args(["download", package]).current_dir(folder))?;
    let archive = fs::read_dir(folder)
        .map_err(failed(folder))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::new(format!("{package} was not downloaded"), ""))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder.join("kernel")))?;
    find().ok_or_else(|| Failure::new(format!("{} holds no kernel", archive.display()), ""))
}

/// The root in memory: our programs, busybox and the script.
fn root(folder: &Path, programs: &Path) -> Result<PathBuf, Failure> {
    let root = folder.join("root");
    let _ = fs::remove_dir_all(&root);
    for name in ["bin", "dev", "proc", "run", "sys", "tmp", "etc"] {
        let made = root.join(name);
        fs::create_dir_all(&made).map_err(failed(&made))?;
    }
    let copy = |from: &Path, to: &Path| fs::copy(from, to).map(drop).map_err(failed(from));
    for name in PROGRAMS {
        let to = root.join("bin").join(name);
        copy(&programs.join(name), &to)?;
        // What a debugger needs would only fill the memory.
        run(Command::new("strip").arg(&to))?;
    }
    let busybox = find_program("busybox").unwrap_or_default();
    copy(&busybox, &root.join("bin/busybox"))?;
    // What the demo calls by its name.
    for name in ["sh", "ip", "nsenter"] {
        let link = root.join("bin").join(name);
        symlink("busybox", &link).map_err(failed(&link))?;
    }
    let init = root.join("init");
    fs::write(&init, INIT).map_err(failed(&init))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).map_err(failed(&init))?;
    let archive = folder.join("root.cpio");
    let pack = format!("busybox find . | busybox cpio -o -H newc > '{}'", archive.display());
    let mut packing = Command::new("sh");
    packing.args(["-c", &pack]).current_dir(&root);
    let status = packing.status().map_err(failed(&root))?;
    succeeded(&packing, status)?;
    Ok(archive)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::new(format!("{}: {error}", path.display()), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Told {
        let mut told = Told::default();
        lines.iter().for_each(|line| told.take(line));
        told
    }

    const PARTITION: &str = "takt-rt-vm: partition isolated";
    const DEMO: &str = "takt-rt-vm: demo-exit 0";

    fn doctor(check: &str, status: &str) -> String {
        let finding = format!(r#"{{"check":"{check}","status":"{status}","found":"x","errno":null}}"#);
        format!(r#"takt-rt-vm: doctor {{"verdict":"v","findings":[{finding}]}}"#)
    }

    #[test]
    fn all_green_is_right() {
        assert_eq!(
            told(&["[    1.0] booting", &doctor("memory lock", "ok"), PARTITION, DEMO]).wrong(),
            [""; 0]
        );
        assert_eq!(told(&[&doctor("wake-up delay", "warning"), PARTITION, DEMO]).wrong(), [""; 0]);
    }

    #[test]
    fn a_check_that_is_not_green_and_a_machine_that_tells_nothing_are_wrong() {
        let seen = told(&[&doctor("memory lock", "failure"), PARTITION, DEMO]);
        assert_eq!(seen.wrong(), ["failure: memory lock: x"]);
        assert_eq!(told(&[]).wrong().len(), 3);
    }
}
