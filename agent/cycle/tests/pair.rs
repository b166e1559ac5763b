//! Two groups that run one turbine as a pair: one writes, the other follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_cycle::{
    Activated, Bus, Command, CommandAction, ControlPair, ControlPorts, Executive, GroupState, NextPlan,
    PlanDemand, PlanMessage, PlanPorts, PlanTable, PlantState, Tick, TurbineUnitState, UnitParameters, ports,
};
use agent_plan::Request;
use control_loops_controllers::turbine::TurbineParameters;
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Watts};
use support::{profile, settings, turbine_at};

const PARAMETERS: UnitParameters = UnitParameters::Turbine(TurbineParameters::NREL_5MW);
const PERIOD: Duration = Duration::from_millis(10);
const RUN: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };

/// A turbine above rated wind whose speed wanders, as one node sees it.
struct View {
    profile: DeviceProfile,
    inputs: DeviceInputs,
    written: DeviceOutputs,
    /// Only the active node's outputs reach the device.
    acknowledges: bool,
    /// What this node's sensors show beside the truth.
    offset_radps: f64,
}

impl View {
    fn scan(&mut self, cycle: u64, now: Instant) {
        let speed = 122.9096 + 0.8 * (cycle as f64 * 0.05).sin() + self.offset_radps;
        let shown = [
            ("generator_speed", speed),
            ("rotor_speed", speed / 97.0),
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
        for (tag, value) in shown {
            self.inputs.set(self.profile.input(tag).unwrap(), value, Quality::Good);
        }
        self.inputs.acquired_at = now;
        self.inputs.sequence += 1;
        if self.acknowledges {
            self.inputs.outputs_acknowledged = self.written.sequence;
        }
    }

    fn output(&self, name: &str) -> f64 {
        self.written.value(self.profile.output(name).unwrap()).unwrap()
    }
}

impl Bus for View {
    fn inputs(&mut self, _device: usize) -> &DeviceInputs {
        &self.inputs
    }

    fn publish(&mut self, _device: usize, outputs: &DeviceOutputs) {
        self.written = *outputs;
    }
}

struct Node {
    executive: Executive<SharedView>,
    view: std::rc::Rc<std::cell::RefCell<View>>,
    control: ControlPorts,
    plans: PlanPorts,
    pair: ControlPair,
    /// What its own first cycle is called.
    first: u64,
    activated: Vec<Activated>,
}

struct SharedView(std::rc::Rc<std::cell::RefCell<View>>, DeviceInputs);

impl Bus for SharedView {
    fn inputs(&mut self, device: usize) -> &DeviceInputs {
        self.1 = *self.0.borrow_mut().inputs(device);
        &self.1
    }

    fn publish(&mut self, device: usize, outputs: &DeviceOutputs) {
        self.0.borrow_mut().publish(device, outputs);
    }
}

impl Node {
    fn new(offset_radps: f64, first: u64) -> Self {
        let view = View {
            profile: profile(),
            inputs: DeviceInputs::NEVER,
            written: DeviceOutputs::NEVER,
            acknowledges: false,
            offset_radps,
        };
        let view = std::rc::Rc::new(std::cell::RefCell::new(view));
        let (cycle_ports, control, plans) = ports();
        let table = Box::new(PlanTable::new(1, Box::new([RUN])));
        let bus = SharedView(std::rc::Rc::clone(&view), DeviceInputs::NEVER);
        let executive =
            Executive::new(settings(PERIOD, 1), bus, Box::new([turbine_at(0)]), table, cycle_ports);
        let (executive, pair) = executive.in_pair();
        Self { executive, view, control, plans, pair, first, activated: Vec::new() }
    }

    fn lead(&mut self, epoch: Option<u32>) {
        self.pair.set_office(epoch);
        self.view.borrow_mut().acknowledges = epoch.is_some();
    }

    fn cycle(&mut self, cycle: u64) {
        let at = Instant::ZERO + PERIOD * u32::try_from(100 + cycle).unwrap();
        self.view.borrow_mut().scan(cycle, at);
        let tick = Tick { cycle: self.first + cycle, scheduled_at: at, woke_at: at, skipped: 0 };
        self.executive.cycle(tick, || at);
        while self.plans.retired.dequeue().is_some() {}
        while let Some(activated) = self.plans.activated.dequeue() {
            self.activated.push(activated);
        }
        while self.control.telemetry.dequeue().is_some() {}
        while self.control.executed.dequeue().is_some() {}
    }

    fn state(&mut self) -> GroupState {
        self.pair.state.latest().clone()
    }
}

/// A leads, B follows; what A's cycles leave behind reaches B before its next one.
struct Site {
    a: Node,
    b: Node,
    cycle: u64,
}

impl Site {
    fn led_by_a() -> Self {
        // B's speed sensor reads a little more.
        let mut site = Self { a: Node::new(0.0, 0), b: Node::new(0.05, 5_000), cycle: 0 };
        site.a.lead(Some(1));
        site.cycles(300);
        site
    }

    fn cycles(&mut self, count: u32) {
        for _ in 0..count {
            self.cycle += 1;
            self.a.cycle(self.cycle);
            let state = self.a.state();
            self.b.pair.peer.publish_with(|peer| peer.copy_from(&state));
            self.b.cycle(self.cycle);
        }
    }

    /// A is gone; B goes on alone.
    fn a_is_lost(&mut self, blind_cycles: u32) {
        for _ in 0..blind_cycles {
            self.cycle += 1;
            self.b.cycle(self.cycle);
        }
        self.b.lead(Some(2));
        self.cycle += 1;
        self.b.cycle(self.cycle);
    }

    fn output(node: &Node, name: &str) -> f64 {
        node.view.borrow().output(name)
    }
}

#[test]
fn a_followers_outputs_are_those_that_the_leader_would_give_next() {
    let site = Site::led_by_a();
    let (pitch_a, pitch_b) = (Site::output(&site.a, "pitch_cmd"), Site::output(&site.b, "pitch_cmd"));
    // Not equal: B has made one step more, with its own sensor.
    assert!((pitch_a - pitch_b).abs() <= 0.139_626_3 * 0.01 + 1e-9, "{pitch_a} {pitch_b}");
}

#[test]
fn a_takeover_moves_no_output_faster_than_a_cycle_may() {
    let mut site = Site::led_by_a();
    let before = (Site::output(&site.a, "pitch_cmd"), Site::output(&site.a, "generator_torque_cmd"));
    site.a_is_lost(5);
    let after = (Site::output(&site.b, "pitch_cmd"), Site::output(&site.b, "generator_torque_cmd"));
    let span = std::f64::consts::FRAC_PI_2;
    // Half a percent of the span over the six cycles without a leader.
    assert!((after.0 - before.0).abs() < 0.005 * span, "{before:?} {after:?}");
    assert!((after.1 - before.1).abs() < 0.005 * 47_402.91, "{before:?} {after:?}");
}

fn turbine(state: &GroupState) -> TurbineUnitState {
    match state.units[0].plant {
        PlantState::Turbine(turbine) => turbine,
        PlantState::Vehicle(_) | PlantState::Der(_) | PlantState::Park(_) => panic!("it is no turbine"),
    }
}

#[test]
fn a_new_leader_continues_the_count_of_the_watchdog() {
    let mut site = Site::led_by_a();
    let before = Site::output(&site.a, "watchdog");
    site.a_is_lost(4);
    let after = Site::output(&site.b, "watchdog");
    assert!(after > before && after < before + 10.0, "{before} {after}");
}

#[test]
fn a_follower_does_not_trip_over_writes_that_it_does_not_make() {
    let mut site = Site::led_by_a();
    site.cycles(2000);
    for node in [&mut site.a, &mut site.b] {
        assert!(turbine(&node.state()).controller.interlock.trips().is_empty());
    }
}

#[test]
fn a_command_that_the_leader_carried_out_stands_after_a_takeover() {
    let mut site = Site::led_by_a();
    let action = CommandAction::Derate(Watts(2e6));
    site.a.control.commands.enqueue(Command { unit: 0, action, token: 77 }).unwrap();
    site.cycles(2);
    site.a_is_lost(3);
    let state = site.b.state();
    assert_eq!(state.units[0].overrides.power_limit, Some(Watts(2e6)));
    let executed = *state.executed.last().unwrap();
    assert_eq!((executed.token, executed.epoch), (77, 1), "it was A that carried it out");
}

#[test]
fn a_state_that_arrives_just_before_the_term_is_gone_on_from() {
    let mut site = Site::led_by_a();
    let action = CommandAction::Derate(Watts(2e6));
    site.a.control.commands.enqueue(Command { unit: 0, action, token: 77 }).unwrap();
    site.cycle += 1;
    site.a.cycle(site.cycle);
    let last = site.a.state();
    site.b.pair.peer.publish_with(|peer| peer.copy_from(&last));
    site.a_is_lost(0);
    let state = site.b.state();
    assert_eq!(state.units[0].overrides.power_limit, Some(Watts(2e6)));
    assert_eq!(state.executed.last().unwrap().token, 77);
}

#[test]
fn each_state_follows_from_the_one_before() {
    let mut site = Site::led_by_a();
    for _ in 0..50 {
        let before = site.a.state();
        site.cycles(1);
        let after = site.a.state();
        assert!(after.units[0].follows(&before.units[0], &PARAMETERS, after.dt));
    }
}

#[test]
fn a_state_that_was_tampered_with_does_not_follow() {
    let mut site = Site::led_by_a();
    let before = site.a.state();
    site.cycles(1);
    let mut after = site.a.state();
    match &mut after.units[0].plant {
        PlantState::Turbine(turbine) => turbine.inputs.generator_speed.value += 0.1,
        PlantState::Vehicle(_) | PlantState::Der(_) | PlantState::Park(_) => panic!("it is no turbine"),
    }
    assert!(!after.units[0].follows(&before.units[0], &PARAMETERS, after.dt));
}

#[test]
fn a_state_survives_the_wire() {
    let mut site = Site::led_by_a();
    let state = site.a.state();
    let bytes = postcard::to_allocvec(&state).unwrap();
    assert!(bytes.len() < 1000, "{} bytes for a unit", bytes.len());
    assert_eq!(postcard::from_bytes::<GroupState>(&bytes).unwrap(), state);
}

fn derated() -> Box<PlanTable> {
    Box::new(PlanTable::new(2, Box::new([PlanDemand { power_limit: Watts(2e6), ..RUN }])))
}

impl Site {
    /// The new plan lies ready at both nodes, and A is to change over in so many cycles.
    fn agree_in(&mut self, cycles: u64) -> u64 {
        let at = self.cycle + cycles;
        self.ready_at_a();
        assert!(self.b.plans.messages.enqueue(PlanMessage::Ready(derated())).is_ok());
        self.a_changes_over(at);
        at
    }

    fn ready_at_a(&mut self) {
        assert!(self.a.plans.messages.enqueue(PlanMessage::Ready(derated())).is_ok());
    }

    fn a_changes_over(&mut self, at: u64) {
        let PlanTable { epoch, digest, .. } = *derated();
        let next = NextPlan { epoch, digest, cycle: at };
        assert!(self.a.plans.messages.enqueue(PlanMessage::ChangeOver(next)).is_ok());
    }

    /// The demand of a node's last step.
    fn limit_mw(node: &mut Node) -> f64 {
        turbine(&node.state()).demand.power_limit.get() / 1e6
    }
}

#[test]
fn both_nodes_change_over_on_the_same_cycle() {
    let mut site = Site::led_by_a();
    let at = site.agree_in(5);
    site.cycles(10);
    assert_eq!(site.a.activated.iter().map(|one| one.cycle).collect::<Vec<_>>(), [at]);
    assert_eq!(site.b.activated, site.a.activated, "B counts A's cycles");
}

#[test]
fn a_follower_changes_over_on_the_agreed_cycle_also_if_states_are_lost_around_it() {
    let mut site = Site::led_by_a();
    let at = site.agree_in(6);
    site.cycles(2);
    for _ in 0..8 {
        site.cycle += 1;
        site.a.cycle(site.cycle);
        site.b.cycle(site.cycle);
    }
    site.cycles(2);
    assert_eq!((site.a.activated[0].cycle, site.b.activated[0].cycle), (at, at));
    assert_eq!(site.b.activated.len(), 1);
}

#[test]
fn a_node_that_takes_over_before_the_agreed_cycle_changes_over_on_it() {
    let mut site = Site::led_by_a();
    let at = site.agree_in(8);
    site.cycles(2);
    // B's step after A's cycle 302 stands for A's 303; two pass without anybody, and B leads from 306 on.
    site.a_is_lost(2);
    assert_eq!(Site::limit_mw(&mut site.b), 5.0);
    let (led_from, own) = (306, site.b.first + site.cycle);
    for _ in 0..5 {
        site.cycle += 1;
        site.b.cycle(site.cycle);
    }
    assert_eq!(site.b.activated.iter().map(|one| one.cycle).collect::<Vec<_>>(), [own + at - led_from]);
    assert_eq!(Site::limit_mw(&mut site.b), 2.0);
}

#[test]
fn a_follower_that_got_the_plan_late_changes_over_at_once() {
    let mut site = Site::led_by_a();
    site.ready_at_a();
    site.a_changes_over(site.cycle + 2);
    site.cycles(20);
    assert_eq!((site.a.activated.len(), site.b.activated.len()), (1, 0));
    assert!(site.b.plans.messages.enqueue(PlanMessage::Ready(derated())).is_ok());
    site.cycles(1);
    assert_eq!(site.b.activated.len(), 1);
}

#[test]
fn a_follower_goes_back_where_the_leader_does() {
    let mut site = Site::led_by_a();
    site.agree_in(3);
    site.cycles(6);
    let good = || Box::new(PlanTable::new(1, Box::new([RUN])));
    assert!(site.a.plans.messages.enqueue(PlanMessage::ReadyBack(good())).is_ok());
    assert!(site.b.plans.messages.enqueue(PlanMessage::ReadyBack(good())).is_ok());
    site.cycles(3);
    assert_eq!(site.b.activated.len(), 1, "that the way back lies ready changes nothing");
    let next = NextPlan { epoch: 1, digest: good().digest, cycle: site.cycle + 4 };
    assert!(site.a.plans.messages.enqueue(PlanMessage::ChangeOver(next)).is_ok());
    site.cycles(8);
    assert_eq!(site.b.activated, site.a.activated);
    assert_eq!(site.b.activated.last().unwrap().epoch, 1);
}

#[test]
fn a_follower_is_told_nothing_by_its_own_threads() {
    let mut site = Site::led_by_a();
    assert!(site.b.plans.messages.enqueue(PlanMessage::Ready(derated())).is_ok());
    let next = NextPlan { epoch: 2, digest: derated().digest, cycle: 0 };
    assert!(site.b.plans.messages.enqueue(PlanMessage::ChangeOver(next)).is_ok());
    site.cycles(10);
    assert_eq!(site.b.activated, []);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// B's step after A's cycle stands for A's next one, so B changes over one step before A would be there.
    #[test]
    fn whichever_states_are_lost_and_whoever_leads_the_plan_counts_from_the_agreed_cycle_on(
        lost in proptest::collection::vec(proptest::prelude::any::<bool>(), 12),
        takes_over in 2_usize..13,
    ) {
        let mut site = Site::led_by_a();
        let at = site.agree_in(8);
        let mut changed = Vec::new();
        for step in 1..=12_usize {
            site.cycle += 1;
            if step < takes_over {
                site.a.cycle(site.cycle);
                // The first state tells B of the agreement.
                if step == 1 || !lost[step - 1] {
                    let state = site.a.state();
                    site.b.pair.peer.publish_with(|peer| peer.copy_from(&state));
                }
            } else if step == takes_over {
                site.b.lead(Some(2));
            }
            let before = site.b.activated.len();
            site.b.cycle(site.cycle);
            if site.b.activated.len() > before {
                changed.push(site.cycle);
            }
        }
        proptest::prop_assert_eq!(changed, vec![at - 1]);
        if takes_over > 8 {
            proptest::prop_assert_eq!(site.a.activated.iter().map(|one| one.cycle).collect::<Vec<_>>(), vec![at]);
        }
    }
}
