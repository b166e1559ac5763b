//! Orders as the tests speak of them.

use std::collections::BTreeMap;

use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};

use super::{CommandGate, GateLimits, Reply, UnitKind};
use crate::topic::Name;

pub(crate) const SITE: &str = "north";
pub(crate) const UNIT: &str = "wt-01";

/// Noon of the tests' day.
pub(crate) fn noon() -> Timestamp {
    "2026-05-17T12:00:00Z".parse().unwrap()
}

pub(crate) fn after_noon(seconds: i64) -> Timestamp {
    noon() + SignedDuration::from_secs(seconds)
}

pub(crate) fn limits() -> GateLimits {
    GateLimits { issuers_max: 2, commands_per_issuer_max: 3, ..GateLimits::default() }
}

/// Two turbines of 5 MW, a fleet with two stations, and one of its vehicles.
pub(crate) fn gate() -> CommandGate {
    let unit = UnitKind::Turbine { rated_power: Watts::from_kilowatts(5000.0) };
    let name = |name| Name::new(name).unwrap();
    let mut units = BTreeMap::from([UNIT, "wt-02"].map(|unit_name| (name(unit_name), unit.clone())));
    units.insert(name("fleet"), UnitKind::Fleet { stations: ["dock", "shelf-7"].map(name).into() });
    units.insert(name("agv-1"), UnitKind::Vehicle);
    CommandGate::new(limits(), units)
}

pub(crate) fn reply() -> Reply {
    Reply { topic: "answers/op1".to_owned(), correlation: None }
}

/// An order: `stop` to the first unit, issued at noon, good for a minute, unless said otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) issuer: String,
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) issued_s: i64,
    pub(crate) expires_s: i64,
    pub(crate) body: String,
}

pub(crate) fn order(seq: u64) -> Order {
    Order {
        name: "stop",
        unit: UNIT,
        issuer: "op1".to_owned(),
        id: format!("c{seq}"),
        seq,
        issued_s: 0,
        expires_s: 60,
        body: "{}".to_owned(),
    }
}

pub(crate) fn derate(seq: u64, power_limit_kw: &str) -> Order {
    Order { name: "derate", body: format!("{{\"power_limit_kw\": {power_limit_kw}}}"), ..order(seq) }
}

impl Order {
    pub(crate) fn payload(&self) -> String {
        let Self { issuer, id, seq, issued_s, expires_s, body, .. } = self;
        format!(
            r#"{{"id": "{id}", "seq": {seq}, "issuer": "{issuer}", "issuedAt": "{}", "expiresAt": "{}", "body": {body}}}"#,
            after_noon(*issued_s),
            after_noon(*expires_s),
        )
    }

    pub(crate) fn topic(&self) -> String {
        format!("takt/v1/{SITE}/{}/cmd/{}", self.unit, self.name)
    }
}
