//! What it costs a master to hear states and send updates: one core, 1,000 vehicles.
//!
//! `cargo run --release -p hal-vda5050 --example throughput`. The vehicles have orders of ten nodes under way;
//! their states are those of `sim-vehicles` in size: ten nodes and edges ahead, three actions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Instant as Clock;

use hal_units::{Duration, Instant};
use hal_vda5050::{
    Address, Conversations, Dialogue, Edge, Heard, Limits, Node, Position, Topic, VehicleId, Version,
};
use jiff::Timestamp;

const VEHICLES: usize = 1_000;
const ROUNDS: u32 = 50;

fn main() {
    let wall: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    for version in [Version::V2, Version::V3] {
        let address = |index: usize| Address::new("uagv", version, "takt", &format!("v{index:04}")).unwrap();
        let mut all = Conversations::new("uagv");
        for index in 0..VEHICLES {
            all.add(Dialogue::new(address(index), Limits::default(), Duration::from_millis(60))).unwrap();
            let topic = address(index).topic(Topic::State);
            let heard = all.hear(&topic, state(&address(index), 0, "", 0, false).as_bytes());
            assert!(matches!(heard, Heard::State(..)), "{heard:?}");
        }
        let begun = Clock::now();
        for index in 0..VEHICLES {
            let legs = (1..=10).map(leg).collect();
            let begin = |dialogue: &mut Dialogue| {
                dialogue.begin(Instant::ZERO, wall, "transport-1", node(0), legs, 9)
            };
            all.say(VehicleId(index), begin).unwrap();
        }
        let order_us = begun.elapsed().as_secs_f64() * 1e6 / VEHICLES as f64;
        let sent: usize =
            std::iter::from_fn(|| all.leave(u64::MAX)).map(|outgoing| outgoing.text.len()).sum();
        let (mut bytes, mut spent) = (0, 0.0);
        for round in 1..=ROUNDS {
            for index in 0..VEHICLES {
                let (topic, text) = (
                    address(index).topic(Topic::State),
                    state(&address(index), round, "transport-1", 0, true),
                );
                bytes = text.len();
                let begun = Clock::now();
                let heard = all.hear(&topic, text.as_bytes());
                spent += begun.elapsed().as_secs_f64();
                assert!(matches!(heard, Heard::State(..)), "{heard:?}");
            }
        }
        let state_us = spent * 1e6 / f64::from(ROUNDS) / VEHICLES as f64;
        let begun = Clock::now();
        (0..100).for_each(|_| all.resend(Instant::ZERO + Duration::from_secs(9), wall));
        let quiet_us = begun.elapsed().as_secs_f64() * 1e6 / 100.0;
        let memory = all.dialogue(VehicleId(0)).unwrap().state();
        println!("{}: a state of {bytes} bytes, parsed and judged: {state_us:.1} us", version.as_str());
        println!("  an order of {} bytes: {order_us:.1} us", sent / VEHICLES);
        println!("  looking through all for what was lost: {quiet_us:.1} us");
        println!(
            "  what another master needs, as JSON: {} bytes",
            serde_json::to_vec(&memory).unwrap().len()
        );
        let share = VEHICLES as f64 * (3.0 * state_us + order_us) / 1e6 + quiet_us * 200.0 / 1e6;
        println!(
            "  {VEHICLES} vehicles with three states and one update a second, looked through every 5 ms: {:.1} % of a core",
            100.0 * share
        );
    }
}

fn node(place: usize) -> Node {
    let position =
        Position { map_id: "hall".to_owned(), x: place as f64, y: 1.25, theta: None, deviation: None };
    Node {
        node_id: format!("node-{place}"),
        sequence_id: 0,
        released: false,
        position: Some(position),
        actions: Vec::new(),
    }
}

fn leg(place: usize) -> (Edge, Node) {
    let edge = Edge {
        edge_id: format!("edge-{place}"),
        sequence_id: 0,
        released: false,
        start_node_id: String::new(),
        end_node_id: String::new(),
        max_speed: Some(1.5),
        length: None,
        actions: Vec::new(),
    };
    (edge, node(place))
}

fn state(address: &Address, header_id: u32, order_id: &str, update: u32, drives: bool) -> String {
    let list = |text: &dyn Fn(usize) -> String| (1..=10).map(text).collect::<Vec<_>>().join(",");
    let (nodes, edges) = if drives {
        (
            list(&|i| format!(r#"{{"nodeId":"node-{i}","sequenceId":{},"released":{}}}"#, 2 * i, i < 10)),
            list(&|i| format!(r#"{{"edgeId":"edge-{i}","sequenceId":{},"released":{}}}"#, 2 * i - 1, i < 10)),
        )
    } else {
        (String::new(), String::new())
    };
    let (position, known, power, charge, stop, instant) = match address.version() {
        Version::V2 => ("agvPosition", "positionInitialized", "batteryState", "batteryCharge", "eStop", ""),
        Version::V3 => (
            "mobileRobotPosition",
            "localized",
            "powerSupply",
            "stateOfCharge",
            "activeEmergencyStop",
            r#""instantActionStates":[],"#,
        ),
    };
    format!(
        r#"{{"headerId":{header_id},"timestamp":"2026-03-01T12:00:00.000Z","version":"{}",
"manufacturer":"{}","serialNumber":"{}","maps":[{{"mapId":"hall","mapVersion":"1","mapStatus":"ENABLED"}}],
"orderId":"{order_id}","orderUpdateId":{update},"lastNodeId":"node-0","lastNodeSequenceId":0,
"nodeStates":[{nodes}],"edgeStates":[{edges}],
"{position}":{{"x":12.345678901,"y":-3.2109876543,"theta":1.57079,"mapId":"hall","{known}":true}},
"velocity":{{"vx":1.5,"vy":0.0,"omega":0.0}},"loads":[],"driving":{drives},"paused":false,
"newBaseRequest":false,"actionStates":[{{"actionId":"a1","actionType":"pick","actionStatus":"WAITING"}},
{{"actionId":"a2","actionType":"drop","actionStatus":"WAITING"}},
{{"actionId":"a3","actionType":"wait","actionStatus":"RUNNING"}}],{instant}
"{power}":{{"{charge}":81.25,"charging":false}},"operatingMode":"AUTOMATIC","errors":[],
"safetyState":{{"{stop}":"NONE","fieldViolation":false}}}}"#,
        address.version().as_str(),
        address.manufacturer(),
        address.serial(),
    )
}
