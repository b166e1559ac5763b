//! A whole fleet in virtual time: the production step, real messages, simulated vehicles, and a radio link that
//! delays and loses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;

mod support;

use agent_fleet::{SiteFleet, Step, VehicleLink, VehicleSpec};
use control_loops_layouts::hall::{Hall, Selection};
use hal_units::{Duration, Instant, Radians};
use hal_vda5050::{Address, Outgoing, Topic, Version};
use jiff::{SignedDuration, Timestamp};
use sim_vehicles::{Happening, Said, Setup, Start, Truth, Vehicle, Yard};
use support::OnBus;

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
    fn below(&mut self, bound: u64) -> u64 {
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

struct Site {
    hall: Hall,
    specs: Vec<VehicleSpec>,
    fleet: SiteFleet,
    vehicles: Vec<Vehicle>,
    /// They come after those that speak VDA 5050.
    on_bus: Vec<OnBus>,
    to_vehicles: VecDeque<OnItsWay>,
    to_fleet: VecDeque<OnItsWay>,
    now: Instant,
    next_step: Instant,
    yard: Yard,
    chance: Chance,
    delay: Duration,
    loss_percent: u64,
    ordered: u64,
    /// States that could be handed on, with the messages that had not left yet.
    last_state: Vec<u8>,
    /// It drives on, and nobody hears what it says.
    mute: Option<usize>,
}

impl Site {
    fn with_vehicles(count: usize) -> Self {
        Self::with_mixed(count, 0)
    }

    /// So many that speak VDA 5050, and so many on the field bus.
    fn with_mixed(speaking: usize, on_bus: usize) -> Self {
        let version = |at: usize| if at.is_multiple_of(2) { Version::V2 } else { Version::V3 };
        Self::with_mixed_of(speaking, on_bus, version)
    }

    fn with_vehicles_of(count: usize, version: impl Fn(usize) -> Version) -> Self {
        Self::with_mixed_of(count, 0, version)
    }

    fn with_mixed_of(speaking: usize, on_bus: usize, version: impl Fn(usize) -> Version) -> Self {
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
        assert!(fleet.begin(Instant::ZERO + Duration::from_secs(1), None).is_empty());
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
            last_state: Vec::new(),
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

    fn over_a_radio(mut self, delay: Duration, loss_percent: u64) -> Self {
        (self.delay, self.loss_percent) = (delay, loss_percent);
        self
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_nanos(self.now.as_nanos() as i64)
    }

    fn say(&mut self, vehicle: usize, said: Vec<Said>) {
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

    fn tell(&mut self, step: Step) {
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

    fn order(&mut self) {
        let stations = self.hall.stations.len() as u64;
        let from = self.chance.below(stations);
        let to = (from + 1 + self.chance.below(stations - 1)) % stations;
        let name = |at: u64| self.hall.stations[at as usize].0.clone();
        let (from, to) = (name(from), name(to));
        self.ordered += 1;
        self.fleet.submit(self.now, self.ordered, (&from, &to), 4, None).unwrap();
    }

    /// Lets 10 ms pass.
    fn tick(&mut self) {
        self.now = self.now + TICK;
        let wall = self.wall();
        while self.to_fleet.front().is_some_and(|message| message.at <= self.now) {
            let message = self.to_fleet.pop_front().unwrap();
            self.fleet.hear(self.now, "uagv", &message.topic, message.text.as_bytes());
        }
        if self.now >= self.next_step {
            self.next_step = self.now + STEP;
            let step = self.fleet.step(self.now, wall);
            self.last_state = self.fleet.state();
            self.tell(step);
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

    fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds * 100 {
            self.tick();
        }
    }

    /// The node dies and another one goes on from its last state; nothing that was on its way is lost by that.
    fn takeover(&mut self) {
        let mut next = SiteFleet::new(self.hall.clone(), "hall", &self.specs, 100, STEP).unwrap();
        next.restore(self.now, &self.last_state).unwrap();
        self.fleet = next;
    }

    /// The node dies, and another one begins with a state that is too old to be gone on from.
    fn begins_anew(&mut self, old_state: &[u8]) -> usize {
        let mut next = SiteFleet::new(self.hall.clone(), "hall", &self.specs, 100, STEP).unwrap();
        let on_the_way = next.begin(self.now, Some(old_state));
        self.fleet = next;
        on_the_way.len()
    }

    #[track_caller]
    fn until_done(&mut self, orders: u64, seconds: u32) {
        for _ in 0..seconds * 100 {
            self.tick();
            if self.done() >= orders {
                return;
            }
        }
        let report = self.fleet.report("hall.json", true);
        panic!("{} of {orders} orders are done: {report:#?}", self.done());
    }

    fn done(&self) -> u64 {
        // Each order has two actions.
        let on_bus: u64 = self.on_bus.iter().map(|vehicle| vehicle.handlings).sum();
        (self.vehicles.iter().map(|vehicle| vehicle.tally().actions).sum::<u64>() + on_bus) / 2
    }

    #[track_caller]
    fn assert_in_order(&self) {
        let report = self.fleet.report("hall.json", true);
        assert_eq!(self.yard.collisions(), 0, "{:?}", self.yard.nearest());
        assert_eq!(self.done(), self.ordered, "each order is done once: {report:#?}");
        assert_eq!(report.orders.waiting + report.orders.under_way + report.orders.failed, 0);
    }
}

#[test]
fn orders_are_done_by_vehicles_of_both_versions_without_a_collision() {
    let mut site = Site::with_vehicles(6);
    site.seconds(2);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
    let report = site.fleet.report("hall.json", true);
    assert_eq!(report.refused, std::collections::BTreeMap::new());
}

#[test]
fn a_radio_that_delays_and_loses_costs_time_alone() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_takeover_in_the_middle_loses_doubles_and_moves_nothing_that_it_should_not() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..40).for_each(|_| site.order());
    for _ in 0..20 {
        site.seconds(7);
        site.takeover();
    }
    site.until_done(40, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_node_that_knows_too_little_lets_all_vehicles_stop_before_it_moves_one() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..20).for_each(|_| site.order());
    let old = site.last_state.clone();
    site.seconds(20);
    // Of the state before the first order was given nothing is on its way.
    assert_eq!(site.begins_anew(&old), 0);
    site.seconds(600);
    let report = site.fleet.report("hall.json", true);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    assert_eq!(report.orders.waiting + report.orders.under_way + report.orders.failed, 0, "{report:#?}");
}

#[test]
fn no_order_of_a_node_that_begins_anew_has_the_name_of_one_that_a_vehicle_knows() {
    let mut site = Site::with_vehicles(6);
    for _ in 0..5 {
        site.seconds(20);
        (0..6).for_each(|_| site.order());
        site.seconds(7);
        site.begins_anew(&[]);
        site.seconds(20);
    }
    let report = site.fleet.report("hall.json", true);
    assert_eq!(report.refused.get("state: FutureUpdate"), None, "{:?}", report.refused);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
}

/// One vehicle is not heard any more, a node begins anew without having heard it, and it is heard again later.
/// Returns how many orders the others have done in between.
fn one_is_mute_while_a_node_begins_anew(mut site: Site, mute: usize) -> u64 {
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    site.seconds(17);
    site.mute = Some(mute);
    site.seconds(5);
    let old = site.last_state.clone();
    site.begins_anew(&old);
    site.seconds(300);
    let report = site.fleet.report("hall.json", true);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    let done = report.orders.done;
    assert!(!report.degraded.is_empty(), "that one is not heard is said: {report:#?}");
    site.mute = None;
    site.seconds(60);
    (0..10).for_each(|_| site.order());
    site.seconds(600);
    let report = site.fleet.report("hall.json", true);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    assert_eq!(report.orders.waiting + report.orders.under_way, 0, "{report:#?}");
    assert!(report.degraded.is_empty(), "all take part again: {report:#?}");
    done
}

#[test]
fn a_vehicle_on_the_air_that_a_new_node_does_not_hear_is_not_driven_into() {
    // Some stand where they cut the hall in two, and all orders fail.
    let done = (0..6).map(|mute| one_is_mute_while_a_node_begins_anew(Site::with_vehicles(6), mute));
    assert!(done.sum::<u64>() > 0);
}

#[test]
fn a_vehicle_on_the_bus_that_a_new_node_does_not_hear_is_not_driven_into() {
    let done = (2..6).map(|mute| one_is_mute_while_a_node_begins_anew(Site::with_mixed(2, 4), mute));
    assert!(done.sum::<u64>() > 20);
}

#[test]
fn a_vehicle_on_the_bus_that_is_heard_late_is_waited_for() {
    for late in 2..6 {
        let mut site = Site::with_mixed(2, 4);
        site.mute = Some(late);
        (0..20).for_each(|_| site.order());
        site.seconds(10);
        site.mute = None;
        site.until_done(20, 900);
        site.seconds(5);
        site.assert_in_order();
    }
}

#[test]
fn a_vehicle_that_fails_delays_its_own_order_alone() {
    let mut site = Site::with_vehicles(6);
    site.seconds(2);
    (0..20).for_each(|_| site.order());
    site.seconds(10);
    site.vehicles[2].happen(Happening::EmergencyStop(hal_vda5050::EmergencyStop::Manual));
    site.seconds(600);
    // Those whose station it does not stand on.
    assert!(site.done() >= 12, "{} are done", site.done());
    site.vehicles[2].happen(Happening::EmergencyStop(hal_vda5050::EmergencyStop::None));
    site.until_done(20, 600);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn vehicles_on_the_bus_and_vehicles_on_the_air_share_a_hall() {
    let mut site = Site::with_mixed(3, 3);
    site.seconds(3);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
    assert!(site.on_bus.iter().all(|vehicle| vehicle.handlings > 0), "each has carried something");
}

#[test]
fn takeovers_lose_and_double_nothing_of_vehicles_on_the_bus() {
    let mut site = Site::with_mixed(2, 4).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(3);
    (0..40).for_each(|_| site.order());
    for _ in 0..20 {
        site.seconds(7);
        site.takeover();
    }
    site.until_done(40, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_node_that_knows_too_little_stops_vehicles_on_the_bus_at_their_next_places() {
    let mut site = Site::with_mixed(2, 4);
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    let old = site.last_state.clone();
    site.seconds(20);
    assert_eq!(site.begins_anew(&old), 0);
    site.seconds(600);
    let report = site.fleet.report("hall.json", true);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    assert_eq!(report.orders.waiting + report.orders.under_way + report.orders.failed, 0, "{report:#?}");
}

#[test]
fn a_vehicle_on_the_bus_that_was_stopped_goes_on_after_its_reset() {
    let mut site = Site::with_mixed(3, 3);
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    site.seconds(10);
    while site.on_bus[1].truth().speed < 0.5 {
        site.tick();
    }
    site.on_bus[1].protective_stop = true;
    site.seconds(60);
    site.on_bus[1].protective_stop = false;
    site.seconds(10);
    let report = site.fleet.report("hall.json", true);
    assert!(report.vehicles[4].why[0].contains("protective_stop"), "{:?}", report.vehicles[4]);
    site.on_bus[1].reset();
    site.until_done(20, 900);
    site.seconds(5);
    site.assert_in_order();
}

/// A site of one vehicle with one order, which is stopped for a while again and again on its way, each time a little
/// later, and does its order all the same.
fn stopped_all_along(
    mut site: Site,
    place: fn(&Site) -> [f64; 2],
    stop_for_a_while: impl Fn(&mut Site),
) -> Site {
    site.seconds(3);
    site.order();
    for stops in 1..60 {
        let from = place(&site);
        let way = 0.3 * f64::from(stops);
        for _ in 0..2_000 {
            site.tick();
            let [x, y] = place(&site);
            if (x - from[0]).hypot(y - from[1]) > way {
                break;
            }
        }
        stop_for_a_while(&mut site);
    }
    site.until_done(1, 300);
    site.seconds(5);
    site.assert_in_order();
    site
}

fn stopped_all_along_on_the_bus(stop: fn(&mut OnBus, bool)) {
    let place = |site: &Site| [site.on_bus[0].truth().x, site.on_bus[0].truth().y];
    stopped_all_along(Site::with_mixed(0, 1), place, |site| {
        stop(&mut site.on_bus[0], true);
        site.seconds(20);
        stop(&mut site.on_bus[0], false);
        site.seconds(2);
        site.on_bus[0].reset();
    });
}

#[test]
fn a_vehicle_that_was_stopped_on_the_way_to_its_task_does_it_after_its_reset() {
    stopped_all_along_on_the_bus(|vehicle, stopped| vehicle.protective_stop = stopped);
}

#[test]
fn a_vehicle_whose_link_was_lost_on_the_way_to_its_task_does_it_after_its_reset() {
    stopped_all_along_on_the_bus(|vehicle, lost| vehicle.link_lost = lost);
}

/// Many orders, and now and then a vehicle that is stopped for a while wherever it just is.
fn stopped_anywhere(
    mut site: Site,
    vehicles: usize,
    moves: fn(&Site, usize) -> bool,
    stop: fn(&mut Site, usize, bool),
) -> Site {
    site.seconds(3);
    (0..40).for_each(|_| site.order());
    for at in (0..60).map(|stop| stop % vehicles) {
        site.seconds(3);
        // On its way; what is stopped while it handles a load needs a person to look at it.
        if moves(&site, at) {
            stop(&mut site, at, true);
            site.seconds(15);
            stop(&mut site, at, false);
        }
    }
    site
}

#[test]
fn vehicles_on_the_bus_that_are_stopped_anywhere_are_not_driven_into_and_do_their_orders() {
    let stop = |site: &mut Site, at: usize, stopped| {
        site.on_bus[at].protective_stop = stopped;
        if !stopped {
            site.seconds(1);
            site.on_bus[at].reset();
        }
    };
    let moves = |site: &Site, at: usize| site.on_bus[at].truth().speed >= 0.2;
    let mut site = stopped_anywhere(Site::with_mixed(2, 4), 4, moves, stop);
    site.until_done(40, 1200);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn vehicles_on_the_air_that_are_stopped_anywhere_are_not_driven_into_and_do_their_orders() {
    use hal_vda5050::EmergencyStop;
    let stop = |site: &mut Site, at: usize, stopped| {
        let by = if stopped { EmergencyStop::Manual } else { EmergencyStop::None };
        site.vehicles[at].happen(Happening::EmergencyStop(by));
    };
    let moves = |site: &Site, at: usize| site.vehicles[at].truth().speed >= 0.2;
    let mut site = stopped_anywhere(Site::with_vehicles(6), 6, moves, stop);
    site.until_done(40, 1200);
    site.seconds(5);
    site.assert_in_order();
}

/// Over a radio that loses what it loses.
fn stopped_all_along_on_the_air(version: Version, loss_percent: u64) {
    use hal_vda5050::EmergencyStop;
    let site = Site::with_vehicles_of(1, |_| version).over_a_radio(Duration::from_millis(20), loss_percent);
    let place = |site: &Site| [site.vehicles[0].truth().x, site.vehicles[0].truth().y];
    let site = stopped_all_along(site, place, |site| {
        // What is stopped while it handles a load needs a person to look at it.
        if site.vehicles[0].truth().speed >= 0.2 {
            site.vehicles[0].happen(Happening::EmergencyStop(EmergencyStop::Manual));
            site.seconds(20);
            site.vehicles[0].happen(Happening::EmergencyStop(EmergencyStop::None));
            site.seconds(2);
        }
    });
    assert_eq!(site.fleet.report("hall.json", true).refused, std::collections::BTreeMap::new());
}

#[test]
fn a_vehicle_on_the_air_that_was_stopped_on_the_way_to_its_task_does_it_afterwards() {
    for (version, loss_percent) in [(Version::V2, 0), (Version::V3, 0), (Version::V2, 10), (Version::V3, 10)]
    {
        stopped_all_along_on_the_air(version, loss_percent);
    }
}

#[test]
fn what_an_order_waits_for_a_vehicle_and_what_its_echo_takes_are_told_apart() {
    let mut site = Site::with_vehicles(1).over_a_radio(Duration::from_millis(20), 0);
    site.seconds(3);
    (0..2).for_each(|_| site.order());
    site.until_done(2, 300);
    let report = site.fleet.report("hall.json", true);
    assert_eq!((report.dispatch.samples, report.assignment_wait.samples, report.echo.samples), (2, 2, 2));
    assert!(report.assignment_wait.max_us > 5e6, "one had to wait for the other: {report:#?}");
    assert!(report.echo.max_us < 3e6, "{:?}", report.echo);
    assert!(report.dispatch.max_us >= report.assignment_wait.max_us);
}
