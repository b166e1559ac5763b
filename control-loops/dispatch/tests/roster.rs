//! Vehicles that fail, fall silent, are driven by hand, come and go; ways that are closed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_dispatch::{
    Degradation, Event, Heading, JoinError, Mode, Motion, Node, OrderId, OrderState, Outcome, Reason,
    ReportError, Resolution, Standing, TaskReport, TaskResult, Vehicle, VehicleReport, Why,
};
use support::{Site, setup};

fn site(starts: &[u32]) -> Site {
    Site::in_hall(8, 5, starts, setup(Motion::Pebble))
}

fn standing(site: &Site, vehicle: u16) -> Standing {
    site.fleet.standing(Vehicle(vehicle)).unwrap()
}

#[test]
fn a_vehicle_that_fails_before_the_pick_gives_its_order_back_and_others_drive_round_it() {
    let mut site = site(&[16, 39]);
    site.transport(1, 20, 31);
    site.steps(3);
    assert_eq!(site.fleet.order(OrderId(1)).unwrap().vehicle(), Some(Vehicle(0)));
    site.real[0].mode = Mode::Failed;
    site.until(200, |site| site.is_over(1));
    assert_eq!(site.dropped[&OrderId(1)], 1);
    let returned = Event::Returned { order: OrderId(1), vehicle: Vehicle(0), reason: Reason::Out };
    assert!(site.events.contains(&returned), "{:?}", site.events);
    assert_eq!(standing(&site, 0), Standing::Failed);
}

#[test]
fn a_vehicle_that_fails_with_a_load_holds_its_order_until_it_goes_on() {
    let mut site = site(&[0]);
    site.transport(1, 2, 39);
    site.until(100, |site| !site.picked.is_empty());
    site.steps(4);
    site.real[0].mode = Mode::Failed;
    site.steps(50);
    assert_eq!(site.fleet.order(OrderId(1)), Some(OrderState::Held(Vehicle(0))));
    site.real[0].mode = Mode::Automatic;
    site.until(200, |site| site.is_over(1));
    assert_eq!(site.over[&OrderId(1)], Outcome::Done);
}

#[test]
fn a_person_can_say_what_became_of_a_held_load() {
    let mut site = site(&[0]);
    site.transport(1, 2, 39);
    site.until(100, |site| !site.picked.is_empty());
    site.real[0].mode = Mode::Failed;
    site.steps(5);
    site.fleet.resolve(OrderId(1), Resolution::Failed).unwrap();
    site.step();
    assert!(matches!(site.over[&OrderId(1)], Outcome::Failed(_)));
}

#[test]
fn a_vehicle_in_the_middle_of_a_pick_that_forgets_it_is_for_a_person() {
    let mut site = site(&[0]);
    site.pace.task_steps = 20;
    site.transport(1, 2, 39);
    site.until(100, |site| site.real[0].task.is_some());
    site.real[0].mode = Mode::Failed;
    site.give_up(0);
    site.steps(3);
    site.real[0].mode = Mode::Automatic;
    site.steps(20);
    assert_eq!(site.fleet.order(OrderId(1)), Some(OrderState::Held(Vehicle(0))));
    assert_eq!(site.fleet.explain(Vehicle(0)).unwrap().why, Why::Held);
    site.real[0].load = Some(OrderId(1));
    site.fleet.resolve(OrderId(1), Resolution::GoOn).unwrap();
    site.until(200, |site| site.is_over(1));
}

#[test]
fn a_pick_that_was_given_up_before_it_began_is_done_later_and_needs_nobody() {
    let mut site = site(&[0]);
    site.pace.task_steps = 20;
    site.transport(1, 2, 39);
    site.until(100, |site| site.real[0].task.is_some());
    let number = site.real[0].task.unwrap().number;
    site.give_up(0);
    site.real[0].task = Some(TaskReport { number, result: TaskResult::Untouched });
    let report = site.report_of(0);
    site.fleet.report(Vehicle(0), &report).unwrap();
    site.real[0].task = None;
    site.until(300, |site| site.is_over(1));
    assert_eq!(site.fleet.order(OrderId(1)), Some(OrderState::Over(Outcome::Done)));
}

#[test]
fn a_silent_vehicle_keeps_its_way_and_goes_on_when_it_is_heard_again() {
    let mut site = site(&[0, 7]);
    site.transport(1, 20, 31);
    site.steps(6);
    let silent = site.fleet.order(OrderId(1)).unwrap().vehicle().unwrap().0;
    site.real[usize::from(silent)].mute = true;
    site.steps(20);
    assert_eq!(standing(&site, silent), Standing::Silent);
    let what = Degradation::Silent;
    assert!(site.events.contains(&Event::Degraded { vehicle: Vehicle(silent), what }));
    site.real[usize::from(silent)].mute = false;
    site.until(200, |site| site.is_over(1));
    assert!(site.events.contains(&Event::Recovered { vehicle: Vehicle(silent), what }));
}

#[test]
fn where_a_vehicle_is_driven_by_hand_nobody_else_gets() {
    let mut site = site(&[16, 39, 32]);
    site.real[0].mode = Mode::Manual;
    site.steps(3);
    for order in 0..12 {
        site.transport(order, (order as u32 * 13 + 1) % 40, (order as u32 * 7 + 5) % 40);
    }
    // Along the middle row and back, while the others work.
    for column in (0..8).chain((0..8).rev()) {
        let next = Node(16 + column);
        for _ in 0..60 {
            let free = |node: Node| {
                (1..3).all(|other| {
                    let base = site.fleet.base(Vehicle(other)).any(|waypoint| waypoint.node == node);
                    !base && site.real[usize::from(other)].node != node
                })
            };
            if free(next) {
                site.real[0].node = next;
            }
            site.step();
            let inside = (1..3).any(|other| {
                site.fleet.base(Vehicle(other)).skip(1).any(|waypoint| waypoint.node == site.real[0].node)
            });
            assert!(!inside, "the way leads over the node of the vehicle that is driven by hand");
            if site.real[0].node == next {
                break;
            }
        }
    }
    assert_eq!(standing(&site, 0), Standing::ByHand);
    site.real[0].mode = Mode::Automatic;
    site.until(2_000, |site| site.over.len() == 12);
    assert_eq!(standing(&site, 0), Standing::Driving);
}

#[test]
fn a_vehicle_joins_once_its_node_is_free_and_leaves_when_it_has_nothing_to_do() {
    let mut site = site(&[0, 1]);
    assert_eq!(site.fleet.leave(Vehicle(1)), Ok(()));
    site.real[1].there = false;
    assert_eq!(site.fleet.join(Vehicle(1), Node(40), Heading::East), Err(JoinError::UnknownNode));
    assert_eq!(site.fleet.join(Vehicle(0), Node(3), Heading::East), Err(JoinError::Present));
    assert_eq!(site.fleet.join(Vehicle(1), Node(0), Heading::East), Ok(()));
    site.steps(10);
    assert_eq!(standing(&site, 1), Standing::Entering(Node(0), Heading::East));
    let why: Vec<_> = site.fleet.why(Vehicle(1)).map(|(vehicle, why)| (vehicle.0, why)).collect();
    assert_eq!(why[0], (1, Why::Enters { node: Node(0), by: Some(Vehicle(0)) }));
    site.transport(1, 12, 20);
    while standing(&site, 1) != Standing::Driving {
        assert!(!site.is_over(1), "the node has been free for long");
        site.step();
    }
    site.real[1].there = true;
    site.real[1].node = Node(0);
    site.until(200, |site| site.is_over(1));
    assert_eq!(standing(&site, 1), Standing::Driving);
    assert_eq!(site.fleet.leave(Vehicle(2)), Err(JoinError::UnknownVehicle));
}

#[test]
fn a_vehicle_with_an_order_does_not_leave() {
    let mut site = site(&[0]);
    site.transport(1, 12, 20);
    site.steps(3);
    assert_eq!(site.fleet.leave(Vehicle(0)), Err(JoinError::Busy));
}

#[test]
fn a_load_that_leaves_with_its_vehicle_is_a_failed_order() {
    let mut site = site(&[0]);
    site.transport(1, 2, 39);
    site.until(100, |site| !site.picked.is_empty());
    site.real[0].mode = Mode::Failed;
    site.steps(3);
    site.fleet.leave(Vehicle(0)).unwrap();
    site.real[0].there = false;
    site.step();
    assert!(matches!(site.over[&OrderId(1)], Outcome::Failed(_)));
}

#[test]
fn an_order_that_is_cut_off_waits_by_itself_and_is_done_when_the_way_opens() {
    let mut site = site(&[0, 5]);
    site.transport(1, 39, 3);
    for from in [31, 38] {
        site.fleet.set_closed(Node(from), Node(39), true).unwrap();
    }
    site.transport(2, 9, 4);
    site.until(200, |site| site.is_over(2));
    assert!(site.events.contains(&Event::Blocked { order: OrderId(1) }), "{:?}", site.events);
    assert!(!site.is_over(1));
    site.fleet.set_closed(Node(31), Node(39), false).unwrap();
    site.until(200, |site| site.is_over(1));
}

#[test]
fn a_load_that_is_cut_off_waits_and_is_put_down_when_the_way_opens() {
    let mut site = site(&[0]);
    site.transport(1, 2, 39);
    site.until(100, |site| !site.picked.is_empty());
    site.fleet.set_node_closed(Node(39), true).unwrap();
    site.steps(80);
    assert_eq!(site.fleet.order(OrderId(1)), Some(OrderState::ToDrop(Vehicle(0))));
    assert!(site.events.contains(&Event::Blocked { order: OrderId(1) }));
    site.fleet.set_node_closed(Node(39), false).unwrap();
    site.until(200, |site| site.is_over(1));
}

#[test]
fn what_is_wrong_with_a_report_is_named_and_changes_nothing() {
    let mut site = site(&[0, 9]);
    site.transport(1, 2, 39);
    site.steps(3);
    let good = site.report_of(0);
    let (node, _) = good.node.unwrap();
    let wrong = [
        (VehicleReport { battery: 1_001, ..good }, ReportError::Battery),
        (VehicleReport { passed: good.passed + 50, node: None, ..good }, ReportError::NotGranted),
        (VehicleReport { node: Some((Node(node.0 + 8), Heading::East)), ..good }, ReportError::Contradiction),
        (VehicleReport { node: Some((Node(77), Heading::East)), ..good }, ReportError::UnknownNode),
        (VehicleReport { gave_up: Some(9), ..good }, ReportError::UnknownCourse),
        (VehicleReport { at: hal_units::Instant::ZERO, ..good }, ReportError::Stale),
        (
            VehicleReport { task: Some(TaskReport { number: 99, result: TaskResult::Done }), ..good },
            ReportError::UnknownTask,
        ),
    ];
    let before = site.fleet.state();
    for (report, error) in wrong {
        assert_eq!(site.fleet.report(Vehicle(0), &report), Err(error));
        assert_eq!(site.fleet.state(), before, "{error:?}");
    }
    assert_eq!(site.fleet.report(Vehicle(2), &good), Err(ReportError::UnknownVehicle));
    site.until(200, |site| site.is_over(1));
}

#[test]
fn a_vehicle_that_was_farther_before_is_not_believed() {
    let mut site = site(&[0]);
    site.transport(1, 4, 39);
    site.until(50, |site| site.real[0].passed > 2);
    let back = VehicleReport { passed: 1, node: None, ..site.report_of(0) };
    assert_eq!(site.fleet.report(Vehicle(0), &back), Err(ReportError::Backwards));
}

#[test]
fn a_vehicle_behind_a_failed_one_names_it() {
    let mut site = Site::in_hall(3, 2, &[1, 0], setup(Motion::Pebble));
    site.real[0].mode = Mode::Failed;
    site.fleet.set_node_closed(Node(3), true).unwrap();
    site.transport(1, 2, 5);
    site.steps(6);
    let why: Vec<_> = site.fleet.why(Vehicle(1)).collect();
    assert!(!why.is_empty());
    assert_eq!(site.fleet.explain(Vehicle(0)).unwrap().why, Why::Failed);
}
