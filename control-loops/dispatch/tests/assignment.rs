//! Who gets which order, and that nobody waits for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use control_loops_dispatch::{
    Class, Event, FleetController, Motion, Node, Order, OrderId, OrderState, Reason, Setup, Vehicle,
};
use support::{Site, hall, setup, vehicles};

fn owner(site: &Site, order: u64) -> Option<u16> {
    site.fleet.order(OrderId(order)).unwrap().vehicle().map(|vehicle| vehicle.0)
}

#[test]
fn the_sum_of_ways_counts_and_not_who_comes_first() {
    // Vehicle 0 is nearest to both; greedily it would take order 1, and vehicle 1 would cross the hall.
    let mut site = Site::in_hall(12, 3, &[4, 11], setup(Motion::Pebble));
    site.transport(1, 6, 30);
    site.transport(2, 0, 30);
    site.step();
    assert_eq!((owner(&site, 1), owner(&site, 2)), (Some(1), Some(0)));
}

#[test]
fn an_order_changes_hands_before_the_pick_if_another_vehicle_is_clearly_nearer() {
    let mut site = Site::in_hall(12, 3, &[0, 35], setup(Motion::Pebble));
    site.real[1].battery = 100;
    site.transport(1, 11, 24);
    site.steps(2);
    assert_eq!(owner(&site, 1), Some(0), "the other one has to charge");
    site.real[1].battery = 900;
    // An order that waits makes the controller look again.
    site.transport(2, 24, 25);
    site.steps(2);
    assert_eq!((owner(&site, 1), owner(&site, 2)), (Some(1), Some(0)));
    let change = Event::Returned { order: OrderId(1), vehicle: Vehicle(0), reason: Reason::Better };
    assert!(site.events.contains(&change));
}

/// A loaded vehicle is nearly there, and another one that is free is far away.
fn loaded_nearby_and_free_far_away() -> Site {
    let mut site = Site::in_hall(20, 3, &[0, 59], setup(Motion::Pebble));
    site.transport(1, 0, 5);
    site.until(40, |site| site.picked.contains_key(&OrderId(1)));
    site.transport(2, 6, 7);
    site.step();
    site
}

#[test]
fn an_order_does_not_wait_for_a_loaded_vehicle_while_another_one_is_free() {
    let site = loaded_nearby_and_free_far_away();
    assert_eq!(owner(&site, 2), Some(1));
}

#[test]
fn the_better_vehicle_takes_the_order_over_once_its_load_is_down() {
    let mut site = loaded_nearby_and_free_far_away();
    site.until(40, |site| site.is_over(1));
    site.step();
    assert_eq!(owner(&site, 2), Some(0), "it stands beside the load");
    site.until(60, |site| site.is_over(2));
    let given = |event: &&Event| matches!(event, Event::Assigned { order: OrderId(2), .. });
    assert_eq!(site.events.iter().filter(given).count(), 2);
}

#[test]
fn of_two_orders_at_one_place_the_one_of_higher_priority_is_first() {
    let mut site = Site::in_hall(6, 3, &[0], setup(Motion::Pebble));
    site.step();
    site.transport(1, 8, 3);
    let hurried = Order { priority: 3, ..Order::transport(OrderId(2), Node(8), Node(3)) };
    site.fleet.submit(site.now, hurried).unwrap();
    site.step();
    assert_eq!((owner(&site, 1), owner(&site, 2)), (None, Some(0)));
}

#[test]
fn of_two_orders_the_one_whose_deadline_is_near_is_first() {
    let mut site = Site::in_hall(6, 3, &[0], setup(Motion::Pebble));
    site.step();
    site.transport(1, 8, 3);
    let deadline = Some(site.now + Duration::from_secs(60));
    let hurried = Order { deadline, ..Order::transport(OrderId(2), Node(8), Node(3)) };
    site.fleet.submit(site.now, hurried).unwrap();
    site.step();
    assert_eq!((owner(&site, 1), owner(&site, 2)), (None, Some(0)));
}

#[test]
fn only_vehicles_of_the_class_that_carry_the_load_get_an_order() {
    let mut fixed = vehicles(&[0, 1, 17]);
    fixed[0].class = Class(1);
    fixed[1].capacity_kg = 10;
    let fleet = FleetController::new(hall(6, 3), &fixed, &[], &[], setup(Motion::Pebble)).unwrap();
    let mut site = Site::new(fleet, 1);
    let order =
        Order { class: Some(Class(0)), load_kg: 500, ..Order::transport(OrderId(1), Node(2), Node(4)) };
    site.fleet.submit(site.now, order).unwrap();
    site.step();
    assert_eq!(owner(&site, 1), Some(2));
}

#[test]
fn once_an_order_is_overdue_no_younger_one_is_given_to_anybody_before_it() {
    let overdue_after = Duration::from_secs(60);
    let fair = Setup { overdue_after, orders_max: 32, ..setup(Motion::Pebble) };
    let mut site = Site::in_hall(12, 4, &[0, 13, 24], fair);
    site.step();
    // Far away and of no priority, while there is always something urgent nearby.
    site.transport(1, 47, 46);
    let accepted = site.now;
    let (mut next, mut waited) = (2, Duration::ZERO);
    while site.fleet.order(OrderId(1)) == Some(OrderState::Waiting) {
        let seen = site.events.len();
        while site.fleet.orders().count() < 30 {
            let pick = Node(next as u32 % 3);
            let order =
                Order { priority: 255, ..Order::transport(OrderId(next), pick, Node(12 + next as u32 % 3)) };
            site.fleet.submit(site.now, order).unwrap();
            next += 1;
        }
        site.step();
        waited = site.now.since(accepted);
        let overdue = waited > overdue_after + site.period;
        let younger = |event: &Event| matches!(event, Event::Assigned { order, .. } if order.0 > 1);
        let passed_over = site.events[seen..].iter().any(younger);
        let still = site.fleet.order(OrderId(1)) == Some(OrderState::Waiting);
        assert!(!(overdue && passed_over && still), "a younger order went first after {waited:?}");
        // The longest errand of a vehicle in this hall, once the order is overdue.
        assert!(waited < overdue_after + Duration::from_secs(60), "it waits for {waited:?}");
    }
    assert!(waited > overdue_after, "it would not have been urgent without its age");
}
