//! `cargo xtask rt-vm`: the doctor and the demo on a kernel with full preemption, in a virtual machine.
//!
//! # Problem
//!
//! What a machine for control should be (`PREEMPT_RT`, isolated cores, one of them without a tick, one hierarchy of
//! control groups) is not what developers and CI have. So the checks that are green only there would never be seen
//! green.
//!
//! # Model
//!
//! Debian's newest real-time kernel boots under QEMU in software, from a root of our static programs and busybox
//! that lies in memory. A script (`init.sh`) sets the machine up as `takt doctor` advises, runs doctor and demo in an
//! isolated partition, and tells over the serial line; `told` judges. Emulated, the machine says nothing of times:
//! this is a test that all of it works, and what was late is not judged.

mod told;

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::process::{each_line, find_program, output, run, succeeded};
use crate::statically::statically;
use crate::workspace::Workspace;
use told::{MARK, Told};

/// The machine's first process.
const INIT: &str = include_str!("init.sh");
/// The programs of the machine, and the packages that they come from.
const PROGRAMS: [&str; 3] = ["takt", "takt-agent", "takt-sim"];
const PACKAGES: [&str; 3] = ["agent-cli", "agent-daemon", "sim-cli"];
/// What has to be there, and the Debian packages that bring it.
const NEEDED: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("strip", "binutils"),
];
/// The package that depends on the newest kernel.
const KERNEL: &str = "linux-image-rt-amd64";
/// In software it takes 2 minutes on two idle cores, and much longer on busy ones.
const LIMIT_SECONDS: &str = "1800";
/// The first core is for everything, the other two are left alone, the last one is for the loops.
const BOOT: &str = "console=ttyS0 quiet panic=-1 isolcpus=managed_irq,domain,1-2 nohz_full=2 rcu_nocbs=2 \
    irqaffinity=0 clocksource=tsc tsc=reliable";

/// Boots the machine, and judges what it tells. `json` takes what the doctor and the demo said.
///
/// # Errors
/// If a part is missing, the machine does not boot, a check of the doctor is not as it should be, or the demo does not work.
pub fn rt_vm(workspace: &Workspace, json: Option<&Path>) -> Result<(), Failure> {
    for (program, package) in NEEDED {
        if find_program(program).is_none() {
            let what = format!("{program} is missing: the virtual machine needs it");
            return Err(Failure::new(what, format!("as root on Debian: apt-get install {package}")));
        }
    }
    let kernel = kernel(&cache()?)?;
    let programs = statically(workspace, &PACKAGES)?;
    let root = root(&workspace.target.join("rt-vm"), &programs)?;
    let mut machine = Command::new("timeout");
    machine.args([LIMIT_SECONDS, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    machine.args(["-smp", "3", "-m", "1024", "-nic", "none", "-nographic", "-no-reboot", "-append", BOOT]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(root);
    let mut told = Told::default();
    let (status, _) = each_line(machine, |line| {
        told.take(line);
        if !line.contains(MARK) {
            println!("  {line}");
        }
    })?;
    println!("\n{}", told.table());
    if let Some(json) = json {
        fs::write(json, told.json()).map_err(failed(json))?;
    }
    let wrong = told.wrong();
    if wrong.is_empty() {
        println!("rt-vm: each check is as it should be in a virtual machine, and the demo worked");
        return Ok(());
    }
    let remedy = match status.code() {
        // Of timeout(1).
        Some(124) => "the machine was stopped after 30 minutes; try again with less other work",
        _ => "see the machine's output above",
    };
    Err(Failure::new(format!("in the virtual machine: {}", wrong.join("; ")), remedy))
}

/// Where kernels are kept.
fn cache() -> Result<PathBuf, Failure> {
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = xdg.or(home).ok_or_else(|| {
        Failure::new("there is no folder for the kernel: HOME is not set", "set XDG_CACHE_HOME to a folder")
    })?;
    Ok(cache.join("takt/rt-vm"))
}

/// Debian's newest kernel with full preemption, unpacked, from the cache if it has been fetched before.
fn kernel(cache: &Path) -> Result<PathBuf, Failure> {
    let (status, depends) = output(Command::new("apt-cache").args(["depends", "--important", KERNEL]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::trim);
    let Some(package) = package.filter(|_| status.success()) else {
        return Err(Failure::new(
            format!("apt knows no package {KERNEL}"),
            "as root on Debian, for amd64: apt-get update",
        ));
    };
    let folder = cache.join(package);
    let find = || -> Option<PathBuf> {
        let entries = fs::read_dir(folder.join("boot")).ok()?.flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.to_string_lossy().contains("vmlinuz-"))
    };
    if let Some(kernel) = find() {
        return Ok(kernel);
    }
    // Elsewhere first: a folder that has the name is complete.
    let fresh = cache.join(format!("{package}.fetching-{}", std::process::id()));
    let unpacked = fresh.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(failed(&fresh))?;
    run(Command::new("apt-get").args(["download", package]).current_dir(&fresh))?;
    let archive = fs::read_dir(&fresh)
        .map_err(failed(&fresh))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::new(format!("{package} was not downloaded"), "see what apt-get said"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
    // The modules stay behind: what the machine needs is built in.
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    fs::rename(unpacked.join("boot"), folder.join("boot")).map_err(failed(&folder))?;
    fs::remove_dir_all(&fresh).map_err(failed(&fresh))?;
    find().ok_or_else(|| {
        Failure::new(format!("{package} holds no kernel"), "report it with the package's name")
    })
}

/// The root in memory: our programs, busybox and the script, as an archive.
fn root(folder: &Path, programs: &Path) -> Result<PathBuf, Failure> {
    let root = folder.join("root");
    let _ = fs::remove_dir_all(&root);
    for name in ["bin", "dev", "proc", "run", "sys", "tmp", "etc"] {
        let made = root.join(name);
        fs::create_dir_all(&made).map_err(failed(&made))?;
    }
    for name in PROGRAMS {
        // Without what a debugger needs, which would only fill the memory.
        run(Command::new("strip").arg("-o").arg(root.join("bin").join(name)).arg(programs.join(name)))?;
    }
    let busybox = find_program("busybox").unwrap_or_default();
    fs::copy(&busybox, root.join("bin/busybox")).map_err(failed(&busybox))?;
    let shell = root.join("bin/sh");
    symlink("busybox", &shell).map_err(failed(&shell))?;
    let init = root.join("init");
    fs::write(&init, INIT).map_err(failed(&init))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).map_err(failed(&init))?;
    let archive = folder.join("root.cpio");
    let mut packing = Command::new("sh");
    packing
        .args(["-c", "busybox find . | busybox cpio -o -H newc > \"$0\""])
        .arg(&archive)
        .current_dir(&root);
    let status = packing.status().map_err(failed(&root))?;
    succeeded(&packing, status)?;
    Ok(archive)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::new(format!("{}: {error}", path.display()), "see that the folder can be written")
}
