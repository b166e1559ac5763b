//! Signed plans: any bytes are refused for a reason, or are a plan with one canonical form.
#![no_main]

use agent_plan::canonical::{self, Digest};
use agent_plan::delta::PlanDelta;
use agent_plan::document::{SchedulingPlan, SignedPlan};
use agent_plan::{CheckedPlan, POINTS_MAX, RULES_MAX, SiteFacts, TrustedKeys, UNITS_MAX, UnitLimits};
use hal_units::Watts;
use libfuzzer_sys::fuzz_target;

fn site() -> SiteFacts {
    let unit = |name: &str| UnitLimits {
        unit: name.to_owned(),
        rated_power: Watts::from_kilowatts(5_000.0),
        through: None,
    };
    SiteFacts {
        site: "north-field".to_owned(),
        units: vec![unit("WT01"), unit("WT02")],
        ..SiteFacts::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(delta) = serde_json::from_slice::<PlanDelta>(bytes) {
        let base = SignedPlan { plan: minimal(), digest: delta.base, signature: None };
        let _ = delta.apply(&base);
    }
    let signed = match SignedPlan::from_json(bytes) {
        Ok(signed) => signed,
        Err(refusal) => {
            assert!(!refusal.what.is_empty());
            return;
        }
    };
    assert_eq!(SignedPlan::from_json(&signed.to_json()), Ok(signed.clone()));
    let form = canonical::bytes(&signed.plan);
    assert_eq!(SchedulingPlan::from_json(&form).as_ref(), Ok(&signed.plan), "one form, one plan");
    assert!(TrustedKeys::default().verify(&signed).is_err(), "nobody is trusted");
    let Ok(plan) = CheckedPlan::of(&signed.plan) else { return };
    assert_eq!(plan.id.digest, Digest::of(&signed.plan));
    assert!(plan.demands.len() <= UNITS_MAX && plan.rules.len() <= RULES_MAX);
    for schedule in &plan.schedules {
        assert!((1..=POINTS_MAX).contains(&schedule.points.len()));
        assert!(schedule.points.iter().zip(schedule.points.iter().skip(1)).all(|(a, b)| a.at < b.at));
    }
    if plan.fit(&site()).is_ok() {
        assert!(plan.demands.iter().all(|demand| demand.power_limit.is_none_or(|limit| limit <= Watts(5e6))));
    }
});

fn minimal() -> SchedulingPlan {
    let text = br#"{"name": "n", "epoch": 1, "target": {"site": "s"}}"#;
    match SchedulingPlan::from_json(text) {
        Ok(plan) => plan,
        Err(refusal) => panic!("{refusal}"),
    }
}
