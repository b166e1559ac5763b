//! A loop group on a field that answers as told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::Ordering;

use agent_cycle::{
    Between, Bus, Command, CommandAction, ControlPorts, CycleRecord, Executive, GroupMode, LastSeen,
    NextPlan, PlanDemand, PlanMessage, PlanPorts, PlanTable, PlantRecord, Record, RuleTable, Source, Tick,
    TurbineRecord, UnitRecord, UnitSchedule, ports,
};
use agent_plan::Request;
use control_loops_controllers::turbine::ModeName;
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Watts};
use support::{AT_RATED_POWER, profile, settings, turbine_at};

const PERIOD: Duration = Duration::from_millis(10);
const RUN: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };

/// A turbine at 18 m/s and rated power that acknowledges every write with its next scan.
struct Field {
    profile: DeviceProfile,
    now: Instant,
    answers: bool,
    grid_ok: bool,
    inputs: DeviceInputs,
    written: Vec<DeviceOutputs>,
}

impl Field {
    fn scan(&mut self) {
        for (tag, value) in AT_RATED_POWER {
            self.inputs.set(self.profile.input(tag).unwrap(), value, Quality::Good);
        }
        let grid = self.profile.input("grid_ok").unwrap();
        self.inputs.set(grid, f64::from(u8::from(self.grid_ok)), Quality::Good);
        self.inputs.acquired_at = self.now - Duration::from_millis(1);
        self.inputs.sequence += 1;
        self.inputs.outputs_acknowledged = self.written.last().map_or(0, |outputs| outputs.sequence);
    }
}

impl Bus for Field {
    fn inputs(&mut self, _device: usize) -> &DeviceInputs {
        if self.answers {
            self.scan();
        }
        &self.inputs
    }

    fn publish(&mut self, _device: usize, outputs: &DeviceOutputs) {
        self.written.push(*outputs);
    }
}

/// A group of one turbine, cycle after cycle in virtual time.
struct Site {
    executive: Executive<Shared>,
    field: std::rc::Rc<std::cell::RefCell<Field>>,
    control: ControlPorts,
    plans: PlanPorts,
    cycle: u64,
    records: Vec<CycleRecord>,
    units: Vec<UnitRecord>,
}

/// The field, seen by the executive and by the test.
struct Shared(std::rc::Rc<std::cell::RefCell<Field>>, DeviceInputs);

impl Bus for Shared {
    fn inputs(&mut self, device: usize) -> &DeviceInputs {
        self.1 = *self.0.borrow_mut().inputs(device);
        &self.1
    }

    fn publish(&mut self, device: usize, outputs: &DeviceOutputs) {
        self.0.borrow_mut().publish(device, outputs);
    }
}

impl Site {
    fn with_plan(plan: PlanDemand) -> Self {
        let field = std::rc::Rc::new(std::cell::RefCell::new(Field {
            profile: profile(),
            now: Instant::ZERO,
            answers: true,
            grid_ok: true,
            inputs: DeviceInputs::NEVER,
            written: Vec::new(),
        }));
        let (cycle_ports, control, plans) = ports();
        let table = Box::new(PlanTable::new(1, Box::new([plan])));
        let bus = Shared(std::rc::Rc::clone(&field), DeviceInputs::NEVER);
        let executive =
            Executive::new(settings(PERIOD, 7), bus, Box::new([turbine_at(0)]), table, cycle_ports);
        Self { executive, field, control, plans, cycle: 0, records: Vec::new(), units: Vec::new() }
    }

    fn running() -> Self {
        let mut site = Self::with_plan(RUN);
        site.cycles(50);
        site
    }

    /// One cycle that ends `run` after its grid point, after `skipped` grid points without one.
    fn cycle(&mut self, run: Duration, skipped: u32) {
        self.cycle += 1 + u64::from(skipped);
        let scheduled_at = Instant::ZERO + PERIOD * u32::try_from(100 + self.cycle).unwrap();
        let tick = Tick { cycle: self.cycle, scheduled_at, woke_at: scheduled_at, skipped };
        self.field.borrow_mut().now = scheduled_at;
        self.executive.cycle(tick, || scheduled_at + run);
        while let Some(record) = self.control.telemetry.dequeue() {
            match record {
                Record::Cycle(record) => self.records.push(record),
                Record::Unit(record) => self.units.push(record),
            }
        }
    }

    fn cycles(&mut self, count: usize) {
        for _ in 0..count {
            self.cycle(Duration::from_micros(100), 0);
        }
    }

    fn command(&mut self, action: CommandAction) {
        let token = 40 + self.cycle;
        assert!(self.control.commands.enqueue(Command { unit: 0, action, token }).is_ok());
    }

    fn turbine(&self) -> TurbineRecord {
        turbine_of(self.units.last().unwrap())
    }

    fn mode(&self) -> ModeName {
        self.turbine().mode
    }

    fn last(&self) -> &CycleRecord {
        self.records.last().unwrap()
    }

    fn written(&self, tag: &str) -> f64 {
        let field = self.field.borrow();
        field.written.last().unwrap().value(field.profile.output(tag).unwrap()).unwrap()
    }
}

#[test]
fn a_turning_turbine_is_taken_over_without_a_bump() {
    let site = Site::running();
    assert_eq!(site.mode(), ModeName::Run);
    assert!((site.written("generator_torque_cmd") - 43_093.55).abs() < 200.0);
    assert!((site.written("pitch_cmd") - 0.2537).abs() < 0.01);
}

#[test]
fn nothing_is_written_before_the_turbines_state_is_known() {
    let mut site = Site::with_plan(RUN);
    site.field.borrow_mut().answers = false;
    site.cycles(5);
    assert!(site.field.borrow().written.is_empty());
    assert_eq!(site.last().units_blind, 1);
    site.field.borrow_mut().answers = true;
    site.cycles(2);
    assert!(!site.field.borrow().written.is_empty());
}

#[test]
fn every_cycle_feeds_the_watchdog_and_carries_the_epoch() {
    let mut site = Site::running();
    let before = site.written("watchdog");
    site.cycles(1);
    assert_eq!(site.written("watchdog"), before + 1.0);
    assert_eq!(site.written("epoch_cmd"), 7.0);
}

#[test]
fn outputs_expire_three_periods_after_their_grid_point() {
    let site = Site::running();
    let expires_at = site.field.borrow().written.last().unwrap().expires_at;
    assert_eq!(expires_at, site.last().scheduled_at + PERIOD * 3);
}

#[test]
fn a_command_is_executed_by_the_next_cycle_and_told_once() {
    let mut site = Site::running();
    site.command(CommandAction::Stop);
    site.cycles(1);
    assert_eq!(site.mode(), ModeName::NormalStop);
    let executed = site.control.executed.dequeue().unwrap();
    assert_eq!(executed.cycle, site.cycle);
    site.cycles(1);
    assert!(site.control.executed.dequeue().is_none());
}

#[test]
fn commands_wait_while_their_execution_cannot_be_told() {
    let mut site = Site::running();
    let mut sent = 0;
    while site
        .control
        .commands
        .enqueue(Command { unit: 0, action: CommandAction::Start, token: sent })
        .is_ok()
    {
        sent += 1;
    }
    // A cycle carries out a few of them.
    site.cycles(10);
    assert!(
        site.control.commands.enqueue(Command { unit: 0, action: CommandAction::Stop, token: sent }).is_ok()
    );
    // The ring of executed commands is full: the stop must wait, and must not be lost.
    site.cycles(1);
    let mut told = Vec::new();
    while let Some(executed) = site.control.executed.dequeue() {
        told.push(executed.token);
    }
    assert_eq!(told, (0..sent).collect::<Vec<_>>());
    site.cycles(1);
    assert_eq!(site.control.executed.dequeue().unwrap().token, sent);
    assert_eq!(site.mode(), ModeName::NormalStop);
}

#[test]
fn a_new_plan_is_taken_between_two_cycles_and_the_old_one_comes_back() {
    let mut site = Site::running();
    let demand = PlanDemand { power_limit: Watts(2e6), ..RUN };
    let plan = Box::new(PlanTable::new(2, Box::new([demand])));
    assert!(site.plans.messages.enqueue(PlanMessage::Replace(plan)).is_ok());
    site.cycles(1);
    assert_eq!(site.last().plan_epoch, 2);
    assert_eq!(site.turbine().power_limit, Watts(2e6));
    assert_eq!(site.plans.retired.dequeue().unwrap().epoch, 1);
}

/// A table for one unit with so much power.
fn table(epoch: u32, watts: f64) -> Box<PlanTable> {
    Box::new(PlanTable::new(epoch, Box::new([PlanDemand { power_limit: Watts(watts), ..RUN }])))
}

fn change_over(site: &mut Site, table: &PlanTable, cycle: u64) {
    let next = NextPlan { epoch: table.epoch, digest: table.digest, cycle };
    assert!(site.plans.messages.enqueue(PlanMessage::ChangeOver(next)).is_ok());
}

#[test]
fn a_plan_that_lies_ready_counts_from_the_very_cycle_that_was_agreed() {
    let mut site = Site::running();
    let (new, at) = (table(2, 2e6), site.cycle + 5);
    assert!(site.plans.messages.enqueue(PlanMessage::Ready(new.clone())).is_ok());
    change_over(&mut site, &new, at);
    site.cycles(10);
    let first = site.records.iter().find(|record| record.plan_epoch == 2).unwrap();
    assert_eq!(first.cycle, at);
    assert_eq!(site.plans.activated.dequeue().unwrap().cycle, at);
    assert_eq!(site.plans.retired.dequeue().unwrap().epoch, 1);
}

#[test]
fn the_cycle_that_was_agreed_may_be_one_that_was_skipped() {
    let mut site = Site::running();
    let (new, at) = (table(2, 2e6), site.cycle + 2);
    assert!(site.plans.messages.enqueue(PlanMessage::Ready(new.clone())).is_ok());
    change_over(&mut site, &new, at);
    site.cycle(Duration::from_micros(100), 3);
    assert_eq!(site.last().plan_epoch, 2);
}

#[test]
fn a_plan_that_does_not_lie_ready_never_counts() {
    let mut site = Site::running();
    let at = site.cycle;
    change_over(&mut site, &table(2, 2e6), at);
    assert!(site.plans.messages.enqueue(PlanMessage::Ready(table(2, 3e6))).is_ok());
    site.cycles(10);
    assert_eq!(site.last().plan_epoch, 1, "the same number with another digest");
}

#[test]
fn a_plan_may_give_the_cycle_a_tighter_deadline() {
    let mut site = Site::running();
    let tight = PlanTable { deadline: Some(PERIOD / 2), ..*table(2, 5e6) };
    assert!(site.plans.messages.enqueue(PlanMessage::Replace(Box::new(tight))).is_ok());
    site.cycle(PERIOD * 3 / 4, 0);
    assert!(site.last().late);
}

#[test]
fn a_schedule_changes_the_limit_in_the_cycle_in_which_its_time_has_come() {
    let mut site = Site::running();
    let at = Instant::ZERO + PERIOD * u32::try_from(100 + site.cycle + 4).unwrap();
    let schedule = UnitSchedule { between: Between::Step, points: Box::new([(at, Watts(1.5e6))]) };
    let plan = PlanTable { schedules: Box::new([schedule]), ..*table(2, 4e6) };
    assert!(site.plans.messages.enqueue(PlanMessage::Replace(Box::new(plan))).is_ok());
    site.units.clear();
    site.cycles(6);
    let limits: Vec<_> = site.units.iter().map(|unit| turbine_of(unit).power_limit.get() / 1e6).collect();
    assert_eq!(limits, [4.0, 4.0, 4.0, 1.5, 1.5, 1.5]);
}

/// A plan that falls back to 1 MW when something was not seen for 50 ms.
fn with_rule(source: Source) -> Box<PlanTable> {
    let supply = PlanDemand { power_limit: Watts(1e6), ..RUN };
    let rule = RuleTable {
        source,
        hold: Duration::from_millis(50),
        back: Duration::ZERO,
        fallback: Box::new([Some(supply)]),
    };
    Box::new(PlanTable { rules: Box::new([rule]), ..*table(2, 4e6) })
}

#[test]
fn a_unit_falls_back_while_the_grid_is_lost_and_returns_with_it() {
    let mut site = Site::running();
    let seen = LastSeen::new(Instant::ZERO, 1);
    site.executive = site.executive.seeing(std::sync::Arc::clone(&seen), Box::new([0]));
    assert!(site.plans.messages.enqueue(PlanMessage::Replace(with_rule(Source::Grid))).is_ok());
    site.cycles(3);
    assert_eq!((site.last().rules, site.turbine().power_limit), (0, Watts(4e6)));
    site.field.borrow_mut().grid_ok = false;
    site.cycles(8);
    assert_eq!((site.last().rules, site.turbine().power_limit), (1, Watts(1e6)));
    site.field.borrow_mut().grid_ok = true;
    site.cycles(2);
    assert_eq!((site.last().rules, site.turbine().power_limit), (0, Watts(4e6)));
}

#[test]
fn a_unit_falls_back_while_a_device_gives_no_scan() {
    let mut site = Site::running();
    let seen = LastSeen::new(Instant::ZERO, 1);
    site.executive = site.executive.seeing(seen, Box::new([0]));
    assert!(site.plans.messages.enqueue(PlanMessage::Replace(with_rule(Source::Device(0)))).is_ok());
    site.cycles(3);
    assert_eq!(site.last().rules, 0);
    site.field.borrow_mut().answers = false;
    site.cycles(8);
    assert_eq!(site.last().rules, 1);
}

#[test]
fn single_misses_are_counted_and_forgiven() {
    let mut site = Site::running();
    for _ in 0..20 {
        site.cycle(PERIOD + Duration::from_micros(1), 0);
        assert!(site.last().late);
        site.cycles(1);
    }
    assert_eq!(site.last().mode, GroupMode::Running);
}

#[test]
fn too_many_consecutive_misses_stop_the_group_until_a_reset() {
    let mut site = Site::running();
    site.cycle(Duration::from_micros(100), 5);
    assert!(matches!(site.last().mode, GroupMode::Safe { .. }));
    site.cycles(1);
    assert_eq!(site.mode(), ModeName::NormalStop);
    site.command(CommandAction::Reset);
    site.cycles(1);
    assert_eq!(site.last().mode, GroupMode::Running);
}

#[test]
fn a_stopping_group_stops_its_units_whatever_operators_ask() {
    let mut site = Site::running();
    site.control.stop.store(true, Ordering::Relaxed);
    site.command(CommandAction::Start);
    site.cycles(1);
    assert_eq!((site.last().mode, site.mode()), (GroupMode::Stopping, ModeName::NormalStop));
}

#[test]
fn inputs_that_grow_old_blind_the_unit() {
    let mut site = Site::running();
    site.field.borrow_mut().answers = false;
    site.cycles(9);
    assert_eq!(site.last().units_blind, 0);
    site.cycles(2);
    assert_eq!(site.last().units_blind, 1);
    assert!(site.last().input_age_max > Duration::from_millis(100));
}

#[test]
fn telemetry_that_nobody_takes_is_dropped_and_counted() {
    let mut site = Site::running();
    let tick = |cycle: u64| {
        let scheduled_at = Instant::ZERO + PERIOD * u32::try_from(1000 + cycle).unwrap();
        Tick { cycle, scheduled_at, woke_at: scheduled_at, skipped: 0 }
    };
    let mut dropped = 0;
    for cycle in 0..2000 {
        let at = tick(cycle);
        site.field.borrow_mut().now = at.scheduled_at;
        dropped = site.executive.cycle(at, || at.scheduled_at).records_dropped;
    }
    assert!(dropped > 1000, "{dropped}");
}

fn turbine_of(unit: &UnitRecord) -> TurbineRecord {
    match unit.plant {
        PlantRecord::Turbine(turbine) => turbine,
        PlantRecord::Vehicle(_) | PlantRecord::Der(_) | PlantRecord::Park(_) => panic!("it is no turbine"),
    }
}
