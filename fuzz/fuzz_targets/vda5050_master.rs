//! What a master may be sent on any topic, and what a simulated vehicle may be told: nothing panics, and what
//! the vehicle says to it is a state that the master can read.
#![no_main]

use hal_units::{Duration, Instant, Radians};
use hal_vda5050::{Address, Conversations, Dialogue, Limits, State, Topic, Version};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use sim_vehicles::{Setup, Start, Vehicle};

fuzz_target!(|input: (&str, &[u8])| {
    let (suffix, payload) = input;
    for version in [Version::V2, Version::V3] {
        let Ok(address) = Address::new("uagv", version, "KIT", "0001") else { return };
        let mut all = Conversations::new("uagv");
        let _ = all.add(Dialogue::new(address.clone(), Limits::default(), Duration::from_millis(60)));
        let _ = all.hear(suffix, payload);
        for topic in [Topic::State, Topic::Connection, Topic::Factsheet, Topic::Order] {
            let _ = all.hear(&address.topic(topic), payload);
        }
        let Ok(text) = std::str::from_utf8(payload) else { continue };
        let start = Start {
            node_id: "a".to_owned(),
            map_id: "hall".to_owned(),
            at: [0.0, 0.0],
            heading: Radians(0.0),
        };
        let mut vehicle = Vehicle::new(Setup::usual(address, start));
        let (mut now, mut out) = (Instant::ZERO, Vec::new());
        for topic in [Topic::Order, Topic::InstantActions, Topic::ZoneSet, Topic::Responses] {
            vehicle.hear(now, Timestamp::UNIX_EPOCH, topic, text, &mut out);
            now = now + Duration::from_millis(500);
            vehicle.step(now, Timestamp::UNIX_EPOCH, &mut out);
        }
        for said in out.iter().filter(|said| said.topic == Topic::State) {
            assert!(State::from_json(&said.text).is_ok(), "{}", said.text);
        }
    }
});
