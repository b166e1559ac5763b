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

use crate::{Command, Record, demand::PlanDemand};

/// Commands that may wait for the next cycle.
const COMMANDS: usize = 64;
/// Records between two visits of the collector: 2 s at five records a cycle and 100 Hz.
const RECORDS: usize = 1024;
/// Plans that may wait for the next cycle.
const PLANS: usize = 2;

/// A plan as the cycle takes it: one demand for each unit of the group, in the group's order.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTable {
    /// The plan's number.
    pub epoch: u32,
    /// A hash of what the plan asks of this group.
    pub digest: u64,
    /// A demand for each unit.
    pub demands: Box<[PlanDemand]>,
}

impl PlanTable {
    /// A table with its digest.
    #[must_use]
    pub fn new(epoch: u32, demands: Box<[PlanDemand]>) -> Self {
        // FNV-1a, 64 bits (Fowler, Noll, Vo): two nodes compare it, nobody has to trust it.
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |word: u64| {
            for byte in word.to_le_bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        mix(u64::from(epoch));
        for demand in &demands {
            mix(demand.request as u64);
            mix(demand.power_limit.get().to_bits());
        }
        Self { epoch, digest, demands }
    }
}

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
    pub(crate) plans: Consumer<'static, Box<PlanTable>>,
    pub(crate) retired: Producer<'static, Box<PlanTable>>,
    pub(crate) commands: Consumer<'static, Command>,
    pub(crate) executed: Producer<'static, Executed>,
    pub(crate) telemetry: Producer<'static, Record>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The other threads' ends.
pub struct ControlPorts {
    /// New plans.
    pub plans: Producer<'static, Box<PlanTable>>,
    /// Plans that are no longer in force: to be freed here.
    pub retired: Consumer<'static, Box<PlanTable>>,
    /// Operators' commands.
    pub commands: Producer<'static, Command>,
    /// Commands that were carried out. Must be emptied: a full ring holds further commands back.
    pub executed: Consumer<'static, Executed>,
    /// What the cycles report.
    pub telemetry: Consumer<'static, Record>,
    /// Set to bring the group to rest.
    pub stop: Arc<AtomicBool>,
}

/// A pair of ends. Allocates for the life of the process: set-up only.
#[must_use]
pub fn ports() -> (CyclePorts, ControlPorts) {
    let (plans_in, plans_out) = ring::<_, PLANS>();
    let (retired_in, retired_out) = ring::<_, { PLANS + 1 }>();
    let (commands_in, commands_out) = ring::<_, COMMANDS>();
    let (executed_in, executed_out) = ring::<_, COMMANDS>();
    let (telemetry_in, telemetry_out) = ring::<_, RECORDS>();
    let stop = Arc::new(AtomicBool::new(false));
    let cycle = CyclePorts {
        plans: plans_out,
        retired: retired_in,
        commands: commands_out,
        executed: executed_in,
        telemetry: telemetry_in,
        stop: Arc::clone(&stop),
    };
    let control = ControlPorts {
        plans: plans_in,
        retired: retired_out,
        commands: commands_in,
        executed: executed_out,
        telemetry: telemetry_out,
        stop,
    };
    (cycle, control)
}

fn ring<T: 'static, const N: usize>() -> (Producer<'static, T>, Consumer<'static, T>) {
    let queue: &'static mut Queue<T, N> = Box::leak(Box::default());
    queue.split()
}
