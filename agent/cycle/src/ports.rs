//! The rings between a group's real-time thread and the rest of the process.
//!
//! Each is single-producer single-consumer, wait-free on both sides, and allocated once for the life of
//! the process. A plan is exchanged by pointer: the real-time thread sends the old one back, so that it
//! neither allocates nor frees.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use heapless::spsc::{Consumer, Producer, Queue};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::{Activated, Command, PlanMessage, PlanTable, Record};

/// Commands that may wait for the next cycle.
const COMMANDS: usize = 64;
/// Records between two visits of the collector: 2 s at five records a cycle and 100 Hz.
const RECORDS: usize = 1024;
/// Messages about plans that may wait for the next cycle.
const PLANS: usize = 8;

/// A command that a cycle has carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct Executed {
    /// The token of the command.
    pub token: u64,
    /// The epoch under which it was carried out.
    pub epoch: u32,
    /// The cycle whose outputs are the first to follow it.
    pub cycle: u64,
}

/// The real-time thread's ends.
pub struct CyclePorts {
    pub(crate) plans: Consumer<'static, PlanMessage>,
    pub(crate) retired: Producer<'static, Box<PlanTable>>,
    pub(crate) activated: Producer<'static, Activated>,
    pub(crate) commands: Consumer<'static, Command>,
    pub(crate) executed: Producer<'static, Executed>,
    pub(crate) telemetry: Producer<'static, Record>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The other threads' ends.
pub struct ControlPorts {
    /// Operators' commands.
    pub commands: Producer<'static, Command>,
    /// Commands that were carried out. Must be emptied: a full ring holds further commands back.
    pub executed: Consumer<'static, Executed>,
    /// What the cycles report.
    pub telemetry: Consumer<'static, Record>,
    /// Set to bring the group to rest.
    pub stop: Arc<AtomicBool>,
}

/// The ends of whoever hands plans to the cycle.
pub struct PlanPorts {
    /// Plans and what is to be done with them.
    pub messages: Producer<'static, PlanMessage>,
    /// Plans that are of no use to the cycle any more: to be freed here. Must be emptied: a full ring holds further
    /// messages and changes back.
    pub retired: Consumer<'static, Box<PlanTable>>,
    /// Plans that the cycles have changed over to. Must be emptied, too.
    pub activated: Consumer<'static, Activated>,
}

/// All ends. Allocates for the life of the process: set-up only.
#[must_use]
pub fn ports() -> (CyclePorts, ControlPorts, PlanPorts) {
    let (plans_in, plans_out) = ring::<_, PLANS>();
    let (retired_in, retired_out) = ring::<_, { PLANS + 2 }>();
    let (activated_in, activated_out) = ring::<_, PLANS>();
    let (commands_in, commands_out) = ring::<_, COMMANDS>();
    let (executed_in, executed_out) = ring::<_, COMMANDS>();
    let (telemetry_in, telemetry_out) = ring::<_, RECORDS>();
    let stop = Arc::new(AtomicBool::new(false));
    let cycle = CyclePorts {
        plans: plans_out,
        retired: retired_in,
        activated: activated_in,
        commands: commands_out,
        executed: executed_in,
        telemetry: telemetry_in,
        stop: Arc::clone(&stop),
    };
    let control =
        ControlPorts { commands: commands_in, executed: executed_out, telemetry: telemetry_out, stop };
    let plans = PlanPorts { messages: plans_in, retired: retired_out, activated: activated_out };
    (cycle, control, plans)
}

fn ring<T: 'static, const N: usize>() -> (Producer<'static, T>, Consumer<'static, T>) {
    let queue: &'static mut Queue<T, N> = Box::leak(Box::default());
    queue.split()
}
