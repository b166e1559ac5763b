//! Vehicles whose drives hang on Modbus, led by real agents.

use std::fmt::Write as _;
use std::net::SocketAddr;

use hal_units::Duration;
use serde_json::json;
use sim_broker::EmbeddedBroker;
use sim_devices::drive::DriveTruth;
use sim_devices::{DeviceFault, DriveDevice, DriveMap, TurbinePlc};
use sim_plants::vehicle::Place;

use crate::agent::{Agent, Site, until};
use crate::broker;
use crate::field::Field;
use crate::fleet::{DONE_WITHIN, HALL, leads, order};
use crate::operator::Operator;

const HANDLING: Duration = Duration::from_millis(500);

/// Vehicles of both kinds in turn, in the middle of the hall.
fn vehicles(count: usize) -> Field<DriveDevice> {
    let device = |at: usize| {
        let place = Place { x: (1 + 2 * at) as f64, y: 2.0, heading: 0.0 };
        DriveDevice::new(map(at), place, HANDLING, (0.005, 0.003), at as u64)
    };
    Field::of((0..count).map(device).collect())
}

fn map(at: usize) -> DriveMap {
    if at.is_multiple_of(2) { DriveMap::Differential } else { DriveMap::Tricycle }
}

fn fleet_section(addresses: &[SocketAddr]) -> String {
    let mut text = r#"[fleet]
layout = "hall.json"
[[group]]
name = "vehicles"
period_us = 20000
budget_us = 2000
core = 0
priority = 70
"#
    .to_owned();
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles");
    for (at, address) in addresses.iter().enumerate() {
        let (profile, chassis) = match map(at) {
            DriveMap::Differential => ("differential", "track_m = 0.6"),
            DriveMap::Tricycle => ("tricycle", "wheelbase_m = 0.9"),
        };
        let _ = write!(
            text,
            r#"
[[bus]]
name = "v{at}"
tcp = "{address}"
[[device]]
name = "v{at}"
bus = "v{at}"
profile = "{profiles}/{profile}-drive.toml"
[[fleet.vehicle]]
name = "v{at}"
drive = {{ device = "v{at}", group = "vehicles", {chassis} }}
"#
        );
    }
    text
}

/// A lone agent's site with these vehicles.
fn site(turbines: &Field<TurbinePlc>, broker: &EmbeddedBroker, vehicles: &Field<DriveDevice>) -> Site {
    Site::over(&turbines.addresses())
        .with_broker(&broker.url())
        .with_fleet(HALL, &fleet_section(&vehicles.addresses()))
}

fn handlings(field: &Field<DriveDevice>) -> u64 {
    truths(field).iter().map(|truth| truth.handlings).sum()
}

fn truths(field: &Field<DriveDevice>) -> Vec<DriveTruth> {
    (0..field.addresses().len()).map(|at| field.look(at, |device| *device.truth())).collect()
}

#[track_caller]
fn until_done(field: &Field<DriveDevice>, orders: u64) {
    // Each has two handlings.
    until("all orders are done", DONE_WITHIN, || (handlings(field) >= 2 * orders).then_some(()));
}

fn until_connected(agent: &Agent) {
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
}

#[test]
fn orders_over_mqtt_are_done_by_vehicles_on_modbus() {
    let (field, turbines, broker) = (vehicles(4), Field::in_wind(1, 9.0), broker());
    let site = site(&turbines, &broker, &field);
    let agent = site.start();
    until_connected(&agent);
    let mut operator = Operator::at(&broker);
    let ids = order(&mut operator, 6);
    operator.until_all_executed(&ids);
    until_done(&field, 6);
    agent.until("the fleet says so", |r| r.fleet.as_ref().is_some_and(|f| f.orders.done == 6));
    let restarts: Vec<u64> = truths(&field).iter().map(|truth| truth.self_restarts).collect();
    assert_eq!((handlings(&field), restarts), (12, vec![0; 4]));
}

#[test]
fn a_vehicle_whose_link_was_lost_stands_until_it_is_reset() {
    let (field, turbines, broker) = (vehicles(1), Field::in_wind(1, 9.0), broker());
    let site = site(&turbines, &broker, &field);
    let agent = site.start();
    until_connected(&agent);
    let mut operator = Operator::at(&broker);
    order(&mut operator, 1);
    let speed = || field.look(0, |device| device.whereabouts().1.0);
    until("it drives", DONE_WITHIN, || (speed() > 0.3).then_some(()));
    field.set_fault(0, DeviceFault::Refuse);
    until("it stands", DONE_WITHIN, || (speed() == 0.0).then_some(()));
    field.set_fault(0, DeviceFault::None);
    agent.until("it says why", |report| {
        let why = report.fleet.as_ref().map(|fleet| fleet.vehicles[0].why.join(", "));
        why.is_some_and(|why| why.contains("link_lost"))
    });
    let driven = field.look(0, |device| device.odometer_m());
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(field.look(0, |device| device.odometer_m()) - driven < 0.01, "it drives again by itself");
    let reset = operator.command("v0", "reset", &json!({}), 30);
    operator.until_all_executed(&[reset]);
    until_done(&field, 1);
    assert_eq!(truths(&field)[0].self_restarts, 0);
}

#[test]
fn a_takeover_loses_and_doubles_nothing_of_vehicles_on_modbus() {
    let (field, turbines, broker) = (vehicles(3), Field::in_wind(1, 9.0), broker());
    let section = fleet_section(&field.addresses());
    let sites = Site::pair_over(&turbines.addresses())
        .map(|site| site.with_broker(&broker.url()).with_fleet(HALL, &section));
    let nodes = [sites[0].start(), sites[1].start()];
    nodes.iter().for_each(until_connected);
    let mut operator = Operator::at(&broker);
    order(&mut operator, 6);
    for kill in 0..2 {
        until("some are done", DONE_WITHIN, || (handlings(&field) >= 2 + 3 * kill).then_some(()));
        let active = until("a node is active and the other follows", DONE_WITHIN, || {
            let active = nodes.iter().position(leads)?;
            let other = nodes[1 - active].pair()?;
            (other.role == "standby" && other.replica_cycle > 0).then_some(active)
        });
        nodes[active].kill_kept();
    }
    until_done(&field, 6);
    // What is done twice would be done by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(handlings(&field), 12);
}

#[test]
fn a_lone_agent_that_is_killed_and_comes_back_goes_on_with_all_orders() {
    let (field, turbines, broker) = (vehicles(3), Field::in_wind(1, 9.0), broker());
    let site = site(&turbines, &broker, &field);
    let mut agent = site.start();
    until_connected(&agent);
    let mut operator = Operator::at(&broker);
    let ids = order(&mut operator, 6);
    operator.until_all_executed(&ids);
    // Loads are on vehicles each time, and one may be in the middle of taking one.
    for kill in 0..2 {
        until("some are done", DONE_WITHIN, || (handlings(&field) >= 3 + 3 * kill).then_some(()));
        agent.kill();
        agent = site.start();
        until_connected(&agent);
    }
    until_done(&field, 6);
    // What is done twice would be done by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let fleet = agent.report().fleet.unwrap();
    assert_eq!((handlings(&field), fleet.orders.failed), (12, 0), "{:?}", fleet.orders);
    let restarts: Vec<u64> = truths(&field).iter().map(|truth| truth.self_restarts).collect();
    assert_eq!(restarts, [0; 3]);
}
