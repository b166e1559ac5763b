//! Vehicles that speak VDA 5050 over a real broker, led by real agents.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use agent_plan::Reason;
use agent_plan::document::{SchedulingPlan, TransportOrder};
use agent_status::Report;
use hal_linux_rt::signal::Signal;
use hal_units::{Duration, Radians};
use hal_vda5050::{Address, Version};
use serde_json::json;
use sim_broker::EmbeddedBroker;
use sim_radio::{AirConfig, Fleet, FleetConfig, Summary};
use sim_vehicles::{Setup, Start, Vehicle};
use tokio::sync::oneshot;

use crate::agent::{Agent, Site, until};
use crate::broker;
use crate::field::Field;
use crate::operator::Operator;
use crate::plans::{self, Planner};

/// Driving takes its time, on a machine that is busy with other tests twice as much.
pub(crate) const DONE_WITHIN: std::time::Duration = std::time::Duration::from_secs(180);
const DIAMETER_METERS: f64 = 0.8;

pub(crate) const HALL: &str = r#"{"cellMeters": 1.0, "layout": [
    "@@p@c@p@@@",
    "@........@",
    "w........w",
    "@........@",
    "w........w",
    "@@@w@@p@@@"
]}"#;
const STATIONS: [&str; 5] = ["x0y2", "x9y2", "x0y4", "x9y4", "x3y5"];

/// Vehicles in this process.
struct Vehicles {
    fleet: Arc<Fleet>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Vehicles {
    fn at(broker: &EmbeddedBroker, count: usize) -> Self {
        let vehicles: Vec<Vehicle> = (0..count).map(vehicle).collect();
        let address = broker.address();
        let config = FleetConfig {
            broker: (address.ip().to_string(), address.port()),
            air: AirConfig { delay: Duration::from_millis(5), loss: 0.02, seed: 1 },
            tick: Duration::from_millis(20),
            diameter: DIAMETER_METERS,
        };
        let (end, ended) = oneshot::channel();
        let (started_in, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let fleet = Arc::new(Fleet::start(vehicles, config));
                started_in.send(Arc::clone(&fleet)).unwrap();
                let _ = ended.await;
            });
        });
        Self { fleet: started.recv().unwrap(), end: Some(end), thread: Some(thread) }
    }

    fn summary(&self) -> Summary {
        self.fleet.summary()
    }
}

impl Drop for Vehicles {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn vehicle(at: usize) -> Vehicle {
    let version = if at.is_multiple_of(2) { Version::V2 } else { Version::V3 };
    let address = Address::new("uagv", version, "takt", &format!("v{at}")).unwrap();
    let (x, y) = (1 + 2 * at, 3);
    let start = Start {
        node_id: format!("x{x}y{y}"),
        map_id: "hall".to_owned(),
        // Rows count downwards, y upwards.
        at: [x as f64, 2.0],
        heading: Radians(0.0),
    };
    let handling = Duration::from_millis(500);
    Vehicle::new(Setup { handling, seed: at as u64, ..Setup::usual(address, start) })
}

pub(crate) fn fleet_section(vehicles: usize) -> String {
    let mut text = "[fleet]\nlayout = \"hall.json\"\n".to_owned();
    for at in 0..vehicles {
        let version = if at.is_multiple_of(2) { "2.1" } else { "3.0" };
        text += &format!(
            "[[fleet.vehicle]]\nname = \"v{at}\"\nmanufacturer = \"takt\"\nversion = \"{version}\"\n"
        );
    }
    text
}

pub(crate) fn order(operator: &mut Operator, count: usize) -> Vec<String> {
    (0..count)
        .map(|at| {
            let (from, to) = (STATIONS[at % STATIONS.len()], STATIONS[(at + 2) % STATIONS.len()]);
            operator.command("fleet", "transport", &json!({ "from": from, "to": to }), 60)
        })
        .collect()
}

#[track_caller]
fn until_done(vehicles: &Vehicles, orders: usize) {
    until("all orders are done", DONE_WITHIN, || {
        // Each has two actions.
        (vehicles.summary().tally.actions >= 2 * orders as u64).then_some(())
    });
}

pub(crate) fn leads(agent: &Agent) -> bool {
    agent.pair().is_none_or(|pair| pair.role == "active")
}

#[test]
fn orders_over_mqtt_are_done_by_vehicles_over_mqtt() {
    let (field, broker) = (Field::in_wind(1, 9.0), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_fleet(HALL, &fleet_section(4));
    let vehicles = Vehicles::at(&broker, 4);
    let agent = site.start();
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let mut operator = Operator::at(&broker);
    let ids = order(&mut operator, 8);
    operator.until_all_executed(&ids);
    until_done(&vehicles, 8);
    let report = agent.until("the fleet says so", |r| r.fleet.as_ref().is_some_and(|f| f.orders.done == 8));
    assert_eq!(vehicles.summary().collisions, 0, "{report:#?}");
    assert_eq!(vehicles.summary().tally.actions, 16);
    let wrong = operator.command("fleet", "transport", &json!({ "from": "x0y2", "to": "moon" }), 60);
    operator.expect(&wrong, &["refused"]);
}

#[test]
fn an_agent_with_a_fleet_ends_when_it_is_told_to() {
    let (field, broker) = (Field::in_wind(1, 9.0), broker());
    let _vehicles = Vehicles::at(&broker, 2);
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_fleet(HALL, &fleet_section(2));
    let mut agent = site.start();
    agent.until("the fleet is seen", |report| report.fleet.as_ref().is_some_and(|fleet| fleet.steps > 10));
    agent.signal(Signal::Terminate);
    let status = agent.until_it_ends(std::time::Duration::from_secs(90));
    assert_eq!(status.code(), Some(0), "{}", agent.log());
}

#[test]
fn a_kill_in_the_middle_loses_no_order_and_does_none_twice() {
    let (field, broker) = (Field::in_wind(1, 9.0), broker());
    let sites = Site::pair_over(&field.addresses())
        .map(|site| site.with_broker(&broker.url()).with_fleet(HALL, &fleet_section(4)));
    let nodes = [sites[0].start(), sites[1].start()];
    let vehicles = Vehicles::at(&broker, 4);
    for node in &nodes {
        node.until("connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    }
    let mut operator = Operator::at(&broker);
    order(&mut operator, 8);
    for kill in 0..2 {
        until("some are done", DONE_WITHIN, || {
            (vehicles.summary().tally.actions >= 3 + 4 * kill).then_some(())
        });
        let active = until("a node is active and the other follows", DONE_WITHIN, || {
            let active = nodes.iter().position(leads)?;
            let other = nodes[1 - active].pair()?;
            (other.role == "standby" && other.replica_cycle > 0).then_some(active)
        });
        nodes[active].kill_kept();
    }
    until_done(&vehicles, 8);
    // What is done twice would be done by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let summary = vehicles.summary();
    assert_eq!((summary.tally.actions, summary.collisions), (16, 0), "{summary:?}");
}

#[test]
fn the_orders_of_plans_are_given_to_the_fleet_once_each() {
    let (field, broker) = (Field::in_wind(1, 9.0), broker());
    let site = Site::over(&field.addresses())
        .with_broker(&broker.url())
        .with_fleet(HALL, &fleet_section(4))
        .with_plans_of(&plans::centre().public_pem().unwrap());
    let vehicles = Vehicles::at(&broker, 4);
    let agent = site.start();
    let planner = Planner::of(&site);
    let order = |at: usize| TransportOrder {
        id: format!("T{at}"),
        from: STATIONS[at % STATIONS.len()].to_owned(),
        to: STATIONS[(at + 2) % STATIONS.len()].to_owned(),
        priority: 4,
        deadline: None,
    };
    let offer = |epoch, orders: std::ops::Range<usize>| {
        planner.offer(SchedulingPlan {
            transports: orders.map(order).collect(),
            ..plans::plan(epoch, 3_000_000)
        })
    };
    let all = |report: &Report| {
        report.fleet.as_ref().map(|f| f.orders.waiting + f.orders.under_way + f.orders.done)
    };
    offer(2, 0..3).unwrap();
    agent.until("the first plan's orders are taken", |report| all(report) == Some(3));
    offer(3, 1..5).unwrap();
    agent.until("only the new ones are added", |report| all(report) == Some(5));
    until_done(&vehicles, 5);
    let report = agent.until("the fleet says so", |r| r.fleet.as_ref().is_some_and(|f| f.orders.done == 5));
    assert_eq!((vehicles.summary().tally.actions, vehicles.summary().collisions), (10, 0), "{report:#?}");
    until("whoever brings plans is told of the fleet", DONE_WITHIN, || {
        let told = planner.fleet()?;
        (told.vehicles == 4 && told.taking_part == 4 && told.orders_done == 5).then_some(())
    });
    let moon = TransportOrder { to: "moon".to_owned(), ..order(9) };
    let refused = planner.offer(SchedulingPlan { transports: vec![moon], ..plans::plan(4, 3_000_000) });
    assert_eq!(refused, Err(Reason::UnknownName));
}
