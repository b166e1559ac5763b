//! The real-time thread of a loop group: wait, cycle, wait, cycle.
//!
//! Everything it touches is made before it starts; when it ends, everything is freed by others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_cycle::{Bus, Executive, Grid, Tick};
use hal_linux_rt::clock::{AbsoluteWait, now};

/// Why a group's thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// The kernel refused to wait: without a wait there is no period.
    NoWait,
}

/// Runs cycles on the grid until `end` is set. One system call a cycle: the wait.
pub fn run<B: Bus>(executive: &mut Executive<B>, mut grid: Grid, end: &Arc<AtomicBool>) -> Ended {
    while !end.load(Ordering::Relaxed) {
        let (cycle, scheduled_at, skipped) = grid.advance(now());
        let Ok(woke_at) = AbsoluteWait::until(scheduled_at) else { return Ended::NoWait };
        executive.cycle(Tick { cycle, scheduled_at, woke_at, skipped }, now);
    }
    Ended::Asked
}
