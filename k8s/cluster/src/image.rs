//! Images without a registry and without a builder: a few static programs as the one layer of a docker archive.
//!
//! Source of the format: the image specification of Docker, version 1.2, as `docker save` writes it and containerd
//! imports it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use crate::ClusterError;

/// Writes an image `name` of these programs, each at the root of the file system under its own name. `label` makes
/// images of the same programs different ones.
pub(crate) fn write(
    archive: &Path,
    name: &str,
    label: &str,
    programs: &[PathBuf],
) -> Result<(), ClusterError> {
    let failed = ClusterError::file(archive);
    let layer = archive.with_extension("layer");
    write_layer(&layer, programs).map_err(&failed)?;
    let digest = sha256(&layer).map_err(&failed)?;
    let entry = programs.first().and_then(|program| program.file_name()).unwrap_or_default();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": [format!("/{}", entry.to_string_lossy())], "Labels": { "takt.dev/trial": label } },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created_by": "takt-cluster" }],
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let write = || -> io::Result<()> {
        let mut tar = Builder::new(File::create(archive)?);
        append(&mut tar, "config.json", config.to_string().as_bytes())?;
        append(&mut tar, "manifest.json", manifest.to_string().as_bytes())?;
        tar.append_path_with_name(&layer, "layer.tar")?;
        tar.finish()
    };
    write().map_err(&failed)?;
    fs::remove_file(&layer).map_err(&failed)
}

fn append(tar: &mut Builder<File>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, name, bytes)
}

fn write_layer(layer: &Path, programs: &[PathBuf]) -> io::Result<()> {
    let mut tar = Builder::new(File::create(layer)?);
    // The same programs are the same layer: neither owner nor times.
    tar.mode(tar::HeaderMode::Deterministic);
    // Holes are an extension that containerd does not read.
    tar.sparse(false);
    for program in programs {
        tar.append_path_with_name(program, program.file_name().unwrap_or_default())?;
    }
    tar.finish()
}

fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_image_holds_its_programs_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("takt");
        fs::write(&program, "a program").unwrap();
        let archive = folder.path().join("image.tar");
        write(&archive, "takt.test/takt:1", "1", &[program]).unwrap();
        let mut entries = Vec::new();
        let mut tar = tar::Archive::new(File::open(&archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            entries.push((entry.path().unwrap().display().to_string(), bytes));
        }
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["config.json", "manifest.json", "layer.tar"]);
        let config: serde_json::Value = serde_json::from_slice(&entries[0].1).unwrap();
        let digest = Sha256::digest(&entries[2].1);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{hex}"));
    }
}
