//! The drive loop around a simulated vehicle, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_drive::{
    Actuation, Chassis, DriveController, DriveDemand, DriveInputs, DriveParameters, DriveStep, Handling,
    HandlingKind, HandlingResult, Phase, Pose, Route, StopCause, Waypoint,
};
use hal_process_image::Quality;
use hal_units::{Duration, Meters, MetersPerSecond, Radians};
use proptest::prelude::*;
use sim_plants::vehicle::{Place, VehiclePlant, Wheels};

const TICK: Duration = Duration::from_millis(20);
/// The plant moves in finer steps than the loop.
/// The vehicle's own.
const WATCHDOG: Duration = Duration::from_millis(200);
const FINE: Duration = Duration::from_millis(5);

const DIFFERENTIAL: Chassis = Chassis::Differential { track: Meters(0.6) };
const TRICYCLE: Chassis = Chassis::Tricycle { wheelbase: Meters(1.1) };

/// A vehicle under its drive loop. What a test spoils, it spoils here.
struct Bench {
    plant: VehiclePlant,
    controller: DriveController,
    demand: DriveDemand,
    /// Scans come.
    linked: bool,
    fixes: bool,
    spoil: fn(&mut DriveInputs),
    scan: u32,
    unheard: Duration,
    last: Option<DriveStep>,
    command: [f64; 2],
    enabled: bool,
    unfed_for: Duration,
    handled: u32,
}

fn waypoint([x, y]: [f64; 2]) -> Waypoint {
    Waypoint { x: Meters(x), y: Meters(y) }
}

fn standing_at([x, y]: [f64; 2], heading: f64, chassis: Chassis, noise: (f64, f64)) -> Bench {
    let wheels = match chassis {
        Chassis::Differential { track } => Wheels::Differential { track, speeds: [MetersPerSecond(0.0); 2] },
        Chassis::Tricycle { wheelbase } => {
            Wheels::Tricycle { wheelbase, speed: MetersPerSecond(0.0), steer: Radians(0.0) }
        }
    };
    let demand = DriveDemand { run: true, ..DriveDemand::STOP };
    Bench {
        plant: VehiclePlant::new(wheels, Place { x, y, heading }, noise, 7),
        controller: DriveController::new(DriveParameters::usual(chassis)),
        demand,
        linked: true,
        fixes: true,
        spoil: |_| {},
        scan: 0,
        unheard: Duration::ZERO,
        last: None,
        command: [0.0; 2],
        enabled: false,
        unfed_for: Duration::ZERO,
        handled: 0,
    }
}

impl Bench {
    fn on_course(mut self, course: u32, points: &[[f64; 2]]) -> Self {
        self.demand.route = Route::over(course, 0, points.iter().copied().map(waypoint));
        self
    }

    fn actuation(&self, [first, second]: [f64; 2]) -> Actuation {
        match self.controller.parameters().chassis {
            Chassis::Differential { .. } => {
                Actuation::Differential { left: MetersPerSecond(first), right: MetersPerSecond(second) }
            }
            Chassis::Tricycle { .. } => {
                Actuation::Tricycle { wheel_speed: MetersPerSecond(first), steer: Radians(second) }
            }
        }
    }

    fn inputs(&mut self) -> DriveInputs {
        self.scan += 1;
        let (place, age) = self.plant.fix();
        let pose = Pose { x: Meters(place.x), y: Meters(place.y), heading: Radians(place.heading) };
        let mut inputs = DriveInputs {
            quality: Quality::Good,
            scan: self.scan,
            age: Duration::from_millis(10),
            pose,
            pose_age: if self.fixes { age } else { Duration::from_secs(5) },
            actuation: self.actuation(self.plant.measured()),
            battery: 0.8,
            automatic: true,
            protective_stop: false,
            fault: 0,
            handled: (self.handled, HandlingResult::Done),
            unacknowledged_for: self.unheard,
        };
        if !self.linked {
            inputs.quality = Quality::Bad;
        }
        (self.spoil)(&mut inputs);
        inputs
    }

    fn cycle(&mut self) -> DriveStep {
        let inputs = self.inputs();
        let step = self.controller.step(&inputs, &self.demand, TICK);
        if self.linked {
            self.command = match step.outputs.actuation {
                Actuation::Differential { left, right } => [left.get(), right.get()],
                Actuation::Tricycle { wheel_speed, steer } => [wheel_speed.get(), steer.get()],
            };
            self.enabled = step.outputs.enable;
            self.unfed_for = Duration::ZERO;
        } else {
            self.unfed_for += TICK;
            self.enabled &= self.unfed_for <= WATCHDOG;
        }
        for _ in 0..4 {
            self.plant.step(self.command, self.enabled, FINE);
        }
        self.last = Some(step);
        step
    }

    fn run_for(&mut self, seconds: f64) -> DriveStep {
        let mut last = self.cycle();
        for _ in 1..(seconds / TICK.as_secs_f64()) as u32 {
            last = self.cycle();
        }
        last
    }

    /// Until the vehicle stands at the end of its route; returns the seconds.
    fn arrive(&mut self, end: u32) -> f64 {
        for cycle in 1..20_000_u32 {
            let step = self.cycle();
            assert_eq!(step.stops.names().collect::<Vec<_>>(), Vec::<&str>::new(), "cycle {cycle}");
            if step.passed == end && step.standing {
                return f64::from(cycle) * TICK.as_secs_f64();
            }
        }
        panic!("it never arrives: {:?} at {:?}", self.last, self.plant.place());
    }

    fn press_reset(&mut self) {
        self.demand.reset = true;
        self.cycle();
        self.demand.reset = false;
    }

    fn distance_to(&self, [x, y]: [f64; 2]) -> f64 {
        let place = self.plant.place();
        (place.x - x).hypot(place.y - y)
    }

    fn speed(&self) -> f64 {
        self.plant.motion().0
    }
}

/// Two corners and a straight with a waypoint on it.
const YARD: [[f64; 2]; 5] = [[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [6.0, 4.5], [0.0, 4.5]];

#[test]
fn a_route_is_driven_to_its_end_by_both_kinds_of_vehicles() {
    for chassis in [DIFFERENTIAL, TRICYCLE] {
        let mut bench = standing_at(YARD[0], 0.0, chassis, (0.01, 0.006)).on_course(1, &YARD);
        bench.arrive(4);
        assert!(bench.distance_to(YARD[4]) < 0.05, "{chassis:?}: {}", bench.distance_to(YARD[4]));
    }
}

#[test]
fn waypoints_on_a_straight_way_cost_no_time() {
    let end = [12.0, 0.0];
    let mut one = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &[[0.0, 0.0], end]);
    let many: Vec<[f64; 2]> = (0..7).map(|at| [2.0 * f64::from(at), 0.0]).collect();
    let mut several = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &many);
    let (direct, over) = (one.arrive(1), several.arrive(6));
    assert!((direct - over).abs() < 0.1, "{direct} s and {over} s");
}

#[test]
fn a_vehicle_stays_near_its_way() {
    for chassis in [DIFFERENTIAL, TRICYCLE] {
        let mut bench = standing_at([0.0, 0.1], 0.05, chassis, (0.01, 0.006));
        bench = bench.on_course(1, &[[0.0, 0.0], [10.0, 0.0]]);
        let mut beside: f64 = 0.0;
        for _ in 0..600 {
            bench.cycle();
            if bench.plant.place().x > 2.0 {
                beside = beside.max(bench.plant.place().y.abs());
            }
        }
        assert!(beside < 0.03, "{chassis:?}: {beside} m beside its way");
    }
}

#[test]
fn a_longer_route_is_gone_on_with_without_a_stop() {
    let mut bench = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0));
    bench = bench.on_course(1, &[[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]]);
    bench.run_for(2.5);
    let before = bench.speed();
    bench = bench.on_course(1, &[[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [9.0, 0.0]]);
    let mut slowest = before;
    for _ in 0..120 {
        bench.cycle();
        slowest = slowest.min(bench.speed());
    }
    assert!(before > 1.2 && slowest > 1.2, "{before} m/s, then {slowest} m/s");
}

#[test]
fn a_lost_link_commands_zero_in_the_cycle_that_sees_it_and_never_restarts_by_itself() {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.0);
    assert!(bench.speed() > 0.5);
    bench.linked = false;
    let step = bench.cycle();
    assert_eq!(step.outputs.actuation, bench.actuation([0.0, 0.0]));
    assert!(!step.outputs.enable && step.stops.contains(StopCause::LinkLost));
    bench.linked = true;
    let place = bench.run_for(1.0).pose;
    let later = bench.run_for(30.0);
    assert_eq!(later.phase, Phase::Stopped);
    assert_eq!(bench.speed(), 0.0);
    assert!(later.pose.unwrap().distance(&place.unwrap()) < Meters(0.01));
}

#[test]
fn after_a_reset_the_way_is_driven_to_its_end() {
    let mut bench = standing_at(YARD[0], 0.0, TRICYCLE, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(3.0);
    bench.linked = false;
    bench.run_for(0.5);
    bench.linked = true;
    bench.run_for(1.0);
    bench.press_reset();
    bench.arrive(4);
    assert!(bench.distance_to(YARD[4]) < 0.05);
}

#[test]
fn a_vehicle_that_a_person_has_put_elsewhere_drives_back_to_its_way() {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.0);
    bench.spoil = |inputs| inputs.automatic = false;
    bench.run_for(1.0);
    let place = bench.plant.place();
    bench.plant.put(Place { y: place.y + 0.8, ..place });
    bench.run_for(1.0);
    bench.spoil = |_| {};
    bench.arrive(4);
}

#[test]
fn a_reset_while_the_cause_stands_lifts_nothing() {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.0);
    bench.spoil = |inputs| inputs.protective_stop = true;
    bench.run_for(0.5);
    bench.press_reset();
    bench.spoil = |_| {};
    assert_eq!(bench.run_for(1.0).phase, Phase::Stopped);
}

#[track_caller]
fn check_stops(spoil: impl Fn(&mut Bench), cause: StopCause) {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.5);
    spoil(&mut bench);
    let step = bench.run_for(2.0);
    assert_eq!(step.stops.iter().collect::<Vec<_>>(), [cause]);
    assert_eq!((step.phase, bench.speed()), (Phase::Stopped, 0.0));
}

#[test]
fn each_doubt_stops_the_vehicle() {
    check_stops(|bench| bench.linked = false, StopCause::LinkLost);
    check_stops(|bench| bench.unheard = Duration::from_millis(300), StopCause::LinkLost);
    check_stops(|bench| bench.spoil = |inputs| inputs.protective_stop = true, StopCause::ProtectiveStop);
    check_stops(|bench| bench.spoil = |inputs| inputs.fault = 17, StopCause::DriveFault);
    check_stops(|bench| bench.demand.emergency_stop = true, StopCause::EmergencyStop);
    check_stops(|bench| bench.fixes = false, StopCause::LocalisationLost);
}

#[test]
fn a_vehicle_that_is_carried_away_stops_and_after_a_reset_finds_its_way() {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.0);
    let place = bench.plant.place();
    bench.plant.put(Place { y: place.y + 1.0, ..place });
    let step = bench.run_for(2.0);
    assert!(step.stops.contains(StopCause::LocalisationJump));
    let place = bench.plant.place();
    bench.plant.put(Place { y: place.y - 1.0, ..place });
    bench.run_for(1.0);
    bench.press_reset();
    bench.arrive(4);
}

#[test]
fn a_person_may_drive_it_and_nothing_is_commanded_then() {
    let mut bench = standing_at(YARD[0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &YARD);
    bench.run_for(2.0);
    bench.spoil = |inputs| inputs.automatic = false;
    let step = bench.run_for(1.0);
    assert_eq!((step.phase, step.outputs.enable), (Phase::Manual, false));
    assert_eq!(step.outputs.actuation, bench.actuation([0.0, 0.0]));
    assert!(step.stops.is_empty());
}

#[test]
fn a_recalled_vehicle_stops_at_the_next_waypoint_where_it_can() {
    let points = [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 0.0], [8.0, 0.0]];
    let mut bench = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0)).on_course(1, &points);
    while bench.plant.place().x < 1.9 {
        bench.cycle();
    }
    bench.demand.route.recalled = true;
    let step = bench.run_for(8.0);
    assert_eq!((step.gave_up, step.passed), (Some(1), 2));
    assert!(bench.distance_to(points[2]) < 0.05, "{:?}", bench.plant.place());
}

#[test]
fn a_vehicle_that_stands_gives_its_way_up_at_once_and_takes_another() {
    let mut bench = standing_at([0.0, 0.0], 0.0, TRICYCLE, (0.0, 0.0)).on_course(1, &[[0.0, 0.0]]);
    bench.run_for(0.5);
    bench.demand.route.recalled = true;
    assert_eq!(bench.run_for(0.1).gave_up, Some(1));
    bench = bench.on_course(2, &[[0.0, 0.0], [0.0, -3.0]]);
    bench.arrive(1);
    assert!(bench.distance_to([0.0, -3.0]) < 0.05);
}

#[test]
fn a_load_is_handled_once_where_the_route_ends() {
    let mut bench = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0));
    bench = bench.on_course(1, &[[0.0, 0.0], [1.5, 0.0]]);
    bench.demand.route.handling = Some(Handling { number: 5, kind: HandlingKind::Pick });
    while bench.cycle().outputs.handling.is_none() {
        assert!(bench.last.unwrap().phase != Phase::Handling);
    }
    assert!(bench.distance_to([1.5, 0.0]) < 0.05);
    assert_eq!(bench.last.unwrap().phase, Phase::Handling);
    bench.handled = 5;
    let step = bench.run_for(0.1);
    assert_eq!((step.handled.0, step.phase), (5, Phase::Standing));
}

#[test]
fn a_recalled_vehicle_ends_what_it_does_with_its_load_first() {
    let mut bench = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0));
    bench = bench.on_course(1, &[[0.0, 0.0], [1.5, 0.0]]);
    bench.demand.route.handling = Some(Handling { number: 5, kind: HandlingKind::Pick });
    while bench.cycle().began != 5 {}
    bench.demand.route.recalled = true;
    let step = bench.run_for(2.0);
    assert_eq!((step.phase, step.gave_up), (Phase::Handling, None));
    bench.handled = 5;
    assert_eq!(bench.run_for(0.1).gave_up, Some(1));
}

#[test]
fn a_recalled_vehicle_begins_nothing_with_its_load() {
    let mut bench = standing_at([0.0, 0.0], 0.0, DIFFERENTIAL, (0.0, 0.0));
    bench = bench.on_course(1, &[[0.0, 0.0], [1.5, 0.0]]);
    bench.demand.route.handling = Some(Handling { number: 5, kind: HandlingKind::Pick });
    while bench.plant.place().x < 1.0 {
        bench.cycle();
    }
    bench.demand.route.recalled = true;
    let step = bench.run_for(8.0);
    assert_eq!((step.gave_up, step.began), (Some(1), 0));
    assert!(bench.distance_to([1.5, 0.0]) < 0.05);
}

#[test]
fn a_standby_goes_on_in_the_middle_of_a_bend() {
    for chassis in [DIFFERENTIAL, TRICYCLE] {
        let mut bench = standing_at(YARD[0], 0.0, chassis, (0.01, 0.006)).on_course(1, &YARD);
        while bench.cycle().phase != Phase::Turning {}
        bench.run_for(0.3);
        let mut successor = DriveController::new(DriveParameters::usual(chassis));
        successor.restore(bench.controller.state());
        bench.controller = successor;
        let before = bench.command;
        bench.cycle();
        let jolt = (bench.command[0] - before[0]).abs();
        assert!(jolt < 0.05, "{chassis:?}: {jolt} m/s");
        bench.arrive(4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_route_is_driven_within_the_limits(
        legs in proptest::collection::vec((0..4_u8, 1..4_u8), 1..7),
        tricycle in any::<bool>(),
    ) {
        let chassis = if tricycle { TRICYCLE } else { DIFFERENTIAL };
        let mut points = vec![[0.0, 0.0]];
        let mut at = [0.0, 0.0];
        for (way, length) in legs {
            let length = 1.5 * f64::from(length);
            let (x, y) = [(length, 0.0), (0.0, length), (-length, 0.0), (0.0, -length)][usize::from(way)];
            at = [at[0] + x, at[1] + y];
            points.push(at);
        }
        let end = points.len() as u32 - 1;
        let mut bench = standing_at([0.0, 0.0], 0.0, chassis, (0.005, 0.003)).on_course(1, &points);
        let limits = bench.controller.parameters().linear;
        for _ in 0..20_000 {
            let step = bench.cycle();
            prop_assert!(step.stops.is_empty(), "{:?}", step.stops.names().collect::<Vec<_>>());
            prop_assert!(bench.speed() <= limits.speed + 0.01);
            if step.passed == end && step.standing {
                break;
            }
        }
        prop_assert!(bench.distance_to(at) < 0.06, "{} m off", bench.distance_to(at));
    }

    #[test]
    fn whatever_is_measured_no_command_leaves_the_limits(
        values in proptest::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<bool>()), 1..60),
    ) {
        let mut bench = standing_at(YARD[0], 0.0, TRICYCLE, (0.0, 0.0)).on_course(1, &YARD);
        for (x, speed, steer, automatic) in values {
            let mut inputs = bench.inputs();
            inputs.pose.x = Meters(x);
            inputs.actuation =
                Actuation::Tricycle { wheel_speed: MetersPerSecond(speed), steer: Radians(steer) };
            inputs.automatic = automatic;
            let step = bench.controller.step(&inputs, &bench.demand, TICK);
            prop_assert!(step.outputs.actuation.is_finite());
            prop_assert!(step.outputs.actuation.wheel_speed_max() <= MetersPerSecond(3.0));
        }
    }
}
