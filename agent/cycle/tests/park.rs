//! A park in a loop group: turbines on a field that answers as told, and a meter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use agent_cycle::{
    Bus, Command, CommandAction, ControlPair, ControlPorts, Executive, GroupState, Overrides, ParkBinding,
    PlanDemand, PlanPorts, PlanTable, PlantRecord, Record, Tick, Unit, UnitParameters, WakeTable, ports,
};
use agent_plan::Request;
use control_loops_controllers::park::{ParkController, ParkParameters, ParkPhase};
use control_loops_controllers::turbine::{ModeName, TurbineParameters};
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Radians, Watts};
use support::{AT_RATED_POWER, profile, profile_of, settings, turbine_at};

const PERIOD: Duration = Duration::from_millis(20);
const TURBINES: usize = 3;
/// The park's position.
const PARK: usize = TURBINES;

/// Ramps as fast as a test: full power in a second.
fn parameters() -> ParkParameters {
    ParkParameters { rise_per_s: 1.0, fall_per_s: 1.0, trim_per_s: 0.0, ..ParkParameters::usual(Watts(15e6)) }
}

fn meter_profile() -> DeviceProfile {
    profile_of(include_str!("../../../profiles/sunspec-meter.toml"))
}

/// Turbines at rated power and 18 m/s whatever they are told, and a meter that adds them up.
struct Field {
    now: Instant,
    meter_answers: bool,
    frequency_hz: f64,
    wind_from_deg: f64,
    sequence: u32,
    acknowledged: [u32; TURBINES],
}

impl Field {
    fn scan(&self, device: usize) -> DeviceInputs {
        let mut inputs = DeviceInputs::NEVER;
        let mut show = |profile: &DeviceProfile, tag: &str, value: f64| {
            inputs.set(profile.input(tag).unwrap(), value, Quality::Good);
        };
        if device == PARK {
            let meter = meter_profile();
            if self.meter_answers {
                show(&meter, "power", 15e6);
                show(&meter, "frequency", self.frequency_hz);
            }
        } else {
            let turbine = profile();
            for (tag, value) in AT_RATED_POWER {
                show(&turbine, tag, value);
            }
            show(&turbine, "nacelle_yaw", self.wind_from_deg.to_radians());
            inputs.outputs_acknowledged = self.acknowledged[device];
        }
        inputs.acquired_at = self.now - Duration::from_millis(1);
        inputs.sequence = self.sequence;
        inputs
    }
}

struct Shared(Rc<RefCell<Field>>, DeviceInputs);

impl Bus for Shared {
    fn inputs(&mut self, device: usize) -> &DeviceInputs {
        self.1 = self.0.borrow().scan(device);
        &self.1
    }

    fn publish(&mut self, device: usize, outputs: &DeviceOutputs) {
        assert_ne!(device, PARK, "a meter is told nothing");
        self.0.borrow_mut().acknowledged[device] = outputs.sequence;
    }
}

/// A group of three turbines and their park, cycle after cycle in virtual time.
struct Site {
    executive: Executive<Shared>,
    field: Rc<RefCell<Field>>,
    control: ControlPorts,
    pair: ControlPair,
    _plans: PlanPorts,
    cycle: u64,
    /// What each unit reported last.
    records: [Option<PlantRecord>; TURBINES + 1],
}

impl Site {
    fn under(plan: PlanTable) -> Self {
        let meter = meter_profile();
        let park = Unit::park(
            PARK,
            ParkBinding::of(&meter).unwrap(),
            ParkController::new(parameters()),
            (0..TURBINES).collect(),
            Overrides::default(),
            meter.initial_outputs(),
        );
        let units: Box<[Unit]> = (0..TURBINES).map(turbine_at).chain([park]).collect();
        let field = Rc::new(RefCell::new(Field {
            now: Instant::ZERO,
            meter_answers: true,
            frequency_hz: 50.0,
            wind_from_deg: 0.0,
            sequence: 0,
            acknowledged: [0; TURBINES],
        }));
        let (cycle_ports, control, plans) = ports();
        let bus = Shared(Rc::clone(&field), DeviceInputs::NEVER);
        let executive = Executive::new(settings(PERIOD, 1), bus, units, Box::new(plan), cycle_ports);
        let (executive, pair) = executive.in_pair();
        pair.set_office(Some(1));
        Self { executive, field, control, pair, _plans: plans, cycle: 0, records: [None; TURBINES + 1] }
    }

    /// All run, the park at so many MW.
    fn at(reference_mw: f64) -> Self {
        Self::under(plan(reference_mw))
    }

    fn cycles(&mut self, count: u32) {
        for _ in 0..count {
            self.cycle += 1;
            let now = Instant::ZERO + PERIOD * u32::try_from(self.cycle).unwrap();
            {
                let mut field = self.field.borrow_mut();
                (field.now, field.sequence) = (now, field.sequence + 1);
            }
            self.executive
                .cycle(Tick { cycle: self.cycle, scheduled_at: now, woke_at: now, skipped: 0 }, || now);
            while let Some(record) = self.control.telemetry.dequeue() {
                if let Record::Unit(unit) = record {
                    self.records[usize::from(unit.unit)] = Some(unit.plant);
                }
            }
        }
    }

    fn seconds(&mut self, seconds: u32) {
        self.cycles(seconds * 50);
    }

    /// What each turbine may give, MW.
    fn limits_mw(&self) -> [f64; TURBINES] {
        core::array::from_fn(|at| match self.records[at] {
            Some(PlantRecord::Turbine(turbine)) => turbine.power_limit.get() / 1e6,
            other => panic!("{other:?}"),
        })
    }

    fn phase(&self) -> ParkPhase {
        match self.records[PARK] {
            Some(PlantRecord::Park(park)) => park.phase,
            other => panic!("{other:?}"),
        }
    }

    fn modes(&self) -> [ModeName; TURBINES] {
        core::array::from_fn(|at| match self.records[at] {
            Some(PlantRecord::Turbine(turbine)) => turbine.mode,
            other => panic!("{other:?}"),
        })
    }

    fn command(&mut self, unit: usize, action: CommandAction) {
        let command = Command { unit: u16::try_from(unit).unwrap(), action, token: self.cycle + 1 };
        assert!(self.control.commands.enqueue(command).is_ok());
    }

    fn state(&mut self) -> GroupState {
        self.pair.state.latest().clone()
    }
}

fn plan(reference_mw: f64) -> PlanTable {
    let run = |mw: f64| PlanDemand { request: Request::Run, power_limit: Watts(mw * 1e6) };
    PlanTable::new(1, Box::new([run(5.0), run(5.0), run(5.0), run(reference_mw)]))
}

#[track_caller]
fn assert_near(found: [f64; TURBINES], expected: [f64; TURBINES]) {
    let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
    assert!(near, "{found:?}, not {expected:?}");
}

#[test]
fn turbines_share_the_reference_and_an_operator_lowers_the_share_of_one() {
    let mut site = Site::at(9.0);
    site.seconds(2);
    assert_near(site.limits_mw(), [3.0; 3]);
    assert_eq!(site.phase(), ParkPhase::Limited);
    site.command(1, CommandAction::Derate(Watts(1e6)));
    site.seconds(1);
    // In proportion to what each may give: 9 of 11 MW.
    assert_near(site.limits_mw(), [45.0 / 11.0, 9.0 / 11.0, 45.0 / 11.0]);
}

#[test]
fn an_operator_lowers_the_reference() {
    let mut site = Site::at(15.0);
    site.seconds(2);
    assert_near(site.limits_mw(), [5.0; 3]);
    assert_eq!(site.phase(), ParkPhase::Free);
    site.command(PARK, CommandAction::Derate(Watts(6e6)));
    site.seconds(1);
    assert_near(site.limits_mw(), [2.0; 3]);
}

#[test]
fn the_frequency_is_answered_by_all() {
    let mut site = Site::at(9.0);
    site.seconds(2);
    // 0.25 of 2.5 Hz beyond the dead band is a tenth of 15 MW.
    site.field.borrow_mut().frequency_hz = 50.27;
    site.cycles(11);
    assert_near(site.limits_mw(), [2.5; 3]);
    assert_eq!(site.phase(), ParkPhase::FrequencyResponse);
}

#[test]
fn shares_follow_the_plan_s_table_as_the_wind_turns() {
    let weights: [&[f64]; 2] = [&[1.0, 1.0, 1.0, 1.0], &[1.0, 0.5, 0.5, 1.0]];
    let wake = WakeTable {
        directions: [0.0, 90.0].map(Radians::from_degrees).into(),
        weights: weights.map(Box::from).into(),
    };
    let mut site = Site::under(PlanTable { wake: Some(wake), ..plan(8.0) });
    site.seconds(2);
    assert_near(site.limits_mw(), [8.0 / 3.0; 3]);
    site.field.borrow_mut().wind_from_deg = 90.0;
    site.seconds(1);
    assert_near(site.limits_mw(), [4.0, 2.0, 2.0]);
}

#[test]
fn a_meter_that_is_lost_stops_the_answer_to_the_frequency_and_nothing_else() {
    let mut site = Site::at(9.0);
    site.field.borrow_mut().frequency_hz = 50.27;
    site.seconds(2);
    assert_near(site.limits_mw(), [2.5; 3]);
    site.field.borrow_mut().meter_answers = false;
    site.seconds(1);
    assert_near(site.limits_mw(), [3.0; 3]);
    let Some(PlantRecord::Park(park)) = site.records[PARK] else { panic!() };
    assert_eq!((park.is_metered, park.frequency_hz, park.power), (false, None, Watts(15e6)));
}

#[test]
fn a_park_that_is_stopped_stops_its_turbines_and_lets_them_go_on_when_it_runs_again() {
    let mut site = Site::at(9.0);
    site.seconds(2);
    site.command(PARK, CommandAction::Stop);
    site.seconds(1);
    assert_eq!((site.phase(), site.modes()), (ParkPhase::Stopped, [ModeName::NormalStop; 3]));
    assert_near(site.limits_mw(), [5.0; 3]);
}

#[test]
fn a_park_that_is_not_to_run_lets_no_turbine_run_from_the_first_cycle_on() {
    let mut stopped = plan(9.0);
    stopped.demands[PARK].request = Request::Stop;
    let mut site = Site::under(stopped);
    site.cycles(1);
    assert_eq!(site.modes(), [ModeName::NormalStop; 3]);
}

#[test]
fn an_emergency_stop_of_the_park_is_one_of_each_turbine_and_each_is_reset_by_itself() {
    let mut site = Site::at(9.0);
    site.seconds(2);
    site.command(PARK, CommandAction::EmergencyStop);
    site.seconds(1);
    assert_eq!(site.modes(), [ModeName::EmergencyStop; 3]);
    site.command(PARK, CommandAction::Reset);
    site.seconds(1);
    let is_held = |site: &Site, at: usize| match site.records[at] {
        Some(PlantRecord::Turbine(turbine)) => {
            turbine.trips.names().any(|trip| trip == "emergency_stop_command")
        }
        other => panic!("{other:?}"),
    };
    assert!((0..TURBINES).all(|at| is_held(&site, at)), "latched until their own reset");
    site.command(0, CommandAction::Reset);
    site.seconds(1);
    assert!(!is_held(&site, 0) && is_held(&site, 1));
}

#[test]
fn each_state_follows_from_the_one_before_and_a_standby_goes_on_with_the_same_shares() {
    let mut site = Site::at(9.0);
    site.seconds(2);
    let mut before = site.state();
    for _ in 0..30 {
        site.cycles(1);
        let state = site.state();
        let turbine = UnitParameters::Turbine(TurbineParameters::NREL_5MW);
        let parameters = [turbine, turbine, turbine, UnitParameters::Park(parameters())];
        for (at, parameters) in parameters.iter().enumerate() {
            assert!(state.units[at].follows(&before.units[at], parameters, state.dt), "unit {at}");
        }
        before = state;
    }
    // The other node's meter is dead, and it takes over between two steps of the dispatch.
    let mut standby = Site::at(9.0);
    standby.pair.set_office(None);
    standby.field.borrow_mut().meter_answers = false;
    standby.cycles(3);
    standby.pair.peer.publish_with(|to| to.copy_from(&before));
    standby.cycles(1);
    standby.pair.set_office(Some(2));
    for _ in 0..20 {
        standby.cycles(1);
        assert_near(standby.limits_mw(), [3.0; 3]);
    }
}
