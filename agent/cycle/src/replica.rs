//! What one node of a pair must know of the other, after each cycle.
//!
//! # Model
//!
//! The active node's cycle writes a [`GroupState`]: all that its controllers remember, the outputs that it
//! commanded, and the inputs and demands that led there. It leaves the real-time thread through a triple
//! buffer. The standby's cycle takes the newest state before it steps, so its own step, with its own
//! inputs, is the one that the active node would make next; and whoever holds two states in a row can
//! repeat the step between them and compare ([`UnitState::follows`]).
//!
//! # Terms
//!
//! - state of a cycle: as it is after that cycle's step.
//! - schema: a hash of the types in a state; two nodes of different schemas cannot take over from each other.

use control_loops_controllers::der::DerParameters;
use control_loops_controllers::park::ParkParameters;
use control_loops_controllers::turbine::TurbineParameters;
use control_loops_drive::DriveParameters;
use hal_process_image::{DeviceOutputs, Publisher, Subscriber, exchange};
use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{
    DerUnitState, Executed, GroupMode, NextPlan, Overrides, ParkUnitState, Share, TurbineUnitState,
    VehicleUnitState,
};

/// Executed commands that a state carries: those of the last cycles, so that a lost state loses none.
pub const EXECUTED_KEPT: usize = 32;

/// All that is to be known of one unit after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct UnitState {
    /// What operators left standing.
    pub overrides: Overrides,
    /// The outputs that were commanded.
    pub outputs: DeviceOutputs,
    /// What a park leaves it.
    pub share: Share,
    /// Its controller, and what that was given.
    pub plant: PlantState,
}

/// A unit's controller, and what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
#[allow(clippy::large_enum_variant, reason = "copied in place: a cycle does not allocate")]
pub enum PlantState {
    /// Of a turbine.
    Turbine(TurbineUnitState),
    /// Of a vehicle.
    Vehicle(VehicleUnitState),
    /// Of a plant that controls itself.
    Der(DerUnitState),
    /// Of a park.
    Park(ParkUnitState),
}

/// What does not change about a unit's controller.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one for each unit, kept for ever")]
pub enum UnitParameters {
    /// Of a turbine.
    Turbine(TurbineParameters),
    /// Of a vehicle.
    Vehicle(DriveParameters),
    /// Of a plant that controls itself.
    Der(DerParameters),
    /// Of a park.
    Park(ParkParameters),
}

/// All that is to be known of a loop group after a cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct GroupState {
    /// Number of the cycle; 0 for a state that no cycle has written.
    pub cycle: u64,
    /// Time that the cycle's step covered.
    pub dt: Duration,
    /// Mode of the group.
    pub mode: GroupMode,
    /// Epoch of the plan in force.
    pub plan_epoch: u32,
    /// Digest of that plan's demands on this group.
    pub plan_digest: u64,
    /// The plan that comes next, and from which cycle on.
    pub next_plan: NextPlan,
    /// The last commands that were carried out, newest last; token 0 is none.
    pub executed: [Executed; EXECUTED_KEPT],
    /// The units, in the group's order.
    pub units: Vec<UnitState>,
}

impl GroupState {
    /// A hash of everything that a state is made of.
    #[must_use]
    pub fn schema() -> u64 {
        u64::from_le_bytes(postcard_schema::key::Key::for_path::<Self>("takt/group-state").to_bytes())
    }

    /// Takes over `other` without allocating. States of different numbers of units do not belong together:
    /// then nothing is taken.
    pub fn copy_from(&mut self, other: &Self) {
        if self.units.len() == other.units.len() {
            self.units.copy_from_slice(&other.units);
            let Self { cycle, dt, mode, plan_epoch, plan_digest, next_plan, executed, units: _ } = other;
            (self.cycle, self.dt, self.mode) = (*cycle, *dt, *mode);
            (self.plan_epoch, self.plan_digest, self.executed) = (*plan_epoch, *plan_digest, *executed);
            self.next_plan = *next_plan;
        }
    }
}

impl UnitState {
    /// Whether this state is what a controller with these parameters makes of `before`: the step between
    /// them is repeated. Compared by their bits, so that a NaN equals itself.
    #[must_use]
    pub fn follows(&self, before: &Self, parameters: &UnitParameters, dt: Duration) -> bool {
        match (&self.plant, &before.plant, parameters) {
            (PlantState::Turbine(now), PlantState::Turbine(before), UnitParameters::Turbine(parameters)) => {
                same_bits(&now.repeated(before, parameters, dt), &now.controller)
            }
            (PlantState::Vehicle(now), PlantState::Vehicle(before), UnitParameters::Vehicle(parameters)) => {
                same_bits(&now.repeated(before, parameters, dt), &now.controller)
            }
            (PlantState::Der(now), PlantState::Der(before), UnitParameters::Der(parameters)) => {
                same_bits(&now.repeated(before, parameters, dt), &now.controller)
            }
            (PlantState::Park(now), PlantState::Park(before), UnitParameters::Park(parameters)) => {
                same_bits(&now.repeated(before, parameters, dt), &now.controller)
            }
            (
                PlantState::Turbine(_) | PlantState::Vehicle(_) | PlantState::Der(_) | PlantState::Park(_),
                _,
                _,
            ) => false,
        }
    }
}

fn same_bits<T: Serialize>(ours: &T, theirs: &T) -> bool {
    let mut bytes = [[0; STATE_BYTES_MAX]; 2];
    let [first, second] = &mut bytes;
    let (ours, theirs) = (postcard::to_slice(ours, first), postcard::to_slice(theirs, second));
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// Room for one controller's state, encoded.
const STATE_BYTES_MAX: usize = 2048;

/// The real-time thread's side of the pair.
#[derive(Debug)]
pub struct CyclePair {
    /// The epoch under which this node writes to the field; 0 while it does not.
    pub(crate) office: Arc<AtomicU32>,
    /// Number of the last cycle that ended, plus one.
    pub(crate) beat: Arc<AtomicU64>,
    /// States of this node's cycles.
    pub(crate) state: Publisher<GroupState>,
    /// States of the other node's cycles.
    pub(crate) peer: Subscriber<GroupState>,
}

/// The other threads' side of the pair.
#[derive(Debug)]
pub struct ControlPair {
    office: Arc<AtomicU32>,
    beat: Arc<AtomicU64>,
    /// The newest state of this node's cycles.
    pub state: Subscriber<GroupState>,
    /// Where the other node's states go.
    pub peer: Publisher<GroupState>,
}

impl ControlPair {
    /// Says under which epoch this node writes to the field, `None` if it does not; heeded from the next
    /// cycle on.
    pub fn set_office(&self, epoch: Option<u32>) {
        self.office.store(epoch.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many cycles have passed: stands still while the control thread does.
    #[must_use]
    pub fn beat(&self) -> u64 {
        self.beat.load(Ordering::Relaxed)
    }
}

/// Both sides for a group of so many units, which start as `initial`. Allocates: set-up only.
pub(crate) fn pair(initial: &GroupState) -> (CyclePair, ControlPair) {
    let (state_in, state_out) = exchange(initial);
    let (peer_in, peer_out) = exchange(initial);
    let (office, beat) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let cycle =
        CyclePair { office: Arc::clone(&office), beat: Arc::clone(&beat), state: state_in, peer: peer_out };
    (cycle, ControlPair { office, beat, state: state_out, peer: peer_in })
}
