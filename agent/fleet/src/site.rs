//! The site's fleet and its step.

use std::collections::HashMap;

use control_loops_dispatch::{
    CancelError, Cancelled, Class, Degradation, Event, Fault, FleetController, FleetState, Heading,
    JoinError, Motion, Node, Order, OrderError, OrderId, OrderState, Outcome, Resolution, Setup, SetupError,
    Standing, Vehicle, VehicleSetup,
};
use control_loops_drive::{Route, Sight};
use control_loops_layouts::hall::Hall;
use hal_units::{Duration, Instant};
use hal_vda5050::{Address, Outgoing, Topic};
use jiff::Timestamp;

use crate::bystanders::Bystander;
use crate::conversation::{Disbelief, Found};
use crate::figures::Figures;
use crate::handed::SiteState;
use crate::places::Places;
use crate::talk::{Talk, Told};
use crate::way::Way;

/// Orders whose dispatch is being timed.
const TIMED_MAX: usize = 10_000;
/// Words of persons that are remembered: none comes a second time after so many others.
const HEEDED_MAX: usize = 64;
/// What an action of a vehicle takes, for estimates: a place of 1.5 m at 1.2 m/s.
const ACTION_TIME: std::time::Duration = std::time::Duration::from_millis(1250);

/// A vehicle that does not get on for so long, though it may, is driven round.
const STALLED_AFTER: std::time::Duration = std::time::Duration::from_secs(8);

/// A vehicle as the site names it.
#[derive(Debug, Clone)]
pub struct VehicleSpec {
    /// Its name.
    pub name: String,
    /// How it is told what to do.
    pub link: VehicleLink,
}

/// How a vehicle is told what to do.
#[derive(Debug, Clone)]
pub enum VehicleLink {
    /// By messages of VDA 5050 to this address.
    Vda(Address),
    /// By routes for the drive loop of its unit.
    Drive {
        /// The device profile's name.
        profile: String,
    },
}

/// What a step has to say, once [`SiteFleet::state`] after it is held by whoever would go on.
#[derive(Debug, Default)]
pub struct Step {
    /// To vehicles that speak VDA 5050.
    pub messages: Vec<Outgoing>,
    /// To drive loops, by the vehicle's position in the site.
    pub routes: Vec<(usize, Route)>,
    /// All drive loops are to give up the routes that they have.
    pub recall_drives: bool,
    /// A vehicle is told to take a load or to put one down. Whoever begins anew finds loads from a state in which no more
    /// than one of that is missing for each vehicle: the state after this step has to outlive everybody who leads.
    pub moves_loads: bool,
}

impl Step {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.routes.is_empty() && !self.recall_drives
    }

    pub(crate) fn say(&mut self, vehicle: usize, told: Told) {
        match told {
            Told::Message(message) => self.messages.push(message),
            Told::Route(route) => self.routes.push((vehicle, route)),
        }
    }
}

/// Why there is no fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetError {
    /// The hall cannot be controlled.
    Setup(SetupError),
    /// More vehicles than can be counted.
    Vehicles,
}

/// When something happened to an order whose dispatch is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    accepted: Instant,
    /// It was given to a vehicle for the first time.
    assigned: Option<Instant>,
}

/// A fleet with its vehicles.
#[derive(Debug)]
pub struct SiteFleet {
    pub(crate) places: Places,
    pub(crate) names: Vec<String>,
    /// Tells sites with other vehicles or another hall apart.
    pub(crate) site: u32,
    /// Number of the last step. It grows on through beginnings, so that no two states have the same.
    pub(crate) steps: u64,
    pub(crate) controller: FleetController,
    pub(crate) talks: Vec<Talk>,
    pub(crate) links: Vec<VehicleLink>,
    pub(crate) figures: Figures,
    /// Vehicles by the part of their topics before the last level.
    by_topic: HashMap<String, usize>,
    /// Orders that no vehicle has echoed yet.
    pub(crate) timed: HashMap<u64, Timed>,
    pub(crate) degraded: Vec<(Vehicle, Degradation)>,
    /// Most orders, and how often a step is made.
    pub(crate) size: (usize, Duration),
    /// Whether this fleet is led here. Otherwise it is only listened to.
    pub(crate) leads: bool,
    /// Since when vehicles are asked to give up what somebody unknown has told them.
    pub(crate) settling: Option<Instant>,
    /// Those of them that stood between two places and are on their way to the next one, and since when.
    pub(crate) sent_on: Option<(Instant, Vec<usize>)>,
    /// Where each vehicle may be that took part when the fleet was known last, while it begins anew.
    pub(crate) may_be_at: Vec<Vec<Node>>,
    /// How the fleet was when it was led last, while it begins anew.
    pub(crate) before: Option<SiteState>,
    /// Orders that failed because the fleet began anew, which was not told yet.
    pub(crate) lost: Vec<(u64, Fault)>,
    /// Vehicles that take no part, and where they are in the way.
    pub(crate) bystanders: Vec<Bystander>,
    /// The last words of persons about loads that were heeded, each by its name: none is heeded twice.
    pub(crate) heeded: Vec<u64>,
    /// A vehicle has taken what kept it from being told of its order.
    step_wanted: bool,
    /// Memory for states.
    pub(crate) scratch: Option<FleetState>,
    way: Way,
}

impl SiteFleet {
    /// A fleet in its hall, that makes a step so often. Vehicles take part from when they are heard.
    ///
    /// # Errors
    /// See [`FleetError`].
    pub fn new(
        hall: Hall,
        map_id: &str,
        vehicles: &[VehicleSpec],
        orders_max: usize,
        rhythm: Duration,
    ) -> Result<Self, FleetError> {
        if u16::try_from(vehicles.len()).is_err() {
            return Err(FleetError::Vehicles);
        }
        let places = Places::new(hall, map_id);
        let starts = vec![None; vehicles.len()];
        let controller = controller(&places, &starts, (orders_max, rhythm)).map_err(FleetError::Setup)?;
        Ok(Self {
            site: places.site_of(vehicles),
            steps: 0,
            places,
            size: (orders_max, rhythm),
            names: vehicles.iter().map(|vehicle| vehicle.name.clone()).collect(),
            by_topic: vehicles
                .iter()
                .zip(0..)
                .filter_map(|(vehicle, at)| match &vehicle.link {
                    VehicleLink::Vda(address) => Some((prefix(address), at)),
                    VehicleLink::Drive { .. } => None,
                })
                .collect(),
            talks: vehicles.iter().map(|vehicle| Talk::new(&vehicle.link)).collect(),
            links: vehicles.iter().map(|vehicle| vehicle.link.clone()).collect(),
            controller,
            figures: Figures::default(),
            timed: HashMap::new(),
            degraded: Vec::new(),
            leads: false,
            settling: None,
            sent_on: None,
            may_be_at: Vec::new(),
            before: None,
            lost: Vec::new(),
            bystanders: Vec::new(),
            heeded: Vec::new(),
            step_wanted: false,
            scratch: None,
            way: Way::default(),
        })
    }

    /// Forgets all vehicles and orders, as if it had just been made. What was counted stays.
    ///
    /// # Errors
    /// See [`FleetError`]; none is known, because there was a controller before. Nothing is forgotten then.
    pub fn forget(&mut self) -> Result<(), FleetError> {
        let nobody = vec![None; self.talks.len()];
        self.controller = controller(&self.places, &nobody, self.size).map_err(FleetError::Setup)?;
        self.talks = self.links.iter().map(Talk::new).collect();
        (self.way, self.settling, self.sent_on) = (Way::default(), None, None);
        self.may_be_at.clear();
        self.before = None;
        self.bystanders.clear();
        self.timed.clear();
        self.degraded.clear();
        Ok(())
    }

    /// Somebody else leads the fleet from now on.
    pub fn follow(&mut self) {
        (self.leads, self.settling, self.before) = (false, None, None);
    }

    /// Topics that have to be heard, as filters.
    #[must_use]
    pub fn filters(interface: &str) -> Vec<String> {
        ["state", "connection"].map(|topic| format!("{interface}/+/+/+/{topic}")).into()
    }

    /// Takes a message in. What cannot be believed is counted and changes nothing.
    pub fn hear(&mut self, now: Instant, interface: &str, topic: &str, payload: &[u8]) {
        let Some((address, kind)) = Address::parse(interface, topic) else {
            return self.figures.refuse("unknown topic".to_owned());
        };
        let Some(at) = self.by_topic.get(&prefix(&address)).copied() else {
            return self.figures.refuse("unknown vehicle".to_owned());
        };
        let Ok(text) = std::str::from_utf8(payload) else {
            return self.figures.refuse("no text".to_owned());
        };
        let Some(Talk::Vda(conversation)) = self.talks.get_mut(at) else { return };
        match conversation.hear(now, kind, text, &self.places) {
            Ok(found) => {
                self.step_wanted |= matches!(found, Some(Found::Echo { owed: true, .. }));
                self.take_echo(now, found);
                if kind == Topic::State {
                    self.take_report(at);
                }
            }
            Err(Disbelief::Malformed(_)) => self.figures.refuse(format!("{}: malformed", kind.as_str())),
            Err(Disbelief::State(fault)) => self.figures.refuse(format!("state: {fault:?}")),
        }
    }

    /// Takes in what is seen of a vehicle on the field bus, by its position in the site.
    pub fn see(&mut self, now: Instant, at: usize, sight: &Sight) {
        let Some(Talk::Drive(drive)) = self.talks.get_mut(at) else { return };
        let found = drive.see(now, sight, &self.places);
        self.take_echo(now, found);
        self.take_report(at);
    }

    fn take_echo(&mut self, now: Instant, found: Option<Found>) {
        if let Some(Found::Echo { order: Some(order), .. }) = found
            && let Some(Timed { accepted, assigned }) = self.timed.remove(&order)
        {
            let assigned = assigned.unwrap_or(now);
            self.figures.dispatch.add(now.since(accepted));
            self.figures.assignment_wait.add(assigned.since(accepted));
            self.figures.echo.add(now.since(assigned));
        }
    }

    pub(crate) fn take_report(&mut self, at: usize) {
        if !self.leads {
            return;
        }
        let vehicle = Vehicle(at as u16);
        if self.settling.is_none() && !self.can_take_part(at) {
            return;
        }
        let Some(talk) = self.talks.get(at) else { return };
        if self.settling.is_none()
            && self.controller.standing(vehicle) == Some(Standing::Absent)
            && let Some((node, heading)) = talk.stands()
            && let Err(error) = self.controller.join(vehicle, node, heading)
        {
            match error {
                JoinError::Present | JoinError::Busy => {}
                JoinError::UnknownVehicle | JoinError::UnknownNode => {
                    self.figures.refuse(format!("join: {error:?}"));
                }
            }
        }
        if self.controller.standing(vehicle) == Some(Standing::Absent) {
            return;
        }
        let course = self.controller.grant(vehicle).map_or(0, |grant| grant.course);
        let task = self.controller.task(vehicle).map(|task| task.number);
        let Some(report) = talk.report(course, task) else { return };
        if let Err(error) = self.controller.report(vehicle, &report) {
            self.figures.refuse(format!("report: {error:?}"));
        }
    }

    /// Takes a transport order in that was accepted at `now`, named by a number of its own.
    ///
    /// # Errors
    /// In words for whoever gave it; nothing has changed.
    pub fn submit(
        &mut self,
        now: Instant,
        id: u64,
        (from, to): (&str, &str),
        priority: u8,
        due_in: Option<Duration>,
    ) -> Result<(), String> {
        let station = |name: &str| {
            self.places.hall.station(name).ok_or_else(|| format!("there is no station {name} in the layout"))
        };
        let order = Order {
            priority,
            deadline: due_in.map(|due_in| now + due_in),
            ..Order::transport(OrderId(id), station(from)?, station(to)?)
        };
        self.controller.submit(now, order).map_err(|error| self.words(error))?;
        if self.timed.len() < TIMED_MAX {
            self.timed.insert(id, Timed { accepted: now, assigned: None });
        }
        Ok(())
    }

    /// Whether an order is in the book, or was over not long ago.
    #[must_use]
    pub fn knows(&self, id: u64) -> bool {
        self.controller.order(OrderId(id)).is_some() || self.unresolved().any(|(order, _)| order.id.0 == id)
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// In words; nothing has changed.
    pub fn cancel(&mut self, id: u64) -> Result<Cancelled, String> {
        self.timed.remove(&id);
        if self.unresolved().any(|(order, _)| order.id.0 == id) {
            return Err(
                "the fleet begins anew and asks vehicles where its load is; try again in some seconds"
                    .to_owned(),
            );
        }
        if self.controller.order(OrderId(id)) == Some(OrderState::Over(Outcome::Cancelled)) {
            return Ok(Cancelled::AtOnce);
        }
        self.controller.cancel(OrderId(id), None).map_err(|error| match error {
            CancelError::Unknown => "there is no such order under way".to_owned(),
            CancelError::NoWay(node) => format!("no open way leads to {}", self.places.hall.name(node)),
            CancelError::TooLate => "the vehicle is putting the load down".to_owned(),
            CancelError::Held => "the load is on a vehicle that needs a person".to_owned(),
        })
    }

    /// A person says where the load of a vehicle is that holds it. `word` names what was said.
    ///
    /// # Errors
    /// In words; nothing has changed.
    pub fn resolve(&mut self, word: u64, vehicle: &str, resolution: Resolution) -> Result<(), String> {
        if self.heeded.contains(&word) {
            return Ok(());
        }
        let at = self.names.iter().position(|name| name == vehicle);
        let at = at.ok_or_else(|| format!("there is no vehicle {vehicle}"))?;
        let order = self.controller.order_of(Vehicle(at as u16));
        let resolved = order.map(|order| self.controller.resolve(order, resolution));
        if !matches!(resolved, Some(Ok(()))) {
            return Err(format!("{vehicle} holds no load that a person has to see to"));
        }
        if self.heeded.len() == HEEDED_MAX {
            self.heeded.remove(0);
        }
        self.heeded.push(word);
        Ok(())
    }

    fn words(&self, error: OrderError) -> String {
        let name = |node: Node| self.places.hall.name(node).to_owned();
        match error {
            OrderError::Duplicate => "an order of this name is known already".to_owned(),
            OrderError::UnknownNode(node) => format!("the layout has no {}", name(node)),
            OrderError::Unreachable(node) => format!("no open way leads to {}", name(node)),
            OrderError::PastDeadline => "it is due already".to_owned(),
            OrderError::NoVehicle => "no vehicle can carry it".to_owned(),
            OrderError::Full => "the order book is full; try again later".to_owned(),
        }
    }

    /// One step; none while somebody else leads the fleet.
    pub fn step(&mut self, now: Instant, wall: Timestamp) -> Step {
        if !self.leads {
            return Step::default();
        }
        self.steps += 1;
        self.step_wanted = false;
        if let Some(said) = self.settle(now, wall) {
            return said;
        }
        self.controller.step(now);
        while let Some(event) = self.controller.next_event() {
            self.take_event(now, event);
        }
        let mut step = Step::default();
        for at in 0..self.talks.len() {
            let vehicle = Vehicle(at as u16);
            if self.bystander(at).is_some() {
                step.messages.extend(self.talks.get_mut(at).and_then(|talk| talk.settle(now, wall)));
                if let Some(told) = self.send_bystander_on(now, wall, at) {
                    step.say(at, told);
                }
                continue;
            }
            self.count_work(vehicle);
            if !self.fill_way(vehicle) {
                continue;
            }
            let Some(talk) = self.talks.get_mut(at) else { continue };
            let before = talk.task_told();
            if let Some(told) = talk.tell(now, wall, &self.way, &self.places) {
                step.say(at, told);
            }
            step.moves_loads |= talk.task_told() != before && self.way.moves_load();
        }
        step.messages.extend(self.seals(now, wall));
        step
    }

    /// Whether a step has more to say now than it would have had before: a vehicle has an order, and has just taken
    /// what it was told before that.
    #[must_use]
    pub fn is_step_wanted(&self) -> bool {
        self.leads && self.step_wanted
    }

    /// What makes vehicles refuse another master.
    pub(crate) fn seals(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        self.talks.iter_mut().filter_map(|talk| talk.seal(now, wall)).collect()
    }

    /// When [`SiteFleet::resend`] has something to say, if nothing comes before.
    #[must_use]
    pub fn next_resend(&self) -> Option<Instant> {
        if self.leads { self.talks.iter().filter_map(Talk::next_resend).min() } else { None }
    }

    /// What vehicles have not echoed in time. It is to be said between steps, once all that they have brought about has left:
    /// whoever would go on knows it then.
    pub fn resend(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        if !self.leads {
            return Vec::new();
        }
        self.talks.iter_mut().flat_map(|talk| talk.resend(now, wall)).collect()
    }

    /// The granted way of a vehicle, into the scratch; false if it has none.
    fn fill_way(&mut self, vehicle: Vehicle) -> bool {
        let Some(grant) = self.controller.grant(vehicle) else { return false };
        let way = &mut self.way;
        way.recalled = grant.recalled;
        way.order = self.controller.order_of(vehicle).map(|order| order.0);
        way.course = grant.course;
        way.at = (grant.from.number, grant.from.node.0);
        way.base.clear();
        way.base
            .extend(self.controller.base(vehicle).skip(1).map(|waypoint| (waypoint.number, waypoint.node.0)));
        way.horizon.clear();
        way.horizon.extend(self.controller.horizon(vehicle).map(|waypoint| waypoint.node.0));
        way.task = grant.task.filter(|_| grant.task_granted);
        true
    }

    fn count_work(&mut self, vehicle: Vehicle) {
        if self.controller.standing(vehicle).is_some_and(|standing| standing != Standing::Absent) {
            self.figures.vehicle_steps += 1;
            self.figures.working_steps += u64::from(self.controller.order_of(vehicle).is_some());
        }
    }

    fn take_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Over { outcome, .. } => match outcome {
                Outcome::Done => self.figures.done += 1,
                Outcome::Cancelled => self.figures.cancelled += 1,
                Outcome::Failed(_) => self.figures.failed += 1,
            },
            Event::Degraded { vehicle, what } => {
                if !self.degraded.contains(&(vehicle, what)) {
                    self.degraded.push((vehicle, what));
                }
            }
            Event::Recovered { vehicle, what } => self.degraded.retain(|known| *known != (vehicle, what)),
            Event::Left { vehicle } => self.degraded.retain(|(known, _)| *known != vehicle),
            Event::Assigned { order, .. } => {
                if let Some(timed) = self.timed.get_mut(&order.0) {
                    timed.assigned.get_or_insert(now);
                }
            }
            Event::Returned { .. }
            | Event::Picked { .. }
            | Event::Held { .. }
            | Event::Late { .. }
            | Event::Overdue { .. }
            | Event::Blocked { .. }
            | Event::Joined { .. } => {}
        }
    }

    /// Notes how long a step took, and how long its messages waited.
    pub fn note_times(&mut self, step: Option<Duration>, release: Option<Duration>) {
        step.into_iter().for_each(|time| self.figures.step.add(time));
        release.into_iter().for_each(|time| self.figures.release.add(time));
    }

    /// Number of the last step, on both nodes of a pair together.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// A controller for vehicles that stand there; the others are not on the layout.
pub(crate) fn controller(
    places: &Places,
    starts: &[Option<(Node, Heading)>],
    (orders_max, rhythm): (usize, Duration),
) -> Result<FleetController, SetupError> {
    let steps = |time: std::time::Duration| {
        (time.as_secs_f64() / rhythm.as_secs_f64().max(1e-3)).ceil().clamp(1.0, 1e6) as u32
    };
    let setup = Setup {
        orders_max,
        action_time: ACTION_TIME,
        patience: steps(ACTION_TIME),
        stall_after: steps(STALLED_AFTER),
        ..Setup::usual(Motion::Turning)
    };
    let cart = |start: &Option<(Node, Heading)>| VehicleSetup {
        class: Class::default(),
        capacity_kg: u32::MAX,
        start: *start,
    };
    let carts: Vec<VehicleSetup> = starts.iter().map(cart).collect();
    let hall = &places.hall;
    FleetController::new(hall.graph.clone(), &carts, &hall.chargers, &hall.parking, setup)
}

/// A vehicle's topics without their last level.
fn prefix(address: &Address) -> String {
    let topic = address.topic(Topic::State);
    topic.rsplit_once('/').map_or_else(String::new, |(prefix, _)| prefix.to_owned())
}
