//! Plans as changes of earlier ones: what comes out, and what it costs on a day of plans.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(feature = "delta")]

mod support;

use agent_plan::Request;
use agent_plan::delta::{DeltaError, PlanDelta, compress_whole};
use agent_plan::document::{
    Between, Demand, Schedule, SchedulingPlan, SetPoint, SignedPlan, TransportOrder, UtcTime,
};
use serde_json::Value;
use support::{centre, demand, evening, evening_with, time, trusting};

const QUARTER_MS: u64 = 15 * 60 * 1000;
const TRACE: &str = include_str!("trace/day.jsonl");

/// The site's plan as the trace tells it.
struct Day {
    schedules_kw: Vec<Vec<u64>>,
    orders: Vec<TransportOrder>,
    demands: Vec<Demand>,
    quarter: u64,
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

fn orders(value: &Value) -> impl Iterator<Item = TransportOrder> {
    value.as_array().unwrap().iter().map(|order| TransportOrder {
        id: order[0].as_str().unwrap().to_owned(),
        from: order[1].as_str().unwrap().to_owned(),
        to: order[2].as_str().unwrap().to_owned(),
        priority: u8::try_from(order[3].as_u64().unwrap()).unwrap(),
        deadline: None,
    })
}

impl Day {
    fn begin(first: &Value) -> Self {
        let schedules_kw: Vec<_> = first["schedules_kw"].as_array().unwrap().iter().map(numbers).collect();
        let demands = (1..=schedules_kw.len()).map(|at| demand(&format!("WT{at:02}"), None)).collect();
        Self { schedules_kw, orders: orders(&first["orders"]).collect(), demands, quarter: 0 }
    }

    fn change(&mut self, change: &Value) {
        self.quarter += 1;
        for at in numbers(&change["done"]).into_iter().rev() {
            self.orders.remove(usize::try_from(at).unwrap());
        }
        self.orders.extend(orders(&change["orders"]));
        for (schedule, next) in self.schedules_kw.iter_mut().zip(numbers(&change["next_kw"])) {
            schedule.remove(0);
            schedule.push(next);
        }
        if let Some(corrected) = change["corrected_kw"].as_array() {
            for (schedule, corrected) in self.schedules_kw.iter_mut().zip(corrected) {
                let corrected = numbers(corrected);
                schedule[..corrected.len()].copy_from_slice(&corrected);
            }
        }
        if let Some(request) = change["request"].as_array() {
            let demand = self.demands.iter_mut().find(|demand| demand.unit == request[0].as_str().unwrap());
            demand.unwrap().request = match request[1].as_str().unwrap() {
                "stop" => Request::Stop,
                "run" => Request::Run,
                "service" => Request::Service,
                other => panic!("{other}"),
            };
        }
    }

    fn plan(&self) -> SchedulingPlan {
        let begin = time("2026-11-25T00:00:00Z").unix_millis() + self.quarter * QUARTER_MS;
        let schedule = |(at, powers_kw): (usize, &Vec<u64>)| Schedule {
            unit: format!("WT{:02}", at + 1),
            between: Between::Step,
            points: (0..)
                .zip(powers_kw)
                .map(|(at, kw)| SetPoint {
                    at: UtcTime::from_unix_millis(begin + at * QUARTER_MS),
                    power_limit_w: kw * 1000,
                })
                .collect(),
        };
        SchedulingPlan {
            name: format!("day-{:03}", self.quarter),
            epoch: u32::try_from(self.quarter).unwrap() + 1,
            demands: self.demands.clone(),
            schedules: self.schedules_kw.iter().enumerate().map(schedule).collect(),
            transports: self.orders.clone(),
            expires_at: Some(UtcTime::from_unix_millis(begin + 24 * 4 * QUARTER_MS)),
            ..evening()
        }
    }
}

fn day() -> Vec<SignedPlan> {
    let mut lines = TRACE.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut day = Day::begin(&lines.next().unwrap());
    let mut plans = vec![centre().sign(day.plan())];
    for change in lines {
        day.change(&change);
        plans.push(centre().sign(day.plan()));
    }
    plans
}

#[test]
fn on_a_day_of_plans_deltas_save_at_least_83_percent() {
    let plans = day();
    let (mut full, mut full_zstd, mut delta) = (0, 0, 0);
    for (base, plan) in plans.iter().zip(&plans[1..]) {
        full += plan.to_json().len();
        full_zstd += compress_whole(plan).unwrap().len();
        let change = PlanDelta::between(base, plan).unwrap();
        delta += change.data.len() + 64;
        let out = change.apply(base).unwrap();
        assert_eq!(&out, plan);
        trusting(&centre()).verify(&out).unwrap();
    }
    let count = plans.len() - 1;
    let saved = |against: usize| 100.0 * (1.0 - delta as f64 / against as f64);
    println!(
        "{count} plans: {} bytes whole, {} compressed whole, {} as a delta with both digests: \
         {:.1} % less than whole, {:.1} % less than compressed whole",
        full / count,
        full_zstd / count,
        delta / count,
        saved(full),
        saved(full_zstd)
    );
    assert!(count == 96 && saved(full) >= 83.0 && saved(full_zstd) > 30.0);
}

#[test]
fn a_delta_against_another_plan_asks_for_the_one_it_needs() {
    let [one, two, three] = [1, 2, 3].map(|epoch| centre().sign(evening_with(|plan| plan.epoch = epoch)));
    let delta = PlanDelta::between(&two, &three).unwrap();
    assert_eq!(delta.apply(&one), Err(DeltaError::OtherBase { needed: two.digest }));
    assert_eq!(delta.apply(&two), Ok(three));
}

#[test]
fn a_delta_whose_bytes_changed_gives_no_other_plan() {
    let [one, two] = [1, 2].map(|epoch| centre().sign(evening_with(|plan| plan.epoch = epoch)));
    let delta = PlanDelta::between(&one, &two).unwrap();
    for bit in 0..delta.data.len() * 8 {
        let mut changed = delta.clone();
        changed.data[bit / 8] ^= 1 << (bit % 8);
        match changed.apply(&one) {
            // The signature is not part of what is digested: it is verified afterwards.
            Ok(plan) => assert!(plan == two || trusting(&centre()).verify(&plan).is_err()),
            Err(error) => assert!(!matches!(error, DeltaError::OtherBase { .. })),
        }
    }
}

#[test]
fn a_delta_that_unpacks_to_more_than_a_plan_is_refused() {
    let one = centre().sign(evening());
    let zeros = vec![0; 64 << 20];
    let mut bomb = zstd::bulk::Compressor::with_dictionary(3, &one.to_json()).unwrap();
    let delta = PlanDelta { base: one.digest, digest: one.digest, data: bomb.compress(&zeros).unwrap() };
    assert_eq!(delta.apply(&one), Err(DeltaError::Damaged));
}

#[test]
fn a_delta_travels_as_json() {
    let [one, two] = [1, 2].map(|epoch| centre().sign(evening_with(|plan| plan.epoch = epoch)));
    let delta = PlanDelta::between(&one, &two).unwrap();
    let json = serde_json::to_string(&delta).unwrap();
    assert_eq!(serde_json::from_str::<PlanDelta>(&json).unwrap(), delta);
    assert!(serde_json::from_str::<PlanDelta>(&json.replace("\"data\":\"", "\"data\":\"*")).is_err());
}
