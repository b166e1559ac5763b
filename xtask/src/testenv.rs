//! `cargo xtask testenv`: a real API server for the tests, compiled from its Go modules.
//!
//! # Model
//!
//! `k8s/testenv` is a Go module whose programs are several programs each: which one runs is said by the name
//! it is called by, so a program is compiled once and linked under its names. Results lie in a folder of the
//! user's cache, one for each set of versions; what they were compiled from lies beside them, so that nothing
//! is compiled twice and nothing stale is used. `k8s/sidecar/build.rs` looks in the same place.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Failure;
use crate::process::{each_line, find_program, run, succeeded};

/// The environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "TAKT_TESTENV";

/// The module, from the checkout's root.
const MODULE: &str = "k8s/testenv";

/// What runs containers on a node, each a module of its own: what one requires, another must not have.
const TOOLS: [Tool; 4] = [
    Tool {
        module: "github.com/containerd/containerd/v2",
        version: "v2.4.2",
        packages: &["cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"],
        names: &["containerd", "containerd-shim-runc-v2", "ctr"],
        // Storage that needs libraries of C.
        tags: "no_btrfs,no_devmapper,no_zfs",
        cgo: "0",
    },
    Tool {
        module: "github.com/opencontainers/runc",
        version: "v1.5.2",
        packages: &[""],
        names: &["runc"],
        // Without it no container may have a filter of system calls, and those that are not privileged have one.
        tags: "seccomp",
        // It enters namespaces before Go's runtime has threads: in C.
        cgo: "1",
    },
    Tool {
        module: "github.com/containernetworking/plugins",
        version: "v1.9.1",
        packages: &["plugins/main/ptp", "plugins/main/loopback", "plugins/ipam/host-local"],
        names: &["ptp", "loopback", "host-local"],
        tags: "",
        cgo: "0",
    },
    Tool {
        module: "helm.sh/helm/v4",
        version: "v4.3.1",
        packages: &["cmd/helm"],
        names: &["helm"],
        tags: "",
        cgo: "0",
    },
];

/// The modules whose versions name the folder.
const VERSIONED: [&str; 2] = ["k8s.io/kubernetes", "go.etcd.io/etcd/server/v3"];

/// Go tells each package that it compiles; every so many of them are told on.
const PACKAGES_A_LINE: usize = 100;

/// A program of the module.
#[derive(Debug, Clone, Copy)]
struct Program {
    /// Its folder in the module.
    folder: &'static str,
    /// The names that it answers to.
    names: &'static [&'static str],
}

/// Programs that are installed from their module as it is published.
#[derive(Debug, Clone, Copy)]
struct Tool {
    module: &'static str,
    version: &'static str,
    /// Below the module; empty is the module itself.
    packages: &'static [&'static str],
    names: &'static [&'static str],
    tags: &'static str,
    cgo: &'static str,
}

impl Tool {
    /// All that the result depends on.
    fn stamp(self) -> String {
        format!("{}@{} {} cgo={}", self.module, self.version, self.tags, self.cgo)
    }
}

/// What tests of the API need.
const API: Program = Program { folder: "api", names: &["etcd", "kube-apiserver", "kubectl"] };

/// What nodes need besides.
const NODES: [Program; 2] = [
    Program { folder: "node", names: &["kube-controller-manager", "kube-scheduler", "kubelet"] },
    Program { folder: "pause", names: &["pause"] },
];

/// Builds what is missing and says where it is.
///
/// # Errors
/// Without Go, without a network at the first time, or if something does not compile.
pub fn testenv(root: &Path, with_nodes: bool) -> Result<PathBuf, Failure> {
    let folder = folder(root)?;
    fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let nodes: &[Program] = if with_nodes { &NODES } else { &[] };
    for program in [API].iter().chain(nodes) {
        if is_current(root, &folder, *program) {
            println!("testenv: {} are there", program.names.join(", "));
        } else {
            build(root, &folder, *program)?;
        }
    }
    if with_nodes {
        for tool in TOOLS {
            install(&folder, tool)?;
        }
    }
    Ok(folder)
}

/// Installs a tool that is not there in this version.
fn install(folder: &Path, tool: Tool) -> Result<(), Failure> {
    let shown = tool.names.join(", ");
    let stamp = folder.join(format!("{}.sources", tool.names.first().copied().unwrap_or("tool")));
    let there = tool.names.iter().all(|name| folder.join(name).is_file());
    if there && fs::read_to_string(&stamp).is_ok_and(|text| text == tool.stamp()) {
        println!("testenv: {shown} are there");
        return Ok(());
    }
    let go = go()?;
    if tool.cgo == "1" && !has_seccomp() {
        return Err(Failure::new(
            format!("{shown} cannot be compiled: the library seccomp is missing"),
            "as root: apt-get install gcc pkg-config libseccomp-dev",
        ));
    }
    println!("testenv: installing {shown}, {} {}", tool.module, tool.version);
    let begin = Instant::now();
    let mut command = Command::new(go);
    command.env("GOBIN", folder).env("CGO_ENABLED", tool.cgo);
    command.args(["install", "-trimpath", "-ldflags", "-s -w"]);
    if !tool.tags.is_empty() {
        command.args(["-tags", tool.tags]);
    }
    for package in tool.packages {
        let slash = if package.is_empty() { "" } else { "/" };
        command.arg(format!("{}{slash}{package}@{}", tool.module, tool.version));
    }
    run(&mut command)?;
    fs::write(&stamp, tool.stamp()).map_err(|error| unwritable(&stamp, &error))?;
    println!("testenv: {shown} after {} s", begin.elapsed().as_secs());
    Ok(())
}

fn has_seccomp() -> bool {
    let Some(pkg_config) = find_program("pkg-config") else { return false };
    Command::new(pkg_config).args(["--exists", "libseccomp"]).status().is_ok_and(|status| status.success())
}

fn go() -> Result<PathBuf, Failure> {
    find_program("go").ok_or_else(|| {
        Failure::new(
            "Go is missing: it compiles the API server that plans and sidecar are tested against",
            "install Go 1.26 or newer: https://go.dev/dl, or your system's package",
        )
    })
}

/// The folder of the API server's programs, if they are there and up to date.
#[must_use]
pub fn find(root: &Path) -> Option<PathBuf> {
    folder(root).ok().filter(|folder| is_current(root, folder, API))
}

/// The folder for the versions of the module.
fn folder(root: &Path) -> Result<PathBuf, Failure> {
    let file = root.join(MODULE).join("go.mod");
    let text = fs::read_to_string(&file).map_err(|error| unwritable(&file, &error))?;
    Ok(cache()?.join(key(&text)))
}

fn cache() -> Result<PathBuf, Failure> {
    let named = env::var_os(CACHE_VARIABLE).map(PathBuf::from);
    let xdg = env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("takt/testenv"));
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/takt/testenv"));
    named.or(xdg).or(home).ok_or_else(|| {
        Failure::new(
            "there is no folder for a cache: HOME is not set",
            format!("set {CACHE_VARIABLE} to a folder"),
        )
    })
}

/// The versions as a folder's name: `kubernetes-v1.36.3-etcd-v3.6.8`.
fn key(go_mod: &str) -> String {
    let parts = VERSIONED.map(|module| {
        let name = module.split('/').nth(1).unwrap_or(module);
        format!("{name}-{}", version(go_mod, module).unwrap_or("unknown"))
    });
    parts.join("-")
}

/// The version that a `go.mod` requires of a module.
fn version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten()
    })
}

/// All that the result depends on.
fn sources(root: &Path, program: Program) -> Option<String> {
    let module = root.join(MODULE);
    let read = |file: PathBuf| fs::read_to_string(file).ok();
    Some(read(module.join(program.folder).join("main.go"))? + &read(module.join("go.mod"))?)
}

fn stamp(folder: &Path, program: Program) -> PathBuf {
    folder.join(format!("{}.sources", program.folder))
}

fn is_current(root: &Path, folder: &Path, program: Program) -> bool {
    let there = program.names.iter().all(|name| folder.join(name).is_file());
    there && fs::read_to_string(stamp(folder, program)).ok() == sources(root, program)
}

fn build(root: &Path, folder: &Path, program: Program) -> Result<(), Failure> {
    let go = go()?;
    println!("testenv: compiling {}; the first time takes about 10 minutes", program.names.join(", "));
    let begin = Instant::now();
    let result = folder.join(program.folder);
    let mut command = Command::new(go);
    command.current_dir(root.join(MODULE)).env("CGO_ENABLED", "0");
    command.args(["build", "-v", "-trimpath", "-ldflags", &linker_flags(root), "-o"]).arg(&result);
    command.arg(format!("./{}", program.folder));
    let checked = shown_only(&command);
    let mut packages = 0_usize;
    let (status, _) = each_line(command, |line| {
        // One package a line; what is no package is told at once.
        if line.contains(' ') {
            println!("{line}");
        } else {
            packages += 1;
            if packages.is_multiple_of(PACKAGES_A_LINE) {
                println!("testenv: {packages} packages after {} s", begin.elapsed().as_secs());
            }
        }
    })?;
    succeeded(&checked, status)?;
    for name in program.names.iter().filter(|name| **name != program.folder) {
        let link = folder.join(name);
        match fs::remove_file(&link) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(&link, &error)),
        }
        symlink(program.folder, &link).map_err(|error| unwritable(&link, &error))?;
    }
    let file = stamp(folder, program);
    // Last: without it the whole is not there.
    fs::write(&file, sources(root, program).unwrap_or_default())
        .map_err(|error| unwritable(&file, &error))?;
    println!("testenv: {} after {} s", result.display(), begin.elapsed().as_secs());
    Ok(())
}

/// Clients refuse a server that does not know its version.
fn linker_flags(root: &Path) -> String {
    let text = fs::read_to_string(root.join(MODULE).join("go.mod")).unwrap_or_default();
    let version = version(&text, "k8s.io/kubernetes").unwrap_or("v0.0.0");
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    format!("-s -w{}{}{}", set("gitVersion", version), set("gitMajor", major), set("gitMinor", minor))
}

/// The same command for messages: running one gives it away.
fn shown_only(command: &Command) -> Command {
    let mut shown = Command::new(command.get_program());
    shown.args(command.get_args());
    shown
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        format!("{}: {error}", path.display()),
        format!("set {CACHE_VARIABLE} to a folder of your own"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "require (\n\tgo.etcd.io/etcd/server/v3 v3.6.8\n\tk8s.io/kubernetes v1.36.3\n)\n";

    #[test]
    fn other_versions_are_another_folder() {
        assert_eq!(key(GO_MOD), "kubernetes-v1.36.3-etcd-v3.6.8");
        assert_ne!(key(GO_MOD), key(&GO_MOD.replace("v3.6.8", "v3.6.9")));
    }

    #[test]
    fn programs_count_as_there_only_with_the_sources_that_they_came_from() {
        let place = tempfile::tempdir().unwrap();
        let (root, folder) = (place.path(), place.path().join("cache"));
        fs::create_dir_all(root.join(MODULE).join("api")).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join(MODULE).join("go.mod"), GO_MOD).unwrap();
        fs::write(root.join(MODULE).join("api/main.go"), "package main").unwrap();
        for name in API.names {
            fs::write(folder.join(name), "").unwrap();
        }
        assert!(!is_current(root, &folder, API), "nothing says what they came from");
        fs::write(stamp(&folder, API), sources(root, API).unwrap()).unwrap();
        assert!(is_current(root, &folder, API));
        fs::write(root.join(MODULE).join("api/main.go"), "package main // changed").unwrap();
        assert!(!is_current(root, &folder, API));
    }
}
