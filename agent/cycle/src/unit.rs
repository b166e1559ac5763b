//! One unit: its device, what operators left standing, and what it is.

use control_loops_controllers::turbine::RunRequest;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Radians, Watts};

use crate::demand::PlanDemand;
use crate::der::DerSide;
use crate::park::{ParkSide, Share, WakeTable};
use crate::turbine::TurbineSide;
use crate::vehicle::VehicleSide;
use crate::{Overrides, PlantRecord, PlantState, UnitRecord, UnitState};

/// A plant in a loop group.
#[derive(Debug)]
pub struct Unit {
    device: usize,
    overrides: Overrides,
    reset: bool,
    outputs: DeviceOutputs,
    acknowledged: u32,
    acknowledged_at: Option<Instant>,
    share: Share,
    /// What plan and operators let it give.
    own_limit: Watts,
    pub(crate) plant: Plant,
}

/// What a unit is, with its controller.
#[derive(Debug)]
pub(crate) enum Plant {
    Turbine(Box<TurbineSide>),
    Vehicle(Box<VehicleSide>),
    Der(Box<DerSide>),
    Park(Box<ParkSide>),
}

/// What a unit contributes to its group's cycle record.
pub(crate) struct UnitCycle {
    pub(crate) record: UnitRecord,
    pub(crate) changed: bool,
    pub(crate) blind: bool,
    pub(crate) at_rest: bool,
}

/// What a plant tells of its cycle.
pub(crate) struct PlantCycle {
    pub(crate) record: PlantRecord,
    pub(crate) quality: Quality,
    pub(crate) input_age: Option<Duration>,
    pub(crate) changed: bool,
    pub(crate) at_rest: bool,
}

/// How long outputs hold, under which epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTerms {
    pub(crate) expires_at: Instant,
    pub(crate) epoch: u32,
}

impl Unit {
    pub(crate) const fn of(
        device: usize,
        plant: Plant,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        Self {
            device,
            overrides,
            reset: false,
            outputs: initial,
            acknowledged: 0,
            acknowledged_at: None,
            share: Share::NONE,
            own_limit: Watts::ZERO,
            plant,
        }
    }

    /// Position of the unit's device on the group's bus.
    #[must_use]
    pub fn device(&self) -> usize {
        self.device
    }

    /// All that is to be known of the unit after its last step.
    #[must_use]
    pub fn state(&self) -> UnitState {
        UnitState {
            overrides: self.overrides,
            outputs: self.outputs,
            share: self.share,
            plant: match &self.plant {
                Plant::Turbine(turbine) => PlantState::Turbine(turbine.state()),
                Plant::Vehicle(vehicle) => PlantState::Vehicle(vehicle.state()),
                Plant::Der(der) => PlantState::Der(der.state()),
                Plant::Park(park) => PlantState::Park(park.state()),
            },
        }
    }

    /// Goes on from the state of the node that writes. A state of another kind of plant is not gone on from.
    pub(crate) fn follow(&mut self, state: &UnitState) {
        match (&mut self.plant, &state.plant) {
            (Plant::Turbine(turbine), PlantState::Turbine(state)) => turbine.follow(state),
            (Plant::Vehicle(vehicle), PlantState::Vehicle(state)) => vehicle.follow(state),
            (Plant::Der(der), PlantState::Der(state)) => der.follow(state),
            (Plant::Park(park), PlantState::Park(state)) => park.follow(state),
            (Plant::Turbine(_) | Plant::Vehicle(_) | Plant::Der(_) | Plant::Park(_), _) => return,
        }
        self.share = state.share;
        self.overrides = state.overrides;
        self.outputs = state.outputs;
    }

    /// Nobody acknowledges outputs that are not written here: the wait for it begins with the first that is.
    pub(crate) fn await_no_acknowledgement(&mut self) {
        self.acknowledged_at = None;
    }

    pub(crate) fn command(&mut self, action: crate::CommandAction) {
        self.overrides = self.overrides.after(action);
        self.reset |= action == crate::CommandAction::Reset;
    }

    /// Takes the inputs of one scan, as they are to be trusted at `now`.
    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant) {
        if image.outputs_acknowledged != self.acknowledged {
            self.acknowledged = image.outputs_acknowledged;
            self.acknowledged_at = self.acknowledged_at.max(Some(image.acquired_at));
        }
        let unacknowledged_for = now.since(self.acknowledged_at.unwrap_or(now));
        match &mut self.plant {
            Plant::Turbine(turbine) => turbine.read(image, now, unacknowledged_for),
            Plant::Vehicle(vehicle) => vehicle.read(image, now, unacknowledged_for),
            Plant::Der(der) => der.read(image, now),
            Plant::Park(park) => park.read(image, now),
        }
    }

    /// Whether the last scan shows a grid that takes the unit's power.
    pub(crate) fn sees_grid(&self) -> bool {
        match &self.plant {
            Plant::Turbine(turbine) => turbine.sees_grid(),
            Plant::Vehicle(_) | Plant::Der(_) | Plant::Park(_) => false,
        }
    }

    /// What a park leaves the unit.
    pub(crate) const fn share(&self) -> &Share {
        &self.share
    }

    pub(crate) const fn share_mut(&mut self) -> &mut Share {
        &mut self.share
    }

    /// What the unit could give in a park, and what it gives, if that is known.
    pub(crate) fn producing(&self) -> (Watts, Option<Watts>) {
        match &self.plant {
            Plant::Turbine(turbine) => turbine.producing(self.own_limit),
            Plant::Vehicle(_) | Plant::Der(_) | Plant::Park(_) => (Watts::ZERO, Some(Watts::ZERO)),
        }
    }

    /// Where the unit sees the wind come from, from north clockwise.
    pub(crate) fn wind_direction(&self) -> Option<Radians> {
        match &self.plant {
            Plant::Turbine(turbine) => turbine.wind_direction(),
            Plant::Vehicle(_) | Plant::Der(_) | Plant::Park(_) => None,
        }
    }

    pub(crate) fn is_park(&self) -> bool {
        matches!(self.plant, Plant::Park(_))
    }

    /// As a park, lets its turbines run or stops them.
    pub(crate) fn open(&mut self, turbines: &mut [Self], plan: &PlanDemand, group_stops: bool) {
        let Plant::Park(park) = &self.plant else { return };
        let demand = self.overrides.over(plan, group_stops, false);
        park.open(turbines, demand.request == RunRequest::Run, demand.emergency_stop);
    }

    /// One step of the controller under its demand.
    /// `others` are the units before it in the group: those of a park.
    pub(crate) fn step(
        &mut self,
        others: &mut [Self],
        (plan, wake): (&PlanDemand, Option<&WakeTable>),
        group_stops: bool,
        dt: Duration,
    ) {
        let reset = core::mem::take(&mut self.reset);
        let demand = self.overrides.over(plan, group_stops, reset);
        self.own_limit = demand.power_limit;
        match &mut self.plant {
            Plant::Turbine(turbine) => turbine.step(self.share.within(demand), dt),
            Plant::Vehicle(vehicle) => vehicle.step(self.overrides, group_stops, reset, dt),
            Plant::Der(der) => der.step(demand, dt),
            Plant::Park(park) => park.step(others, demand, wake, dt),
        }
    }

    /// The outputs of this cycle, with the next sequence. None until the controller knows the plant's
    /// state: outputs that do not follow from measurements would jolt a turbine that is already turning.
    pub(crate) fn write(&mut self, terms: WriteTerms, now: Instant) -> Option<&DeviceOutputs> {
        let seeded = match &self.plant {
            Plant::Turbine(turbine) => turbine.is_seeded(),
            Plant::Vehicle(_) => true,
            // It is somebody else's while they have it in hand, also later.
            Plant::Der(der) if !der.may_write() => return None,
            Plant::Der(_) => true,
            // A meter is told nothing.
            Plant::Park(_) => return None,
        };
        if !seeded && self.outputs.sequence == 0 {
            return None;
        }
        // Acknowledgements are awaited from the first write on.
        self.acknowledged_at.get_or_insert(now);
        // 0 means "never": the count goes round it.
        self.outputs.sequence = self.outputs.sequence.wrapping_add(1).max(1);
        self.outputs.expires_at = terms.expires_at;
        match &self.plant {
            Plant::Turbine(turbine) => turbine.write(terms.epoch, &mut self.outputs),
            Plant::Vehicle(vehicle) => vehicle.write(terms.epoch, &mut self.outputs),
            Plant::Der(der) => der.write(terms.epoch, &mut self.outputs),
            Plant::Park(_) => {}
        }
        Some(&self.outputs)
    }

    pub(crate) fn report(&mut self, at: (u16, u64, Instant), plan: &PlanDemand) -> UnitCycle {
        let (unit, cycle, now) = at;
        let limit = self.share.within(self.overrides.over(plan, false, false)).power_limit;
        let told = match &mut self.plant {
            Plant::Turbine(turbine) => turbine.report(now, limit),
            Plant::Vehicle(vehicle) => vehicle.report(),
            Plant::Der(der) => der.report(now, limit),
            Plant::Park(park) => park.report(now),
        };
        let record = UnitRecord {
            unit,
            cycle,
            quality: told.quality,
            input_age: told.input_age,
            unacknowledged_for: now.since(self.acknowledged_at.unwrap_or(now)),
            plant: told.record,
        };
        UnitCycle { record, changed: told.changed, blind: !told.quality.is_usable(), at_rest: told.at_rest }
    }
}
