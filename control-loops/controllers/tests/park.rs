//! The park's dispatch on the bench.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_controllers::park::{
    DISPATCH_PERIOD, ParkController, ParkDemand, ParkDispatch, ParkInputs, ParkParameters, ParkPhase,
    ParkSums, TurbineReport,
};
use control_loops_controllers::turbine::{RunRequest, TurbineDemand};
use hal_process_image::{Quality, Sample};
use hal_units::{Duration, Watts};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn mw(power: f64) -> Watts {
    Watts(power * 1e6)
}

fn turbine(available_mw: f64) -> TurbineReport {
    TurbineReport { available: mw(available_mw), power: mw(available_mw), weight: 1.0, wear: 0.0 }
}

fn demand(reference_mw: f64) -> ParkDemand {
    ParkDemand { reference: mw(reference_mw), frequency_hz: 50.0 }
}

/// Limits in MW of one step at steady state: the park gives what it is asked for.
fn limits(p: &ParkParameters, demand: &ParkDemand, reports: &[TurbineReport]) -> Vec<f64> {
    let mut dispatch = ParkDispatch::from_power(demand.reference);
    let mut limits = vec![Watts::ZERO; reports.len()];
    let p = ParkParameters { trim_per_s: 0.0, ..*p };
    dispatch.step(&p, demand, reports, &mut limits, SECOND);
    limits.iter().map(|limit| limit.get() / 1e6).collect()
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-9) && found.len() == expected.len()
}

#[test]
fn turbines_share_in_proportion_to_what_they_have_and_the_full_ones_are_made_up_for() {
    let p = ParkParameters::usual(mw(20.0));
    let light = TurbineReport { weight: 0.5, ..turbine(3.0) };
    let found = limits(&p, &demand(8.0), &[turbine(5.0), light, turbine(1.0), turbine(0.0)]);
    assert!(near(&found, &[5.0, 2.0, 1.0, 0.0]), "{found:?}");
    let found = limits(&p, &demand(4.5), &[turbine(5.0), turbine(3.0), turbine(1.0), turbine(0.0)]);
    assert!(near(&found, &[2.5, 1.5, 0.5, 0.0]), "{found:?}");
}

#[test]
fn the_plans_weights_and_the_wear_shift_power_between_turbines() {
    let p = ParkParameters::usual(mw(10.0));
    let heavy = TurbineReport { weight: 2.0, ..turbine(5.0) };
    let found = limits(&p, &demand(6.0), &[heavy, turbine(5.0)]);
    assert!(near(&found, &[4.0, 2.0]), "{found:?}");
    let worn = TurbineReport { wear: 0.6, ..turbine(5.0) };
    let fresh = TurbineReport { wear: 0.2, ..turbine(5.0) };
    let found = limits(&p, &demand(6.0), &[worn, fresh]);
    assert!(found[0] < found[1] && (found[0] + found[1] - 6.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn more_than_there_is_limits_nobody() {
    let p = ParkParameters::usual(mw(20.0));
    let found = limits(&p, &demand(9.0), &[turbine(5.0), turbine(3.0), turbine(1.0)]);
    assert!(found.iter().all(|limit| limit.is_infinite()), "{found:?}");
}

#[test]
fn the_reference_rises_and_falls_on_its_ramps() {
    let p = ParkParameters::usual(mw(60.0));
    let mut dispatch = ParkDispatch::from_power(mw(0.0));
    let reports = [turbine(60.0)];
    let mut step = |reference_mw| {
        let mut limits = [Watts::ZERO];
        dispatch.step(&p, &demand(reference_mw), &reports, &mut limits, SECOND).ramped.get() / 1e6
    };
    assert!((step(60.0) - 0.1).abs() < 1e-9, "10 % of 60 MW a minute");
    for _ in 0..599 {
        step(60.0);
    }
    assert!((step(60.0) - 60.0).abs() < 1e-6);
    assert!((step(0.0) - 59.7).abs() < 1e-6, "30 % a minute");
}

#[test]
fn the_frequency_answers_outside_its_dead_band_at_once() {
    let p = ParkParameters::usual(mw(10.0));
    let at = |frequency_hz: f64| {
        let mut dispatch = ParkDispatch::from_power(mw(5.0));
        let demand = ParkDemand { frequency_hz, ..demand(5.0) };
        dispatch.step(&p, &demand, &[turbine(10.0)], &mut [Watts::ZERO], SECOND).target.get() / 1e6
    };
    assert!((at(50.01) - 5.0).abs() < 1e-9);
    assert!((at(50.27) - 4.0).abs() < 1e-9, "0.25 of 2.5 Hz is a tenth");
    assert!((at(49.73) - 6.0).abs() < 1e-9);
    assert!((at(f64::NAN) - 5.0).abs() < 1e-9);
}

#[test]
fn a_reserve_is_kept_back_from_what_is_available() {
    let p = ParkParameters { reserve_share: 0.1, ..ParkParameters::usual(mw(10.0)) };
    let found = limits(&p, &demand(10.0), &[turbine(5.0), turbine(5.0)]);
    assert!(near(&found, &[4.5, 4.5]), "{found:?}");
}

#[test]
fn power_that_does_not_arrive_is_made_up_for() {
    let p = ParkParameters::usual(mw(10.0));
    let mut dispatch = ParkDispatch::from_power(mw(6.0));
    let mut limits = [Watts::ZERO; 2];
    // Each gives 2 % less than its limit.
    for _ in 0..200 {
        let reports = limits.map(|limit| TurbineReport { power: limit * 0.98, ..turbine(5.0) });
        dispatch.step(&p, &demand(6.0), &reports, &mut limits, SECOND);
    }
    let given: f64 = limits.iter().map(|limit| limit.get() * 0.98 / 1e6).sum();
    assert!((given - 6.0).abs() < 0.01, "{given}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_turbine_gets_more_than_it_has_and_the_park_no_more_than_is_asked(
        turbines in proptest::collection::vec(
            (0.0..6.0_f64, prop_oneof![5 => 0.0..6.0_f64, 1 => proptest::num::f64::ANY],
             prop_oneof![5 => 0.1..3.0_f64, 1 => proptest::num::f64::ANY], 0.0..1.0_f64), 0..40),
        reference in prop_oneof![5 => 0.0..3e8_f64, 1 => proptest::num::f64::ANY],
        frequency in prop_oneof![5 => 47.0..53.0_f64, 1 => proptest::num::f64::ANY],
        steps in 1..20_usize,
    ) {
        let p = ParkParameters::usual(mw(200.0));
        let reports: Vec<TurbineReport> = turbines
            .iter()
            .map(|&(available, power, weight, wear)| TurbineReport {
                available: mw(available), power: Watts(power * 1e6), weight, wear,
            })
            .collect();
        let mut dispatch = ParkDispatch::from_power(mw(10.0));
        let mut limits = vec![Watts::ZERO; reports.len()];
        let demand = ParkDemand { reference: Watts(reference), frequency_hz: frequency };
        for _ in 0..steps {
            let step = dispatch.step(&p, &demand, &reports, &mut limits, SECOND);
            prop_assert!(step.target.is_finite() && step.target.get() <= step.available.get() + 1e-6);
            if step.shared.is_none() {
                prop_assert!(limits.iter().all(|limit| limit.get() == f64::INFINITY));
                continue;
            }
            let sum: f64 = limits.iter().map(|limit| limit.get()).sum();
            let most = step.target.get() + p.trim_share_max * p.rated_power.get();
            prop_assert!(sum.is_finite() && sum <= most + 1.0, "{} of {}", sum, most);
            for (limit, report) in limits.iter().zip(&reports) {
                prop_assert!((0.0..=report.available.get() + 1e-6).contains(&limit.get()), "{:?}", limit);
            }
        }
    }
}

const CYCLE: Duration = Duration::from_millis(20);

/// A park of 10 MW that has 8 MW of wind, in the hands of a controller.
struct Led {
    controller: ParkController,
    inputs: ParkInputs,
    sums: ParkSums,
    demand: TurbineDemand,
}

impl Led {
    /// It gives so much, and is asked for 6 MW.
    fn giving(power_mw: f64) -> Self {
        let good = |value| Sample { value, quality: Quality::Good, ..Sample::NEVER };
        Self {
            controller: ParkController::new(ParkParameters::usual(mw(10.0))),
            inputs: ParkInputs { power: good(power_mw * 1e6), frequency: good(50.0) },
            sums: ParkSums { available: mw(8.0), given: mw(power_mw), complete: true },
            demand: TurbineDemand { request: RunRequest::Run, power_limit: mw(6.0), ..TurbineDemand::STOP },
        }
    }

    /// Lets time pass; the last target in MW.
    fn after(&mut self, time: Duration) -> f64 {
        for _ in 0..time.as_nanos() / CYCLE.as_nanos() {
            self.controller.step(&self.inputs, &self.sums, &self.demand, CYCLE);
        }
        self.controller.last().target.get() / 1e6
    }

    fn phase(&self) -> ParkPhase {
        self.controller.phase(&self.demand)
    }
}

#[test]
fn a_controller_goes_on_from_the_power_that_it_meets() {
    let mut park = Led::giving(5.0);
    assert!((park.after(CYCLE) - 5.0).abs() < 1e-3, "no jump");
    assert!((park.after(SECOND * 30) - 5.5).abs() < 0.01, "a megawatt a minute");
    assert_eq!((park.phase(), (park.after(SECOND * 60) - 6.0).abs() < 1e-6), (ParkPhase::Limited, true));
}

#[test]
fn a_controller_that_knows_nothing_of_the_power_waits_and_limits_nobody() {
    let mut park = Led::giving(5.0);
    park.inputs.power.quality = Quality::Bad;
    park.sums.complete = false;
    park.after(SECOND * 4);
    assert_eq!((park.phase(), park.controller.last().shared), (ParkPhase::Blind, None));
    park.after(SECOND * 2);
    assert_eq!(park.phase(), ParkPhase::Limited, "not for ever");
}

#[test]
fn the_turbines_stand_in_for_a_meter_that_cannot_be_trusted() {
    let mut park = Led::giving(5.0);
    (park.inputs.power.quality, park.inputs.power.value) = (Quality::Bad, 0.0);
    assert!((park.after(CYCLE) - 5.0).abs() < 1e-3);
}

#[test]
fn the_frequency_is_answered_within_a_step_of_the_dispatch() {
    let mut park = Led::giving(6.0);
    park.after(SECOND);
    park.inputs.frequency.value = 50.27;
    assert!((park.after(DISPATCH_PERIOD) - 5.0).abs() < 1e-6);
    assert_eq!(park.phase(), ParkPhase::FrequencyResponse);
    park.inputs.frequency.quality = Quality::Bad;
    assert!((park.after(DISPATCH_PERIOD) - 6.0).abs() < 1e-6, "nobody knows, nobody answers");
}

#[test]
fn a_park_that_was_stopped_rises_on_its_ramp_again() {
    let mut park = Led::giving(6.0);
    park.after(SECOND);
    park.demand.request = RunRequest::Stop;
    park.after(SECOND);
    assert_eq!((park.phase(), park.controller.last().shared), (ParkPhase::Stopped, None));
    park = Led {
        inputs: ParkInputs { power: Sample { value: 0.0, ..park.inputs.power }, ..park.inputs },
        ..park
    };
    park.demand.request = RunRequest::Run;
    assert!(park.after(SECOND * 6) < 0.11, "a tenth of a minute after it began: a tenth of a megawatt");
}

#[test]
fn a_controller_that_takes_over_goes_on_as_the_other_would_have() {
    let mut park = Led::giving(5.0);
    park.after(SECOND * 7);
    let mut other = Led::giving(5.0);
    other.controller.restore(park.controller.state());
    for _ in 0..40 {
        assert_eq!(park.after(CYCLE).to_bits(), other.after(CYCLE).to_bits());
    }
}
