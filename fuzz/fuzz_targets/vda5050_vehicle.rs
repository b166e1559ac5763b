//! What a vehicle sends: any text is refused with a reason, or read and taken in without a panic. What was read
//! of an order or of zones is written and read again as the same.
#![no_main]

use hal_units::Duration;
use hal_vda5050::{
    Address, Connection, Dialogue, InstantActions, Limits, Order, Response, State, Version, ZoneSet,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for version in [Version::V2, Version::V3] {
        let Ok(address) = Address::new("uagv", version, "KIT", "0001") else { return };
        let mut dialogue = Dialogue::new(address, Limits::default(), Duration::from_millis(500));
        match State::from_json(text) {
            Ok(state) => drop(dialogue.on_state(&state)),
            Err(malformed) => assert!(!malformed.what.is_empty()),
        }
        if let Ok(connection) = Connection::from_json(text) {
            dialogue.on_connection(&connection);
        }
        let _ = Limits::from_factsheet(text);
        let _ = (Order::unread_fields(text), InstantActions::from_json(text), Response::from_json(text));
        if let Ok((header, zones)) = ZoneSet::from_json(text) {
            // Numbers that are none are written as null.
            if zones.check().is_ok() {
                let again = ZoneSet::from_json(&zones.to_json(&header)).map(|(_, again)| again);
                assert_eq!(again.map(|again| again.zones.len()), Ok(zones.zones.len()));
            }
        }
        if let Ok((header, order)) = Order::from_json(text) {
            // What was read is written and read again as the same, if it is an order at all.
            if order.check().is_ok() {
                let again = Order::from_json(&order.to_json(&header, version)).map(|(_, again)| again);
                assert_eq!(again.map(|again| again.nodes.len()), Ok(order.nodes.len()));
            }
        }
    }
});
