//! A vehicle: what it holds, and what happens to it.

use std::collections::VecDeque;

use hal_units::Instant;
use hal_vda5050::{
    Action, ActionStatus, Edge, EmergencyStop, Node, OperatingMode, Order, Topic, Version, ZoneSet,
};
use sim_plants::Random;

use crate::faults::Faults;
use crate::motion::Truth;
use crate::setup::Setup;
use crate::tasks::{Tasks, Times};

/// Instant actions that a state tells of; the oldest that are over go first.
pub(crate) const INSTANT_MAX: usize = 32;
/// Farther from a node than this, in metres, a vehicle does not stand on it, if the order does not say.
const NEAR: f64 = 0.5;

/// A message of a vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where it goes.
    pub topic: Topic,
    /// JSON.
    pub text: String,
}

impl Said {
    /// Connections are retained and sent with QoS 1, all else with QoS 0.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.topic == Topic::Connection
    }
}

/// Something that happens to a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Somebody turns the switch.
    Mode(OperatingMode),
    /// Somebody steps into its protective field, or out of it.
    FieldViolation(bool),
    /// Somebody presses an emergency stop, or releases it.
    EmergencyStop(EmergencyStop),
    /// It does not know any more where it is, or knows again.
    Lost(bool),
    /// The next action of an order fails.
    ActionFails,
}

/// What a vehicle has done.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// New orders that it took.
    pub orders: u64,
    /// Updates that it took.
    pub updates: u64,
    /// Messages that it had already.
    pub repeated: u64,
    /// Messages that it did not take.
    pub rejected: u64,
    /// Orders of which nothing is left.
    pub done: u64,
    /// Actions of orders that were done.
    pub actions: u64,
    /// Nodes that it passed.
    pub nodes: u64,
    /// Metres that it drove.
    pub meters: f64,
    /// Times that it came to rest for want of base, with a way ahead.
    pub stops: u64,
    /// States that it sent.
    pub states: u64,
}

impl Tally {
    /// Adds what another vehicle has done.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.updates += other.updates;
        self.repeated += other.repeated;
        self.rejected += other.rejected;
        self.done += other.done;
        self.actions += other.actions;
        self.nodes += other.nodes;
        self.meters += other.meters;
        self.stops += other.stops;
        self.states += other.states;
    }
}

/// A way to a node.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) edge: Edge,
    pub(crate) node: Node,
    pub(crate) at: [f64; 2],
}

/// A simulated vehicle.
#[derive(Debug, Clone)]
pub struct Vehicle {
    pub(crate) setup: Setup,
    pub(crate) version: Version,
    pub(crate) truth: Truth,
    pub(crate) random: Random,
    /// The next header of each topic that it sends.
    pub(crate) headers: [u32; 4],
    pub(crate) stepped: Option<Instant>,
    pub(crate) told: Option<Instant>,
    /// Something to tell at once has happened.
    pub(crate) news: bool,
    pub(crate) last: Option<Order>,
    pub(crate) ahead: VecDeque<Leg>,
    pub(crate) tasks: Tasks,
    pub(crate) last_node: (String, u32),
    pub(crate) cancelled: bool,
    /// The action that cancels, until the vehicle is idle.
    pub(crate) cancelling: Option<String>,
    pub(crate) order_open: bool,
    pub(crate) instant: Vec<(Action, ActionStatus)>,
    pub(crate) mode: OperatingMode,
    pub(crate) paused: bool,
    pub(crate) field_violation: bool,
    pub(crate) emergency_stop: EmergencyStop,
    pub(crate) lost: bool,
    pub(crate) action_fails: bool,
    pub(crate) hibernates: bool,
    pub(crate) load: Option<String>,
    pub(crate) charge_percent: f64,
    pub(crate) charging: bool,
    pub(crate) faults: Faults,
    pub(crate) driving: bool,
    pub(crate) base_request: bool,
    /// The edge that it is on, and since when.
    pub(crate) on_edge: Option<(u32, Instant)>,
    /// Zone sets that it holds, and whether each is enabled.
    pub(crate) zone_sets: Vec<(ZoneSet, bool)>,
    pub(crate) tally: Tally,
}

impl Vehicle {
    /// A vehicle that stands on its first node, in automatic mode.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            version: setup.address.version(),
            truth: Truth::at(setup.start.at, setup.start.heading.get()),
            random: Random::new(setup.seed),
            headers: [0; 4],
            stepped: None,
            told: None,
            news: false,
            last: None,
            ahead: VecDeque::new(),
            tasks: Tasks::default(),
            last_node: (setup.start.node_id.clone(), 0),
            cancelled: false,
            cancelling: None,
            order_open: false,
            instant: Vec::new(),
            mode: OperatingMode::Automatic,
            paused: false,
            field_violation: false,
            emergency_stop: EmergencyStop::None,
            lost: false,
            action_fails: false,
            hibernates: false,
            load: None,
            charge_percent: setup.battery.charge_percent,
            charging: false,
            faults: Faults::default(),
            driving: false,
            base_request: false,
            on_edge: None,
            zone_sets: Vec::new(),
            tally: Tally::default(),
            setup,
        }
    }

    /// Its version and names.
    #[must_use]
    pub const fn address(&self) -> &hal_vda5050::Address {
        &self.setup.address
    }

    /// Where it truly is.
    #[must_use]
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// What it has done.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The node that it passed last, and its number.
    #[must_use]
    pub fn last_node(&self) -> (&str, u32) {
        (&self.last_node.0, self.last_node.1)
    }

    /// Whether nothing of an order is left, not even a horizon.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ahead.is_empty() && !self.tasks.open_until(u32::MAX)
    }

    /// Something happens to it. What it says to that comes with the next step.
    pub fn happen(&mut self, happening: Happening) {
        self.news = true;
        match happening {
            Happening::Mode(mode) => {
                self.mode = mode;
                match mode {
                    OperatingMode::Automatic | OperatingMode::Semiautomatic => self.faults.orders_allowed(),
                    // A person helps out; the order is kept.
                    OperatingMode::Intervened => {}
                    OperatingMode::Startup
                    | OperatingMode::Manual
                    | OperatingMode::Service
                    | OperatingMode::TeachIn => self.clear_order(),
                }
            }
            Happening::FieldViolation(violation) => self.field_violation = violation,
            Happening::EmergencyStop(stop) => self.emergency_stop = stop,
            Happening::Lost(lost) => {
                self.lost = lost;
                self.faults.localization(lost, self.version);
            }
            Happening::ActionFails => self.action_fails = true,
        }
    }

    pub(crate) fn times(&self) -> Times {
        Times { handling: self.setup.handling }
    }

    /// The place of a node, if the order says it or the vehicle knows it.
    pub(crate) fn place_of(&self, node: &Node) -> Option<[f64; 2]> {
        let said = node.position.as_ref().map(|position| [position.x, position.y]);
        said.or_else(|| self.setup.places.get(&node.node_id).copied())
    }

    pub(crate) fn stands_on(&self, node: &Node) -> bool {
        let tolerance = node.position.as_ref().and_then(|position| position.deviation).unwrap_or(NEAR);
        match self.place_of(node) {
            Some(place) => self.truth.distance_to(place) <= tolerance.max(NEAR),
            None => node.node_id == self.last_node.0,
        }
    }

    /// Begins what was taken: `order` goes on from its first node.
    pub(crate) fn follow(&mut self, order: &Order) {
        let Some(first) = order.nodes.first() else { return };
        let times = self.times();
        self.tasks.drop_after(first.sequence_id);
        self.ahead.retain(|leg| leg.node.sequence_id <= first.sequence_id);
        self.tasks.add(first.sequence_id, &first.actions, times);
        for (edge, node) in order.edges.iter().zip(order.nodes.iter().skip(1)) {
            let at = self.place_of(node).unwrap_or([self.truth.x, self.truth.y]);
            self.tasks.add(edge.sequence_id, &edge.actions, times);
            self.tasks.add(node.sequence_id, &node.actions, times);
            self.ahead.push_back(Leg { edge: edge.clone(), node: node.clone(), at });
        }
        self.order_open = true;
    }

    /// The vehicle is on the first node of a new order.
    pub(crate) fn begin(&mut self, order: &Order) {
        self.tasks.clear();
        self.ahead.clear();
        self.cancelled = false;
        self.on_edge = None;
        self.follow(order);
        if let Some(first) = order.nodes.first() {
            self.last_node = (first.node_id.clone(), first.sequence_id);
            self.tasks.arrive(first.sequence_id);
        }
    }

    pub(crate) fn clear_order(&mut self) {
        self.tasks.fail();
        self.ahead.clear();
        self.on_edge = None;
        self.cancelled = self.last.is_some();
        self.order_open = false;
    }

    pub(crate) fn end_instant(&mut self, action_id: &str, status: ActionStatus) {
        self.news = true;
        if let Some((_, known)) = self.instant.iter_mut().find(|(action, _)| action.action_id == action_id) {
            *known = status;
        }
    }
}
