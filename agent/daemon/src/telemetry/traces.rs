//! The folder of traces, written by a thread of its own: a slow disk holds up nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use agent_status::Traces;
use agent_status::trace::Trace;
use crossbeam_channel::{Receiver, Sender, bounded};
use hal_linux_rt::thread::ORDINARY_STACK_BYTES;

/// Files that are kept; the oldest go.
const FILES_MAX: usize = 32;
/// Traces that may wait for the disk.
const WAITING_MAX: usize = 4;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct TraceFolder {
    waiting: Sender<Trace>,
    shared: Arc<Mutex<Traces>>,
    refused: u64,
    thread: JoinHandle<()>,
}

impl TraceFolder {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there is none to be had.
    pub(crate) fn start(folder: PathBuf) -> std::io::Result<Self> {
        let (waiting, arriving) = bounded(WAITING_MAX);
        let shown = folder.display().to_string();
        let shared = Arc::new(Mutex::new(Traces { folder: shown, ..Traces::default() }));
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("takt-traces".to_owned())
            .stack_size(ORDINARY_STACK_BYTES)
            .spawn(move || write_all(&folder, &arriving, &writer))?;
        Ok(Self { waiting, shared, refused: 0, thread })
    }

    /// Has a trace written.
    pub(crate) fn keep(&mut self, trace: Trace) {
        self.refused += u64::from(self.waiting.try_send(trace).is_err());
    }

    /// What was written. `passed_over`: occasions of which there is no trace.
    pub(crate) fn report(&self, passed_over: u64) -> Traces {
        let mut report = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.passed_over = passed_over + self.refused;
        report
    }

    /// Ends when all is written, and reports that.
    pub(crate) fn stop(self, passed_over: u64) -> Traces {
        let Self { waiting, shared, refused, thread } = self;
        drop(waiting);
        let _ = thread.join();
        let mut report = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.passed_over = passed_over + refused;
        report
    }
}

fn write_all(folder: &Path, arriving: &Receiver<Trace>, shared: &Mutex<Traces>) {
    for trace in arriving {
        let written = write(folder, &trace);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(file) => {
                tracing::info!(group = %trace.group, occasion = %trace.occasion, file = %file.display(), "trace");
                shared.written += 1;
                shared.failed = None;
                shared.last = Some(file.display().to_string());
            }
            Err(error) => {
                tracing::error!(folder = %folder.display(), %error, "a trace cannot be written");
                shared.failed = Some(error.to_string());
            }
        }
    }
}

fn write(folder: &Path, trace: &Trace) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let at: String =
        trace.at.chars().filter(char::is_ascii_alphanumeric).take("20260101T000000".len()).collect();
    let fit = |letter: char| if letter.is_alphanumeric() || "-_".contains(letter) { letter } else { '_' };
    let group: String = trace.group.chars().map(fit).collect();
    let file = folder.join(format!("{at}-{group}-{}-{}.json", trace.cycle, trace.occasion));
    let json = serde_json::to_vec(trace).map_err(std::io::Error::other)?;
    let beside = file.with_extension("new");
    fs::write(&beside, json)?;
    fs::rename(&beside, &file)?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    for old in files.iter().rev().skip(FILES_MAX) {
        fs::remove_file(old)?;
    }
    Ok(file)
}
