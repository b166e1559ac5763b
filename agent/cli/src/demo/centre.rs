//! The demo's centre, from which plans come: its keys.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agent_plan::PlanKey;

use super::DemoError;

/// A node's socket for plans, beside its configuration.
pub(super) const SOCKET: &str = "plans.sock";
/// Signs plans for the demo's nodes, in the demo's folder.
pub(super) const PRIVATE_KEY: &str = "centre.key";
/// Folder of the keys that the nodes trust.
const TRUSTED: &str = "keys";
/// Not a secret: it stands here. A site of one's own gets its key from `takt plan keygen`.
const SEED: [u8; 32] = *b"takt demo: known to everybody...";

/// Writes the centre's keys; the folder of those that nodes trust.
pub(super) fn make_keys(folder: &Path) -> Result<PathBuf, DemoError> {
    let trusted = folder.join(TRUSTED);
    let failed = |path: &Path, why: String| DemoError::File { path: path.to_owned(), why };
    std::fs::create_dir_all(&trusted).map_err(|error| failed(&trusted, error.to_string()))?;
    let key = PlanKey::from_seed(&SEED);
    let (private, public) = (folder.join(PRIVATE_KEY), trusted.join("centre.pem"));
    for (path, pem, mode) in [(private, key.to_pem(), 0o600), (public, key.public_pem(), 0o644)] {
        let pem = pem.map_err(|error| failed(&path, error.to_string()))?;
        std::fs::write(&path, pem)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)))
            .map_err(|error| failed(&path, error.to_string()))?;
    }
    Ok(trusted)
}
