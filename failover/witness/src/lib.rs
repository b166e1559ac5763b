//! What the devices saw of a change of office.
//!
//! # Problem
//!
//! What a pair says of itself proves nothing: a node that writes without being in office does not know it. The
//! devices know. The simulator logs every write of commands with the time at which it came, its epoch, and what
//! became of it, and everything that is promised of a takeover is judged from that log alone.
//!
//! # Map
//!
//! - [`write_log`]: reads the log while it grows.
//! - [`takeover`]: pure judgements over the writes of a while: takeover, dual write, bump, gap.
//! - [`evidence`]: what a run has shown so far.

pub mod evidence;
pub mod takeover;
pub mod write_log;

/// A write log that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct LogError {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}
