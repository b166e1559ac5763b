//! A fleet that begins without knowing where vehicles are and what they were told.

use hal_units::Duration;
use sim_vehicles::Happening;

use crate::site::Site;

#[test]
fn a_node_that_knows_too_little_lets_all_vehicles_stop_before_it_moves_one() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..20).for_each(|_| site.order());
    let old = site.last_state.clone();
    site.seconds(20);
    // Of the state before the first order was given nothing is on its way.
    assert_eq!(site.begins_anew(&old), 0);
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
    assert_eq!(site.begins_anew(&old), 0);
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
    use hal_vda5050::EmergencyStop;
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
