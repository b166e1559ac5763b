//! The cargo tools of the checks, at pinned versions: a new release must not turn a green tree red.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::process::{self, find_program};
use crate::test::in_ci;

/// A program that comes from the registry.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The crate that holds it.
    pub package: &'static str,
    /// The program's file name.
    pub program: &'static str,
    /// The version that the checks are written for.
    pub version: &'static str,
}

/// Licences, bans and sources of the dependencies.
pub const DENY: Tool = Tool { package: "cargo-deny", program: "cargo-deny", version: "0.20.2" };
/// Dependencies that nothing uses.
pub const MACHETE: Tool = Tool { package: "cargo-machete", program: "cargo-machete", version: "0.9.2" };
/// Spelling.
pub const TYPOS: Tool = Tool { package: "typos-cli", program: "typos", version: "1.52.0" };
/// Coverage-guided fuzzing.
pub const FUZZ: Tool = Tool { package: "cargo-fuzz", program: "cargo-fuzz", version: "0.13.2" };

impl Tool {
    /// The tool's path, after installing it if it is missing.
    ///
    /// In CI another version than the pinned one is replaced; elsewhere it is used with a note: the
    /// developer's tools are the developer's.
    ///
    /// # Errors
    /// If it is missing and cannot be installed.
    pub fn provide(self) -> Result<PathBuf, Failure> {
        if let Some(path) = self.find() {
            let version = version(&path)?;
            if version.as_deref() == Some(self.version) {
                return Ok(path);
            }
            let version = version.unwrap_or_else(|| "of unknown version".to_owned());
            if !in_ci() {
                println!("note: {} is {version}; the checks are written for {}", self.package, self.version);
                return Ok(path);
            }
            println!("{} is {version}, not {}", self.package, self.version);
        }
        self.install()?;
        self.find().ok_or_else(|| {
            Failure::new(
                format!("{} was installed, but `{}` is not found", self.package, self.program),
                "add cargo's bin folder to PATH",
            )
        })
    }

    fn install(self) -> Result<(), Failure> {
        println!("installing {} {} from the registry", self.package, self.version);
        let mut command = process::cargo();
        command.args(["install", "--locked", "--force"]).arg(format!("{}@{}", self.package, self.version));
        // Cargo's own temporary folder: the workspace's would fill up with the tools' dependencies.
        command.env_remove("CARGO_TARGET_DIR");
        // The tools run for seconds: what counts is how long they take to build.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        process::run(&mut command)
    }

    fn find(self) -> Option<PathBuf> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
        let installed = home.map(|home| home.join("bin").join(self.program)).filter(|file| file.is_file());
        installed.or_else(|| find_program(self.program))
    }
}

/// The version that a program says it has.
fn version(program: &PathBuf) -> Result<Option<String>, Failure> {
    let (_, text) = process::output(Command::new(program).arg("--version"))?;
    Ok(version_in(&text))
}

/// The first word that looks like a version, as in `cargo-deny 0.20.2`.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_with_and_without_the_name_before_it() {
        assert_eq!(version_in("typos-cli 1.52.0\n").as_deref(), Some("1.52.0"));
        assert_eq!(version_in("0.9.2\n").as_deref(), Some("0.9.2"));
        assert_eq!(version_in("no version here"), None);
    }
}
