//! What cargo knows about the checkout.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failure;
use crate::process;

/// The workspace as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// The folder of the root manifest.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where cargo builds, with `CARGO_TARGET_DIR` and the configuration taken into account.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    /// The members, in cargo's order.
    pub packages: Vec<Package>,
}

/// One member of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Cargo's identifier of the package, as it appears in build messages.
    pub id: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// What it depends on, of every kind and for every target.
    pub dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The real name of the package, also where the manifest renames it.
    pub name: String,
    /// What the dependency is for; `None` means the library or program itself.
    pub kind: Option<DependencyKind>,
    /// The folder of a dependency that is a path.
    pub path: Option<PathBuf>,
}

/// What a dependency that is not a normal one is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DependencyKind {
    /// Tests and benchmarks only.
    Dev,
    /// The build script.
    Build,
}

impl Workspace {
    /// Asks cargo about the workspace of the working directory.
    ///
    /// # Errors
    /// If cargo finds no valid workspace.
    pub fn load() -> Result<Self, Failure> {
        let mut command = process::cargo();
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        let (status, text) = process::output(&mut command)?;
        process::succeeded(&command, status)?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::new(
                format!("`cargo metadata` prints something else than expected: {e}"),
                "use a cargo that is not older than the workspace's rust-version",
            )
        })
    }

    /// A path as it is shown: relative to the checkout where it is inside it.
    #[must_use]
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

impl Package {
    /// The package's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}
