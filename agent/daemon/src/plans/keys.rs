//! The keys that a node trusts: `*.pem` files in one folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use agent_plan::{KEY_FILE_BYTES_MAX, KeyError, TRUSTED_KEYS_MAX, TrustedKeys};

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file in it.
    #[error("{path}: {error}; give a readable folder of public keys as [plans] keys")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system answered.
        error: std::io::Error,
    },
    /// A file is no key.
    #[error("{path}: {error}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
}

/// Reads all keys in a folder.
pub(crate) fn read(folder: &Path) -> Result<TrustedKeys, KeysError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| KeysError::Io { path, error }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            paths.push(path);
        }
        if paths.len() > TRUSTED_KEYS_MAX {
            return Err(KeysError::Key { path: folder.to_owned(), error: KeyError::TooMany });
        }
    }
    paths.sort();
    let mut keys = TrustedKeys::default();
    for path in paths {
        let mut pem = String::new();
        let file = std::fs::File::open(&path).map_err(failed(&path))?;
        file.take(KEY_FILE_BYTES_MAX as u64).read_to_string(&mut pem).map_err(failed(&path))?;
        keys.add_pem(&pem).map_err(|error| KeysError::Key { path, error })?;
    }
    Ok(keys)
}
