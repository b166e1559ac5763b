//! Vehicles that are late, stop, and go on in any order: no collision, and everybody gets on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_fleet::{Heading, Motion, Node, Planner, Release, Setup, Vehicle};
use proptest::prelude::*;
use support::Hall;

/// A planner, the release of its moves, and the nodes that vehicles hold, kept apart from both.
struct Site {
    planner: Planner,
    release: Release,
    held: Vec<Vec<Node>>,
    goals: u32,
    next: u32,
}

impl Site {
    fn busy(hall: &Hall, vehicles: u32, motion: Motion) -> Self {
        let starts: Vec<_> = (0..vehicles).map(|node| (Node(node), Heading::East)).collect();
        let setup = Setup { guard_age: 30, effort: 2_000, ..Setup::usual(motion) };
        let mut planner = Planner::new(hall.graph(), &starts, setup).unwrap();
        for vehicle in 0..vehicles {
            planner.set_goal(Vehicle(vehicle as u16), Some(Node(hall.nodes() as u32 - 1 - vehicle))).unwrap();
        }
        let release = Release::new(&planner, 3);
        let held = starts.iter().map(|(node, _)| vec![*node]).collect();
        Self { planner, release, held, goals: 0, next: 0 }
    }

    /// The plan goes on if there is room; then these vehicles begin and end what they may.
    fn step(&mut self, awake: impl Fn(u16) -> bool) {
        if self.release.has_room() {
            self.planner.plan();
            self.planner.advance();
            self.release.take_over(&self.planner);
            for vehicle in (0..self.planner.vehicles()).map(Vehicle) {
                if self.planner.goal(vehicle) == Some(self.planner.position(vehicle).0) {
                    self.next = (self.next + 7) % self.planner.graph().nodes() as u32;
                    self.planner.set_goal(vehicle, Some(Node(self.next))).unwrap();
                }
            }
        }
        for vehicle in (0..self.planner.vehicles()).filter(|vehicle| awake(*vehicle)) {
            let ended = self.release.finish(Vehicle(vehicle));
            let held = &mut self.held[vehicle as usize];
            if let Some(action) = ended {
                held.retain(|node| *node == action.node);
                self.goals += u32::from(action.at_goal);
            }
            let begun = self.release.begin(Vehicle(vehicle)).map(|action| action.node);
            if let Some(node) = begun.filter(|node| !self.held[vehicle as usize].contains(node)) {
                assert!(!self.held.iter().flatten().any(|held| *held == node), "a collision");
                self.held[vehicle as usize].push(node);
            }
        }
    }
}

fn hall() -> Hall {
    Hall::drawn(&["......", ".#..#.", "......", ".#..#.", "......"])
}

#[test]
fn nobody_enters_a_node_before_it_has_been_left() {
    let mut site = Site::busy(&hall(), 12, Motion::Pebble);
    (0..400).for_each(|_| site.step(|_| true));
    assert!(site.goals > 50, "{} goals", site.goals);
}

#[test]
fn while_one_vehicle_stands_still_nothing_collides_and_afterwards_all_get_on() {
    let mut site = Site::busy(&hall(), 12, Motion::Turning);
    (0..50).for_each(|_| site.step(|_| true));
    (0..200).for_each(|_| site.step(|vehicle| vehicle != 3));
    let before = site.goals;
    (0..300).for_each(|_| site.step(|_| true));
    assert!(site.goals > before + 10, "{} goals after {before}", site.goals);
}

#[test]
fn the_released_part_of_the_way_is_what_may_be_done_without_asking() {
    let hall = hall();
    let mut planner =
        Planner::new(hall.graph(), &[(Node(0), Heading::East)], Setup::usual(Motion::Pebble)).unwrap();
    planner.set_goal(Vehicle(0), Some(Node(5))).unwrap();
    let mut release = Release::new(&planner, 3);
    for _ in 0..3 {
        planner.plan();
        planner.advance();
        release.take_over(&planner);
    }
    assert_eq!((release.released(Vehicle(0)), release.actions(Vehicle(0)).count()), (3, 3));
    assert!(!release.has_room());
    assert_eq!(release.begin(Vehicle(0)).unwrap().node, Node(1));
    assert_eq!(release.begin(Vehicle(0)), None, "one action at a time");
    release.finish(Vehicle(0)).unwrap();
    assert_eq!(release.node(Vehicle(0)), Node(1));
    assert_eq!(release.finish(Vehicle(0)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_late_and_when_nobody_collides_and_the_fleet_gets_on(
        vehicles in 2_u32..22,
        turning in any::<bool>(),
        lateness in proptest::collection::vec(any::<u32>(), 600),
    ) {
        let motion = if turning { Motion::Turning } else { Motion::Pebble };
        let mut site = Site::busy(&hall(), vehicles, motion);
        for late in &lateness {
            site.step(|vehicle| late.rotate_left(u32::from(vehicle)) & 3 != 0);
        }
        let before = site.goals;
        (0..600).for_each(|_| site.step(|_| true));
        prop_assert!(site.goals > before, "a standstill");
    }
}
