//! One controller goes on from the state of another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use control_loops_dispatch::{
    FleetController, FleetState, Motion, Node, Order, OrderId, RestoreError, Vehicle,
};
use hal_units::Instant;
use proptest::prelude::*;
use support::{Random, Site, hall, setup, vehicles};

fn fleet(motion: Motion, starts: &[u32]) -> FleetController {
    FleetController::new(hall(8, 6), &vehicles(starts), &[Node(40)], &[Node(47), Node(7)], setup(motion))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_goes_on_from_a_state_does_what_the_other_one_would_have_done(
        seed in any::<u64>(),
        turning in any::<bool>(),
        before in 1_u32..120,
    ) {
        let motion = if turning { Motion::Turning } else { Motion::Pebble };
        let starts: Vec<u32> = (0..12).map(|each| each * 3).collect();
        let mut site = Site::new(fleet(motion, &starts), seed);
        site.pace.late = 300;
        let mut random = Random(seed);
        let mut next = 0;
        let mut order = move |site: &mut Site| {
            if random.chance(300) {
                next += 1;
                let (pick, drop) = (random.below(48), random.below(48));
                let order = Order::transport(OrderId(next), Node(pick), Node(drop));
                let taken = site.fleet.submit(site.now, order);
                if let Some(mirror) = &mut site.mirror {
                    assert_eq!(mirror.submit(site.now, order), taken);
                }
            }
            if random.chance(30) {
                let (node, closed) = (Node(random.below(48)), random.chance(500));
                let done = site.fleet.set_node_closed(node, closed);
                if let Some(mirror) = &mut site.mirror {
                    assert_eq!(mirror.set_node_closed(node, closed), done);
                }
            }
        };
        for _ in 0..before {
            order(&mut site);
            site.step();
        }
        let bytes = postcard::to_allocvec(&site.fleet.state()).unwrap();
        let state: FleetState = postcard::from_bytes(&bytes).unwrap();
        let mut other = fleet(motion, &starts);
        other.restore(&state, site.now).unwrap();
        prop_assert_eq!(other.state(), state);
        site.mirror = Some(other);
        for _ in 0..60 {
            order(&mut site);
            site.step();
        }
    }
}

#[test]
fn a_state_of_another_fleet_is_refused_and_changes_nothing() {
    let mut one = fleet(Motion::Pebble, &[0, 9]);
    let before = one.state();
    for other in [fleet(Motion::Pebble, &[0]), fleet(Motion::Turning, &[0, 9])] {
        assert_eq!(one.restore(&other.state(), Instant::ZERO), Err(RestoreError::Foreign));
        assert_eq!(one.state(), before);
    }
}

#[test]
fn a_full_state_of_two_hundred_vehicles_and_a_thousand_orders_is_below_100_kb() {
    let starts: Vec<u32> = (0..200).collect();
    let setup = control_loops_dispatch::Setup { orders_max: 1_000, ..setup(Motion::Turning) };
    let mut fleet = FleetController::new(hall(40, 40), &vehicles(&starts), &[], &[], setup).unwrap();
    let mut now = Instant::from_nanos(1 << 60);
    // A full book, and as many that are over.
    for order in 0..1_000_u64 {
        fleet.submit(now, Order::transport(OrderId(u64::MAX - order), Node(3), Node(900))).unwrap();
        fleet.cancel(OrderId(u64::MAX - order), None).unwrap();
    }
    for order in 0..1_000_u64 {
        let deadline = Some(now + Duration::from_secs(86_400));
        let pick = Node(400 + order as u32);
        fleet
            .submit(
                now,
                Order { deadline, ..Order::transport(OrderId(u64::MAX / 2 - order), pick, Node(1_599)) },
            )
            .unwrap();
    }
    for _ in 0..20 {
        now = now + Duration::from_millis(100);
        fleet.step(now);
    }
    assert!(fleet.grant(Vehicle(0)).is_some());
    let bytes = postcard::to_allocvec(&fleet.state()).unwrap().len();
    println!("{bytes} bytes");
    assert!(bytes < 100_000, "{bytes} bytes");
}

#[test]
fn steps_and_states_allocate_nothing() {
    for motion in [Motion::Pebble, Motion::Turning] {
        let mut site = Site::new(fleet(motion, &[0, 5, 10, 15, 20, 25]), 3);
        let mut state = site.fleet.state();
        for order in 0..60_u64 {
            site.transport(order, (order as u32 * 7) % 48, (order as u32 * 5 + 11) % 48);
        }
        for _ in 0..200 {
            site.step();
            let now = site.now;
            let reports: Vec<_> = (0..6).map(|vehicle| site.report_of(vehicle)).collect();
            let fleet = &mut site.fleet;
            let info = allocation_counter::measure(|| {
                for (vehicle, report) in (0_u16..).zip(&reports) {
                    let _ = fleet.report(Vehicle(vehicle), report);
                }
                fleet.step(now);
                fleet.save(&mut state);
                let _ = fleet.explain(Vehicle(0));
                let _ = fleet.submit(now, Order::transport(OrderId(1_000), Node(1), Node(2)));
                let _ = fleet.cancel(OrderId(1_000), None);
            });
            assert_eq!(info.count_total, 0, "{motion:?}");
        }
    }
}
