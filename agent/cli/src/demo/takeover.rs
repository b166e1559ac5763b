//! Kills of the active node during the demo, and what the turbines saw of them.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::DemoError;
use super::nodes::Nodes;
use failover_witness::takeover::examine;
use failover_witness::write_log::{Line, LogReader, Write};

/// From the kill until the log is looked at: a takeover is over long before.
const LOOK_AFTER: Duration = Duration::from_millis(1500);
/// Writes that are kept for the look: more than two seconds of 200 turbines.
const WRITES_MAX: usize = 60_000;

/// A takeover as the slowest turbine saw it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SeenTakeover {
    /// The node that was killed.
    pub(super) killed: String,
    /// From the last write of the old epoch to the first of the new one.
    pub(super) takeover_ms: f64,
    /// The epochs.
    pub(super) epochs: (u32, u32),
    /// The largest step of an output beyond its ordinary ones.
    pub(super) bump_percent_of_span: f64,
}

/// Watches the simulator's write log.
pub(super) struct Takeovers {
    log: LogReader,
    recent: Vec<Write>,
    killed: Option<(Instant, String, u32)>,
    pub(super) seen: Vec<SeenTakeover>,
}

impl Takeovers {
    pub(super) fn watch(log: &Path) -> Result<Self, DemoError> {
        let log = LogReader::open(log).map_err(failed)?;
        Ok(Self { log, recent: Vec::new(), killed: None, seen: Vec::new() })
    }

    /// Kills the active node.
    pub(super) fn kill(&mut self, nodes: &Nodes) -> Result<(), DemoError> {
        if self.killed.is_none()
            && let Some((node, epoch)) = nodes.kill_active()?
        {
            println!("\nkilling the agent of node {node} ...");
            self.killed = Some((Instant::now(), node, epoch));
        }
        Ok(())
    }

    /// Follows the log; prints a takeover once it is over.
    pub(super) fn turn(&mut self) -> Result<(), DemoError> {
        let recent = &mut self.recent;
        self.log
            .take(|line| {
                if let Line::Write(write) = line {
                    recent.push(write);
                }
            })
            .map_err(failed)?;
        let surplus = recent.len().saturating_sub(WRITES_MAX);
        recent.drain(..surplus);
        if self.killed.as_ref().is_none_or(|(at, ..)| at.elapsed() < LOOK_AFTER) {
            return Ok(());
        }
        let Some((_, killed, epoch)) = self.killed.take() else { return Ok(()) };
        let seen = examine(&self.recent, epoch);
        match seen.takeover {
            Some(takeover) => {
                let bump = seen.bump.map_or(0.0, |bump| bump.percent_of_span);
                println!(
                    "node {killed} was killed: the turbines were without a write for {:.1} ms at the most \
                     (turbine {}, epoch {} to {}); outputs moved by {bump:.2} % of their span beyond the ordinary\n",
                    takeover.ms(),
                    takeover.device,
                    takeover.old_epoch,
                    takeover.new_epoch,
                );
                self.seen.push(SeenTakeover {
                    killed,
                    takeover_ms: takeover.ms(),
                    epochs: (takeover.old_epoch, takeover.new_epoch),
                    bump_percent_of_span: bump,
                });
            }
            None => println!("node {killed} was killed, and nobody took over\n"),
        }
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> DemoError {
    DemoError::Start { name: "takt-sim", why: format!("its write log: {error}") }
}
