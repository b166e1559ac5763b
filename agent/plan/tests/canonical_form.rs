//! What is signed does not depend on who wrote it how, and depends on all that is meant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::TrustedKeys;
use agent_plan::canonical::{self, Digest};
use agent_plan::document::{SchedulingPlan, SignedPlan, UtcTime};
use proptest::prelude::*;
use serde_json::Value;
use support::{centre, demand, evening, trusting};

/// Plans of many shapes; whether they make sense does not matter here.
fn any_plan() -> impl Strategy<Value = SchedulingPlan> {
    let units = proptest::collection::vec(("[A-Za-z0-9._-]{1,12}", any::<Option<u32>>()), 0..6);
    (units, 1_u32.., "\\PC{0,20}", any::<Option<u32>>()).prop_map(|(units, epoch, name, expires)| {
        let mut plan = evening();
        plan.demands = units.iter().map(|(unit, limit)| demand(unit, limit.map(u64::from))).collect();
        (plan.epoch, plan.name) = (epoch, name);
        plan.expires_at = expires.map(|seconds| UtcTime::from_unix_millis(u64::from(seconds) * 1000));
        plan
    })
}

/// Writes a value as somebody else would: keys in another order, white space, escapes that need not be.
fn written_otherwise(value: &Value, seed: &mut u64, out: &mut String) {
    let mut draw = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let space = " \n\t".repeat(draw(2) as usize);
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            for at in (1..entries.len()).rev() {
                entries.swap(at, draw(at as u64 + 1) as usize);
            }
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&format!("{space}\"{key}\"{space}:{space}"));
                written_otherwise(value, seed, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&space);
                written_otherwise(value, seed, out);
            }
            out.push(']');
        }
        Value::String(text) => {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            out.push_str(&format!("\"{escaped}\""));
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn the_form_does_not_depend_on_order_white_space_or_escapes(plan in any_plan(), seed in any::<u64>()) {
        let mut text = String::new();
        written_otherwise(&serde_json::to_value(&plan).unwrap(), &mut seed.clone(), &mut text);
        let read = SchedulingPlan::from_json(text.as_bytes()).unwrap();
        prop_assert_eq!(canonical::bytes(&read), canonical::bytes(&plan));
    }

    #[test]
    fn a_form_is_read_back_as_the_same_plan(plan in any_plan()) {
        prop_assert_eq!(SchedulingPlan::from_json(&canonical::bytes(&plan)).unwrap(), plan);
    }

    #[test]
    fn two_plans_have_one_form_only_if_they_are_equal(one in any_plan(), other in any_plan()) {
        prop_assert_eq!(one == other, canonical::bytes(&one) == canonical::bytes(&other));
    }
}

#[test]
fn keys_are_sorted_defaults_are_written_and_what_is_left_out_is_left_out() {
    let plan = r#"{ "target": {"site": "park"}, "name": "calm", "epoch": 3 }"#;
    let form = canonical::bytes(&SchedulingPlan::from_json(plan.as_bytes()).unwrap());
    assert_eq!(
        String::from_utf8(form).unwrap(),
        r#"{"activation":{"boundary":"cycle","graceMs":10000,"ifMissed":"skip"},"demands":[],"epoch":3,"limits":{},"name":"calm","rollout":{"maxFailures":0,"soakMs":60000},"rules":[],"schedules":[],"target":{"nodes":[],"site":"park"},"tasks":[],"transports":[]}"#
    );
}

#[test]
fn strings_are_escaped_as_rfc_8785_wants_it() {
    // The example string of RFC 8785, section 3.2.2.
    let mut plan = evening();
    plan.name = "\u{20ac}$\u{000f}\nA'B\"\\\\\"/".to_owned();
    let form = String::from_utf8(canonical::bytes(&plan)).unwrap();
    assert!(form.contains(r#""name":"€$\u000f\nA'B\"\\\\\"/""#), "{form}");
}

/// The forms of published plans must never change: signatures out there would break.
#[test]
fn the_digest_of_a_plan_stays_what_it_is() {
    assert_eq!(Digest::of(&evening()).to_string(), PUBLISHED);
}

const PUBLISHED: &str = "31c8f7ceacb151b8fdac1fd1b6207706daef4a18a8fd6f3128fba05455007db6";

fn verified(keys: &TrustedKeys, json: &[u8]) -> Option<SignedPlan> {
    let signed = SignedPlan::from_json(json).ok()?;
    keys.verify(&signed).ok().map(|()| signed)
}

#[test]
fn no_single_bit_of_a_signed_plan_changes_without_breaking_it() {
    let signed = centre().sign(evening());
    let (keys, json) = (trusting(&centre()), signed.to_json());
    for at in 0..json.len() * 8 {
        let mut changed = json.clone();
        changed[at / 8] ^= 1 << (at % 8);
        // RFC 3339 lets `T` and `Z` be small: that is another way to write the same plan, not another plan.
        if let Some(survivor) = verified(&keys, &changed) {
            assert_eq!(survivor, signed, "bit {at}");
        }
    }
}

#[test]
fn no_single_bit_of_key_or_signature_changes_without_breaking_it() {
    let signed = centre().sign(evening());
    let keys = trusting(&centre());
    let value = signed.signature.as_ref().unwrap().value.clone();
    for at in 0..value.len() * 4 {
        let mut digits: Vec<u8> = value.bytes().collect();
        let digit = (digits[at / 4] as char).to_digit(16).unwrap() ^ 1 << (at % 4);
        digits[at / 4] = char::from_digit(digit, 16).unwrap() as u8;
        let mut changed = signed.clone();
        changed.signature.as_mut().unwrap().value = String::from_utf8(digits).unwrap();
        assert!(keys.verify(&changed).is_err(), "bit {at}");
    }
    assert!(keys.verify(&signed).is_ok());
}
