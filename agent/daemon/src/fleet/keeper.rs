//! The thread that keeps the fleet's state where the next process finds it.
//!
//! # Model
//!
//! A write to the disk takes as long as the disk likes, and vehicles do not wait for it while another node follows: what
//! they are told leaves when that one holds it. Answers to operators wait until the state with their effect is kept; so
//! do, of a node that nobody follows, words that move loads. A state that comes while another one is being written
//! replaces all that wait.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use agent_fleet::handover::Mark;
use crossbeam_channel::{Receiver, Sender, bounded};
use hal_linux_rt::thread::ORDINARY_STACK_BYTES;

use crate::setup::drop_capabilities;

/// How often it is looked whether the thread has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// States that may wait.
const STATES_MAX: usize = 64;

/// A state that was written, or why not.
pub(super) struct Kept {
    pub(super) mark: Mark,
    pub(super) result: std::io::Result<()>,
}

/// The running thread.
pub(super) struct Keeper {
    states: Option<Sender<(Mark, Vec<u8>)>>,
    pub(super) kept: Receiver<Kept>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(file: PathBuf) -> std::io::Result<Self> {
        let (states, states_out) = bounded::<(Mark, Vec<u8>)>(STATES_MAX);
        let (kept_in, kept) = bounded(STATES_MAX);
        let builder = std::thread::Builder::new().name("takt-fleet-disk".to_owned());
        let thread = builder.stack_size(ORDINARY_STACK_BYTES).spawn(move || {
            drop_capabilities();
            while let Ok(first) = states_out.recv() {
                let (mark, bytes) = states_out.try_iter().last().unwrap_or(first);
                let result = crate::durable::replace(&file, &bytes);
                if kept_in.send(Kept { mark, result }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { states: Some(states), kept, thread: Some(thread) })
    }

    /// Passes a state on; false if the disk is so far behind that it is left out.
    pub(super) fn keep(&self, mark: Mark, bytes: Vec<u8>) -> bool {
        self.states.as_ref().is_some_and(|states| states.try_send((mark, bytes)).is_ok())
    }

    /// Waits until all is written.
    pub(super) fn end(&mut self) {
        self.states = None;
        let Some(thread) = self.thread.take() else { return };
        // It waits for whoever takes what it says.
        while !thread.is_finished() {
            let _ = self.kept.recv_timeout(LOOK_INTERVAL);
        }
        if thread.join().is_err() {
            tracing::error!("the thread that keeps the fleet's state panicked");
        }
    }
}
