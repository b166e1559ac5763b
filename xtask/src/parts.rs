//! The real parts that tests need from the machine: foreign programs and libraries, and reference data.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::process::{self, find_program, output, run};
use crate::testenv;
use crate::workspace::Workspace;

/// The environment variable that names the folder of reference data.
pub const DATA_VARIABLE: &str = "TAKT_DATA";

/// What the API server is called, also in the reason of a test that is ignored without it.
pub const API_SERVER: &str = "API server";

/// Where the reference data is looked for when the variable is not set, from the checkout's root.
const DATA_BESIDE_CHECKOUT: &str = "../shared/data";

/// Something of somebody else that tests run against.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// What it is called, also in the reason of a test that is ignored without it.
    pub name: &'static str,
    /// How it is found.
    pub proof: Proof,
    /// The Debian packages that hold it, and what it is found with.
    pub packages: &'static [&'static str],
    /// What it is for.
    pub purpose: &'static str,
    /// The packages of the workspace whose build scripts look for it.
    pub testers: &'static [&'static str],
}

/// What shows that a part is there.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// A program of this name.
    Program(&'static str),
    /// A library that pkg-config knows by this name.
    Library(&'static str),
}

/// All parts that tests need.
pub const PARTS: [Part; 3] = [
    Part {
        name: "Mosquitto",
        proof: Proof::Program("mosquitto"),
        packages: &["mosquitto"],
        purpose: "the MQTT broker that the client is tested against",
        testers: &["hal-mqtt"],
    },
    Part {
        name: "libmodbus",
        proof: Proof::Library("libmodbus"),
        packages: &["libmodbus-dev", "pkg-config"],
        purpose: "a foreign Modbus peer for the master, built by the tests",
        testers: &["hal-modbus"],
    },
    Part {
        name: "valgrind",
        proof: Proof::Program("valgrind"),
        packages: &["valgrind"],
        purpose: "counts the instructions of a cycle against their budgets",
        testers: &[],
    },
];

impl Part {
    /// Where or in which version it is there.
    fn find(self) -> Option<String> {
        match self.proof {
            Proof::Program(name) => find_program(name).map(|path| path.display().to_string()),
            Proof::Library(name) => {
                let pkg_config = find_program("pkg-config")?;
                let (status, version) = output(Command::new(pkg_config).args(["--modversion", name])).ok()?;
                status.success().then(|| format!("version {}", version.trim()))
            }
        }
    }

    /// Why tests are ignored without it, and what to do.
    fn missing(self) -> Failure {
        let remedy = if is_debian() {
            format!("as root: apt-get install {}", self.packages.join(" "))
        } else {
            format!("install {} with your system's package manager", self.name)
        };
        Failure::new(format!("{} is missing: {}", self.name, self.purpose), remedy)
    }
}

/// Whether and where each part is.
#[derive(Debug, Default)]
pub struct Found {
    /// The folder of reference data.
    pub data: Option<PathBuf>,
    /// What is not there, each with what to do about it.
    pub missing: Vec<Failure>,
}

/// Looks for all parts, installs what is missing where that is allowed, and says what it found.
///
/// # Errors
/// If `TAKT_DATA` is set to something that is no folder.
pub fn provide(workspace: &Workspace, may_install: bool) -> Result<Found, Failure> {
    let mut found = Found::default();
    let absent: Vec<Part> = PARTS.into_iter().filter(|part| part.find().is_none()).collect();
    if !absent.is_empty() && may_install && is_debian() && is_root() {
        install(&absent);
        forget_builds(absent.into_iter().filter(|part| part.find().is_some()));
    }
    for part in PARTS {
        match part.find() {
            Some(place) => println!("part {}: {place}", part.name),
            None => {
                println!("part {}: missing ({})", part.name, part.purpose);
                found.missing.push(part.missing());
            }
        }
    }
    provide_api_server(&workspace.root, may_install, &mut found);
    found.data = data(&workspace.root, env::var_os(DATA_VARIABLE).map(PathBuf::from))?;
    match &found.data {
        Some(folder) => println!("part reference data: {}", folder.display()),
        None => {
            println!("part reference data: missing");
            found.missing.push(Failure::new(
                "the reference data is missing: tests against published figures are ignored",
                format!(
                    "set {DATA_VARIABLE} to its folder, or put it into a folder shared/data beside the checkout"
                ),
            ));
        }
    }
    Ok(found)
}

/// The API server is compiled where that is allowed.
fn provide_api_server(root: &Path, may_build: bool, found: &mut Found) {
    let built = match testenv::find(root) {
        Some(folder) => Ok(folder),
        None if may_build => testenv::testenv(root, false),
        None => Err(Failure::new(
            "the API server is missing: the custom resources and the sidecar are tested against it",
            "cargo xtask testenv",
        )),
    };
    match built {
        Ok(folder) => println!("part {API_SERVER}: {}", folder.display()),
        Err(failure) => {
            println!("part {API_SERVER}: missing");
            found.missing.push(failure);
        }
    }
}

/// The folder of reference data: where the variable says, or beside the checkout.
fn data(root: &Path, variable: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    if let Some(folder) = variable {
        return match fs::canonicalize(&folder) {
            Ok(path) if path.is_dir() => Ok(Some(path)),
            Ok(_) | Err(_) => Err(Failure::new(
                format!("{DATA_VARIABLE} is `{}`, which is no folder", folder.display()),
                format!("correct {DATA_VARIABLE}, or unset it to run without the tests that need it"),
            )),
        };
    }
    let beside = root.join(DATA_BESIDE_CHECKOUT);
    Ok(fs::canonicalize(beside).ok().filter(|path| path.is_dir()))
}

/// Installs Debian packages; what fails is told by what is still missing afterwards.
fn install(parts: &[Part]) {
    let packages: Vec<&str> = parts.iter().flat_map(|part| part.packages).copied().collect();
    println!("installing the missing Debian packages: {}", packages.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
        command
    };
    let updated = run(apt().arg("update"));
    let installed = run(apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages));
    for failure in [updated, installed].into_iter().filter_map(Result::err) {
        println!("{failure}");
    }
}

/// The packages that were built while a part was missing have its tests ignored: they are built anew.
fn forget_builds(parts: impl Iterator<Item = Part>) {
    for tester in parts.flat_map(|part| part.testers) {
        if let Err(failure) = run(process::cargo().args(["clean", "--package", tester])) {
            println!("{failure}");
        }
    }
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && find_program("apt-get").is_some()
}

/// Whether our effective user is root, from the `Uid:` line (real, effective, saved, file system).
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_beside_the_checkout_is_found() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("checkout");
        fs::create_dir_all(&root).unwrap();
        assert_eq!(data(&root, None), Ok(None));
        fs::create_dir_all(place.path().join("shared/data")).unwrap();
        assert_eq!(data(&root, None), Ok(Some(place.path().canonicalize().unwrap().join("shared/data"))));
    }

    #[test]
    fn the_variable_wins_over_the_folder_beside_the_checkout() {
        let place = tempfile::tempdir().unwrap();
        let named = place.path().canonicalize().unwrap();
        assert_eq!(data(place.path(), Some(named.clone())), Ok(Some(named)));
    }

    #[test]
    fn a_variable_that_names_no_folder_is_refused() {
        let failure = data(Path::new("/"), Some(PathBuf::from("/no/such/folder"))).unwrap_err();
        assert!(failure.what.contains("/no/such/folder") && failure.remedy.contains(DATA_VARIABLE));
    }
}
