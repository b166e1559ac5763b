//! Where segments live: a trait of six operations, and a folder of files as its real form.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::LogError;

/// A file larger than this is not a segment of ours, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Number of a segment; later segments have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a log needs of a disk. Each operation either succeeds whole or the log gives up on the segment.
pub trait Storage {
    /// The segments that exist, ascending.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn segments(&mut self) -> io::Result<Vec<SegmentId>>;

    /// All bytes of a segment.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self, id: SegmentId) -> io::Result<Vec<u8>>;

    /// Creates an empty segment; its existence is durable on return.
    ///
    /// # Errors
    /// If it exists already or cannot be created.
    fn create(&mut self, id: SegmentId) -> io::Result<()>;

    /// Appends to a segment. Not durable until [`sync`](Self::sync).
    ///
    /// # Errors
    /// If not all bytes were taken.
    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// If the disk did not confirm.
    fn sync(&mut self, id: SegmentId) -> io::Result<()>;

    /// Removes a segment; its absence is durable on return. A segment that is not there counts as removed.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn remove(&mut self, id: SegmentId) -> io::Result<()>;
}

/// A folder with one file per segment, `{number:016x}.log`, and a lock file that one process holds.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
    open: Option<(SegmentId, File)>,
    /// Held as long as this lives; the kernel releases it when the process dies.
    _lock: File,
}

impl FileStorage {
    /// Opens a folder, and creates it if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be created or locked, or another process has it.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let failed = |what| move |error| LogError::Io { what, error };
        fs::create_dir_all(folder).map_err(failed("creating the log's folder"))?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent).map_err(failed("syncing the folder above the log's"))?;
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))
            .map_err(failed("opening the log's lock file"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LogError::InUse { folder: folder.display().to_string() });
            }
            Err(error) => return Err(failed("locking the log's folder")(error.into())),
        }
        Ok(Self { folder: folder.to_owned(), open: None, _lock: lock })
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    fn active(&mut self, id: SegmentId) -> io::Result<&mut File> {
        match &mut self.open {
            Some((open, file)) if *open == id => Ok(file),
            Some(_) | None => Err(io::Error::other(format!("segment {id} is not open for appending"))),
        }
    }
}

impl Storage for FileStorage {
    fn segments(&mut self) -> io::Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".log"))
                .filter(|stem| stem.len() == 16)
                .and_then(|stem| u64::from_str_radix(stem, 16).ok());
            ids.extend(number.map(SegmentId));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn read(&mut self, id: SegmentId) -> io::Result<Vec<u8>> {
        let path = self.path(id);
        let bytes = fs::metadata(&path)?.len();
        if bytes > SEGMENT_BYTES_MAX {
            return Err(io::Error::other(format!("{} has {bytes} bytes: not a log", path.display())));
        }
        fs::read(path)
    }

    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(id))?;
        sync_folder(&self.folder)?;
        self.open = Some((id, file));
        Ok(())
    }

    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        self.active(id)?.write_all(bytes)
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        match &self.open {
            Some((open, file)) if *open == id => file.sync_data(),
            Some(_) | None => File::open(self.path(id))?.sync_data(),
        }
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        sync_folder(&self.folder)
    }
}

/// A name in a folder is durable only after the folder itself was synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::{RecordLog, Sync};
    use super::*;

    #[test]
    fn a_log_in_a_folder_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/outbox");
        {
            let (mut log, _) = RecordLog::open(FileStorage::open(&path).unwrap()).unwrap();
            log.append(b"kept").unwrap();
            log.commit(Sync::Disk).unwrap();
            log.rewrite([b"kept".to_vec()]).unwrap();
        }
        let mut storage = FileStorage::open(&path).unwrap();
        assert_eq!(storage.segments().unwrap(), [SegmentId(2)]);
        assert_eq!(RecordLog::open(storage).unwrap().1.records, [b"kept"]);
    }

    #[test]
    fn a_file_that_ends_anywhere_yields_the_records_before() {
        let folder = tempfile::tempdir().unwrap();
        let bodies: [&[u8]; 4] = [b"first", b"", b"third", b"the last one"];
        {
            let (mut log, _) = RecordLog::open(FileStorage::open(folder.path()).unwrap()).unwrap();
            bodies.iter().for_each(|body| log.append(body).unwrap());
            log.commit(Sync::Disk).unwrap();
        }
        let file = folder.path().join(format!("{}.log", SegmentId(1)));
        let whole = std::fs::read(&file).unwrap();
        let mut counts = Vec::new();
        for bytes in 0..=whole.len() {
            std::fs::write(&file, &whole[..bytes]).unwrap();
            let (_, found) = RecordLog::open(FileStorage::open(folder.path()).unwrap()).unwrap();
            assert_eq!(found.records, bodies[..found.records.len()], "cut at {bytes}");
            assert_eq!(found.damaged_bytes, 0, "cut at {bytes}");
            counts.push(found.records.len());
        }
        assert!(counts.is_sorted() && counts.first() == Some(&0) && counts.last() == Some(&4));
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = FileStorage::open(folder.path()).unwrap();
        let error = FileStorage::open(folder.path()).unwrap_err();
        assert!(matches!(error, LogError::InUse { .. }), "{error}");
    }

    #[test]
    fn other_files_in_the_folder_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("README"), "mine").unwrap();
        std::fs::write(folder.path().join("12.log"), "also mine").unwrap();
        assert_eq!(FileStorage::open(folder.path()).unwrap().segments().unwrap(), []);
    }
}
