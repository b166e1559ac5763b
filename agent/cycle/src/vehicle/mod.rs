//! A vehicle whose drives hang on the bus, as a unit.

mod binding;

use control_loops_drive::{
    DriveController, DriveDemand, DriveInputs, DriveParameters, DriveState, DriveStep, Phase, Route, Sight,
    StopSet,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber, exchange};
use hal_units::{Duration, Instant};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::unit::{Plant, PlantCycle, Unit};
use crate::{Overrides, PlantRecord, VehicleRecord};
pub use binding::VehicleBinding;

/// All that is to be known of a vehicle after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct VehicleUnitState {
    /// What the controller remembers.
    pub controller: DriveState,
    /// The inputs that were used.
    pub inputs: DriveInputs,
    /// What was asked of it, its route among that.
    pub demand: DriveDemand,
}

impl VehicleUnitState {
    /// What the controller remembers if it makes this state's step from `before`.
    pub(crate) fn repeated(&self, before: &Self, parameters: &DriveParameters, dt: Duration) -> DriveState {
        let mut controller = DriveController::new(*parameters);
        controller.restore(before.controller);
        controller.step(&self.inputs, &self.demand, dt);
        controller.state()
    }
}

/// What fleet control grants the units of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Routes {
    /// Nobody knows what was granted: each vehicle is to give up the route that it has.
    pub recall_all: bool,
    /// In the order of the units; `None` leaves a unit what it has.
    pub of: Box<[Option<Route>]>,
}

/// What fleet control sees of each unit of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Sights {
    /// In the order of the units.
    pub of: Box<[Sight]>,
}

/// The real-time thread's side of fleet control.
#[derive(Debug)]
pub(crate) struct CycleFleet {
    pub(crate) routes: Subscriber<Routes>,
    pub(crate) sights: Publisher<Sights>,
}

/// The other side.
#[derive(Debug)]
pub struct FleetPorts {
    /// Where routes go; heeded from the next cycle on, by a node that writes.
    pub routes: Publisher<Routes>,
    /// What vehicles did in the last cycle.
    pub sights: Subscriber<Sights>,
}

/// Both sides for a group of so many units. Allocates: set-up only.
pub(crate) fn fleet_ports(units: usize) -> (CycleFleet, FleetPorts) {
    let (routes_in, routes_out) = exchange(&Routes { recall_all: false, of: vec![None; units].into() });
    let (sights_in, sights_out) = exchange(&Sights { of: vec![Sight::NEVER; units].into() });
    (
        CycleFleet { routes: routes_out, sights: sights_in },
        FleetPorts { routes: routes_in, sights: sights_out },
    )
}

/// A vehicle with its drive loop.
#[derive(Debug)]
pub(crate) struct VehicleSide {
    binding: VehicleBinding,
    controller: DriveController,
    inputs: DriveInputs,
    demand: DriveDemand,
    acquired_at: Instant,
    step: Option<DriveStep>,
    reported: Option<(Phase, StopSet)>,
}

impl Unit {
    /// A vehicle whose device stands at `device` on the group's bus. Allocates: set-up only.
    #[must_use]
    pub fn vehicle(
        device: usize,
        binding: VehicleBinding,
        controller: DriveController,
        overrides: Overrides,
        initial: DeviceOutputs,
    ) -> Self {
        let side = VehicleSide {
            inputs: binding.never(),
            binding,
            controller,
            demand: DriveDemand::STOP,
            acquired_at: Instant::ZERO,
            step: None,
            reported: None,
        };
        Self::of(device, Plant::Vehicle(Box::new(side)), overrides, initial)
    }

    pub(crate) fn take_route(&mut self, route: &Route) {
        if let Plant::Vehicle(vehicle) = &mut self.plant {
            vehicle.demand.route = *route;
        }
    }

    pub(crate) fn recall_route(&mut self) {
        if let Plant::Vehicle(vehicle) = &mut self.plant {
            vehicle.demand.route.recalled = true;
        }
    }

    pub(crate) fn sight(&self) -> Sight {
        match &self.plant {
            Plant::Turbine(_) | Plant::Der(_) | Plant::Park(_) => Sight::NEVER,
            Plant::Vehicle(vehicle) => vehicle.sight(),
        }
    }
}

impl VehicleSide {
    pub(crate) fn state(&self) -> VehicleUnitState {
        VehicleUnitState { controller: self.controller.state(), inputs: self.inputs, demand: self.demand }
    }

    pub(crate) fn follow(&mut self, state: &VehicleUnitState) {
        self.controller.restore(state.controller);
        self.demand.route = state.demand.route;
    }

    pub(crate) fn read(&mut self, image: &DeviceInputs, now: Instant, unacknowledged_for: Duration) {
        self.acquired_at = image.acquired_at;
        self.inputs = self.binding.inputs(image, now, unacknowledged_for);
    }

    pub(crate) fn step(&mut self, overrides: Overrides, group_stops: bool, reset: bool, dt: Duration) {
        self.demand = overrides.over_route(self.demand.route, group_stops, reset);
        self.step = Some(self.controller.step(&self.inputs, &self.demand, dt));
    }

    pub(crate) fn write(&self, epoch: u32, outputs: &mut DeviceOutputs) {
        if let Some(step) = &self.step {
            self.binding.outputs(&step.outputs, epoch, outputs);
        }
    }

    pub(crate) fn report(&mut self) -> PlantCycle {
        let record = self.step.as_ref().map_or(
            VehicleRecord { phase: Phase::Unknown, stops: StopSet::NONE, pose: None, reached: (0, 0) },
            |step| VehicleRecord {
                phase: step.phase,
                stops: step.stops,
                pose: step.pose,
                reached: (step.course, step.passed),
            },
        );
        let shown = (record.phase == Phase::Stopped, record.stops);
        let before = self.reported.replace((record.phase, record.stops));
        PlantCycle {
            record: PlantRecord::Vehicle(record),
            quality: self.inputs.quality,
            input_age: (self.inputs.scan > 0).then_some(self.inputs.age),
            // That it drives or stands changes all the time.
            changed: before.map(|(phase, stops)| (phase == Phase::Stopped, stops)) != Some(shown),
            at_rest: self.step.as_ref().is_some_and(|step| step.standing),
        }
    }

    fn sight(&self) -> Sight {
        let Some(step) = &self.step else { return Sight::NEVER };
        let route = &self.demand.route;
        Sight {
            told: (route.course, route.last(), route.order),
            seen_at: self.inputs.quality.is_usable().then_some(self.acquired_at),
            phase: step.phase,
            stops: step.stops,
            pose: step.pose,
            standing: step.standing,
            course: step.course,
            passed: step.passed,
            gave_up: step.gave_up,
            began: step.began,
            handled: step.handled,
            battery: self.inputs.battery,
            stop_count: step.stop_count,
        }
    }
}
