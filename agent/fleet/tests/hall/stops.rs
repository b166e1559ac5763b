//! Vehicles that are stopped on their way.

use hal_units::Duration;
use hal_vda5050::Version;
use sim_vehicles::Happening;

use crate::on_bus::OnBus;
use crate::site::Site;

#[test]
fn a_vehicle_on_the_bus_that_was_stopped_goes_on_after_its_reset() {
    let mut site = Site::with_mixed(3, 3);
    site.seconds(3);
    (0..20).for_each(|_| site.order());
    site.seconds(10);
    while site.on_bus[1].truth().speed < 0.5 {
        site.tick();
    }
    site.on_bus[1].protective_stop = true;
    site.seconds(60);
    site.on_bus[1].protective_stop = false;
    site.seconds(10);
    let report = site.fleet.report("hall.json", true);
    assert!(report.vehicles[4].why[0].contains("protective_stop"), "{:?}", report.vehicles[4]);
    site.on_bus[1].reset();
    site.until_done(20, 900);
    site.seconds(5);
    site.assert_in_order();
}

/// A site of one vehicle with one order, which is stopped for a while again and again on its way, each time a little
/// later, and does its order all the same.
fn stopped_all_along(
    mut site: Site,
    place: fn(&Site) -> [f64; 2],
    stop_for_a_while: impl Fn(&mut Site),
) -> Site {
    site.seconds(3);
    site.order();
    for stops in 1..60 {
        let from = place(&site);
        let way = 0.3 * f64::from(stops);
        for _ in 0..2_000 {
            site.tick();
            let [x, y] = place(&site);
            if (x - from[0]).hypot(y - from[1]) > way {
                break;
            }
        }
        stop_for_a_while(&mut site);
    }
    site.until_done(1, 300);
    site.seconds(5);
    site.assert_in_order();
    site
}

fn stopped_all_along_on_the_bus(stop: fn(&mut OnBus, bool)) {
    let place = |site: &Site| [site.on_bus[0].truth().x, site.on_bus[0].truth().y];
    stopped_all_along(Site::with_mixed(0, 1), place, |site| {
        stop(&mut site.on_bus[0], true);
        site.seconds(20);
        stop(&mut site.on_bus[0], false);
        site.seconds(2);
        site.on_bus[0].reset();
    });
}

#[test]
fn a_vehicle_that_was_stopped_on_the_way_to_its_task_does_it_after_its_reset() {
    stopped_all_along_on_the_bus(|vehicle, stopped| vehicle.protective_stop = stopped);
}

#[test]
fn a_vehicle_whose_link_was_lost_on_the_way_to_its_task_does_it_after_its_reset() {
    stopped_all_along_on_the_bus(|vehicle, lost| vehicle.link_lost = lost);
}

/// Many orders, and now and then a vehicle that is stopped for a while wherever it just is.
fn stopped_anywhere(
    mut site: Site,
    vehicles: usize,
    moves: fn(&Site, usize) -> bool,
    stop: fn(&mut Site, usize, bool),
) -> Site {
    site.seconds(3);
    (0..40).for_each(|_| site.order());
    for at in (0..60).map(|stop| stop % vehicles) {
        site.seconds(3);
        // On its way; what is stopped while it handles a load needs a person to look at it.
        if moves(&site, at) {
            stop(&mut site, at, true);
            site.seconds(15);
            stop(&mut site, at, false);
        }
    }
    site
}

#[test]
fn vehicles_on_the_bus_that_are_stopped_anywhere_are_not_driven_into_and_do_their_orders() {
    let stop = |site: &mut Site, at: usize, stopped| {
        site.on_bus[at].protective_stop = stopped;
        if !stopped {
            site.seconds(1);
            site.on_bus[at].reset();
        }
    };
    let moves = |site: &Site, at: usize| site.on_bus[at].truth().speed >= 0.2;
    let mut site = stopped_anywhere(Site::with_mixed(2, 4), 4, moves, stop);
    site.until_done(40, 1200);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn vehicles_on_the_air_that_are_stopped_anywhere_are_not_driven_into_and_do_their_orders() {
    use hal_vda5050::EmergencyStop;
    let stop = |site: &mut Site, at: usize, stopped| {
        let by = if stopped { EmergencyStop::Manual } else { EmergencyStop::None };
        site.vehicles[at].happen(Happening::EmergencyStop(by));
    };
    let moves = |site: &Site, at: usize| site.vehicles[at].truth().speed >= 0.2;
    let mut site = stopped_anywhere(Site::with_vehicles(6), 6, moves, stop);
    site.until_done(40, 1200);
    site.seconds(5);
    site.assert_in_order();
}

/// Over a radio that loses what it loses.
fn stopped_all_along_on_the_air(version: Version, loss_percent: u64) {
    use hal_vda5050::EmergencyStop;
    let site = Site::with_vehicles_of(1, |_| version).over_a_radio(Duration::from_millis(20), loss_percent);
    let place = |site: &Site| [site.vehicles[0].truth().x, site.vehicles[0].truth().y];
    let site = stopped_all_along(site, place, |site| {
        // What is stopped while it handles a load needs a person to look at it.
        if site.vehicles[0].truth().speed >= 0.2 {
            site.vehicles[0].happen(Happening::EmergencyStop(EmergencyStop::Manual));
            site.seconds(20);
            site.vehicles[0].happen(Happening::EmergencyStop(EmergencyStop::None));
            site.seconds(2);
        }
    });
    assert_eq!(site.fleet.report("hall.json", true).refused, std::collections::BTreeMap::new());
}

#[test]
fn a_vehicle_on_the_air_that_was_stopped_on_the_way_to_its_task_does_it_afterwards() {
    for (version, loss_percent) in [(Version::V2, 0), (Version::V3, 0), (Version::V2, 10), (Version::V3, 10)]
    {
        stopped_all_along_on_the_air(version, loss_percent);
    }
}
