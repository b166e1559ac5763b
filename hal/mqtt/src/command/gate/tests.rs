//! What the gate lets through and what it refuses.

use proptest::prelude::*;

use super::super::Transport;
use super::super::fixtures::{Order, after_noon, derate, gate, limits, noon, order, reply};
use super::*;

fn judge(gate: &mut CommandGate, now: Timestamp, order: &Order) -> Result<Judgement, Refusal> {
    gate.judge(now, order.unit, order.name, order.payload().as_bytes(), reply())
}

fn accept(gate: &mut CommandGate, now: Timestamp, order: &Order) -> CommandNumber {
    match judge(gate, now, order).unwrap() {
        Judgement::Admissible(record) => gate.admit(record),
        Judgement::Repeated(known) => panic!("{order:?} is a repetition of {known:?}"),
    }
}

fn refusal(gate: &mut CommandGate, now: Timestamp, order: &Order) -> &'static str {
    let before: Vec<Memory> = gate.memory().collect();
    let code = judge(gate, now, order).unwrap_err().code();
    assert_eq!(gate.memory().collect::<Vec<_>>(), before, "a refused command changed the memory");
    code
}

fn refusal_of_payload(name: &str, payload: &[u8]) -> &'static str {
    gate().judge(noon(), "wt-01", name, payload, reply()).unwrap_err().code()
}

#[test]
fn a_good_command_passes_with_all_its_fields() {
    let order = derate(1, "2500.5");
    match judge(&mut gate(), noon(), &order).unwrap() {
        Judgement::Admissible(record) => {
            assert_eq!(record.command, Command::Derate { power_limit: Watts(2_500_500.0) });
            assert_eq!((record.issuer.as_str(), record.id.as_str(), record.seq), ("op1", "c1", 1));
            assert_eq!((record.unit.as_str(), record.expires_at), ("wt-01", after_noon(60)));
        }
        Judgement::Repeated(known) => panic!("{known:?}"),
    }
}

#[test]
fn every_command_has_its_name() {
    for name in ["start", "stop", "emergency-stop", "reset"] {
        let order = Order { name, ..order(1) };
        match judge(&mut gate(), noon(), &order).unwrap() {
            Judgement::Admissible(record) => assert_eq!(record.command.name(), name),
            Judgement::Repeated(known) => panic!("{known:?}"),
        }
    }
}

fn to_fleet(name: &'static str, body: &str) -> Order {
    Order { unit: "fleet", name, body: body.to_owned(), ..order(1) }
}

#[test]
fn a_transport_order_passes_with_all_its_fields() {
    let due = after_noon(600);
    let body = format!(r#"{{"from": "dock", "to": "shelf-7", "priority": 7, "due": "{due}"}}"#);
    let Judgement::Admissible(record) = judge(&mut gate(), noon(), &to_fleet("transport", &body)).unwrap()
    else {
        panic!("an empty gate has seen nothing");
    };
    let station = |name| Name::new(name).unwrap();
    let (from, to) = (station("dock"), station("shelf-7"));
    assert_eq!(
        record.command,
        Command::Transport(Box::new(Transport { from, to, priority: 7, due: Some(due) }))
    );
}

#[test]
fn a_transport_order_that_cannot_be_carried_out_is_refused_for_its_reason() {
    for (body, code) in [
        (r#"{"from": "dock"}"#, "malformed"),
        (r#"{"from": "dock", "to": "moon"}"#, "unknown-station"),
        (r#"{"from": "a b", "to": "dock"}"#, "bad-name"),
        (r#"{"from": "dock", "to": "shelf-7", "priority": 10}"#, "priority-out-of-range"),
        (r#"{"from": "dock", "to": "shelf-7", "due": "soon"}"#, "bad-time"),
        (r#"{"from": "dock", "to": "shelf-7", "via": "dock"}"#, "malformed"),
    ] {
        assert_eq!(refusal(&mut gate(), noon(), &to_fleet("transport", body)), code, "{body}");
    }
    assert_eq!(refusal(&mut gate(), noon(), &to_fleet("cancel", r#"{"order": ""}"#)), "bad-name");
    for (body, code) in [
        (r#"{"vehicle": "a b", "load": "removed"}"#, "bad-name"),
        (r#"{"vehicle": "agv-1", "load": "gone"}"#, "malformed"),
    ] {
        assert_eq!(refusal(&mut gate(), noon(), &to_fleet("resolve", body)), code, "{body}");
    }
}

#[test]
fn each_kind_of_unit_takes_its_own_commands_alone() {
    let derate_to = |unit| Order { unit, ..derate(1, "100") };
    assert_eq!(refusal(&mut gate(), noon(), &derate_to("agv-1")), "unknown-command");
    assert_eq!(refusal(&mut gate(), noon(), &derate_to("fleet")), "unknown-command");
    assert_eq!(refusal(&mut gate(), noon(), &Order { name: "transport", ..order(1) }), "unknown-command");
    assert!(judge(&mut gate(), noon(), &Order { unit: "agv-1", ..order(1) }).is_ok());
}

#[test]
fn the_order_of_commands_counts_for_each_unit_alone() {
    let mut gate = gate();
    accept(&mut gate, noon(), &order(5));
    // A broker that delivers what it kept does so topic by topic.
    accept(&mut gate, noon(), &Order { unit: "wt-02", ..order(4) });
    assert_eq!(refusal(&mut gate, noon(), &order(3)), "out-of-order");
}

#[test]
fn units_and_commands_that_are_not_there_are_refused() {
    assert_eq!(refusal(&mut gate(), noon(), &Order { unit: "wt-99", ..order(1) }), "unknown-unit");
    assert_eq!(refusal(&mut gate(), noon(), &Order { name: "explode", ..order(1) }), "unknown-command");
}

#[test]
fn power_outside_zero_to_rated_is_refused() {
    for (power_limit_kw, expected) in [("0", None), ("5000", None), ("5000.1", Some("out-of-limits"))] {
        let judged = judge(&mut gate(), noon(), &derate(1, power_limit_kw));
        assert_eq!(judged.err().map(|refusal| refusal.code()), expected, "{power_limit_kw}");
    }
    assert_eq!(refusal(&mut gate(), noon(), &derate(1, "-1")), "out-of-limits");
}

#[test]
fn bodies_that_do_not_fit_the_command_are_refused() {
    for body in [
        "{}",
        "null",
        "[1500]",
        "1500",
        r#"{"power_limit_kw": "1500"}"#,
        r#"{"power_limit_kw": null}"#,
        r#"{"power_limit_kw": 1e999}"#,
        r#"{"power_limit_kw": 1, "power_limit_kw": 5000}"#,
        r#"{"power_limit_kw": 1, "ramp": 2}"#,
    ] {
        let order = Order { body: body.to_owned(), ..derate(1, "0") };
        assert_eq!(refusal(&mut gate(), noon(), &order), "malformed", "{body}");
    }
    assert_eq!(refusal(&mut gate(), noon(), &Order { body: "[]".to_owned(), ..order(1) }), "malformed");
    let stop_with_body = Order { body: r#"{"now": true}"#.to_owned(), ..order(1) };
    assert_eq!(refusal(&mut gate(), noon(), &stop_with_body), "malformed");
}

#[test]
fn payloads_that_are_not_the_object_are_refused() {
    let good = order(1).payload();
    let with_more = good.replacen('{', r#"{"priority": 1, "#, 1);
    let twice = good.replacen('{', r#"{"id": "x", "#, 1);
    let array = r#"["c1", 1, "op1", "2026-05-17T12:00:00Z", "2026-05-17T12:01:00Z", {}]"#;
    let without_seq = good.replace(r#""seq": 1, "#, "");
    let negative = good.replace(r#""seq": 1"#, r#""seq": -1"#);
    let nested = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for payload in
        ["", "{", "null", "\u{feff}{}", &with_more, &twice, array, &without_seq, &negative, &nested]
    {
        assert_eq!(refusal_of_payload("stop", payload.as_bytes()), "malformed", "{payload}");
    }
    let trailing = format!("{good} {{}}");
    assert_eq!(refusal_of_payload("stop", trailing.as_bytes()), "malformed");
    assert_eq!(refusal_of_payload("stop", &[b'{', 0xff, b'}']), "malformed");
    assert_eq!(refusal_of_payload("stop", &vec![b' '; 4097]), "too-large");
}

#[test]
fn an_unknown_field_is_named_to_its_sender() {
    let payload = order(1).payload().replacen("expiresAt", "expires", 1);
    let error = gate().judge(noon(), "wt-01", "stop", payload.as_bytes(), reply()).unwrap_err();
    assert!(error.to_string().contains("unknown field `expires`"), "{error}");
}

#[test]
fn names_must_be_printable_and_short() {
    for name in ["", "a b", "ü", "\\u0000", &"x".repeat(65)] {
        let bad_id = Order { id: name.to_owned(), ..order(1) };
        let bad_issuer = Order { issuer: name.to_owned(), ..order(1) };
        assert_eq!(refusal(&mut gate(), noon(), &bad_id), "bad-name", "{name}");
        assert_eq!(refusal(&mut gate(), noon(), &bad_issuer), "bad-name", "{name}");
    }
}

#[test]
fn times_must_be_plausible() {
    let check = |issued_s, expires_s, expected: Option<&str>| {
        let order = Order { issued_s, expires_s, ..order(1) };
        let judged = judge(&mut gate(), noon(), &order);
        assert_eq!(judged.err().map(|refusal| refusal.code()), expected, "{issued_s} to {expires_s}");
    };
    check(0, 1, None);
    check(5, 60, None);
    check(6, 60, Some("from-the-future"));
    check(-60, 0, Some("expired"));
    check(-60, -1, Some("expired"));
    check(0, 0, Some("expires-before-issued"));
    check(0, -1, Some("expires-before-issued"));
    check(0, 600, None);
    check(0, 601, Some("lifetime-too-long"));
    let payload = order(1).payload().replace("12:00:00Z", "noon");
    assert_eq!(refusal_of_payload("stop", payload.as_bytes()), "bad-time");
}

#[test]
fn a_repetition_is_recognised_and_not_admitted_again() {
    let mut gate = gate();
    let number = accept(&mut gate, noon(), &order(1));
    gate.conclude(number, Outcome::Executed(None)).unwrap();
    match judge(&mut gate, after_noon(59), &order(1)).unwrap() {
        Judgement::Repeated(known) => {
            assert_eq!((known.number, known.outcome), (number, Some(Outcome::Executed(None))))
        }
        Judgement::Admissible(record) => panic!("{record:?} would be carried out twice"),
    }
}

#[test]
fn an_id_with_another_order_is_refused() {
    let mut gate = gate();
    accept(&mut gate, noon(), &derate(1, "1000"));
    assert_eq!(refusal(&mut gate, noon(), &derate(1, "2000")), "id-reused");
    assert_eq!(refusal(&mut gate, noon(), &Order { unit: "wt-02", ..derate(1, "1000") }), "id-reused");
}

#[test]
fn sequences_grow_per_issuer() {
    let mut gate = gate();
    accept(&mut gate, noon(), &order(5));
    let older = Order { id: "other".to_owned(), ..order(5) };
    assert_eq!(refusal(&mut gate, noon(), &older), "out-of-order");
    accept(&mut gate, noon(), &Order { issuer: "op2".to_owned(), ..order(1) });
    accept(&mut gate, noon(), &Order { unit: "wt-02", ..order(9) });
}

#[test]
fn a_refused_command_does_not_use_up_its_sequence() {
    let mut gate = gate();
    assert_eq!(refusal(&mut gate, noon(), &derate(7, "9999")), "out-of-limits");
    accept(&mut gate, noon(), &derate(7, "4000"));
}

#[test]
fn the_memory_of_an_issuer_is_bounded_and_frees_itself() {
    let mut gate = gate();
    for seq in 1..=3 {
        let number = accept(&mut gate, noon(), &order(seq));
        gate.conclude(number, Outcome::Executed(None)).unwrap();
    }
    assert_eq!(refusal(&mut gate, after_noon(59), &Order { expires_s: 90, ..order(4) }), "too-many-commands");
    accept(&mut gate, after_noon(60), &Order { expires_s: 90, ..order(4) });
    assert_eq!(gate.commands.len(), 1);
}

#[test]
fn a_command_that_is_not_concluded_is_not_forgotten() {
    let mut gate = gate();
    let number = accept(&mut gate, noon(), &order(1));
    accept(&mut gate, after_noon(300), &Order { issued_s: 290, expires_s: 400, ..order(2) });
    assert!(gate.get(number).is_some());
}

#[test]
fn the_memory_of_issuers_is_bounded_and_a_forgotten_one_cannot_replay() {
    let mut gate = gate();
    let by = |issuer: &str, seq, issued_s| Order {
        issuer: issuer.to_owned(),
        issued_s,
        expires_s: issued_s + 60,
        ..order(seq)
    };
    for issuer in ["a", "b"] {
        let number = accept(&mut gate, noon(), &by(issuer, 1, 0));
        gate.conclude(number, Outcome::Executed(None)).unwrap();
    }
    assert_eq!(refusal(&mut gate, noon(), &by("c", 1, 0)), "too-many-issuers");
    accept(&mut gate, after_noon(100), &by("c", 1, 100));
    assert_eq!(gate.issuers.len(), limits().issuers_max);
    // The clock is set back: the command of the forgotten issuer looks fresh again.
    assert_eq!(refusal(&mut gate, after_noon(1), &by("a", 1, 0)), "forgotten");
}

#[test]
fn a_restored_gate_judges_like_the_one_before() {
    let mut before = gate();
    let number = accept(&mut before, noon(), &order(4));
    before.conclude(number, Outcome::Executed(None)).unwrap();
    accept(&mut before, noon(), &order(5));
    let mut after = gate();
    before.memory().for_each(|memory| after.restore(memory));
    assert_eq!(after.memory().collect::<Vec<_>>(), before.memory().collect::<Vec<_>>());
    assert_eq!(refusal(&mut after, noon(), &Order { id: "x".to_owned(), ..order(5) }), "out-of-order");
    assert_eq!(accept(&mut after, noon(), &order(6)), CommandNumber(3));
}

/// Good payloads with some bytes changed, cut out, or doubled.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_u8..4, any::<u8>());
    (prop::sample::select(vec![order(1), derate(1, "1500")]), prop::collection::vec(edit, 0..6)).prop_map(
        |(order, edits)| {
            let mut payload = order.payload().into_bytes();
            for (place, kind, byte) in edits {
                let at = place.index(payload.len().max(1));
                match kind {
                    0 if at < payload.len() => payload[at] = byte,
                    1 if at < payload.len() => drop(payload.remove(at)),
                    2 => payload.insert(at.min(payload.len()), byte),
                    _ => payload.extend_from_within(..at.min(payload.len())),
                }
            }
            payload
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(
        name in prop::sample::select(Command::NAMES.to_vec()),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let judged = gate().judge(noon(), "wt-01", name, &payload, reply());
        prop_assert!(judged.is_err());
    }

    #[test]
    fn mangled_payloads_pass_only_within_the_limits(
        name in prop::sample::select(Command::NAMES.to_vec()),
        payload in mangled(),
    ) {
        match gate().judge(noon(), "wt-01", name, &payload, reply()) {
            Err(refusal) => prop_assert!(refusal.to_string().len() < 1000),
            Ok(Judgement::Repeated(_)) => prop_assert!(false, "an empty gate has seen nothing"),
            Ok(Judgement::Admissible(record)) => {
                prop_assert_eq!(record.command.name(), name);
                prop_assert!(record.expires_at > noon());
                if let Command::Derate { power_limit } = record.command {
                    prop_assert!((0.0..=5e6).contains(&power_limit.get()));
                }
            }
        }
    }
}
