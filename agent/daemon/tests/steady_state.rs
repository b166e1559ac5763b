//! The steady state of the production thread: no allocation, no page fault, one system call a cycle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_cycle::{
    Between, ControlPair, ControlPorts, Executive, FleetPorts, Grid, GroupSettings, LastSeen, NextPlan,
    Overrides, ParkBinding, PlanDemand, PlanMessage, PlanPorts, PlanTable, Record, RuleTable, Source,
    TurbineBinding, Unit, UnitSchedule, VehicleBinding, ports,
};
use agent_daemon::images::{DriverImages, GroupImages};
use agent_daemon::realtime;
use agent_plan::Request;
use control_loops_controllers::park::{ParkController, ParkParameters};
use control_loops_controllers::turbine::{TurbineController, TurbineParameters};
use control_loops_drive::{Chassis, DriveController, DriveParameters, Route, Waypoint};
use control_loops_rotor::RotorTable;
use control_loops_tuning::TurbineDescription;
use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_linux_rt::clock::now;
use hal_linux_rt::counters;
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::syscall_gate::{self, Syscall};
use hal_process_image::{DeviceInputs, Quality};
use hal_units::{Duration, Meters, Watts};

const TURBINES: usize = 20;
const PERIOD: Duration = Duration::from_millis(2);

/// A loop group with a field that answers every cycle.
struct Group {
    executive: Executive<GroupImages>,
    control: ControlPorts,
    field: Field,
    pair: Option<ControlPair>,
    fleet: Option<FleetPorts>,
    plans: PlanPorts,
    /// Whether plan follows upon plan.
    planned: bool,
}

struct Field {
    profile: DeviceProfile,
    /// What devices show.
    shown: &'static [(&'static str, f64)],
    images: Vec<DriverImages>,
    sequence: u32,
}

impl Group {
    fn at_rated_power() -> Self {
        Self::under(TurbineParameters::NREL_5MW)
    }

    fn under_the_takt_law() -> Self {
        let description = Document::new("nrel-5mw.toml", control_loops_tuning::NREL_5MW);
        let description = TurbineDescription::parse(&description).unwrap();
        let rotor = RotorTable::from_rosco("rotor", control_loops_tuning::NREL_5MW_ROTOR).unwrap();
        let tuned = control_loops_tuning::tune("nrel-5mw.toml", &description, &rotor).unwrap();
        Self::under(tuned.parameters)
    }

    fn under(parameters: TurbineParameters) -> Self {
        let text = include_str!("../../../profiles/nrel5mw-plc.toml");
        Self::of(text, &Field::AT_RATED_POWER, |profile, device| {
            Unit::turbine(
                device,
                TurbineBinding::of(profile, false).unwrap(),
                TurbineController::new(parameters),
                Overrides::default(),
                profile.initial_outputs(),
            )
        })
    }

    /// Turbines in a park, whose meter stands behind the last device.
    fn in_a_park() -> Self {
        let frequency =
            "\n[[input]]\ntag = \"frequency\"\nregister = 900\ntype = \"f32\"\nmax_age_ms = 100\n";
        let text = include_str!("../../../profiles/nrel5mw-plc.toml").to_owned() + frequency;
        Self::of(&text, &Field::AT_RATED_POWER, |profile, device| {
            let initial = profile.initial_outputs();
            if device + 1 < TURBINES {
                let controller = TurbineController::new(TurbineParameters::NREL_5MW);
                let binding = TurbineBinding::of(profile, false).unwrap();
                return Unit::turbine(device, binding, controller, Overrides::default(), initial);
            }
            let controller = ParkController::new(ParkParameters::usual(Watts(5e6)));
            let (binding, members) = (ParkBinding::of(profile).unwrap(), (0..device).collect());
            Unit::park(device, binding, controller, members, Overrides::default(), initial)
        })
    }

    /// Vehicles that are told one route after the other.
    fn of_vehicles() -> Self {
        let text = include_str!("../../../profiles/differential-drive.toml");
        let chassis = Chassis::Differential { track: Meters(0.6) };
        let group = Self::of(text, &Field::STANDING, |profile, device| {
            Unit::vehicle(
                device,
                VehicleBinding::of(profile, chassis).unwrap(),
                DriveController::new(DriveParameters::usual(chassis)),
                Overrides::default(),
                profile.initial_outputs(),
            )
        });
        let (executive, fleet) = group.executive.in_fleet();
        Self { executive, fleet: Some(fleet), ..group }
    }

    fn of(
        profile: &str,
        shown: &'static [(&'static str, f64)],
        unit: impl Fn(&DeviceProfile, usize) -> Unit,
    ) -> Self {
        let profile = DeviceProfile::parse(&Document::new("profile", profile)).unwrap();
        let (images, drivers) = GroupImages::new(TURBINES);
        let units = (0..TURBINES).map(|device| unit(&profile, device)).collect();
        let settings = GroupSettings {
            period: PERIOD,
            deadline: PERIOD,
            output_validity: PERIOD * 3,
            consecutive_misses_max: u32::MAX,
            epoch: 1,
        };
        let demand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };
        let plan = Box::new(PlanTable::new(1, vec![demand; TURBINES].into()));
        let (cycle_ports, control, plans) = ports();
        let mut field = Field { profile, shown, images: drivers, sequence: 0 };
        field.scan();
        let executive = Executive::new(settings, images, units, plan, cycle_ports);
        let executive = executive.seeing(LastSeen::new(now(), TURBINES), (0..TURBINES).collect());
        Self { executive, control, field, pair: None, fleet: None, plans, planned: false }
    }

    /// The same group as one of a pair: with an office it shows its state, without one it follows another's.
    fn in_pair(self, office: Option<u32>) -> Self {
        let (executive, pair) = self.executive.in_pair();
        pair.set_office(office);
        Self { executive, pair: Some(pair), ..self }
    }

    /// The same group, to which plans with schedules and rules come as fast as it takes them.
    fn with_plans(self) -> Self {
        Self { planned: true, ..self }
    }

    /// Runs the production loop for `duration` through `around`; returns the cycles and what `around` saw.
    fn run_for<R: Send>(
        self,
        duration: Duration,
        around: impl FnOnce(&mut (dyn FnMut() + Send)) -> R + Send,
    ) -> (u64, R) {
        let Self { mut executive, mut control, mut field, mut pair, mut fleet, mut plans, planned } = self;
        let end = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let done = Arc::clone(&end);
            let driver = scope.spawn(move || {
                let until = now() + duration;
                let (mut cycles, mut epoch) = (0, 1);
                while now() < until {
                    field.scan();
                    if let Some(ControlPair { state, peer, .. }) = &mut pair {
                        // What another node would send: here, what this one has made of the same inputs.
                        peer.publish_with(|to| to.copy_from(state.latest()));
                    }
                    cycles += cycles_told(&mut control);
                    if let Some(fleet) = &mut fleet {
                        next_routes(fleet);
                    }
                    if planned {
                        next_plan(&mut plans, &mut epoch);
                    }
                    std::thread::sleep(Duration::from_micros(500));
                }
                assert!(!planned || epoch > 50, "{epoch} plans");
                done.store(true, Ordering::Relaxed);
                (control, cycles)
            });
            let seen = around(&mut || {
                realtime::run(&mut executive, Grid::new(now() + PERIOD, PERIOD), &end);
            });
            let (mut control, cycles) = driver.join().unwrap();
            (cycles + cycles_told(&mut control), seen)
        })
    }
}

/// Lays a plan ready and has the cycles change over to it at once, if they have taken the one before.
fn next_plan(plans: &mut PlanPorts, epoch: &mut u32) {
    while plans.retired.dequeue().is_some() {}
    while plans.activated.dequeue().is_some() {}
    if !plans.messages.is_empty() {
        return;
    }
    *epoch += 1;
    let demand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };
    let points = (0..200_u32).map(|at| (now() + PERIOD * at, Watts(4e6 + f64::from(at)))).collect();
    let schedule = UnitSchedule { between: Between::Line, points };
    let rule = RuleTable {
        source: Source::Centre,
        hold: PERIOD,
        back: PERIOD,
        fallback: vec![Some(demand); TURBINES].into(),
    };
    let table = PlanTable {
        schedules: vec![schedule; TURBINES].into(),
        rules: vec![rule; agent_cycle::RULES_MAX].into(),
        ..PlanTable::new(*epoch, vec![demand; TURBINES].into())
    };
    let next = NextPlan { epoch: table.epoch, digest: table.digest, cycle: 0 };
    assert!(plans.messages.enqueue(PlanMessage::Ready(Box::new(table))).is_ok());
    assert!(plans.messages.enqueue(PlanMessage::ChangeOver(next)).is_ok());
}

/// A longer way for each vehicle, or another one when they drive.
fn next_routes(fleet: &mut FleetPorts) {
    let course = fleet.sights.latest().of[0].course;
    let points = (0..6).map(|at| Waypoint { x: Meters(1.5 + f64::from(at)), y: Meters(3.0) });
    let route = Route::over(course + 1, 0, points);
    fleet.routes.publish_with(|routes| routes.of.fill(Some(route)));
}

impl Field {
    const AT_RATED_POWER: [(&'static str, f64); 13] = [
        ("generator_speed", 122.9096),
        ("rotor_speed", 122.9096 / 97.0),
        ("pitch_1", 0.2537),
        ("pitch_2", 0.2537),
        ("pitch_3", 0.2537),
        ("generator_torque", 43_093.55),
        ("power", 5e6),
        ("wind_speed", 18.0),
        ("yaw_error", 0.0),
        ("cable_twist", 0.0),
        ("tower_acceleration", 0.0),
        ("grid_ok", 1.0),
        ("plc_state", 0.0),
    ];

    const STANDING: [(&'static str, f64); 12] = [
        ("x", 1.5),
        ("y", 3.0),
        ("heading", 0.4),
        ("localisation_age", 0.05),
        ("left_speed", 0.0),
        ("right_speed", 0.0),
        ("battery", 0.8),
        ("automatic", 1.0),
        ("protective_stop", 0.0),
        ("fault", 0.0),
        ("handling_over", 0.0),
        ("handling_result", 0.0),
    ];

    fn scan(&mut self) {
        self.sequence += 1;
        for images in &mut self.images {
            let mut inputs = DeviceInputs::NEVER;
            inputs.acquired_at = now();
            inputs.sequence = self.sequence;
            inputs.outputs_acknowledged = images.outputs.latest().sequence;
            for (tag, value) in self.shown {
                inputs.set(self.profile.input(tag).unwrap(), *value, Quality::Good);
            }
            images.inputs.publish(&inputs);
        }
    }
}

/// Cycles that the group has reported since the last look.
fn cycles_told(control: &mut ControlPorts) -> u64 {
    let records = std::iter::from_fn(|| control.telemetry.dequeue());
    records.filter(|record| matches!(record, Record::Cycle(_))).count() as u64
}

#[track_caller]
fn assert_one_system_call_a_cycle(group: Group) {
    let (cycles, counts) = group
        .run_for(Duration::from_millis(600), |body| syscall_gate::count(body).expect("seccomp filters").1);
    assert!(cycles > 50, "{cycles} cycles");
    let calls: Vec<_> = counts.iter().map(|(call, count)| (*call, *count)).collect();
    assert_eq!(calls, [(Syscall::CLOCK_NANOSLEEP, cycles)]);
}

#[test]
fn a_cycle_makes_one_system_call_the_wait() {
    assert_one_system_call_a_cycle(Group::at_rated_power());
}

#[test]
fn a_cycle_of_either_node_of_a_pair_makes_one_system_call_the_wait() {
    assert_one_system_call_a_cycle(Group::at_rated_power().in_pair(Some(3)));
    assert_one_system_call_a_cycle(Group::at_rated_power().in_pair(None));
}

#[test]
fn a_cycle_that_changes_over_to_a_plan_makes_one_system_call_and_neither_allocates_nor_faults() {
    assert_one_system_call_a_cycle(Group::at_rated_power().with_plans());
    assert_no_allocation_and_no_fault(Group::at_rated_power().with_plans());
}

#[test]
fn a_cycle_under_the_takt_law_makes_one_system_call_and_neither_allocates_nor_faults() {
    assert_one_system_call_a_cycle(Group::under_the_takt_law());
    assert_no_allocation_and_no_fault(Group::under_the_takt_law().in_pair(Some(3)));
}

#[test]
fn a_cycle_of_vehicles_makes_one_system_call_and_neither_allocates_nor_faults() {
    assert_one_system_call_a_cycle(Group::of_vehicles());
    assert_no_allocation_and_no_fault(Group::of_vehicles());
}

#[test]
fn a_cycle_of_a_park_makes_one_system_call_and_neither_allocates_nor_faults() {
    assert_one_system_call_a_cycle(Group::in_a_park());
    assert_no_allocation_and_no_fault(Group::in_a_park().in_pair(Some(3)));
}

#[test]
fn a_cycle_neither_allocates_nor_faults() {
    assert_no_allocation_and_no_fault(Group::at_rated_power());
}

#[test]
fn a_cycle_of_either_node_of_a_pair_neither_allocates_nor_faults() {
    assert_no_allocation_and_no_fault(Group::at_rated_power().in_pair(Some(3)));
    assert_no_allocation_and_no_fault(Group::at_rated_power().in_pair(None));
}

#[track_caller]
fn assert_no_allocation_and_no_fault(group: Group) {
    memory::lock(&MemoryPlan::default()).expect("locked memory");
    let (cycles, (allocations, faults)) = group.run_for(Duration::from_secs(2), |body| {
        let before = counters::of_current_thread().unwrap();
        let allocations = allocation_counter::measure(body);
        (allocations, counters::of_current_thread().unwrap().since(&before))
    });
    assert!(cycles > 500, "{cycles} cycles");
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
    assert_eq!((faults.faults_minor, faults.faults_major), (0, 0));
}
