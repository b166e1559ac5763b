//! A fleet that begins without knowing where vehicles are and what they were told.

use agent_fleet::Fault;
use hal_units::Duration;
use hal_vda5050::EmergencyStop;
use sim_vehicles::Happening;

use crate::site::Site;

#[test]
fn a_node_that_knows_too_little_lets_all_vehicles_stop_before_it_moves_one() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..20).for_each(|_| site.order());
    let old = site.last_state.clone();
    site.seconds(20);
    site.begins_anew(&old);
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
fn a_node_that_knows_too_little_stops_vehicles_on_the_bus_at_their_next_places() {
    let mut site = Site::with_mixed(2, 4);
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    let old = site.last_state.clone();
    site.seconds(20);
    site.begins_anew(&old);
    site.seconds(600);
    let report = site.fleet.report("hall.json", true);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    assert_eq!(report.orders.waiting + report.orders.under_way + report.orders.failed, 0, "{report:#?}");
}

/// One that cannot take part from the start is in nobody's way, and takes part when it can.
fn one_is_stopped_from_the_start(mut site: Site, stop: impl Fn(&mut Site, bool)) {
    stop(&mut site, true);
    site.seconds(20);
    (0..20).for_each(|_| site.order());
    site.seconds(300);
    assert_eq!(site.yard.collisions(), 0, "{:?}", site.yard.nearest());
    let report = site.fleet.report("hall.json", true);
    assert!(
        report.degraded.iter().any(|words| words.contains("no part is taken by agv-")),
        "{:?}",
        report.degraded
    );
    stop(&mut site, false);
    site.seconds(30);
    let report = site.fleet.report("hall.json", true);
    assert!(report.degraded.is_empty(), "{:?}", report.degraded);
    // Orders for the places where it stood have waited.
    site.until_done(20, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_vehicle_on_the_bus_that_is_stopped_when_the_fleet_begins_is_not_driven_into() {
    for at in 0..4 {
        one_is_stopped_from_the_start(Site::with_mixed(2, 4), |site, stopped| {
            site.on_bus[at].protective_stop = stopped;
            if !stopped {
                site.seconds(1);
                site.on_bus[at].reset();
            }
        });
    }
}

#[test]
fn a_vehicle_on_the_air_that_is_stopped_when_the_fleet_begins_is_not_driven_into() {
    for at in 0..6 {
        one_is_stopped_from_the_start(Site::with_vehicles(6), |site, stopped| {
            let stop = if stopped { EmergencyStop::Manual } else { EmergencyStop::None };
            site.vehicles[at].happen(Happening::EmergencyStop(stop));
        });
    }
}

#[test]
fn a_fleet_that_somebody_else_leads_is_only_listened_to() {
    let mut site = Site::with_mixed(2, 4);
    site.fleet.follow();
    site.seconds(10);
    let report = site.fleet.report("hall.json", true);
    assert!(report.vehicles.iter().all(|vehicle| vehicle.state == "absent"), "{:?}", report.vehicles);
    assert!(report.degraded.is_empty(), "{:?}", report.degraded);
}

/// Of each order the load is fetched once and brought once, though a node begins anew in the middle with a state that is
/// so old.
fn orders_outlive_a_beginning_anew(mut site: Site, after: u32, state: impl Fn(&mut Site) -> Vec<u8>) {
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    site.seconds(after);
    let state = state(&mut site);
    site.begins_anew(&state);
    site.until_done(20, 900);
    site.seconds(5);
    site.assert_in_order();
}

fn last_state(site: &mut Site) -> Vec<u8> {
    site.last_state.clone()
}

fn state_of_a_second_ago(site: &mut Site) -> Vec<u8> {
    let state = site.last_state.clone();
    site.seconds(1);
    state
}

/// A disk has at least the state with each accepted order, and with each word that moved a load before that word left.
fn least_on_a_disk(site: &mut Site) -> Vec<u8> {
    site.kept_state.clone()
}

#[test]
fn loads_on_vehicles_on_the_air_are_brought_on_by_a_node_that_begins_anew() {
    for after in (5..40).step_by(3) {
        orders_outlive_a_beginning_anew(Site::with_vehicles(6), after, last_state);
    }
}

#[test]
fn loads_on_vehicles_on_the_bus_are_brought_on_by_a_node_that_begins_anew() {
    for after in (5..40).step_by(3) {
        orders_outlive_a_beginning_anew(Site::with_mixed(0, 6), after, last_state);
    }
}

#[test]
fn loads_are_found_from_a_state_that_is_a_second_old() {
    for after in (5..40).step_by(3) {
        orders_outlive_a_beginning_anew(Site::with_mixed(3, 3), after, state_of_a_second_ago);
    }
}

#[test]
fn loads_are_found_from_the_least_that_is_on_a_disk() {
    for after in (3..60).step_by(3) {
        orders_outlive_a_beginning_anew(Site::with_mixed(3, 3), after, least_on_a_disk);
        orders_outlive_a_beginning_anew(Site::with_mixed(0, 3), after, least_on_a_disk);
    }
}

#[test]
fn an_order_that_is_over_is_not_begun_again_by_a_node_that_begins_anew() {
    let mut site = Site::with_vehicles(6);
    site.seconds(3);
    (0..6).for_each(|_| site.order());
    site.until_done(6, 300);
    site.seconds(1);
    let state = site.last_state.clone();
    site.begins_anew(&state);
    site.seconds(5);
    assert!((1..=6).all(|order| site.fleet.knows(order)));
}

#[test]
fn a_node_that_follows_one_that_had_only_begun_anew_begins_anew_and_loses_nothing() {
    for ticks in [10, 50, 90, 150, 190] {
        let mut site = Site::with_mixed(3, 3);
        site.seconds(3);
        (0..20).for_each(|_| site.order());
        site.seconds(20);
        let state = site.last_state.clone();
        site.begins_anew(&state);
        site.order();
        (0..ticks).for_each(|_| site.tick());
        let state = site.last_state.clone();
        site.begins_anew(&state);
        site.until_done(21, 900);
        site.seconds(5);
        site.assert_in_order();
    }
}

#[test]
fn vehicles_that_stand_between_two_places_are_sent_on_before_anybody_takes_part() {
    // Those on the air stop at once when they are told to give up what they have, those on the bus if somebody is near.
    for after in 5..25 {
        let mut site = Site::with_mixed(3, 3);
        site.seconds(3);
        (0..20).for_each(|_| site.order());
        site.seconds(after);
        site.on_bus.iter_mut().for_each(|vehicle| vehicle.protective_stop = true);
        site.seconds(1);
        let state = site.last_state.clone();
        site.begins_anew(&state);
        site.seconds(1);
        site.on_bus.iter_mut().for_each(|vehicle| {
            vehicle.protective_stop = false;
            vehicle.reset();
        });
        site.seconds(40);
        let report = site.fleet.report("hall.json", true);
        assert!(report.degraded.is_empty(), "all take part: {:?}", report.degraded);
        site.seconds(300);
        assert_eq!(site.yard.collisions(), 0, "after {after} s: {:?}", site.yard.nearest());
    }
}

/// One is stopped while a node begins anew, and released when the others take part already. Whether it stood between two
/// places.
fn one_is_released_late(mut site: Site, at: usize, after: u32, stop: impl Fn(&mut Site, bool)) -> bool {
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    site.seconds(after);
    stop(&mut site, true);
    site.seconds(2);
    let state = site.last_state.clone();
    site.begins_anew(&state);
    site.seconds(40);
    let here = site.truth(at);
    let place = site.hall.nearest([here.x, here.y]).unwrap();
    stop(&mut site, false);
    site.seconds(60);
    let report = site.fleet.report("hall.json", true);
    assert!(report.degraded.is_empty(), "all take part, {after} s: {:?}", report.degraded);
    site.seconds(300);
    assert_eq!(site.yard.collisions(), 0, "after {after} s: {:?}", site.yard.nearest());
    place.1 > 0.3
}

#[test]
fn a_vehicle_on_the_air_that_stood_between_two_places_takes_part_when_it_is_released() {
    let between = (5..25).map(|after| {
        one_is_released_late(Site::with_vehicles(6), 2, after, |site, stopped| {
            let stop = if stopped { EmergencyStop::Manual } else { EmergencyStop::None };
            site.vehicles[2].happen(Happening::EmergencyStop(stop));
        })
    });
    let between = between.filter(|between| *between).count();
    assert!(between >= 3, "{between} stood between two places");
}

#[test]
fn a_vehicle_on_the_bus_that_stood_between_two_places_takes_part_when_it_is_released() {
    let between = (5..25).map(|after| {
        one_is_released_late(Site::with_mixed(3, 3), 4, after, |site, stopped| {
            site.on_bus[1].protective_stop = stopped;
            if !stopped {
                site.seconds(1);
                site.on_bus[1].reset();
            }
        })
    });
    let between = between.filter(|between| *between).count();
    assert!(between >= 3, "{between} stood between two places");
}

#[test]
fn a_vehicle_on_the_bus_that_is_sent_on_while_the_leading_node_changes_takes_part() {
    for (after, ticks) in (5..25).step_by(2).flat_map(|after| [0, 40, 250].map(|ticks| (after, ticks))) {
        one_is_released_late(Site::with_mixed(3, 3), 4, after, |site, stopped| {
            site.on_bus[1].protective_stop = stopped;
            if !stopped {
                site.seconds(1);
                site.on_bus[1].reset();
                (0..ticks).for_each(|_| site.tick());
                site.takeover();
            }
        });
    }
}

#[test]
fn each_state_of_a_fleet_has_a_number_of_its_own_also_while_it_begins() {
    let mut site = Site::with_mixed(3, 3);
    site.seconds(3);
    (0..6).for_each(|_| site.order());
    site.seconds(20);
    let (state, mut last) = (site.last_state.clone(), site.fleet.steps());
    site.begins_anew(&state);
    // A step each 40 ms.
    for second in 0..20 {
        site.seconds(1);
        assert!(site.fleet.steps() >= last + 20, "after {second} s: {} and {last}", site.fleet.steps());
        last = site.fleet.steps();
    }
}

#[test]
fn orders_of_another_site_are_not_given_to_this_one_s_vehicles() {
    let mut other = Site::with_vehicles(6);
    other.seconds(3);
    (0..6).for_each(|_| other.order());
    other.seconds(10);
    let mut site = Site::with_mixed(5, 1);
    let state = other.last_state.clone();
    site.begins_anew(&state);
    site.seconds(60);
    assert_eq!(
        (site.done(), site.fleet.take_lost()),
        (0, (1..=6).map(|order| (order, Fault::Lost)).collect())
    );
}
