//! Whatever happens: nothing collides, no order is done twice, and none is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use control_loops_dispatch::{
    Event, Heading, Mode, Motion, Node, Order, OrderId, OrderState, Outcome, Resolution, Setup, Standing,
    Vehicle,
};
use proptest::prelude::*;
use support::{Random, Site, setup};

const COLUMNS: u32 = 8;
const ROWS: u32 = 6;
const NODES: u32 = COLUMNS * ROWS;

/// What befalls the fleet, drawn at random in each step.
struct Trouble {
    random: Random,
    /// In thousand steps and vehicles.
    often: u32,
    orders: u64,
    closed: Vec<Node>,
    ways: Vec<(Node, Node)>,
}

impl Trouble {
    fn befall(&mut self, site: &mut Site) {
        if self.random.chance(150) {
            self.order(site);
        }
        if self.random.chance(20) && self.orders > 0 {
            let order = OrderId(1 + self.random.bits() % self.orders);
            let to = self.random.chance(500).then(|| Node(self.random.below(NODES)));
            let _ = site.fleet.cancel(order, to);
        }
        if self.random.chance(self.often) {
            self.close(site);
        }
        for vehicle in 0..site.real.len() {
            if self.random.chance(self.often) {
                self.meet(site, vehicle);
            }
            self.drive_by_hand(site, vehicle);
        }
        self.resolve(site, 30);
    }

    fn order(&mut self, site: &mut Site) {
        self.orders += 1;
        let (pick, drop) = (Node(self.random.below(NODES)), Node(self.random.below(NODES)));
        let deadline = self.random.chance(300).then(|| site.now + Duration::from_secs(60));
        let mut order = Order::transport(OrderId(self.orders), pick, drop);
        if self.random.chance(200) {
            order = Order::visit(OrderId(self.orders), drop);
        }
        let order = Order { deadline, priority: self.random.below(4) as u8, ..order };
        if site.fleet.submit(site.now, order).is_err() {
            self.orders -= 1;
        }
    }

    fn close(&mut self, site: &mut Site) {
        if self.closed.len() + self.ways.len() > 6 {
            self.open(site);
        } else if self.random.chance(500) {
            let node = Node(self.random.below(NODES));
            site.fleet.set_node_closed(node, true).unwrap();
            self.closed.push(node);
        } else {
            let from = self.random.below(NODES - 1);
            if site.fleet.set_closed(Node(from), Node(from + 1), true).is_ok() {
                self.ways.push((Node(from), Node(from + 1)));
            }
        }
    }

    fn open(&mut self, site: &mut Site) {
        for node in self.closed.drain(..) {
            site.fleet.set_node_closed(node, false).unwrap();
        }
        for (from, to) in self.ways.drain(..) {
            site.fleet.set_closed(from, to, false).unwrap();
        }
    }

    /// Something happens to one vehicle, or is over.
    fn meet(&mut self, site: &mut Site, vehicle: usize) {
        let id = Vehicle(vehicle as u16);
        let standing = site.fleet.standing(id).unwrap();
        match self.random.below(6) {
            0 => site.real[vehicle].mute = !site.real[vehicle].mute,
            1 => site.real[vehicle].stopped = !site.real[vehicle].stopped,
            2 if site.real[vehicle].mode == Mode::Automatic => site.real[vehicle].mode = Mode::Failed,
            3 if site.real[vehicle].mode == Mode::Automatic && !site.real[vehicle].mute => {
                site.real[vehicle].mode = Mode::Manual;
            }
            4 if site.real[vehicle].mode == Mode::Failed && site.real[vehicle].there => site.give_up(vehicle),
            5 if standing == Standing::Absent => self.join(site, vehicle),
            5 if site.fleet.leave(id).is_ok() => site.take_away(vehicle),
            _ => site.real[vehicle].mode = Mode::Automatic,
        }
    }

    fn join(&mut self, site: &mut Site, vehicle: usize) {
        let node = Node(self.random.below(NODES));
        if is_free(site, node) {
            site.fleet.join(Vehicle(vehicle as u16), node, Heading::East).unwrap();
            site.real[vehicle].node = node;
            site.real[vehicle].there = true;
        }
    }

    /// A person gives up the course first, then drives to the next node that nobody has or is granted.
    fn drive_by_hand(&mut self, site: &mut Site, vehicle: usize) {
        let real = &site.real[vehicle];
        if !real.there || real.mode != Mode::Manual || real.mute || !self.random.chance(300) {
            return;
        }
        let here = real.node;
        let granted = site.fleet.base(Vehicle(vehicle as u16)).count() > 1;
        let on_way = site.fleet.traffic().release().is_there(Vehicle(vehicle as u16));
        if on_way && granted || real.toward.is_some() {
            site.give_up(vehicle);
            return;
        }
        let next: Vec<Node> = site.fleet.graph().neighbours(here).collect();
        let node = next[self.random.below(next.len() as u32) as usize];
        if is_free(site, node) {
            site.real[vehicle].node = node;
            site.real[vehicle].task = None;
        }
    }

    fn resolve(&mut self, site: &mut Site, often: u32) {
        let held: Vec<_> = site
            .fleet
            .orders()
            .filter_map(|(order, state)| match state {
                OrderState::Held(vehicle) => Some((order, vehicle)),
                _ => None,
            })
            .collect();
        for (order, vehicle) in held {
            let real = &site.real[usize::from(vehicle.0)];
            let clear = real.toward.is_none() && site.fleet.base(vehicle).count() == 1;
            if self.random.chance(often) && clear && real.mode != Mode::Automatic {
                // A person takes the load off.
                site.give_up(usize::from(vehicle.0));
                site.real[usize::from(vehicle.0)].load = None;
                site.fleet.resolve(order, Resolution::Failed).unwrap();
            }
        }
    }
}

/// Nobody is there or is granted to come.
fn is_free(site: &Site, node: Node) -> bool {
    (0..site.real.len()).all(|other| {
        let real = &site.real[other];
        let standing = site.fleet.standing(Vehicle(other as u16));
        let enters = matches!(standing, Some(Standing::Entering(at, _)) if at == node);
        let on_way = site.fleet.traffic().release().is_there(Vehicle(other as u16));
        let base = on_way && site.fleet.base(Vehicle(other as u16)).any(|waypoint| waypoint.node == node);
        !enters && !base && (!real.there || (real.node != node && real.toward != Some(node)))
    })
}

/// Everybody is well again, and all ways are open.
fn mend(site: &mut Site, trouble: &mut Trouble) {
    trouble.open(site);
    for vehicle in 0..site.real.len() {
        let real = &mut site.real[vehicle];
        (real.mode, real.mute, real.stopped) = (Mode::Automatic, false, false);
    }
    site.pace.late = 0;
}

fn run(seed: u64, motion: Motion, vehicles: u32, often: u32, late: u32, steps: u32) -> Site {
    let starts: Vec<u32> = (0..vehicles).map(|each| each * NODES / vehicles).collect();
    let setup = Setup { orders_max: 40, overdue_after: Duration::from_secs(120), ..setup(motion) };
    let mut site = Site::with_places(COLUMNS, ROWS, &starts, &[0], &[7, 40, 47], setup);
    site.random = Random(seed);
    site.pace.late = late;
    let mut trouble =
        Trouble { random: Random(!seed), often, orders: 0, closed: Vec::new(), ways: Vec::new() };
    for _ in 0..steps {
        trouble.befall(&mut site);
        site.step();
    }
    mend(&mut site, &mut trouble);
    for _ in 0..6_000 {
        if site.fleet.orders().count() == 0 {
            break;
        }
        if site.fleet.standing(Vehicle(0)) == Some(Standing::Absent) {
            trouble.join(&mut site, 0);
        }
        site.step();
        let held: Vec<_> = site.fleet.orders().collect();
        for (order, state) in held {
            let OrderState::Held(vehicle) = state else { continue };
            if site.fleet.standing(vehicle) == Some(Standing::Driving) {
                site.real[usize::from(vehicle.0)].load = None;
                site.fleet.resolve(order, Resolution::Failed).unwrap();
            }
        }
    }
    site.step();
    let left: Vec<_> = site.fleet.orders().collect();
    let why: Vec<_> = (0..site.fleet.vehicles()).map(|each| site.fleet.explain(Vehicle(each))).collect();
    assert!(left.is_empty(), "orders are never done: {} {why:?}", left.len());
    assert_eq!(site.over.len() as u64, trouble.orders, "an order is lost");
    for (order, outcome) in &site.over {
        if *outcome == Outcome::Done {
            assert_eq!(site.dropped.get(order), Some(&1), "{order:?} is said to be done");
        }
    }
    site
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_befalls_vehicles_and_ways_no_order_is_lost_or_doubled_and_nothing_collides(
        seed in any::<u64>(),
        turning in any::<bool>(),
        vehicles in 1_u32..24,
        often in 0_u32..12,
        late in 0_u32..700,
    ) {
        let motion = if turning { Motion::Turning } else { Motion::Pebble };
        run(seed, motion, vehicles, often, late, 400);
    }
}

#[test]
fn orders_are_done_while_vehicles_come_and_go() {
    let site = run(5, Motion::Turning, 12, 4, 200, 3_000);
    let done = site.over.values().filter(|outcome| **outcome == Outcome::Done).count();
    assert!(done > 50, "{done} orders");
    let seen = |what: fn(&Event) -> bool| site.events.iter().any(what);
    assert!(seen(|event| matches!(event, Event::Returned { .. })));
    assert!(seen(|event| matches!(event, Event::Held { .. })));
    assert!(seen(|event| matches!(event, Event::Blocked { .. })));
    assert!(seen(|event| matches!(event, Event::Joined { .. })));
}
