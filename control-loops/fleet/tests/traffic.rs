//! What the traffic control promises: no collision, no standstill, nobody waits for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_fleet::{
    GoalError, Graph, Heading, LayoutError, Motion, Node, Planner, PlannerError, Setup, Vehicle,
};
use proptest::prelude::*;
use support::{Fleet, Hall};

const MOTIONS: [Motion; 2] = [Motion::Pebble, Motion::Turning];

fn setup(motion: Motion) -> Setup {
    Setup { guard_age: 20, effort: 2_000, seed: 7, ..Setup::usual(motion) }
}

#[test]
fn two_vehicles_that_meet_pass_each_other() {
    let hall = Hall::drawn(&["....", "####".replace('#', ".").as_str()]);
    for motion in MOTIONS {
        let mut fleet = Fleet::on(&hall, &[hall.at(0, 0), hall.at(3, 0)], setup(motion));
        fleet.send(0, hall.at(3, 0));
        fleet.send(1, hall.at(0, 0));
        let mut arrived = [false; 2];
        for _ in 0..40 {
            fleet.step();
            for vehicle in 0..2 {
                arrived[vehicle as usize] |= fleet.has_arrived(vehicle);
            }
        }
        assert_eq!(arrived, [true; 2], "{motion:?}");
    }
}

#[test]
fn with_a_single_free_node_everybody_still_arrives() {
    let hall = Hall::drawn(&["....", "....", "...."]);
    for motion in MOTIONS {
        for rings in [false, true] {
            let starts: Vec<Node> = (0..11).map(Node).collect();
            let mut fleet = Fleet::on(&hall, &starts, Setup { rings, guard_age: 0, ..setup(motion) });
            for vehicle in 0..11 {
                fleet.send(vehicle, Node(11 - u32::from(vehicle)));
            }
            let mut arrived = [false; 11];
            for _ in 0..fleet.planner.wait_max() {
                fleet.step();
                for vehicle in 0..11_u16 {
                    if fleet.has_arrived(vehicle) {
                        arrived[vehicle as usize] = true;
                        // It goes on, so that its old goal is no obstacle that stays.
                        fleet.send(vehicle, Node((u32::from(vehicle) * 5 + 3) % 12));
                    }
                }
            }
            assert_eq!(arrived, [true; 11], "{motion:?}, rings {rings}");
        }
    }
}

#[test]
fn an_idle_vehicle_in_a_dead_end_is_made_to_leave_it() {
    let hall = Hall::drawn(&["...#", "....", "...#"]);
    for motion in MOTIONS {
        let mut fleet = Fleet::on(&hall, &[hall.at(3, 1), hall.at(0, 0)], setup(motion));
        fleet.send(1, hall.at(3, 1));
        assert!(fleet.steps_until_arrival(1, 60).is_some(), "{motion:?}");
    }
}

#[test]
fn while_the_oldest_waits_for_one_that_has_to_stay_the_next_one_gets_on() {
    let hall = Hall::drawn(&["...#", "....", "...#", "....", "...#"]);
    for motion in MOTIONS {
        let starts = [hall.at(3, 1), hall.at(2, 1), hall.at(3, 3), hall.at(2, 3)];
        let mut fleet = Fleet::on(&hall, &starts, Setup { effort: 0, ..setup(motion) });
        fleet.planner.set_pinned(Vehicle(0), true);
        fleet.send(1, hall.at(3, 1));
        (0..40).for_each(|_| fleet.step());
        // One wants out of a dead end, and before it stands one that wants in.
        fleet.send(2, hall.at(0, 0));
        fleet.send(3, hall.at(3, 3));
        assert!(fleet.steps_until_arrival(2, 100).is_some(), "{motion:?}");
    }
}

#[test]
fn a_crowd_in_a_dead_end_comes_out_even_if_the_outer_one_wants_in() {
    let hall = Hall::drawn(&["...###", "......", "...###"]);
    for motion in MOTIONS {
        let starts = [hall.at(3, 1), hall.at(5, 1), hall.at(0, 0)];
        let mut fleet = Fleet::on(&hall, &starts, setup(motion));
        fleet.send(0, hall.at(5, 1));
        fleet.send(1, hall.at(0, 2));
        fleet.send(2, hall.at(4, 1));
        let mut arrived = [false; 3];
        for _ in 0..fleet.planner.wait_max() {
            fleet.step();
            for vehicle in 0..3_u16 {
                if fleet.has_arrived(vehicle) {
                    arrived[vehicle as usize] = true;
                    fleet.send(vehicle, hall.at(1, 1));
                }
            }
        }
        assert_eq!(arrived, [true; 3], "{motion:?}");
    }
}

#[test]
fn a_layout_without_a_loop_is_refused() {
    let hall = Hall::drawn(&["....."]);
    let refused = Planner::new(hall.graph(), &[(Node(0), Heading::East)], setup(Motion::Pebble));
    assert_eq!(refused.unwrap_err(), PlannerError::Layout(LayoutError::NoCore));
}

#[test]
fn a_layout_in_two_pieces_is_refused() {
    let hall = Hall::drawn(&["..#.", "..#."]);
    let refused = Planner::new(hall.graph(), &[(Node(0), Heading::East)], setup(Motion::Pebble));
    assert_eq!(refused.unwrap_err(), PlannerError::Layout(LayoutError::OneWay { node: Node(2) }));
}

#[test]
fn a_one_way_ring_is_a_layout_and_its_vehicles_follow_each_other() {
    let hall = Hall::drawn(&["...", ".#.", "..."]);
    let clockwise = [(0, 1), (1, 2), (2, 4), (4, 7), (7, 6), (6, 5), (5, 3), (3, 0)];
    let arcs: Vec<_> =
        hall.arcs().into_iter().filter(|arc| clockwise.contains(&(arc.from.0, arc.to.0))).collect();
    let graph = Graph::new(8, &arcs).unwrap();
    let starts: Vec<_> = [0, 1, 2, 4, 7, 6, 5].map(|node| (Node(node), Heading::East)).into();
    let mut planner = Planner::new(graph, &starts, setup(Motion::Pebble)).unwrap();
    planner.set_goal(Vehicle(6), Some(Node(5))).unwrap();
    planner.set_goal(Vehicle(0), Some(Node(3))).unwrap();
    let arrived = (0..planner.wait_max()).any(|_| {
        planner.plan();
        planner.advance();
        planner.position(Vehicle(0)).0 == Node(3)
    });
    assert!(arrived);
}

#[test]
fn a_one_way_trap_is_refused_with_its_place() {
    // From the square a one-way shortcut leads where nobody can make way for the one behind.
    let hall = Hall::drawn(&["..", ".."]);
    let mut arcs = hall.arcs();
    arcs.retain(|arc| !matches!((arc.from.0, arc.to.0), (1, 3) | (3, 2)));
    let graph = Graph::new(4, &arcs).unwrap();
    let refused = Planner::new(graph, &[(Node(0), Heading::East)], setup(Motion::Pebble)).unwrap_err();
    assert!(matches!(refused, PlannerError::Layout(LayoutError::Trap { .. })), "{refused:?}");
}

#[test]
fn more_vehicles_than_room_to_make_way_are_refused() {
    let hall = Hall::drawn(&["..#", "..."]);
    let starts: Vec<_> = (0..4).map(|node| (Node(node), Heading::East)).collect();
    let refused = Planner::new(hall.graph(), &starts, setup(Motion::Pebble)).unwrap_err();
    assert_eq!(refused, PlannerError::Full { vehicles: 4, core_nodes: 4 });
}

#[test]
fn starts_off_the_layout_or_on_one_node_are_refused() {
    let hall = Hall::drawn(&["...", "..."]);
    let start = |nodes: &[u32]| {
        let starts: Vec<_> = nodes.iter().map(|node| (Node(*node), Heading::East)).collect();
        Planner::new(hall.graph(), &starts, setup(Motion::Pebble)).unwrap_err()
    };
    assert_eq!(start(&[0, 9]), PlannerError::UnknownNode { vehicle: Vehicle(1) });
    assert_eq!(start(&[3, 3]), PlannerError::SameNode { vehicle: Vehicle(1) });
}

#[test]
fn a_goal_that_does_not_exist_changes_nothing() {
    let hall = Hall::drawn(&["...", "..."]);
    let mut fleet = Fleet::on(&hall, &[Node(0)], setup(Motion::Pebble));
    fleet.send(0, Node(5));
    assert_eq!(fleet.planner.set_goal(Vehicle(0), Some(Node(6))), Err(GoalError::UnknownNode));
    assert_eq!(fleet.planner.set_goal(Vehicle(1), Some(Node(0))), Err(GoalError::UnknownVehicle));
    assert_eq!(fleet.planner.goal(Vehicle(0)), Some(Node(5)));
    assert!(fleet.steps_until_arrival(0, 10).is_some());
}

#[test]
fn equal_seeds_give_equal_plans() {
    let hall = Hall::drawn(&[".....", ".....", "....."]);
    let way = || {
        let starts: Vec<Node> = (0..8).map(Node).collect();
        let mut fleet = Fleet::on(&hall, &starts, setup(Motion::Turning));
        (0..8).for_each(|vehicle| fleet.send(vehicle, Node(14 - u32::from(vehicle))));
        (0..40)
            .map(|_| {
                fleet.step();
                fleet.seen.clone()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(way(), way());
}

#[test]
fn planning_allocates_nothing() {
    let hall = Hall::drawn(&["......", "...#..", "......", ".#...#"]);
    for motion in MOTIONS {
        let starts: Vec<Node> = (0..12).map(Node).collect();
        let mut fleet = Fleet::on(&hall, &starts, Setup { guard_age: 5, ..setup(motion) });
        let info = allocation_counter::measure(|| {
            for step in 0..100_u32 {
                for vehicle in 0..12_u16 {
                    if step % 20 == u32::from(vehicle) {
                        let goal = Node((step * 7 + u32::from(vehicle)) % 20);
                        assert_eq!(fleet.planner.set_goal(Vehicle(vehicle), Some(goal)), Ok(()));
                    }
                }
                fleet.planner.plan();
                fleet.planner.advance();
            }
        });
        assert_eq!(info.count_total, 0, "{motion:?}");
    }
}

/// One had errand after errand in the part behind a bridge, which is one vehicle's at a time.
#[test]
fn nobody_keeps_a_branch_for_new_errands_while_older_ones_wait_for_it() {
    let hall = Hall::drawn(&["....#..", ".......", "#.##..."]);
    let seed = 9_255_157_890_125_885_370_u64;
    let setup = Setup { rings: false, guard_age: 0, seed, effort: 1_000, ..Setup::usual(Motion::Pebble) };
    let count = 3;
    let starts: Vec<Node> = (0..count).map(|each| Node((each * hall.nodes() / count) as u32)).collect();
    let mut fleet = Fleet::on(&hall, &starts, setup);
    let goal = |vehicle: usize, round: usize| {
        Node(((vehicle * 31 + round * 17 + seed as usize % 97) % hall.nodes()) as u32)
    };
    (0..count).for_each(|vehicle| fleet.send(vehicle as u16, goal(vehicle, 0)));
    let mut rounds = vec![0; count];
    for _ in 0..300 {
        fleet.step();
        for (vehicle, round) in rounds.iter_mut().enumerate() {
            let age = u64::from(fleet.planner.age(Vehicle(vehicle as u16)));
            assert!(age <= fleet.planner.wait_max(), "{vehicle} waits for {age} steps");
            if fleet.has_arrived(vehicle as u16) {
                *round += 1;
                fleet.send(vehicle as u16, goal(vehicle, *round));
            }
        }
    }
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random halls with dead ends, as full as they may be, with right of way for everybody at once.
    #[test]
    fn on_any_hall_nobody_collides_and_nobody_waits_longer_than_the_bound(
        free in proptest::collection::vec(proptest::bool::weighted(0.75), 49),
        share in 0.2_f64..1.0,
        turning in any::<bool>(),
        rings in any::<bool>(),
        guard_age in 0_u32..30,
        seed in any::<u64>(),
    ) {
        let hall = Hall::in_one_piece(&free, 7);
        let motion = if turning { Motion::Turning } else { Motion::Pebble };
        let setup = Setup { rings, guard_age, seed, effort: 1_000, ..Setup::usual(motion) };
        prop_assume!(hall.nodes() > 4);
        // Spread over all nodes, so that some begin in dead ends.
        let count = ((hall.nodes() as f64 * share) as usize).max(1);
        let starts: Vec<Node> = (0..count).map(|each| Node((each * hall.nodes() / count) as u32)).collect();
        let headings: Vec<_> = starts.iter().map(|node| (*node, Heading::East)).collect();
        match Planner::new(hall.graph(), &headings, setup) {
            Err(PlannerError::Full { .. } | PlannerError::Layout(LayoutError::NoCore)) => return Ok(()),
            other => { other.unwrap(); }
        }
        let mut fleet = Fleet::on(&hall, &starts, setup);
        let goal = |vehicle: usize, round: usize| Node(((vehicle * 31 + round * 17 + seed as usize % 97) % hall.nodes()) as u32);
        let mut rounds = vec![0; count];
        for vehicle in 0..count {
            fleet.send(vehicle as u16, goal(vehicle, 0));
        }
        for _ in 0..300 {
            fleet.step();
            for (vehicle, round) in rounds.iter_mut().enumerate() {
                let age = u64::from(fleet.planner.age(Vehicle(vehicle as u16)));
                prop_assert!(age <= fleet.planner.wait_max());
                if fleet.has_arrived(vehicle as u16) {
                    *round += 1;
                    fleet.send(vehicle as u16, goal(vehicle, *round));
                }
            }
        }
        prop_assert!(rounds.iter().sum::<usize>() > 0, "nobody arrived");
    }
}
