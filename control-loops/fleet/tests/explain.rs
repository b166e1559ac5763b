//! Why a vehicle waits, and what closed ways do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_fleet::{Cause, CloseError, Closed, Motion, Node, Setup, Vehicle};
use support::{Fleet, Hall};

fn fleet(hall: &Hall, starts: &[Node]) -> Fleet {
    Fleet::on(hall, starts, Setup { guard_age: 1_000, ..Setup::usual(Motion::Pebble) })
}

fn chain(fleet: &Fleet, vehicle: u16) -> Vec<(u16, Cause)> {
    fleet.planner.explain(Vehicle(vehicle)).map(|(vehicle, cause)| (vehicle.0, cause)).collect()
}

#[test]
fn a_vehicle_that_gets_on_an_idle_one_and_one_at_its_goal_do_not_wait() {
    let hall = Hall::drawn(&["....", "...."]);
    let mut fleet = fleet(&hall, &[hall.at(0, 0), hall.at(0, 1), hall.at(3, 1)]);
    fleet.send(0, hall.at(3, 0));
    fleet.send(2, hall.at(3, 1));
    fleet.planner.plan();
    assert_eq!(chain(&fleet, 0), [(0, Cause::Moves { to: hall.at(1, 0) })]);
    assert_eq!(chain(&fleet, 1), [(1, Cause::Idle)]);
    assert_eq!(chain(&fleet, 2), [(2, Cause::Arrived)]);
    assert_eq!(chain(&fleet, 9), []);
}

#[test]
fn a_vehicle_before_a_dead_end_waits_for_the_one_that_is_in_it() {
    let hall = Hall::drawn(&["...##", ".....", "...##"]);
    let mut fleet = fleet(&hall, &[hall.at(4, 1), hall.at(1, 1)]);
    fleet.send(0, hall.at(4, 1));
    fleet.send(1, hall.at(3, 1));
    for _ in 0..5 {
        fleet.step();
    }
    fleet.planner.plan();
    let expected = [(1, Cause::DeadEnd { owner: Some(Vehicle(0)) }), (0, Cause::Arrived)];
    assert_eq!(chain(&fleet, 1), expected);
}

#[test]
fn closed_ways_are_driven_round_and_opened_again() {
    let hall = Hall::drawn(&["...", "...", "..."]);
    let mut fleet = fleet(&hall, &[hall.at(0, 0)]);
    fleet.send(0, hall.at(2, 0));
    assert_eq!(fleet.planner.set_closed(hall.at(0, 0), hall.at(1, 0), true), Ok(Closed { cut_off: 0 }));
    assert_eq!(fleet.steps_until_arrival(0, 10), Some(4));
    fleet.planner.set_closed(hall.at(0, 0), hall.at(1, 0), false).unwrap();
    fleet.send(0, hall.at(0, 0));
    assert_eq!(fleet.steps_until_arrival(0, 10), Some(2));
    fleet.send(0, hall.at(2, 0));
    assert_eq!(fleet.steps_until_arrival(0, 10), Some(2));
}

#[test]
fn a_goal_behind_closed_ways_keeps_only_its_own_vehicle_waiting() {
    let hall = Hall::drawn(&["...", "...", "..."]);
    let mut fleet = Fleet::on(
        &hall,
        &[hall.at(0, 0), hall.at(0, 2)],
        Setup { guard_age: 0, ..Setup::usual(Motion::Turning) },
    );
    fleet.send(0, hall.at(2, 2));
    fleet.send(1, hall.at(2, 1));
    fleet.planner.set_closed(hall.at(1, 2), hall.at(2, 2), true).unwrap();
    assert_eq!(fleet.planner.set_closed(hall.at(2, 1), hall.at(2, 2), true), Ok(Closed { cut_off: 1 }));
    assert!(fleet.steps_until_arrival(1, 30).is_some());
    fleet.planner.plan();
    assert_eq!(fleet.planner.cause(Vehicle(0)), Cause::Unreachable);
    assert_eq!(fleet.planner.set_closed(hall.at(0, 0), hall.at(2, 2), true), Err(CloseError::NoArc));
    assert_eq!(fleet.planner.set_closed(Node(99), Node(0), true), Err(CloseError::NoArc));
}

#[test]
fn what_many_vehicles_close_at_once_makes_each_other_one_look_for_its_way_once() {
    let hall = Hall::drawn(&[".....", ".....", ".....", ".....", "....."]);
    let mut fleet = fleet(&hall, &[hall.at(0, 0), hall.at(2, 0), hall.at(4, 4)]);
    fleet.send(0, hall.at(0, 4));
    fleet.send(1, hall.at(2, 4));
    let row = || (0..4).map(|column| hall.at(column, 2));
    row().for_each(|node| fleet.planner.set_node_barred(node, true).unwrap());
    assert_eq!((fleet.planner.renew_fields(), fleet.planner.renew_fields()), (2, 0));
    assert_eq!(fleet.planner.steps_to_goal(Vehicle(0)), Some(12), "by the one open column");
    row().for_each(|node| fleet.planner.set_node_barred(node, false).unwrap());
    fleet.planner.plan();
    assert_eq!(fleet.planner.renew_fields(), 0, "a plan has done so");
    assert_eq!(fleet.planner.steps_to_goal(Vehicle(0)), Some(4));
}
