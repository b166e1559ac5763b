//! The rules of the architecture, enforced over the manifests and sources of the workspace.
//!
//! # Model
//!
//! Each package has a row in `MAY_DEPEND_ON`. Everything not listed there is forbidden, so a new edge
//! between two packages is a decision that shows in a review. Tests may reach further (development
//! dependencies), but nothing may reach the programs: they are wired last.
//!
//! # Terms
//!
//! - real-time path: the packages whose code runs inside a cycle; `no_std`, without allocation.
//! - program: a package that only wires others together.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failure;
use crate::rust_words::words;
use crate::workspace::{DependencyKind, Package, Workspace};

/// Everybody may use the units; packages outside the real-time path also the diagnostics.
const FOR_EVERYBODY: &str = "hal-units";
const FOR_STD: &str = "hal-diagnostics";

/// Which packages of the workspace each package may use, beyond those for everybody.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("hal-units", &[]),
    ("hal-diagnostics", &[]),
    ("hal-process-image", &[]),
    ("hal-field-bus", &["hal-process-image"]),
    ("hal-modbus", &["hal-field-bus", "hal-process-image"]),
    ("hal-mqtt", &["hal-field-bus", "hal-process-image"]),
    ("hal-vda5050", &[]),
    ("hal-linux-rt", &[]),
    ("control-loops-blocks", &[]),
    ("control-loops-controllers", &["control-loops-blocks", "hal-process-image"]),
    ("failover-model", &["failover-protocol"]),
    (
        "control-loops-discon",
        &["control-loops-controllers", "control-loops-rotor", "control-loops-tuning", "hal-linux-rt"],
    ),
    ("control-loops-rotor", &[]),
    ("control-loops-tuning", &["control-loops-controllers", "control-loops-rotor"]),
    ("control-loops-drive", &["hal-process-image"]),
    ("control-loops-fleet", &[]),
    ("control-loops-dispatch", &["control-loops-fleet"]),
    ("control-loops-layouts", &["control-loops-fleet"]),
    ("failover-protocol", &[]),
    ("failover-witness", &["latency-tests-harness"]),
    ("failover-link", &["failover-protocol", "hal-field-bus", "hal-linux-rt", "hal-modbus"]),
    ("agent-plan", &["hal-process-image"]),
    (
        "agent-fleet",
        &[
            "agent-status",
            "control-loops-dispatch",
            "control-loops-drive",
            "control-loops-fleet",
            "control-loops-layouts",
            "hal-vda5050",
        ],
    ),
    ("agent-status", &["agent-plan", "hal-process-image"]),
    (
        "agent-cycle",
        &[
            "agent-plan",
            "control-loops-controllers",
            "control-loops-drive",
            "hal-field-bus",
            "hal-process-image",
        ],
    ),
    (
        "agent-daemon",
        &[
            "agent-cycle",
            "agent-fleet",
            "agent-plan",
            "agent-status",
            "control-loops-blocks",
            "control-loops-controllers",
            "control-loops-drive",
            "control-loops-layouts",
            "control-loops-rotor",
            "control-loops-tuning",
            "failover-link",
            "failover-protocol",
            "hal-field-bus",
            "hal-linux-rt",
            "hal-modbus",
            "hal-mqtt",
            "hal-process-image",
            "hal-vda5050",
        ],
    ),
    (
        "agent-cli",
        &[
            "agent-plan",
            "agent-status",
            "control-loops-controllers",
            "control-loops-rotor",
            "control-loops-tuning",
            "failover-witness",
            "hal-linux-rt",
            "latency-tests-harness",
            "sim-lab",
        ],
    ),
    ("k8s-crd", &["agent-plan"]),
    ("k8s-sidecar", &["agent-plan", "k8s-crd"]),
    (
        "k8s-cluster",
        &[
            "agent-plan",
            "agent-status",
            "failover-witness",
            "hal-linux-rt",
            "k8s-crd",
            "latency-tests-harness",
            "sim-lab",
        ],
    ),
    ("latency-tests-harness", &["hal-linux-rt"]),
    (
        "latency-tests-cli",
        &[
            "agent-cycle",
            "agent-plan",
            "agent-status",
            "control-loops-controllers",
            "control-loops-drive",
            "control-loops-tuning",
            "hal-field-bus",
            "hal-linux-rt",
            "hal-modbus",
            "hal-process-image",
            "latency-tests-harness",
            "sim-plants",
            "sim-world",
        ],
    ),
    ("sim-plants", &["control-loops-rotor"]),
    ("sim-broker", &[]),
    ("sim-lab", &["hal-linux-rt"]),
    ("sim-vehicles", &["hal-vda5050", "sim-plants"]),
    ("sim-radio", &["hal-vda5050", "sim-plants", "sim-vehicles"]),
    ("sim-devices", &["hal-field-bus", "sim-plants"]),
    (
        "sim-world",
        &[
            "agent-cycle",
            "agent-plan",
            "control-loops-controllers",
            "control-loops-dispatch",
            "control-loops-fleet",
            "control-loops-layouts",
            "sim-plants",
        ],
    ),
    (
        "sim-cli",
        &[
            "control-loops-controllers",
            "control-loops-tuning",
            "hal-linux-rt",
            "control-loops-dispatch",
            "control-loops-fleet",
            "control-loops-layouts",
            "sim-broker",
            "hal-vda5050",
            "sim-devices",
            "sim-plants",
            "sim-radio",
            "sim-vehicles",
            "sim-world",
        ],
    ),
    ("xtask", &[]),
];

/// Programs: nothing depends on them, not even a test.
const PROGRAMS: [&str; 7] =
    ["agent-daemon", "agent-cli", "failover-model", "k8s-sidecar", "latency-tests-cli", "sim-cli", "xtask"];

/// The packages whose code runs inside a cycle.
const REAL_TIME_PATH: [&str; 8] = [
    "hal-units",
    "hal-process-image",
    "control-loops-blocks",
    "control-loops-controllers",
    "control-loops-drive",
    "control-loops-fleet",
    "control-loops-dispatch",
    "failover-protocol",
];

/// Of these, the packages that must not allocate, not even while they are built.
const NO_ALLOCATION: [&str; 4] =
    ["hal-units", "control-loops-blocks", "control-loops-controllers", "failover-protocol"];

/// The only package with unsafe code.
const UNSAFE_ALLOWED: &str = "hal-linux-rt";

/// The folders that may hold packages. `fuzz` is a workspace of its own: its programs need other flags.
const TOP_FOLDERS: [&str; 8] =
    ["agent", "control-loops", "failover", "hal", "sim", "k8s", "latency-tests", "xtask"];
const FUZZ_FOLDER: &str = "fuzz";

/// How deep folders are searched; the tree is four levels deep, a link in a circle would be deeper.
const DEPTH_MAX: usize = 16;

/// A rule that the tree breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The package has no row in the table.
    NoRow {
        /// Its name.
        package: String,
    },
    /// The package uses one that it may not use.
    Dependency {
        /// Who.
        package: String,
        /// Whom.
        on: String,
    },
    /// A package, or a test of one, uses a program.
    OnProgram {
        /// Who.
        package: String,
        /// Which program.
        program: String,
    },
    /// The name does not follow the folder.
    Name {
        /// The package's name.
        package: String,
        /// What it has to be.
        expected: String,
    },
    /// The package lies outside the folders of the layout.
    Folder {
        /// The folder, relative to the root.
        folder: PathBuf,
    },
    /// A folder with a manifest that is no member.
    NoMember {
        /// The folder, relative to the root.
        folder: PathBuf,
    },
    /// The package does not take over the workspace's lints.
    Lints {
        /// Its name.
        package: String,
    },
    /// Unsafe code outside the one place for it.
    Unsafe {
        /// The file, relative to the root.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A package of the real-time path that links the standard library.
    Std {
        /// Its name.
        package: String,
    },
    /// A package that must not allocate, but could.
    Alloc {
        /// Its name.
        package: String,
        /// The file, relative to the root.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRow { package } => {
                write!(f, "{package} has no row in MAY_DEPEND_ON (xtask/src/architecture.rs): add one")
            }
            Self::Dependency { package, on } => write!(
                f,
                "{package} may not depend on {on}: move the code, or argue for a new edge in MAY_DEPEND_ON"
            ),
            Self::OnProgram { package, program } => {
                write!(f, "{package} depends on the program {program}: move what it needs into a library")
            }
            Self::Name { package, expected } => {
                write!(f, "{package} must be called {expected}: packages are named after their path")
            }
            Self::Folder { folder } => {
                write!(f, "{}: packages live in {}", folder.display(), TOP_FOLDERS.join(", "))
            }
            Self::NoMember { folder } => {
                write!(
                    f,
                    "{} has a Cargo.toml but is no member: add it to the root manifest",
                    folder.display()
                )
            }
            Self::Lints { package } => write!(f, "{package} lacks `[lints] workspace = true`"),
            Self::Unsafe { file, line } => {
                write!(f, "{}:{line}: unsafe code belongs into {UNSAFE_ALLOWED}", file.display())
            }
            Self::Std { package } => {
                write!(f, "{package} is on the real-time path: its lib.rs must say `#![no_std]`")
            }
            Self::Alloc { package, file, line } => {
                write!(f, "{}:{line}: {package} must not allocate: no `alloc`", file.display())
            }
        }
    }
}

/// All rules that the workspace breaks.
///
/// # Errors
/// If a manifest or source cannot be read.
pub fn violations(workspace: &Workspace) -> Result<Vec<Violation>, Failure> {
    let mut all = dependencies(&workspace.packages);
    all.extend(names(workspace));
    all.extend(members(workspace)?);
    for package in &workspace.packages {
        all.extend(lints(package)?);
        all.extend(sources(workspace, package)?);
    }
    Ok(all)
}

/// Who depends on whom.
fn dependencies(packages: &[Package]) -> Vec<Violation> {
    let mut all = Vec::new();
    for package in packages {
        let name = &package.name;
        let row = MAY_DEPEND_ON.iter().find(|(row, _)| row == name).map(|(_, allowed)| *allowed);
        if row.is_none() {
            all.push(Violation::NoRow { package: name.clone() });
        }
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            let on = &dependency.name;
            if PROGRAMS.contains(&on.as_str()) {
                all.push(Violation::OnProgram { package: name.clone(), program: on.clone() });
            } else if dependency.kind != Some(DependencyKind::Dev) && !allowed(name, row.unwrap_or(&[]), on) {
                all.push(Violation::Dependency { package: name.clone(), on: on.clone() });
            }
        }
    }
    all
}

fn allowed(package: &str, row: &[&str], on: &str) -> bool {
    let std_package = !REAL_TIME_PATH.contains(&package);
    on == FOR_EVERYBODY || (on == FOR_STD && std_package) || row.contains(&on)
}

/// Packages are named after their folder, and lie in the folders of the layout.
fn names(workspace: &Workspace) -> Vec<Violation> {
    let mut all = Vec::new();
    for package in &workspace.packages {
        let folder = workspace.relative(package.folder());
        let parts: Vec<String> = folder.iter().map(|part| part.display().to_string()).collect();
        let expected = parts.join("-");
        if package.name != expected {
            all.push(Violation::Name { package: package.name.clone(), expected });
        }
        if !parts.first().is_some_and(|top| TOP_FOLDERS.contains(&top.as_str())) {
            all.push(Violation::Folder { folder: folder.to_owned() });
        }
    }
    all
}

/// Every folder with a manifest is a member.
fn members(workspace: &Workspace) -> Result<Vec<Violation>, Failure> {
    let mut manifests = files(&workspace.root, "Cargo.toml", &workspace.target)?;
    manifests.retain(|manifest| {
        let folder = manifest.parent().unwrap_or(manifest);
        let known = workspace.packages.iter().any(|package| package.manifest_path == *manifest);
        !known && folder != workspace.root && folder != workspace.root.join(FUZZ_FOLDER)
    });
    let folder = |manifest: &PathBuf| workspace.relative(manifest).parent().map(Path::to_owned);
    Ok(manifests.iter().filter_map(folder).map(|folder| Violation::NoMember { folder }).collect())
}

/// Every package takes over the workspace's lints.
fn lints(package: &Package) -> Result<Option<Violation>, Failure> {
    #[derive(Deserialize)]
    struct Manifest {
        lints: Option<Lints>,
    }
    #[derive(Deserialize)]
    struct Lints {
        #[serde(default)]
        workspace: bool,
    }
    let path = package.manifest_path.display();
    let manifest: Manifest = toml::from_str(&read(&package.manifest_path)?)
        .map_err(|e| Failure::new(format!("{path}: {e}"), "correct the manifest"))?;
    let inherited = manifest.lints.is_some_and(|lints| lints.workspace);
    Ok((!inherited).then(|| Violation::Lints { package: package.name.clone() }))
}

/// What the sources of a package may hold.
fn sources(workspace: &Workspace, package: &Package) -> Result<Vec<Violation>, Failure> {
    let mut all = Vec::new();
    let name = package.name.as_str();
    if REAL_TIME_PATH.contains(&name) && !is_no_std(&read(&package.folder().join("src/lib.rs"))?) {
        all.push(Violation::Std { package: name.to_owned() });
    }
    for path in files(package.folder(), ".rs", &workspace.target)? {
        let source = read(&path)?;
        let file = workspace.relative(&path);
        for word in words(&source) {
            if word.text == "unsafe" && name != UNSAFE_ALLOWED {
                all.push(Violation::Unsafe { file: file.to_owned(), line: word.line });
            }
            let in_library = path.starts_with(package.folder().join("src"));
            if word.text == "alloc" && in_library && NO_ALLOCATION.contains(&name) {
                let (package, file) = (name.to_owned(), file.to_owned());
                all.push(Violation::Alloc { package, file, line: word.line });
            }
        }
    }
    Ok(all)
}

/// Whether a crate's root says `#![no_std]`, at least outside its own tests.
fn is_no_std(root: &str) -> bool {
    root.lines().map(str::trim).any(|l| matches!(l, "#![no_std]" | "#![cfg_attr(not(test), no_std)]"))
}

/// All files below a folder whose name ends in `suffix`, without build products and hidden folders.
fn files(folder: &Path, suffix: &str, target: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let unreadable = |e| Failure::new(format!("{}: {e}", folder.display()), "make the folder readable");
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, name) = (entry.path(), entry.file_name().display().to_string());
            let is_folder = entry.file_type().map_err(unreadable)?.is_dir();
            let skipped = name.starts_with('.') || name == "target" || path == target;
            if is_folder && !skipped && depth < DEPTH_MAX {
                waiting.push((path, depth + 1));
            } else if !is_folder && name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|e| Failure::new(format!("{}: {e}", path.display()), "make the file readable"))
}
