//! A folder of the file system, for the store of plans.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use agent_plan::store::{FILE_BYTES_MAX, Folder};

/// A folder that is there.
#[derive(Debug)]
pub(crate) struct DiskFolder(PathBuf);

impl DiskFolder {
    /// Makes the folder if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

impl Folder for DiskFolder {
    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        let opened = match File::open(self.path(file)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // One byte beyond: a longer file is then no plan of ours.
        let mut bytes = Vec::new();
        opened.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        File::create(self.path(file))?.write_all(bytes)
    }

    fn sync_file(&mut self, file: &str) -> io::Result<()> {
        File::open(self.path(file))?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
