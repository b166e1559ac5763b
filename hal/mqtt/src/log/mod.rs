//! A durable log of records in segment files: the ground that the outbox and the journal stand on.
//!
//! # Problem
//!
//! A process may be killed, or a machine lose its power, between any two bytes that are written. What was
//! reported durable must come back, whole; what was half written must be told from what was not.
//!
//! # Model
//!
//! A log is a sequence of *records* (opaque bytes) in one or a few *segments* (files). A segment is only
//! ever appended to, by the process that created it, and is never opened for writing again: after a restart
//! a new segment follows the old ones. So a torn end never has anything written behind it.
//!
//! ```text
//! segment := "TAKTLOG1" number:u64 crc:u32  record*
//! record  := "TKR1" length:u32 crc:u32  body[length]          all numbers little endian
//!          | "TKS1" 0:u32      crc:u32                         end of a snapshot
//! ```
//!
//! A record's CRC-32 covers its kind, the segment's number, the record's offset, its length and its body:
//! bytes that merely look like a record (in a body, or in a misplaced disk block) do not pass for one.
//!
//! # Durability
//!
//! [`RecordLog::append`] collects in memory; [`RecordLog::commit`] writes everything collected at once and,
//! as the caller chooses ([`Sync`]), waits until the disk has it (`fdatasync`; one wait for the whole group).
//! A new segment's name is made durable (`fsync` of the folder) before anything is appended to it.
//!
//! # Compaction
//!
//! [`RecordLog::rewrite`] copies what the owner still needs into a new segment, closes it with an end of
//! snapshot, makes it durable, and only then removes the older ones. Replay that meets a whole snapshot
//! forgets everything before it, so it does not matter how far the removal came; and what stands in an
//! older segment without being durable there (a mark "done") cannot come undone.
//!
//! # Failure
//!
//! After a failed write or `fsync` nothing is known of the segment's end (the kernel may have dropped the
//! pages it could not write), so the log refuses to go on with it: the owner, who has all live records in
//! memory, calls [`RecordLog::rewrite`] until it succeeds.
//!
//! # Recovery
//!
//! [`RecordLog::open`] reads all segments. Bytes at a segment's end that are no whole record are its *torn
//! tail*: expected after a crash, and cut. Bytes that are no record but have records behind them are *damage*
//! (bad storage): they are skipped, counted apart, and not expected.

mod frame;
#[cfg(test)]
pub(crate) mod sim_disk;
mod storage;

use std::io;

pub use frame::RECORD_BYTES_MAX;
use frame::{SEGMENT_HEADER_BYTES, encode_record, encode_segment_header, encode_snapshot_end, scan};
pub use storage::{FileStorage, SEGMENT_BYTES_MAX, SegmentId, Storage};

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Return when the disk has it: survives the loss of power.
    Disk,
    /// Return when the kernel has it: survives the death of the process, not the loss of power.
    Kernel,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A folder or file operation failed.
    #[error("{what} failed: {error}; check the folder's space, permissions and medium")]
    Io {
        /// The operation.
        what: &'static str,
        /// What the operating system said.
        error: io::Error,
    },
    /// Another process holds the folder.
    #[error("{folder} is in use by another process; stop that one, or give another folder")]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The folder holds a log that this version cannot read.
    #[error(
        "segment {segment} is not a log of this version; move the folder away, or use the version that wrote it"
    )]
    Foreign {
        /// The segment.
        segment: SegmentId,
    },
    /// A record is larger than any reader would accept.
    #[error("a record of {bytes} bytes; at most {RECORD_BYTES_MAX} are possible")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An earlier write failed: the log must be rewritten before it can go on.
    #[error("an earlier write failed; the log must be rewritten first")]
    Broken,
}

/// What was found when a log was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The bodies of all whole records, in the order they were written.
    pub records: Vec<Vec<u8>>,
    /// Bytes that were cut from the ends of segments: the traces of a crash.
    pub torn_bytes: u64,
    /// Bytes that are damaged and have whole records behind them: the traces of bad storage.
    pub damaged_bytes: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct RecordLog<S> {
    storage: S,
    active: Active,
    /// Segments before the active one, ascending.
    older: Vec<SegmentId>,
    /// Bytes in all segments, those collected but not committed included.
    total_bytes: u64,
    /// Encoded and not yet written.
    collected: Vec<u8>,
}

/// The segment that is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Active {
    /// It does not exist yet; the first commit creates it.
    Planned { id: SegmentId },
    /// It exists.
    Written { id: SegmentId, bytes: u64, synced: bool },
    /// A write to it failed.
    Broken { id: SegmentId },
}

impl<S: Storage> RecordLog<S> {
    /// Reads what is there and makes sure that the disk has it. Nothing is written until the first
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// If a segment cannot be read, or was not written by this version.
    pub fn open(mut storage: S) -> Result<(Self, Recovered), LogError> {
        let ids = storage.segments().map_err(io_error("listing the log's segments"))?;
        let mut recovered = Recovered::default();
        let mut total_bytes = 0;
        for &id in &ids {
            let bytes = storage.read(id).map_err(io_error("reading a segment of the log"))?;
            total_bytes += bytes.len() as u64;
            let found = scan(id, &bytes)?;
            if found.replaces_older {
                recovered = Recovered::default();
            }
            recovered.records.extend(found.records);
            recovered.torn_bytes += found.torn_bytes;
            recovered.damaged_bytes += found.damaged_bytes;
            // A killed process leaves bytes that only the kernel has: make durable what is relied on now.
            storage.sync(id).map_err(io_error("syncing the log to disk"))?;
        }
        let active = Active::Planned { id: ids.last().map_or(SegmentId(1), |last| last.next()) };
        let log = Self { storage, active, older: ids, total_bytes, collected: Vec::new() };
        Ok((log, recovered))
    }

    /// Collects a record for the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// If the record is too large, or the log is broken.
    pub fn append(&mut self, body: &[u8]) -> Result<(), LogError> {
        let (id, written_bytes) = match self.active {
            Active::Planned { id } => (id, SEGMENT_HEADER_BYTES as u64),
            Active::Written { id, bytes, .. } => (id, bytes),
            Active::Broken { .. } => return Err(LogError::Broken),
        };
        let offset = written_bytes + self.collected.len() as u64;
        let before = self.collected.len();
        encode_record(&mut self.collected, id, offset, body)?;
        self.total_bytes += (self.collected.len() - before) as u64;
        Ok(())
    }

    /// Writes what was collected; with [`Sync::Disk`] everything written so far is durable when it returns.
    ///
    /// # Errors
    /// If the storage fails; the log is broken then, and whether the records are there is unknown.
    pub fn commit(&mut self, sync: Sync) -> Result<(), LogError> {
        let result = self.try_commit(sync);
        self.collected.clear();
        if result.is_err() {
            self.active = Active::Broken { id: self.active_id() };
        }
        result
    }

    fn try_commit(&mut self, sync: Sync) -> Result<(), LogError> {
        let (id, bytes, synced) = match self.active {
            Active::Broken { .. } => return Err(LogError::Broken),
            Active::Planned { .. } if self.collected.is_empty() => return Ok(()),
            Active::Planned { id } => {
                create(&mut self.storage, id)?;
                self.total_bytes += SEGMENT_HEADER_BYTES as u64;
                (id, SEGMENT_HEADER_BYTES as u64, false)
            }
            Active::Written { id, bytes, synced } => (id, bytes, synced),
        };
        let mut synced = synced && self.collected.is_empty();
        if !self.collected.is_empty() {
            self.storage.append(id, &self.collected).map_err(io_error("appending to the log"))?;
        }
        if sync == Sync::Disk && !synced {
            self.storage.sync(id).map_err(io_error("syncing the log to disk"))?;
            synced = true;
        }
        self.active = Active::Written { id, bytes: bytes + self.collected.len() as u64, synced };
        Ok(())
    }

    /// Replaces the whole log by these records, durably. Also mends a broken log.
    ///
    /// # Errors
    /// If the storage fails: the log is broken then, the older segments are still there.
    pub fn rewrite(&mut self, live: impl IntoIterator<Item = Vec<u8>>) -> Result<(), LogError> {
        let (old, exists) = match self.active {
            Active::Planned { id } => (id, false),
            Active::Written { id, .. } | Active::Broken { id } => (id, true),
        };
        if exists {
            self.older.push(old);
        }
        let id = if exists { old.next() } else { old };
        self.active = Active::Broken { id };
        self.collected.clear();
        let bytes = write_segment(&mut self.storage, id, live)?;
        self.active = Active::Written { id, bytes, synced: true };
        self.total_bytes = bytes;
        self.remove_older();
        Ok(())
    }

    /// A segment that cannot be removed is removed at the next rewrite; until then replay passes it over.
    fn remove_older(&mut self) {
        let mut removed = 0;
        for &id in &self.older {
            match self.storage.remove(id) {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(segment = %id, %error, "an old segment of the log could not be removed");
                    break;
                }
            }
        }
        self.older.drain(..removed);
    }

    /// Bytes in all segments, those not yet committed included: what decides when to rewrite.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Whether a write failed and [`rewrite`](Self::rewrite) is due.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self.active, Active::Broken { .. })
    }

    const fn active_id(&self) -> SegmentId {
        match self.active {
            Active::Planned { id } | Active::Written { id, .. } | Active::Broken { id } => id,
        }
    }
}

/// Bytes that a record of `body_bytes` takes in the log.
#[must_use]
pub const fn record_bytes(body_bytes: usize) -> u64 {
    (body_bytes + frame::RECORD_HEADER_BYTES) as u64
}

fn create<S: Storage>(storage: &mut S, id: SegmentId) -> Result<(), LogError> {
    storage.create(id).map_err(io_error("creating a segment of the log"))?;
    storage.append(id, &encode_segment_header(id)).map_err(io_error("appending to the log"))
}

/// Writes a whole segment, durably, and returns its size in bytes.
fn write_segment<S: Storage>(
    storage: &mut S,
    id: SegmentId,
    live: impl IntoIterator<Item = Vec<u8>>,
) -> Result<u64, LogError> {
    const CHUNK_BYTES: usize = 256 * 1024;
    create(storage, id)?;
    let mut written_bytes = SEGMENT_HEADER_BYTES as u64;
    let mut chunk = Vec::new();
    let flush = |storage: &mut S, chunk: &mut Vec<u8>, written_bytes: &mut u64| {
        storage.append(id, chunk).map_err(io_error("appending to the log"))?;
        *written_bytes += chunk.len() as u64;
        chunk.clear();
        Ok::<(), LogError>(())
    };
    for body in live {
        let offset = written_bytes + chunk.len() as u64;
        encode_record(&mut chunk, id, offset, &body)?;
        if chunk.len() >= CHUNK_BYTES {
            flush(storage, &mut chunk, &mut written_bytes)?;
        }
    }
    let offset = written_bytes + chunk.len() as u64;
    encode_snapshot_end(&mut chunk, id, offset);
    flush(storage, &mut chunk, &mut written_bytes)?;
    storage.sync(id).map_err(io_error("syncing the log to disk"))?;
    Ok(written_bytes)
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> LogError {
    move |error| LogError::Io { what, error }
}

#[cfg(test)]
mod tests;
