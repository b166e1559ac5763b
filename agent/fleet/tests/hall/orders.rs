//! Orders are done once, whoever leads the fleet, and whatever the radio does.

use hal_units::Duration;
use sim_vehicles::Happening;

use crate::site::Site;

#[test]
fn orders_are_done_by_vehicles_of_both_versions_without_a_collision() {
    let mut site = Site::with_vehicles(6);
    site.seconds(2);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
    let report = site.fleet.report("hall.json", true);
    assert_eq!(report.refused, std::collections::BTreeMap::new());
}

#[test]
fn a_radio_that_delays_and_loses_costs_time_alone() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_takeover_in_the_middle_loses_doubles_and_moves_nothing_that_it_should_not() {
    let mut site = Site::with_vehicles(6).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(2);
    (0..40).for_each(|_| site.order());
    for _ in 0..20 {
        site.seconds(7);
        site.takeover();
    }
    site.until_done(40, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn a_vehicle_that_fails_delays_its_own_order_alone() {
    let mut site = Site::with_vehicles(6);
    site.seconds(2);
    (0..20).for_each(|_| site.order());
    site.seconds(10);
    site.vehicles[2].happen(Happening::EmergencyStop(hal_vda5050::EmergencyStop::Manual));
    site.seconds(600);
    // Those whose station it does not stand on.
    assert!(site.done() >= 12, "{} are done", site.done());
    site.vehicles[2].happen(Happening::EmergencyStop(hal_vda5050::EmergencyStop::None));
    site.until_done(20, 600);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn vehicles_on_the_bus_and_vehicles_on_the_air_share_a_hall() {
    let mut site = Site::with_mixed(3, 3);
    site.seconds(3);
    (0..30).for_each(|_| site.order());
    site.until_done(30, 900);
    site.seconds(5);
    site.assert_in_order();
    assert!(site.on_bus.iter().all(|vehicle| vehicle.handlings > 0), "each has carried something");
}

#[test]
fn takeovers_lose_and_double_nothing_of_vehicles_on_the_bus() {
    let mut site = Site::with_mixed(2, 4).over_a_radio(Duration::from_millis(20), 5);
    site.seconds(3);
    (0..40).for_each(|_| site.order());
    for _ in 0..20 {
        site.seconds(7);
        site.takeover();
    }
    site.until_done(40, 900);
    site.seconds(5);
    site.assert_in_order();
}

#[test]
fn an_order_that_the_air_has_lost_is_said_again_in_time_and_not_at_the_next_step() {
    for after in 0..4 {
        let mut site = Site::with_vehicles(1).over_a_radio(Duration::from_millis(20), 0);
        site.seconds(3);
        (0..after).for_each(|_| site.tick());
        site.loss_percent = 100;
        site.order();
        (0..2).for_each(|_| site.tick());
        site.loss_percent = 0;
        site.seconds(1);
        let echo = site.fleet.report("hall.json", true).echo;
        // 28 ms until it is said again, 20 ms each way, and what the ticks of 10 ms add.
        assert!(echo.samples == 1 && echo.max_us <= 90e3, "{echo:?}");
    }
}

#[test]
fn a_vehicle_that_had_not_echoed_yet_what_it_was_told_before_is_told_of_its_order_when_it_has() {
    let mut site = Site::with_vehicles(1).over_a_radio(Duration::from_millis(90), 0);
    site.seconds(3);
    for round in 0..30 {
        site.order();
        let done = site.done();
        site.until_done(done + 1, 300);
        // On its way to where it waits.
        (0..20 + 5 * round).for_each(|_| site.tick());
    }
    assert!(site.steps_asked > 0);
    site.assert_in_order();
}

#[test]
fn what_an_order_waits_for_a_vehicle_and_what_its_echo_takes_are_told_apart() {
    let mut site = Site::with_vehicles(1).over_a_radio(Duration::from_millis(20), 0);
    site.seconds(3);
    (0..2).for_each(|_| site.order());
    site.until_done(2, 300);
    let report = site.fleet.report("hall.json", true);
    assert_eq!((report.dispatch.samples, report.assignment_wait.samples, report.echo.samples), (2, 2, 2));
    assert!(report.assignment_wait.max_us > 5e6, "one had to wait for the other: {report:#?}");
    assert!(report.echo.max_us < 3e6, "{:?}", report.echo);
    assert!(report.dispatch.max_us >= report.assignment_wait.max_us);
}
