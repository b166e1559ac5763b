//! The hall with its vehicles, its radio and its fleet.

use std::collections::VecDeque;

use agent_fleet::{SiteFleet, Step, VehicleLink, VehicleSpec};
use control_loops_layouts::hall::{Hall, Selection};
use hal_units::{Duration, Instant, Radians};
use hal_vda5050::{Address, Outgoing, Topic, Version};
use jiff::{SignedDuration, Timestamp};
use sim_vehicles::{Said, Setup, Start, Truth, Vehicle, Yard};

use crate::on_bus::OnBus;

const TICK: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(40);
/// Vehicles whose centres are nearer than this collide, in metres; places are 1.5 m apart.
const DIAMETER_METERS: f64 = 0.9;

const HALL: &str = r#"{"cellMeters": 1.5, "layout": [
    "@@p@c@p@@@",
    "@........@",
    "w........w",
    "@..@@..@.@",
    "@.e@@e.@.@",
    "w........w",
    "@........@",
    "@@@w@@p@@@"
]}"#;

/// A message on its way.
struct OnItsWay {
    at: Instant,
    vehicle: usize,
    topic: String,
    text: String,
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn address_of(spec: &VehicleSpec) -> &Address {
    match &spec.link {
        VehicleLink::Vda(address) => address,
        VehicleLink::Drive { .. } => panic!("{} has no address", spec.name),
    }
}

pub(crate) struct Site {
    pub(crate) hall: Hall,
    specs: Vec<VehicleSpec>,
    pub(crate) fleet: SiteFleet,
    pub(crate) vehicles: Vec<Vehicle>,
    /// They come after those that speak VDA 5050.
    pub(crate) on_bus: Vec<OnBus>,
    to_vehicles: VecDeque<OnItsWay>,
    to_fleet: VecDeque<OnItsWay>,
    pub(crate) now: Instant,
    next_step: Instant,
    pub(crate) yard: Yard,
    chance: Chance,
    pub(crate) delay: Duration,
    pub(crate) loss_percent: u64,
    ordered: u64,
    /// Steps that were made earlier than the rhythm says.
    pub(crate) steps_asked: u64,
    /// States that could be handed on, with the messages that had not left yet.
    pub(crate) last_state: Vec<u8>,
    /// The least that is on the disk of a node that nobody follows.
    pub(crate) kept_state: Vec<u8>,
    accepted: bool,
    /// It drives on, and nobody hears what it says.
    pub(crate) mute: Option<usize>,
}

impl Site {
    pub(crate) fn with_vehicles(count: usize) -> Self {
        Self::with_mixed(count, 0)
    }

    /// So many that speak VDA 5050, and so many on the field bus.
    pub(crate) fn with_mixed(speaking: usize, on_bus: usize) -> Self {
        let version = |at: usize| if at.is_multiple_of(2) { Version::V2 } else { Version::V3 };
        Self::with_mixed_of(speaking, on_bus, version)
    }

    pub(crate) fn with_vehicles_of(count: usize, version: impl Fn(usize) -> Version) -> Self {
        Self::with_mixed_of(count, 0, version)
    }

    pub(crate) fn with_mixed_of(speaking: usize, on_bus: usize, version: impl Fn(usize) -> Version) -> Self {
        let count = speaking + on_bus;
        let hall = Hall::parse("hall.json", HALL, Selection::default()).unwrap();
        let specs: Vec<VehicleSpec> = (0..count)
            .map(|at| VehicleSpec {
                name: format!("agv-{at}"),
                link: if at < speaking {
                    let serial = format!("agv-{at}");
                    VehicleLink::Vda(Address::new("uagv", version(at), "takt", &serial).unwrap())
                } else {
                    VehicleLink::Drive { profile: "differential-drive".to_owned() }
                },
            })
            .collect();
        let mut fleet = SiteFleet::new(hall.clone(), "hall", &specs, 100, STEP).unwrap();
        fleet.begin(Instant::ZERO + Duration::from_secs(1), None);
        let free = hall.nodes.len() / count;
        let bus_vehicle = |at: usize| OnBus::standing_at(hall.nodes[at * free].1, at as u64);
        let on_bus: Vec<OnBus> = (speaking..count).map(bus_vehicle).collect();
        let vehicles = specs[..speaking].iter().enumerate().map(|(at, spec)| {
            let (name, place) = hall.nodes[at * free].clone();
            let start = Start { node_id: name, map_id: "hall".to_owned(), at: place, heading: Radians(0.0) };
            Vehicle::new(Setup { seed: at as u64, ..Setup::usual(address_of(spec).clone(), start) })
        });
        let mut site = Self {
            vehicles: vehicles.collect(),
            on_bus,
            hall,
            specs,
            fleet,
            to_vehicles: VecDeque::new(),
            to_fleet: VecDeque::new(),
            now: Instant::ZERO + Duration::from_secs(1),
            next_step: Instant::ZERO,
            yard: Yard::new(DIAMETER_METERS),
            chance: Chance(88_172_645_463_325_252),
            delay: Duration::ZERO,
            loss_percent: 0,
            ordered: 0,
            steps_asked: 0,
            last_state: Vec::new(),
            kept_state: Vec::new(),
            accepted: false,
            mute: None,
        };
        for at in 0..speaking {
            let mut out = Vec::new();
            let wall = site.wall();
            site.vehicles[at].connected(site.now, wall, &mut out);
            site.say(at, out);
        }
        site
    }

    pub(crate) fn over_a_radio(mut self, delay: Duration, loss_percent: u64) -> Self {
        (self.delay, self.loss_percent) = (delay, loss_percent);
        self
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_nanos(self.now.as_nanos() as i64)
    }

    pub(crate) fn say(&mut self, vehicle: usize, said: Vec<Said>) {
        for Said { topic, text } in said {
            if self.mute == Some(vehicle) {
                continue;
            }
            if topic != Topic::Connection && self.chance.below(100) < self.loss_percent {
                continue;
            }
            let topic = address_of(&self.specs[vehicle]).topic(topic);
            self.to_fleet.push_back(OnItsWay { at: self.now + self.delay, vehicle, topic, text });
        }
    }

    pub(crate) fn tell(&mut self, step: Step) {
        if step.recall_drives {
            self.on_bus.iter_mut().for_each(OnBus::recall);
        }
        for (vehicle, route) in &step.routes {
            self.on_bus[vehicle - self.vehicles.len()].take(route);
        }
        for Outgoing { topic, text } in step.messages {
            if self.chance.below(100) < self.loss_percent {
                continue;
            }
            let (address, _) = Address::parse("uagv", &topic).unwrap();
            let vehicle = self
                .specs
                .iter()
                .position(|spec| matches!(&spec.link, VehicleLink::Vda(of) if of == &address));
            let vehicle = vehicle.unwrap();
            self.to_vehicles.push_back(OnItsWay { at: self.now + self.delay, vehicle, topic, text });
        }
    }

    pub(crate) fn order(&mut self) {
        let stations = self.hall.stations.len() as u64;
        let from = self.chance.below(stations);
        let to = (from + 1 + self.chance.below(stations - 1)) % stations;
        let name = |at: u64| self.hall.stations[at as usize].0.clone();
        let (from, to) = (name(from), name(to));
        self.ordered += 1;
        self.fleet.submit(self.now, self.ordered, (&from, &to), 4, None).unwrap();
        self.accepted = true;
    }

    /// Lets 10 ms pass.
    pub(crate) fn tick(&mut self) {
        self.now = self.now + TICK;
        let wall = self.wall();
        while self.to_fleet.front().is_some_and(|message| message.at <= self.now) {
            let message = self.to_fleet.pop_front().unwrap();
            self.fleet.hear(self.now, "uagv", &message.topic, message.text.as_bytes());
        }
        if self.now >= self.next_step || self.fleet.is_step_wanted() {
            self.steps_asked += u64::from(self.now < self.next_step);
            self.next_step = self.now + STEP;
            let step = self.fleet.step(self.now, wall);
            self.last_state = self.fleet.state();
            if step.moves_loads || std::mem::take(&mut self.accepted) {
                self.kept_state.clone_from(&self.last_state);
            }
            self.tell(step);
        }
        if self.fleet.next_resend().is_some_and(|due| due <= self.now) {
            let messages = self.fleet.resend(self.now, wall);
            self.tell(Step { messages, ..Step::default() });
        }
        while self.to_vehicles.front().is_some_and(|message| message.at <= self.now) {
            let OnItsWay { vehicle, topic, text, .. } = self.to_vehicles.pop_front().unwrap();
            let (_, topic) = Address::parse("uagv", &topic).unwrap();
            let mut out = Vec::new();
            self.vehicles[vehicle].hear(self.now, wall, topic, &text, &mut out);
            self.say(vehicle, out);
        }
        for at in 0..self.vehicles.len() {
            let mut out = Vec::new();
            self.vehicles[at].step(self.now, wall, &mut out);
            self.say(at, out);
        }
        // The cycles of the drive loops are twice as long as a tick.
        if self.now.as_nanos().is_multiple_of(20_000_000) {
            for (at, vehicle) in self.on_bus.iter_mut().enumerate() {
                let sight = vehicle.cycle(self.now);
                if self.mute == Some(self.vehicles.len() + at) {
                    continue;
                }
                self.fleet.see(self.now, self.vehicles.len() + at, &sight);
            }
        }
        let on_bus = self.on_bus.iter().map(OnBus::truth);
        let truths: Vec<&Truth> = self.vehicles.iter().map(Vehicle::truth).chain(on_bus).collect();
        self.yard.see(truths);
    }

    /// Where a vehicle truly is.
    pub(crate) fn truth(&self, at: usize) -> Truth {
        let on_bus = |at: usize| self.on_bus[at - self.vehicles.len()].truth();
        *self.vehicles.get(at).map_or_else(|| on_bus(at), Vehicle::truth)
    }

    pub(crate) fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds * 100 {
            self.tick();
        }
    }

    /// The node dies and another one goes on from its last state; nothing that was on its way is lost by that.
    pub(crate) fn takeover(&mut self) {
        let mut next = SiteFleet::new(self.hall.clone(), "hall", &self.specs, 100, STEP).unwrap();
        next.restore(self.now, &self.last_state).unwrap();
        self.fleet = next;
    }

    /// The node dies, and another one begins with a state that is too old to be gone on from.
    pub(crate) fn begins_anew(&mut self, old_state: &[u8]) {
        let mut next = SiteFleet::new(self.hall.clone(), "hall", &self.specs, 100, STEP).unwrap();
        next.begin(self.now, Some(old_state));
        self.fleet = next;
    }

    #[track_caller]
    pub(crate) fn until_done(&mut self, orders: u64, seconds: u32) {
        for _ in 0..seconds * 100 {
            self.tick();
            if self.done() >= orders {
                return;
            }
        }
        let report = self.fleet.report("hall.json", true);
        panic!("{} of {orders} orders are done: {report:#?}", self.done());
    }

    pub(crate) fn done(&self) -> u64 {
        // Each order has two actions.
        let on_bus: u64 = self.on_bus.iter().map(|vehicle| vehicle.handlings).sum();
        (self.vehicles.iter().map(|vehicle| vehicle.tally().actions).sum::<u64>() + on_bus) / 2
    }

    #[track_caller]
    pub(crate) fn assert_in_order(&self) {
        let report = self.fleet.report("hall.json", true);
        assert_eq!(self.yard.collisions(), 0, "{:?}", self.yard.nearest());
        assert_eq!(self.done(), self.ordered, "each order is done once: {report:#?}");
        assert_eq!(report.orders.waiting + report.orders.under_way + report.orders.failed, 0);
    }
}
