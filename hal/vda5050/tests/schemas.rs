//! Everything that is sent, against the official schemas of both versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::f64::consts::PI;

use hal_vda5050::{
    Action, Blocking, Grant, Header, InstantActions, Order, Position, Response, State, Value, Version,
};
use jsonschema::Validator;
use support::{address, order, wall};

/// Messages that are generated, of all kinds together.
const MESSAGES: u64 = 100_000;

fn schema(version: Version, topic: &str) -> Validator {
    let folder = std::env::var("TAKT_DATA").unwrap();
    let path = format!("{folder}/vda5050/{}/{topic}.schema", version.as_str());
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// Reproducible choices (SplitMix64).
struct Choice(u64);

impl Choice {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| value(self))
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.below(1 << 20) as f64 / f64::from(1 << 20))
    }

    fn name(&mut self) -> String {
        const ODD: [&str; 5] = ["Halle-\u{fc}", "n\"quoted\"", "0", "a b", "\u{65e5}\u{672c}"];
        match self.below(4) {
            0 => ODD[self.below(5) as usize].to_owned(),
            _ => format!("n{}", self.below(10_000)),
        }
    }

    fn action(&mut self, number: u64) -> Action {
        let blocking = [Blocking::None, Blocking::Soft, Blocking::Single, Blocking::Hard];
        let parameters = (0..self.below(3)).map(|_| {
            let value = match self.below(3) {
                0 => Value::Text(self.name()),
                1 => Value::Number(self.within(-1e6, 1e6)),
                _ => Value::Flag(self.below(2) == 0),
            };
            (self.name(), value)
        });
        let parameters = parameters.collect();
        Action {
            action_type: ["pick", "drop", "startCharging"][self.below(3) as usize].to_owned(),
            action_id: format!("{}-{number}", self.name()),
            blocking: blocking[self.below(4) as usize],
            parameters,
        }
    }

    fn order(&mut self) -> Order {
        let names: Vec<String> = (0..=self.below(12)).map(|_| self.name()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let released = self.below(names.len() as u64) as usize;
        let mut order =
            order(&names, 2 * self.below(1_000) as u32, self.below(u64::from(u32::MAX)) as u32, released);
        for node in &mut order.nodes {
            node.position = self.maybe(|choice| Position {
                map_id: choice.name(),
                x: choice.within(-1e4, 1e4),
                y: choice.within(-1e4, 1e4),
                theta: choice.maybe(|choice| choice.within(-PI, PI)),
                deviation: choice.maybe(|choice| choice.within(0.0, 2.0)),
            });
            node.actions =
                self.maybe(|choice| choice.action(u64::from(node.sequence_id))).into_iter().collect();
        }
        for edge in &mut order.edges {
            edge.max_speed = self.maybe(|choice| choice.within(0.0, 3.0));
            edge.length = self.maybe(|choice| choice.within(0.0, 100.0));
            edge.actions =
                self.maybe(|choice| choice.action(u64::from(edge.sequence_id))).into_iter().collect();
        }
        assert_eq!(order.check(), Ok(()));
        order
    }
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn a_hundred_thousand_messages_are_what_the_official_schemas_say() {
    let mut choice = Choice(1);
    let validators = |topic: &str| [Version::V2, Version::V3].map(|version| schema(version, topic));
    let (orders, instants, responses) =
        (validators("order"), validators("instantActions"), schema(Version::V3, "responses"));
    for number in 0..MESSAGES {
        let (version, slot) = if number % 2 == 0 { (Version::V2, 0) } else { (Version::V3, 1) };
        let header = Header::new(&address(version), choice.bits() as u32, wall());
        let (validator, text) = match number % 10 {
            0..=6 => (&orders[slot], choice.order().to_json(&header, version)),
            7 | 8 => {
                let actions = (0..=choice.below(3)).map(|each| choice.action(each)).collect();
                (&instants[slot], InstantActions { actions }.to_json(&header, version))
            }
            _ => {
                let grants =
                    [Grant::Granted { until: wall() }, Grant::Queued, Grant::Revoked, Grant::Rejected];
                let grant = grants[choice.below(4) as usize];
                let header = Header::new(&address(Version::V3), choice.bits() as u32, wall());
                let response = Response { request_id: choice.name(), grant };
                (&responses, Response::to_json(&[response], &header))
            }
        };
        let json = serde_json::from_str(&text).unwrap();
        if let Err(error) = validator.validate(&json) {
            panic!("{text}\n{error}");
        }
    }
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_schemas_do_refuse_a_message_that_lacks_a_field() {
    let header = Header::new(&address(Version::V2), 1, wall());
    let mut json: serde_json::Value =
        serde_json::from_str(&order(&["a", "b"], 0, 0, 1).to_json(&header, Version::V2)).unwrap();
    json["edges"][0].as_object_mut().unwrap().remove("startNodeId");
    assert!(schema(Version::V2, "order").validate(&json).is_err());
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_states_of_our_test_vehicle_are_what_the_official_schemas_say() {
    for version in [Version::V2, Version::V3] {
        let report = support::Vehicle::on(version, "a").report();
        if let Err(error) = schema(version, "state").validate(&report) {
            panic!("{report}\n{error}");
        }
        State::from_json(&report.to_string()).unwrap();
    }
}
