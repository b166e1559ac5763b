//! Commands: any payload is refused and changes nothing, or is within limits and time, and is admitted once.
#![no_main]

use std::collections::BTreeMap;

use hal_mqtt::command::{Command, CommandGate, CommandRecord, GateLimits, Judgement, Reply, UnitKind};
use hal_mqtt::topic::Name;
use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;

const UNIT: &str = "WT01";
const RATED_KW: f64 = 5_000.0;

fuzz_target!(|payload: &[u8]| {
    // 2026-05-17T09:30:00Z: the time at which the seeds are fresh.
    let now = Timestamp::from_second(1_779_010_200).expect("a time of this century");
    for name in Command::NAMES {
        let mut gate = gate();
        let before: Vec<_> = gate.memory().collect();
        match judge(&mut gate, now, name, payload) {
            Err(refusal) => {
                assert!(!refusal.is_empty());
                assert_eq!(gate.memory().collect::<Vec<_>>(), before, "a refusal changed something");
            }
            Ok(Judgement::Repeated(known)) => panic!("nothing was admitted, but {known:?} is known"),
            Ok(Judgement::Admissible(record)) => {
                assert_within_limits(&record, now);
                gate.admit(record.clone());
                let again = judge(&mut gate, now, name, payload);
                assert!(matches!(again, Ok(Judgement::Repeated(_))), "admitted twice: {again:?}");
                let late = judge(&mut self::gate(), record.expires_at, name, payload);
                assert!(late.is_err(), "admitted when its time had passed: {late:?}");
            }
        }
    }
});

fn gate() -> CommandGate {
    let unit = Name::new(UNIT).expect("a name");
    let limits = UnitKind::Turbine { rated_power: Watts::from_kilowatts(RATED_KW) };
    CommandGate::new(GateLimits::default(), BTreeMap::from([(unit, limits)]))
}

fn judge(gate: &mut CommandGate, now: Timestamp, name: &str, payload: &[u8]) -> Result<Judgement, String> {
    let reply = Reply { topic: "answers".to_owned(), correlation: None };
    gate.judge(now, UNIT, name, payload, reply).map_err(|refusal| refusal.to_string())
}

fn assert_within_limits(record: &CommandRecord, now: Timestamp) {
    let limits = GateLimits::default();
    assert!(record.expires_at > now, "{record:?}");
    assert!(record.issued_at.duration_since(now) <= limits.clock_tolerance, "{record:?}");
    let lifetime = record.expires_at.duration_since(record.issued_at);
    assert!(lifetime > SignedDuration::ZERO && lifetime <= limits.lifetime_max, "{record:?}");
    if let Command::Derate { power_limit } = record.command {
        let rated = Watts::from_kilowatts(RATED_KW);
        assert!((0.0..=rated.get()).contains(&power_limit.get()), "{record:?}");
    }
}
