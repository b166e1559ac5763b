//! Batteries, chargers and parking places.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_dispatch::{
    Degradation, Duty, Event, FleetController, Motion, Node, OrderId, SetupError, Vehicle,
};
use support::{Site, hall, setup, vehicles};

fn site(starts: &[u32], chargers: &[u32], parking: &[u32]) -> Site {
    Site::with_places(8, 5, starts, chargers, parking, setup(Motion::Pebble))
}

fn duty(site: &Site, vehicle: u16) -> Duty {
    site.fleet.duty(Vehicle(vehicle)).unwrap()
}

#[test]
fn a_vehicle_with_a_low_battery_gets_no_order_and_charges_until_it_is_full() {
    let mut site = site(&[0, 39], &[32], &[]);
    site.real[0].battery = 200;
    site.transport(1, 1, 20);
    site.until(100, |site| matches!(duty(site, 0), Duty::Charging(0)));
    assert_eq!(site.real[0].node, Node(32));
    site.until(200, |site| site.is_over(1));
    assert_eq!(site.real[1].node, Node(20), "the other one did it");
    site.until(300, |site| duty(site, 0) == Duty::Idle);
    assert!(site.real[0].battery >= 900);
}

#[test]
fn charging_is_interrupted_for_an_order_once_there_is_enough() {
    let mut site = site(&[0], &[32], &[]);
    site.real[0].battery = 240;
    site.until(100, |site| matches!(duty(site, 0), Duty::Charging(_)));
    site.transport(1, 1, 20);
    site.steps(5);
    assert!(matches!(duty(&site, 0), Duty::Charging(_)), "not enough yet");
    site.until(200, |site| site.is_over(1));
    assert!(site.real[0].battery < 600, "it did not wait until it was full");
}

#[test]
fn of_two_that_need_the_only_charger_one_waits_and_shows_as_degraded() {
    let mut site = site(&[0, 39], &[32], &[]);
    site.real[0].battery = 200;
    site.real[1].battery = 200;
    site.steps(3);
    let without = Event::Degraded { vehicle: Vehicle(1), what: Degradation::NoCharger };
    assert!(site.events.contains(&without), "{:?}", site.events);
    site.until(600, |site| matches!(duty(site, 1), Duty::Charging(_)));
    let found = Event::Recovered { vehicle: Vehicle(1), what: Degradation::NoCharger };
    assert!(site.events.contains(&found));
}

#[test]
fn a_critical_battery_before_the_pick_gives_the_order_to_another_one() {
    let mut site = site(&[0, 39], &[32], &[]);
    site.transport(1, 4, 20);
    site.steps(2);
    assert_eq!(site.fleet.order(OrderId(1)).unwrap().vehicle(), Some(Vehicle(0)));
    site.real[0].battery = 50;
    site.steps(2);
    assert_eq!(site.fleet.order(OrderId(1)).unwrap().vehicle(), Some(Vehicle(1)));
    let critical = Event::Degraded { vehicle: Vehicle(0), what: Degradation::BatteryCritical };
    assert!(site.events.contains(&critical));
}

#[test]
fn a_critical_battery_with_a_load_shows_and_the_load_is_put_down_all_the_same() {
    let mut site = site(&[0], &[32], &[]);
    site.transport(1, 2, 20);
    site.until(60, |site| !site.picked.is_empty());
    site.real[0].battery = 50;
    site.until(100, |site| site.is_over(1));
    site.until(100, |site| matches!(duty(site, 0), Duty::Charging(_)));
}

#[test]
fn idle_vehicles_go_to_parking_places_of_their_own() {
    let mut site = site(&[0, 1, 2], &[], &[37, 38, 39]);
    site.until(100, |site| (0..3).all(|vehicle| matches!(duty(site, vehicle), Duty::Parked(_))));
    let mut nodes: Vec<_> = site.real.iter().map(|real| real.node.0).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [37, 38, 39]);
}

#[test]
fn a_parked_vehicle_makes_way_and_comes_back() {
    // The parking place lies in the only way.
    let mut site = Site::with_places(3, 3, &[4, 0], &[], &[4], setup(Motion::Pebble));
    site.fleet.set_node_closed(Node(1), true).unwrap();
    site.fleet.set_node_closed(Node(3), true).unwrap();
    site.fleet.set_node_closed(Node(1), false).unwrap();
    site.transport(1, 7, 0);
    site.until(200, |site| site.is_over(1));
    site.until(100, |site| (0..2).any(|vehicle| matches!(duty(site, vehicle), Duty::Parked(_))));
}

#[test]
fn places_off_the_layout_or_doubled_are_refused() {
    let build = |chargers: &[u32], parking: &[u32]| {
        let nodes = |list: &[u32]| list.iter().copied().map(Node).collect::<Vec<_>>();
        let setup = setup(Motion::Pebble);
        FleetController::new(hall(4, 3), &vehicles(&[0]), &nodes(chargers), &nodes(parking), setup).err()
    };
    assert_eq!(build(&[12], &[]), Some(SetupError::Place(Node(12))));
    assert_eq!(build(&[1], &[1]), Some(SetupError::Place(Node(1))));
    assert_eq!(build(&[1], &[2]), None);
}
