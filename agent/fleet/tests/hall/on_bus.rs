//! A vehicle on the field bus, with its drive loop, in virtual time.

use control_loops_drive::{
    Actuation, Chassis, DriveController, DriveDemand, DriveInputs, DriveParameters, HandlingResult, Pose,
    Route, Sight,
};
use hal_process_image::Quality;
use hal_units::{Duration, Instant, Meters, MetersPerSecond, Radians};
use sim_plants::vehicle::{Place, VehiclePlant, Wheels};
use sim_vehicles::Truth;

const CYCLE: Duration = Duration::from_millis(20);
const FINE: Duration = Duration::from_millis(5);
const TRACK: Meters = Meters(0.6);
/// Cycles that picking or dropping takes.
const HANDLING_CYCLES: u32 = 150;

pub(crate) struct OnBus {
    controller: DriveController,
    plant: VehiclePlant,
    route: Route,
    scan: u32,
    /// The handling under way, and for how many cycles.
    handling: Option<(u32, u32)>,
    handled: u32,
    pub(crate) handlings: u64,
    pub(crate) protective_stop: bool,
    pub(crate) link_lost: bool,
    unheard_for: Duration,
    seen_at: Option<Instant>,
    reset: bool,
    truth: Truth,
}

impl OnBus {
    pub(crate) fn standing_at([x, y]: [f64; 2], seed: u64) -> Self {
        let wheels = Wheels::Differential { track: TRACK, speeds: [MetersPerSecond(0.0); 2] };
        let chassis = Chassis::Differential { track: TRACK };
        Self {
            controller: DriveController::new(DriveParameters::usual(chassis)),
            plant: VehiclePlant::new(wheels, Place { x, y, heading: 0.0 }, (0.01, 0.006), seed),
            route: Route::NONE,
            scan: 0,
            handling: None,
            handled: 0,
            handlings: 0,
            protective_stop: false,
            link_lost: false,
            unheard_for: Duration::ZERO,
            seen_at: None,
            reset: false,
            truth: Truth { x, y, heading: 0.0, speed: 0.0, turning: 0.0 },
        }
    }

    pub(crate) fn take(&mut self, route: &Route) {
        self.route = *route;
    }

    pub(crate) fn recall(&mut self) {
        self.route.recalled = true;
    }

    /// Somebody has looked at it, and lets it go on.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
    }

    pub(crate) fn truth(&self) -> &Truth {
        &self.truth
    }

    /// One cycle of 20 ms.
    pub(crate) fn cycle(&mut self, now: Instant) -> Sight {
        self.hear(now);
        let (place, age) = self.plant.fix();
        let [left, right] = self.plant.measured();
        let inputs = DriveInputs {
            quality: if self.link_lost { Quality::Bad } else { Quality::Good },
            scan: self.scan,
            age: Duration::from_millis(10),
            pose: Pose { x: Meters(place.x), y: Meters(place.y), heading: Radians(place.heading) },
            pose_age: age,
            actuation: Actuation::Differential { left: MetersPerSecond(left), right: MetersPerSecond(right) },
            battery: 0.9,
            automatic: true,
            protective_stop: self.protective_stop,
            fault: 0,
            handled: (self.handled, HandlingResult::Done),
            unacknowledged_for: self.unheard_for,
        };
        let reset = std::mem::take(&mut self.reset);
        let demand = DriveDemand { run: true, emergency_stop: false, reset, route: self.route };
        let step = self.controller.step(&inputs, &demand, CYCLE);
        self.handle(step.outputs.handling.map(|handling| handling.number));
        let command = match step.outputs.actuation {
            Actuation::Differential { left, right } if !self.link_lost => [left.get(), right.get()],
            // Its own watchdog stops it.
            Actuation::Differential { .. } | Actuation::Tricycle { .. } => [0.0; 2],
        };
        for _ in 0..4 {
            self.plant.step(command, step.outputs.enable, FINE);
        }
        let (place, (speed, turning)) = (self.plant.place(), self.plant.motion());
        self.truth = Truth { x: place.x, y: place.y, heading: place.heading, speed, turning };
        Sight {
            seen_at: self.seen_at.filter(|_| !self.link_lost),
            phase: step.phase,
            stops: step.stops,
            pose: step.pose,
            standing: step.standing,
            told: (self.route.course, self.route.last(), self.route.order),
            course: step.course,
            passed: step.passed,
            gave_up: step.gave_up,
            began: step.began,
            handled: step.handled,
            battery: 0.9,
            stop_count: step.stop_count,
        }
    }

    fn hear(&mut self, now: Instant) {
        if self.link_lost {
            self.unheard_for = self.unheard_for.saturating_add(CYCLE);
        } else {
            (self.scan, self.unheard_for, self.seen_at) = (self.scan + 1, Duration::ZERO, Some(now));
        }
    }

    fn handle(&mut self, asked: Option<u32>) {
        let Some(number) = asked.filter(|number| *number != self.handled) else {
            self.handling = None;
            return;
        };
        let cycles =
            self.handling.filter(|(under_way, _)| *under_way == number).map_or(0, |(_, cycles)| cycles + 1);
        self.handling = Some((number, cycles));
        if cycles >= HANDLING_CYCLES {
            (self.handling, self.handled) = (None, number);
            self.handlings += 1;
        }
    }
}
