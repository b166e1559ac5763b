//! Everything that is sent, against the official schemas of both versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::f64::consts::PI;

use hal_vda5050::{
    Action, Blocking, Command, Grant, Header, InstantActions, Limitation, Order, Position, ReleaseLoss,
    Response, State, Value, Version, Zone, ZoneAction, ZoneRule, ZoneSet,
};
use jsonschema::Validator;
use support::{address, order, wall};

/// Messages that are drawn, of all kinds together; a few would be of the wrong version.
const MESSAGES: u64 = 105_000;

fn schema(version: Version, topic: &str) -> Validator {
    let folder = std::env::var("TAKT_DATA").unwrap();
    let path = format!("{folder}/vda5050/{}/{topic}.schema", version.as_str());
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn short(number: f64) -> f64 {
    (number * 256.0).trunc() / 256.0
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
        // Numbers of few digits survive writing and reading to the last bit.
        short(low + (high - low) * (self.below(1 << 20) as f64 / f64::from(1 << 20)))
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

    fn command(&mut self) -> Command {
        let (map_id, map_version, link) = (self.name(), self.name(), self.name());
        match self.below(22) {
            0 => Command::StartPause,
            1 => Command::StopPause,
            2 => Command::StartCharging,
            3 => Command::StopCharging,
            4 => {
                let (x, y, theta) = (self.within(-1e4, 1e4), self.within(-1e4, 1e4), self.within(-PI, PI));
                Command::InitPosition { x, y, theta, map_id, last_node_id: self.name() }
            }
            5 => Command::StateRequest,
            6 => Command::FactsheetRequest,
            7 => Command::LogReport(self.name()),
            8 => Command::DownloadMap { map_id, map_version, link },
            9 => Command::EnableMap { map_id, map_version },
            10 => Command::DeleteMap { map_id, map_version },
            11 => Command::DownloadZoneSet { zone_set_id: map_id, link },
            12 => Command::EnableZoneSet(map_id),
            13 => Command::DeleteZoneSet(map_id),
            14 => Command::ClearInstantActions,
            15 => Command::ClearZoneActions,
            16 => Command::Trigger,
            17 => Command::Retry(map_id),
            18 => Command::SkipRetry(map_id),
            19 => Command::StartHibernation(self.maybe(Self::name)),
            20 => Command::StopHibernation,
            _ => {
                Command::UpdateCertificate { service: map_id, key_link: map_version, certificate_link: link }
            }
        }
    }

    fn zone_set(&mut self) -> ZoneSet {
        let zones = (0..self.below(6)).map(|index| self.zone(index)).collect();
        let set = ZoneSet { zone_set_id: self.name(), map_id: self.name(), zones };
        assert_eq!(set.check(), Ok(()));
        set
    }

    fn zone(&mut self, index: u64) -> Zone {
        let actions = |choice: &mut Self| {
            let action = |choice: &mut Self| {
                let Action { action_type, blocking, parameters, .. } = choice.action(0);
                ZoneAction { action_type, blocking, parameters }
            };
            (0..choice.below(3)).map(|_| action(choice)).collect()
        };
        let limitation = [Limitation::Soft, Limitation::Restricted, Limitation::Strict];
        let loss = [ReleaseLoss::Stop, ReleaseLoss::Continue, ReleaseLoss::Evacuate];
        let rule = match self.below(10) {
            0 => ZoneRule::Blocked,
            1 => ZoneRule::LineGuided,
            2 => ZoneRule::Release(loss[self.below(3) as usize]),
            3 => ZoneRule::CoordinatedReplanning,
            4 => ZoneRule::SpeedLimit(self.within(0.0, 3.0)),
            5 => ZoneRule::Actions { entry: actions(self), during: actions(self), exit: actions(self) },
            6 => ZoneRule::Priority(self.within(0.0, 1.0)),
            7 => ZoneRule::Penalty(self.within(0.0, 1.0)),
            8 => ZoneRule::Directed(self.within(-PI, PI), limitation[self.below(3) as usize]),
            _ => ZoneRule::Bidirected(self.within(-PI, PI), limitation[self.below(2) as usize]),
        };
        let (x, y, side) = (self.within(-1e3, 1e3), self.within(-1e3, 1e3), self.within(0.1, 50.0));
        let corners = 3 + self.below(5);
        let corner = |number: u64| {
            let angle = 2.0 * PI * number as f64 / corners as f64;
            // Numbers of few digits survive writing and reading to the last bit.
            [x + side * angle.cos(), y + side * angle.sin()]
                .map(|number: f64| (number * 1024.0).round() / 1024.0)
        };
        Zone {
            zone_id: format!("{}-{index}", self.name()),
            vertices: (0..corners).map(corner).collect(),
            rule,
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
    let (orders, instants) = (validators("order"), validators("instantActions"));
    let (responses, zones) = (schema(Version::V3, "responses"), schema(Version::V3, "zoneSet"));
    let mut validated = 0;
    for number in 0..MESSAGES {
        let (version, slot) = if number / 10 % 2 == 0 { (Version::V2, 0) } else { (Version::V3, 1) };
        let header = Header::new(&address(version), choice.bits() as u32, wall());
        let (validator, text) = match number % 10 {
            0..=5 => (&orders[slot], choice.order().to_json(&header, version)),
            6 => {
                let actions = (0..=choice.below(3)).map(|each| choice.action(each)).collect();
                (&instants[slot], InstantActions { actions }.to_json(&header, version))
            }
            7 => {
                let command = choice.command();
                let Some(action) = command.into_action(choice.name(), version) else { continue };
                (&instants[slot], InstantActions { actions: vec![action] }.to_json(&header, version))
            }
            8 => {
                let header = Header::new(&address(Version::V3), choice.bits() as u32, wall());
                let set = choice.zone_set();
                let text = set.to_json(&header);
                assert_eq!(ZoneSet::from_json(&text).unwrap().1, set);
                (&zones, text)
            }
            _ => {
                let grants =
                    [Grant::Granted { until: wall() }, Grant::Queued, Grant::Revoked, Grant::Rejected];
                let grant = grants[choice.below(4) as usize];
                let header = Header::new(&address(Version::V3), choice.bits() as u32, wall());
                let response = Response { request_id: choice.name(), grant };
                let text = Response::to_json(std::slice::from_ref(&response), &header);
                assert_eq!(Response::from_json(&text).unwrap().1, [response]);
                (&responses, text)
            }
        };
        let json = serde_json::from_str(&text).unwrap();
        if let Err(error) = validator.validate(&json) {
            panic!("{text}\n{error}");
        }
        validated += 1;
    }
    assert!(validated >= 100_000, "{validated}");
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
