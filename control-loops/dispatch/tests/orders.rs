//! Transport orders from the book to the drop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_dispatch::{
    CancelError, Cancelled, Class, Duty, Event, Motion, Node, Order, OrderError, OrderId, OrderState,
    Outcome, Setup, Vehicle,
};
use hal_units::Instant;
use std::time::Duration;
use support::{Site, setup};

const MOTIONS: [Motion; 2] = [Motion::Pebble, Motion::Turning];

#[test]
fn an_order_is_picked_up_and_put_down_once() {
    for motion in MOTIONS {
        let mut site = Site::in_hall(6, 5, &[0, 29], setup(motion));
        site.transport(7, 8, 27);
        site.until(200, |site| site.is_over(7));
        assert_eq!(site.fleet.order(OrderId(7)), Some(OrderState::Over(Outcome::Done)));
        assert_eq!((site.picked[&OrderId(7)], site.dropped[&OrderId(7)]), (1, 1), "{motion:?}");
    }
}

#[test]
fn an_order_passes_through_its_states() {
    let mut site = Site::in_hall(6, 5, &[0], setup(Motion::Pebble));
    site.transport(1, 3, 9);
    let mut seen = vec![];
    for _ in 0..80 {
        let state = site.fleet.order(OrderId(1)).unwrap();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        site.step();
    }
    let by = Vehicle(0);
    let expected = [
        OrderState::Waiting,
        OrderState::ToPick(by),
        OrderState::AtPick(by),
        OrderState::ToDrop(by),
        OrderState::AtDrop(by),
        OrderState::Over(Outcome::Done),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn many_orders_on_a_full_hall_are_all_done() {
    for motion in MOTIONS {
        let starts: Vec<u32> = (0..10).map(|each| each * 3).collect();
        let mut site = Site::in_hall(6, 5, &starts, setup(motion));
        for order in 0..40_u32 {
            site.transport(u64::from(order), order * 7 % 30, (order * 11 + 13) % 30);
        }
        site.until(6_000, |site| site.over.len() == 40);
        assert!(site.over.values().all(|outcome| *outcome == Outcome::Done), "{motion:?}");
        assert_eq!(site.dropped.len(), 40);
    }
}

#[test]
fn an_order_for_one_node_only_is_done_there() {
    let mut site = Site::in_hall(6, 5, &[0], setup(Motion::Pebble));
    site.fleet.submit(site.now, Order::visit(OrderId(3), Node(14))).unwrap();
    site.until(100, |site| site.is_over(3));
    assert_eq!(site.real[0].node, Node(14));
}

#[test]
fn the_nearer_vehicle_gets_the_order() {
    let mut site = Site::in_hall(6, 5, &[0, 28], setup(Motion::Pebble));
    site.transport(1, 23, 0);
    site.step();
    assert_eq!(site.fleet.order(OrderId(1)).unwrap().vehicle(), Some(Vehicle(1)));
}

#[test]
fn what_is_wrong_with_an_order_is_named_and_changes_nothing() {
    let mut site = Site::in_hall(4, 3, &[0], Setup { orders_max: 2, ..setup(Motion::Pebble) });
    site.step();
    let good = Order::transport(OrderId(1), Node(1), Node(2));
    let now = site.now;
    let fleet = &mut site.fleet;
    let cases = [
        (Order { pick: Some(Node(12)), ..good }, OrderError::UnknownNode(Node(12))),
        (Order { drop: Node(99), ..good }, OrderError::UnknownNode(Node(99))),
        (Order { deadline: Some(Instant::ZERO), ..good }, OrderError::PastDeadline),
        (Order { class: Some(Class(9)), ..good }, OrderError::NoVehicle),
        (Order { load_kg: 5_000, ..good }, OrderError::NoVehicle),
    ];
    for (order, error) in cases {
        assert_eq!(fleet.submit(now, order), Err(error));
        assert_eq!(fleet.orders().count(), 0);
    }
    for (from, to) in [(6, 2), (1, 2), (3, 2)] {
        fleet.set_closed(Node(from), Node(to), true).unwrap();
    }
    assert_eq!(fleet.submit(now, good), Err(OrderError::Unreachable(Node(2))));
    let there = Order { pick: Some(Node(2)), drop: Node(1), ..good };
    assert_eq!(fleet.submit(now, there), Err(OrderError::Unreachable(Node(2))));
    let other = Order { drop: Node(5), ..good };
    fleet.submit(now, other).unwrap();
    assert_eq!(fleet.submit(now, other), Err(OrderError::Duplicate));
    fleet.submit(now, Order { id: OrderId(2), ..other }).unwrap();
    assert_eq!(fleet.submit(now, Order { id: OrderId(3), ..other }), Err(OrderError::Full));
}

#[test]
fn the_name_of_an_order_that_is_over_is_not_taken_again() {
    let mut site = Site::in_hall(4, 3, &[0], setup(Motion::Pebble));
    site.transport(1, 1, 2);
    site.until(100, |site| site.is_over(1));
    assert_eq!(
        site.fleet.submit(site.now, Order::transport(OrderId(1), Node(1), Node(2))),
        Err(OrderError::Duplicate)
    );
}

#[test]
fn before_the_pick_an_order_is_cancelled_at_once() {
    let mut site = Site::in_hall(8, 5, &[0], setup(Motion::Pebble));
    site.transport(1, 39, 0);
    assert_eq!(site.fleet.cancel(OrderId(9), None), Err(CancelError::Unknown));
    site.steps(4);
    assert_eq!(site.fleet.cancel(OrderId(1), None), Ok(Cancelled::AtOnce));
    site.steps(60);
    assert_eq!(site.over[&OrderId(1)], Outcome::Cancelled);
    assert!(site.picked.is_empty());
}

#[test]
fn after_the_pick_the_load_of_a_cancelled_order_goes_where_it_is_told() {
    let mut site = Site::in_hall(8, 5, &[0], setup(Motion::Pebble));
    site.transport(1, 4, 39);
    site.until(100, |site| !site.picked.is_empty());
    site.step();
    assert_eq!(site.fleet.cancel(OrderId(1), Some(Node(99))), Err(CancelError::NoWay(Node(99))));
    assert_eq!(site.fleet.cancel(OrderId(1), Some(Node(7))), Ok(Cancelled::LoadGoesTo(Node(7))));
    site.until(100, |site| site.is_over(1));
    assert_eq!(site.over[&OrderId(1)], Outcome::Cancelled);
    assert_eq!((site.real[0].node, site.dropped[&OrderId(1)]), (Node(7), 1));
}

#[test]
fn a_deadline_that_passes_is_told_and_the_order_done() {
    let mut site = Site::in_hall(8, 5, &[0], setup(Motion::Pebble));
    site.step();
    let deadline = Some(site.now + Duration::from_secs(2));
    let order = Order { deadline, ..Order::transport(OrderId(1), Node(30), Node(7)) };
    site.fleet.submit(site.now, order).unwrap();
    site.until(200, |site| site.is_over(1));
    assert_eq!(site.events.iter().filter(|event| matches!(event, Event::Late { .. })).count(), 1);
    assert_eq!(site.over[&OrderId(1)], Outcome::Done);
}

#[test]
fn an_idle_vehicle_makes_way_for_one_with_an_order() {
    let mut site = Site::in_hall(3, 2, &[0, 2, 4], setup(Motion::Pebble));
    site.transport(1, 4, 2);
    site.transport(2, 2, 4);
    site.transport(3, 0, 5);
    site.until(300, |site| site.over.len() == 3);
}

#[test]
fn an_order_appears_in_the_horizon_before_the_plan_has_gone_on() {
    let mut site = Site::in_hall(8, 5, &[0], setup(Motion::Pebble));
    site.transport(1, 39, 0);
    site.fleet.step(site.now);
    let task = site.fleet.grant(Vehicle(0)).unwrap().task.unwrap();
    assert_eq!((task.node, task.order), (Node(39), Some(OrderId(1))));
    assert_eq!(site.fleet.horizon(Vehicle(0)).count(), 8);
    assert!(matches!(site.fleet.duty(Vehicle(0)), Some(Duty::ToPick(_))));
}
