//! A small site and a plan for it, to be changed by each test.

// Each test binary uses its own part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub(crate) mod rig;

use agent_plan::document::{
    Activation, Between, Demand, Loss, PlanLimits, PlanTask, Rollout, Rule, Schedule, SchedulingPlan,
    SetPoint, SignedPlan, Target, TransportOrder, UtcTime,
};
use agent_plan::schedulability::Task;
use agent_plan::{CheckedPlan, PlanKey, Reason, Refusal, Request, SiteFacts, TrustedKeys, UnitLimits};
use hal_units::{Duration, Watts};

pub(crate) const NOON: &str = "2026-11-25T12:00:00Z";

pub(crate) fn time(text: &str) -> UtcTime {
    text.parse().unwrap()
}

/// Two turbines of 5 MW in one loop group of 10 ms, and a fleet with three stations.
pub(crate) fn park() -> SiteFacts {
    SiteFacts {
        site: "park".to_owned(),
        node: "edge-a".to_owned(),
        units: ["WT01", "WT02"]
            .map(|unit| UnitLimits {
                unit: unit.to_owned(),
                rated_power: Watts::from_kilowatts(5000.0),
                through: None,
            })
            .to_vec(),
        tasks: vec![Task {
            name: "fast".to_owned(),
            core: 2,
            priority: 80,
            period: Duration::from_micros(10_000),
            deadline: Duration::from_micros(10_000),
            budget: Duration::from_micros(2_000),
            jitter: Duration::from_micros(200),
            blocking: Duration::ZERO,
        }],
        devices: vec!["PLC1".to_owned(), "PLC2".to_owned()],
        stations: Some(["dock", "press", "store"].map(str::to_owned).to_vec()),
    }
}

pub(crate) fn demand(unit: &str, power_limit_w: Option<u64>) -> Demand {
    Demand { unit: unit.to_owned(), request: Request::Run, power_limit_w }
}

/// A plan with something of everything.
pub(crate) fn evening() -> SchedulingPlan {
    SchedulingPlan {
        name: "evening".to_owned(),
        epoch: 7,
        target: Target { site: "park".to_owned(), nodes: vec!["edge-a".to_owned(), "edge-b".to_owned()] },
        tasks: vec![PlanTask {
            name: "fast".to_owned(),
            period_us: 10_000,
            deadline_us: 8_000,
            budget_us: 2_000,
            priority: 80,
            core: 2,
        }],
        demands: vec![demand("WT01", Some(3_000_000)), demand("WT02", None)],
        schedules: vec![Schedule {
            unit: "WT01".to_owned(),
            between: Between::Step,
            points: vec![
                SetPoint { at: time(NOON), power_limit_w: 2_000_000 },
                SetPoint { at: time("2026-11-25T12:15:00Z"), power_limit_w: 4_000_000 },
            ],
        }],
        wakes: Vec::new(),
        transports: vec![TransportOrder {
            id: "T1".to_owned(),
            from: "dock".to_owned(),
            to: "press".to_owned(),
            priority: 6,
            deadline: Some(time("2026-11-25T12:30:00Z")),
        }],
        rules: vec![Rule {
            name: "centre-gone".to_owned(),
            lost: Loss::Centre,
            device: None,
            hold_ms: 30_000,
            return_ms: 5_000,
            fallback: vec![demand("WT01", Some(1_000_000))],
        }],
        limits: PlanLimits { site_power_w: Some(9_000_000) },
        activation: Activation::default(),
        expires_at: Some(time("2026-11-26T00:00:00Z")),
        rollout: Rollout { canary: Some("edge-a".to_owned()), soak_ms: 60_000, max_failures: 0 },
    }
}

pub(crate) fn evening_with(change: impl FnOnce(&mut SchedulingPlan)) -> SchedulingPlan {
    let mut plan = evening();
    change(&mut plan);
    plan
}

pub(crate) fn centre() -> PlanKey {
    PlanKey::from_seed(&[7; 32])
}

pub(crate) fn trusting(key: &PlanKey) -> TrustedKeys {
    let mut keys = TrustedKeys::default();
    keys.add_pem(&key.public_pem().unwrap()).unwrap();
    keys
}

/// All that a node does with bytes before the plan is its own.
pub(crate) fn admit(json: &[u8]) -> Result<CheckedPlan, Refusal> {
    let signed = SignedPlan::from_json(json)?;
    trusting(&centre()).verify(&signed)?;
    let plan = CheckedPlan::of(&signed.plan)?;
    plan.fit(&park())?;
    Ok(plan)
}

/// Why a plan with this change is refused, if it is.
pub(crate) fn reason_with(change: impl FnOnce(&mut SchedulingPlan)) -> Option<Reason> {
    let json = centre().sign(evening_with(change)).to_json();
    admit(&json).err().map(|refusal| refusal.reason)
}
