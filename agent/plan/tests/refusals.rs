//! Bad plans: each is refused for its own reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::document::{Between, Loss, Schedule, SetPoint, SignedPlan, Wake, WakeWeights};
use agent_plan::{KeyError, PlanKey, Reason, TrustedKeys};
use support::{admit, centre, demand, evening, evening_with, park, reason_with, time, trusting};

fn signed_text() -> String {
    String::from_utf8(centre().sign(evening()).to_json()).unwrap()
}

fn reason_of(json: &str) -> Option<Reason> {
    admit(json.as_bytes()).err().map(|refusal| refusal.reason)
}

#[test]
fn a_plan_with_something_of_everything_is_admitted() {
    let plan = admit(signed_text().as_bytes()).unwrap();
    assert_eq!((plan.id.epoch, plan.demands.len(), plan.rules.len()), (7, 2, 1));
}

#[test]
fn a_plan_that_nobody_signed_is_unsigned() {
    let signed = SignedPlan { signature: None, ..centre().sign(evening()) };
    assert_eq!(admit(&signed.to_json()).unwrap_err().reason, Reason::Unsigned);
}

#[test]
fn a_key_that_is_not_trusted_is_unknown() {
    let signed = PlanKey::from_seed(&[9; 32]).sign(evening());
    assert_eq!(admit(&signed.to_json()).unwrap_err().reason, Reason::UnknownKey);
    assert_eq!(TrustedKeys::default().verify(&signed).unwrap_err().reason, Reason::UnknownKey);
}

#[test]
fn a_foreign_signature_under_a_trusted_name_is_bad() {
    let mut signed = PlanKey::from_seed(&[9; 32]).sign(evening());
    signed.signature.as_mut().unwrap().key_id = centre().id();
    assert_eq!(admit(&signed.to_json()).unwrap_err().reason, Reason::BadSignature);
    signed.signature.as_mut().unwrap().value = "00".to_owned();
    assert_eq!(admit(&signed.to_json()).unwrap_err().reason, Reason::BadSignature);
}

#[test]
fn a_key_for_which_anybody_can_sign_is_not_trusted() {
    // With the neutral element as key and as R, and s = 0, the equation of RFC 8032 holds for every message.
    let neutral = [&[1_u8][..], &[0; 31]].concat();
    let spki =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &neutral].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&spki));
    assert_eq!(TrustedKeys::default().add_pem(&pem), Err(KeyError::Weak));
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize] as char;
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn a_plan_that_was_changed_after_signing_has_a_bad_digest() {
    assert_eq!(reason_of(&signed_text().replace("\"epoch\":7", "\"epoch\":8")), Some(Reason::BadDigest));
}

#[test]
fn a_changed_plan_with_a_fitting_digest_has_a_bad_signature() {
    let other = centre().sign(evening_with(|plan| plan.epoch = 8));
    let mixed = SignedPlan { signature: centre().sign(evening()).signature, ..other };
    assert_eq!(admit(&mixed.to_json()).unwrap_err().reason, Reason::BadSignature);
}

#[test]
fn a_field_that_is_not_known_is_refused_wherever_it_stands() {
    for (from, to) in [
        ("{\"plan\":", "{\"urgent\":true,\"plan\":"),
        ("\"epoch\":7", "\"epoch\":7,\"force\":1"),
        ("\"request\":\"run\"", "\"request\":\"run\",\"speed\":1"),
        ("\"lost\":\"centre\"", "\"lost\":\"centre\",\"or\":\"grid\""),
        ("\"keyId\"", "\"alg\":\"none\",\"keyId\""),
    ] {
        assert_eq!(reason_of(&signed_text().replacen(from, to, 1)), Some(Reason::UnknownField), "{to}");
    }
}

#[test]
fn text_of_another_shape_is_malformed() {
    assert_eq!(reason_of("epoch: 7"), Some(Reason::Malformed));
    assert_eq!(reason_of(&signed_text().replace("\"run\"", "\"sprint\"")), Some(Reason::Malformed));
    assert_eq!(reason_of(&signed_text().replace("3000000", "3000000.5")), Some(Reason::Malformed));
    assert_eq!(
        reason_of(&signed_text().replace("\"epoch\":7", "\"epoch\":7,\"epoch\":8")),
        Some(Reason::Malformed)
    );
    assert_eq!(
        reason_with(|plan| plan.rules[0].device = Some("PLC1".to_owned())),
        Some(Reason::Malformed),
        "a device that no rule for devices asks for"
    );
    assert_eq!(reason_with(|plan| plan.schedules[0].points.reverse()), Some(Reason::Malformed));
    assert_eq!(reason_with(|plan| plan.demands.truncate(0)), Some(Reason::Malformed));
}

#[test]
fn more_than_any_plan_may_have_is_oversized() {
    let long = format!("{}{}", signed_text(), " ".repeat(agent_plan::document::SIGNED_BYTES_MAX));
    assert_eq!(reason_of(&long), Some(Reason::Oversized));
    let rules = |plan: &mut agent_plan::document::SchedulingPlan| {
        plan.rules = (0..=agent_plan::RULES_MAX)
            .map(|at| agent_plan::document::Rule { name: format!("r{at}"), ..plan.rules[0].clone() })
            .collect();
    };
    assert_eq!(reason_with(rules), Some(Reason::Oversized));
}

#[test]
fn a_plan_for_others_has_the_wrong_target() {
    assert_eq!(reason_with(|plan| plan.target.site = "harbour".to_owned()), Some(Reason::WrongTarget));
    assert_eq!(reason_with(|plan| plan.target.nodes = vec!["edge-c".to_owned()]), Some(Reason::WrongTarget));
    assert_eq!(reason_with(|plan| plan.target.nodes.clear()), None, "no names mean all nodes");
}

#[test]
fn what_the_site_does_not_have_is_an_unknown_name() {
    assert_eq!(reason_with(|plan| plan.demands[1].unit = "WT09".to_owned()), Some(Reason::UnknownName));
    assert_eq!(
        reason_with(|plan| plan.demands[1].unit = "WT01".to_owned()),
        Some(Reason::UnknownName),
        "twice"
    );
    assert_eq!(reason_with(|plan| plan.tasks[0].name = "slow".to_owned()), Some(Reason::UnknownName));
    assert_eq!(reason_with(|plan| plan.transports[0].to = "moon".to_owned()), Some(Reason::UnknownName));
    assert_eq!(reason_with(|plan| plan.name = "../etc".to_owned()), Some(Reason::UnknownName));
    let device = |plan: &mut agent_plan::document::SchedulingPlan| {
        plan.rules[0].lost = Loss::Device;
        plan.rules[0].device = Some("PLC9".to_owned());
    };
    assert_eq!(reason_with(device), Some(Reason::UnknownName));
}

#[test]
fn orders_for_a_fleet_that_is_not_there_are_unsupported() {
    let plan = agent_plan::CheckedPlan::of(&evening()).unwrap();
    let refusal = plan.fit(&agent_plan::SiteFacts { stations: None, ..park() }).unwrap_err();
    assert_eq!(refusal.reason, Reason::Unsupported);
}

#[test]
fn numbers_beyond_what_a_unit_or_the_site_may_do_are_out_of_limits() {
    assert_eq!(
        reason_with(|plan| plan.demands[0].power_limit_w = Some(5_000_001)),
        Some(Reason::OutOfLimits)
    );
    assert_eq!(
        reason_with(|plan| plan.schedules[0].points[1].power_limit_w = 5_000_001),
        Some(Reason::OutOfLimits)
    );
    assert_eq!(
        reason_with(|plan| plan.rules[0].fallback[0].power_limit_w = Some(5_000_001)),
        Some(Reason::OutOfLimits)
    );
    assert_eq!(reason_with(|plan| plan.epoch = 0), Some(Reason::OutOfLimits));
    assert_eq!(reason_with(|plan| plan.transports[0].priority = 10), Some(Reason::OutOfLimits));
}

#[test]
fn the_sum_of_all_limits_is_kept_at_every_point_of_every_schedule() {
    // WT02 may give 5 MW at all times, WT01 up to 4 MW.
    assert_eq!(reason_with(|plan| plan.limits.site_power_w = Some(9_000_000)), None);
    assert_eq!(reason_with(|plan| plan.limits.site_power_w = Some(8_999_999)), Some(Reason::OutOfLimits));
    // What steps up as the other steps down is no more than before.
    let swap = |plan: &mut agent_plan::document::SchedulingPlan| {
        plan.demands = vec![demand("WT01", Some(4_000_000)), demand("WT02", Some(1_000_000))];
        let at = time(support::NOON);
        let step = |unit: &str, power_limit_w| Schedule {
            unit: unit.to_owned(),
            between: Between::Step,
            points: vec![SetPoint { at, power_limit_w }],
        };
        plan.schedules = vec![step("WT01", 1_000_000), step("WT02", 4_000_000)];
        plan.limits.site_power_w = Some(5_000_000);
    };
    assert_eq!(reason_with(swap), None);
    // A line reaches its end before the other steps down.
    let line_then_step = |plan: &mut agent_plan::document::SchedulingPlan| {
        swap(plan);
        plan.schedules[1].between = Between::Line;
        plan.schedules[1]
            .points
            .insert(0, SetPoint { at: time("2026-11-25T11:00:00Z"), power_limit_w: 1_000_000 });
    };
    assert_eq!(reason_with(line_then_step), Some(Reason::OutOfLimits));
    let fallback = |plan: &mut agent_plan::document::SchedulingPlan| {
        plan.rules[0].fallback[0].power_limit_w = Some(4_500_000);
    };
    assert_eq!(reason_with(fallback), Some(Reason::OutOfLimits), "a fallback keeps the limit too");
}

#[test]
fn tasks_that_would_miss_their_deadline_are_unschedulable() {
    assert_eq!(reason_with(|plan| plan.tasks[0].deadline_us = 2_100), Some(Reason::Unschedulable));
    assert_eq!(reason_with(|plan| plan.tasks[0].budget_us = 9_900), Some(Reason::Unschedulable));
}

#[test]
fn tasks_that_differ_from_how_the_node_was_set_up_do_not_match() {
    assert_eq!(reason_with(|plan| plan.tasks[0].priority = 81), Some(Reason::TaskMismatch));
    assert_eq!(reason_with(|plan| plan.tasks[0].core = 3), Some(Reason::TaskMismatch));
    assert_eq!(reason_with(|plan| plan.tasks[0].period_us = 20_000), Some(Reason::TaskMismatch));
}

#[test]
fn keys_are_the_files_that_openssl_writes() {
    // openssl genpkey -algorithm ed25519; openssl pkey -pubout. The key of RFC 8410, section 10.3.
    let private = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    let key = PlanKey::from_pem(private).unwrap();
    assert_eq!(key.public_pem().unwrap(), public);
    assert_eq!(PlanKey::from_pem(&key.to_pem().unwrap()).unwrap().id(), key.id());
    trusting(&key).verify(&key.sign(evening())).unwrap();
    assert!(PlanKey::from_pem(public).is_err());
}

/// The evening's site with both turbines feeding in through one meter.
fn behind_a_meter() -> agent_plan::SiteFacts {
    let mut site = park();
    site.units.iter_mut().for_each(|unit| unit.through = Some("PARK".to_owned()));
    site.units.push(agent_plan::UnitLimits {
        unit: "PARK".to_owned(),
        rated_power: hal_units::Watts::from_kilowatts(10_000.0),
        through: None,
    });
    site
}

/// The evening's plan with the park at 4 MW and a table for it, changed.
fn refusal_behind_a_meter(
    change: impl FnOnce(&mut agent_plan::document::SchedulingPlan),
) -> Option<agent_plan::Refusal> {
    let plan = evening_with(|plan| {
        plan.demands.push(demand("PARK", Some(4_000_000)));
        plan.wakes.push(Wake {
            park: "PARK".to_owned(),
            directions_deg: vec![0, 90, 180],
            weights: vec![WakeWeights { unit: "WT01".to_owned(), percent: vec![100, 50, 120] }],
        });
        change(plan);
    });
    let refused = agent_plan::CheckedPlan::of(&plan).and_then(|plan| plan.fit(&behind_a_meter()));
    refused.err()
}

#[test]
fn a_table_of_wakes_that_makes_sense_is_taken() {
    assert_eq!(refusal_behind_a_meter(|_| {}), None);
}

#[test]
fn a_table_of_wakes_that_makes_no_sense_is_refused() {
    let reason = |change: fn(&mut Wake)| {
        refusal_behind_a_meter(|plan| change(&mut plan.wakes[0])).map(|refusal| refusal.reason)
    };
    assert_eq!(reason(|wake| wake.directions_deg = vec![0, 180, 90]), Some(Reason::Malformed));
    assert_eq!(reason(|wake| wake.directions_deg = vec![0, 90]), Some(Reason::Malformed));
    assert_eq!(reason(|wake| wake.directions_deg[2] = 360), Some(Reason::OutOfLimits));
    assert_eq!(reason(|wake| wake.weights[0].percent[1] = 0), Some(Reason::OutOfLimits));
    assert_eq!(reason(|wake| wake.weights.push(wake.weights[0].clone())), Some(Reason::UnknownName));
    assert_eq!(reason(|wake| wake.weights[0].unit = "WT09".to_owned()), Some(Reason::UnknownName));
    assert_eq!(reason(|wake| wake.park = "WT01".to_owned()), Some(Reason::UnknownName));
}

#[test]
fn a_park_s_limit_stands_for_its_turbines_in_the_site_s() {
    // The turbines' own limits add up to 9 MW, the park's is 4 MW.
    assert_eq!(refusal_behind_a_meter(|plan| plan.limits.site_power_w = Some(4_000_000)), None);
    let refusal = refusal_behind_a_meter(|plan| plan.limits.site_power_w = Some(3_900_000));
    assert_eq!(refusal.map(|refusal| refusal.reason), Some(Reason::OutOfLimits));
}
