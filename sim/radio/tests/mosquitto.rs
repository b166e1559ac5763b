//! Vehicles of both versions on a real Mosquitto, over bad air, and a master that lets them drive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mod.rs"]
mod campaign;

use std::time::Instant as Clock;

use campaign::master::{Master, percentile, vehicle};
use campaign::mosquitto::Mosquitto;
use hal_units::Duration;
use sim_radio::{AirConfig, Fleet, FleetConfig, Summary};

const VEHICLES: usize = 20;
const ORDERS: u64 = 3;

fn config(broker: &Mosquitto, air: AirConfig) -> FleetConfig {
    let address = broker.address();
    FleetConfig {
        broker: (address.ip().to_string(), address.port()),
        air,
        tick: Duration::from_millis(20),
        diameter: 0.6,
    }
}

/// Drives orders to their end; what the master saw, and what truly happened.
fn drive(air: AirConfig) -> (campaign::master::Outcome, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fleet = {
        let _inside = runtime.enter();
        Fleet::start((0..VEHICLES).map(vehicle).collect(), config(&broker, air))
    };
    let master = Master::connect(&broker.url(), VEHICLES, 7).unwrap();
    let outcome = master.run(Duration::from_secs(240), ORDERS);
    (outcome, runtime.block_on(fleet.stop()))
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn over_bad_air_every_order_is_driven_to_its_end_and_nothing_is_refused() {
    let air = AirConfig { delay: Duration::from_millis(20), loss: 0.05, seed: 1 };
    let (mut outcome, truth) = drive(air);
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert_eq!(outcome.done, VEHICLES as u64 * ORDERS);
    assert_eq!((truth.tally.done, truth.tally.rejected, truth.collisions), (outcome.done, 0, 0));
    assert!(truth.lost > 0 && outcome.sent.1 > 0, "the air was bad: {truth:?} {:?}", outcome.sent);
    // A way there and back, at least; after that only the machine's load sets a limit that this test leaves open.
    assert!(percentile(&mut outcome.orders_ms, 0.0) >= 40.0);
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn in_clear_air_nothing_is_lost() {
    let (outcome, truth) = drive(AirConfig::CLEAR);
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert_eq!((outcome.done, truth.tally.rejected, truth.lost), (VEHICLES as u64 * ORDERS, 0, 0));
}

#[test]
#[cfg_attr(not(takt_mosquitto), ignore = "needs mosquitto")]
fn the_broker_tells_of_a_vehicle_that_is_lost_and_of_one_that_says_goodbye() {
    use hal_vda5050::{Connection, ConnectionState, Topic};
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fleet = {
        let _inside = runtime.enter();
        Fleet::start((0..2).map(vehicle).collect(), config(&broker, AirConfig::CLEAR))
    };
    let deadline = Clock::now() + Duration::from_secs(20);
    while fleet.connected() < 2 {
        assert!(Clock::now() < deadline, "they do not connect");
        std::thread::sleep(Duration::from_millis(10));
    }
    fleet.lose(0);
    runtime.block_on(fleet.stop());
    // Retained: whoever comes later hears it too.
    let options =
        rumqttc::MqttOptions::new("late", broker.address().ip().to_string(), broker.address().port());
    let (client, mut events) = rumqttc::Client::new(options, 16);
    client.subscribe("uagv/+/+/+/connection", rumqttc::QoS::AtLeastOnce).unwrap();
    let mut heard = std::collections::BTreeMap::new();
    while heard.len() < 2 || heard.values().any(|state| *state == ConnectionState::Online) {
        assert!(Clock::now() < deadline, "{heard:?}");
        let Ok(Ok(event)) = events.recv_timeout(Duration::from_secs(5)) else { continue };
        if let rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) = event {
            let connection = Connection::from_json(std::str::from_utf8(&publish.payload).unwrap()).unwrap();
            let (address, topic) = hal_vda5050::Address::parse("uagv", &publish.topic).unwrap();
            assert!(topic == Topic::Connection && connection.header.is_from(&address));
            heard.insert(address.serial().to_owned(), connection.state);
        }
    }
    assert_eq!(heard["v0000"], ConnectionState::Broken);
    assert_eq!(heard["v0001"], ConnectionState::Offline);
}
