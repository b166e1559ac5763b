//! What holds for any inputs, however absurd.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    BladeLoads, ModeName, RunRequest, TurbineController, TurbineDemand, TurbineInputs, TurbineParameters,
    TurbineStep,
};
use hal_process_image::{Quality, Sample};
use hal_units::{Duration, Instant, Watts};
use proptest::prelude::*;
use support::{Bench, takt_parameters, takt_parameters_with};

fn any_quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        6 => Just(Quality::Good),
        1 => Just(Quality::Uncertain),
        1 => Just(Quality::Substituted),
        1 => Just(Quality::Bad),
    ]
}

/// Mostly a plausible value, sometimes any bit pattern that is a number or none.
fn any_sample(low: f64, high: f64) -> impl Strategy<Value = Sample> {
    let value = prop_oneof![4 => low..high, 1 => proptest::num::f64::ANY];
    (value, any_quality()).prop_map(|(value, quality)| Sample {
        value,
        quality,
        acquired_at: Instant::ZERO,
        sequence: 1,
    })
}

fn any_inputs() -> impl Strategy<Value = TurbineInputs> {
    let shaft = (any_sample(0.0, 170.0), any_sample(0.0, 1.75), any_sample(-0.1, 1.6));
    let electric = (any_sample(0.0, 5e4), any_sample(0.0, 6e6));
    let around =
        (any_sample(0.0, 40.0), any_sample(-3.2, 3.2), any_sample(-3.5, 3.5), any_sample(-20.0, 20.0));
    let links = (any_sample(0.0, 1.0), any_sample(0.0, 2.0), 0_u64..1200);
    let blades = (any_sample(-3.2, 6.3), any_sample(-1e7, 1e7), any_sample(-1e7, 1e7));
    (shaft, electric, around, links, blades).prop_map(|(shaft, electric, around, links, blades)| {
        TurbineInputs {
            generator_speed: shaft.0,
            rotor_speed: shaft.1,
            blades: [shaft.2; 3],
            generator_torque: electric.0,
            power: electric.1,
            wind_speed: around.0,
            yaw_error: around.1,
            cable_twist: Some(around.3),
            tower_acceleration: around.2,
            grid_ok: links.0,
            plc_state: links.1,
            blade_loads: Some(BladeLoads { azimuth: blades.0, root_moments: [blades.1, blades.2, blades.1] }),
            outputs_unacknowledged_for: Duration::from_millis(links.2),
        }
    })
}

fn any_demand() -> impl Strategy<Value = TurbineDemand> {
    let request =
        prop_oneof![1 => Just(RunRequest::Stop), 4 => Just(RunRequest::Run), 1 => Just(RunRequest::Service)];
    let power_limit = prop_oneof![2 => Just(f64::MAX), 2 => 0.0..6e6, 1 => proptest::num::f64::ANY];
    (request, power_limit, proptest::bool::weighted(0.02), any::<bool>()).prop_map(
        |(request, limit_w, emergency_stop, reset)| TurbineDemand {
            request,
            power_limit: Watts(limit_w),
            emergency_stop,
            reset,
        },
    )
}

/// Each input set holds for some cycles, so that delays pass and modes change.
type Phase = (TurbineInputs, TurbineDemand, Duration, u32);

fn any_phases() -> impl Strategy<Value = Vec<Phase>> {
    let dt = prop_oneof![
        8 => (1_u64..200).prop_map(Duration::from_millis),
        1 => Just(Duration::ZERO),
        1 => (1_u64..4_000_000).prop_map(Duration::from_millis),
    ];
    proptest::collection::vec((any_inputs(), any_demand(), dt, 1_u32..40), 1..25)
}

/// Number of [`starting_points`].
const STARTING_POINTS: usize = 13;

/// Under the baseline law, under the Takt law, and under it without an estimate of the wind.
fn starting_points() -> Vec<TurbineController> {
    let baseline = [
        Bench::parked(),
        Bench::idle(),
        Bench::starting(),
        Bench::at_full_power(),
        Bench::in_emergency_stop(),
    ]
    .map(|bench| bench.controller);
    let takt = takt_parameters();
    let under_takt = [
        Bench::starting(),
        Bench::at_full_power(),
        Bench::producing(900.0, 0.0, 20_000.0, 8.0),
        Bench::producing(700.0, 5.0, 3_000.0, 5.0),
    ]
    .map(|bench| bench.taken_over_by(takt).controller);
    let features = "estimate_wind = false\ntower_damper_degspm = 2.0\nexcluded_speed_rpm = 9.0\nexcluded_half_width_rpm = 0.5";
    let plain = Bench::at_full_power().taken_over_by(takt_parameters_with(features)).controller;
    let new = [TurbineController::new(TurbineParameters::NREL_5MW), TurbineController::new(takt)];
    let one_by_one =
        Bench::at_full_power().taken_over_by(takt_parameters_with("individual_pitch_radps = 0.2")).controller;
    baseline.into_iter().chain(under_takt).chain([plain, one_by_one]).chain(new).collect()
}

fn outputs_are_finite_and_within_limits(p: &TurbineParameters, step: &TurbineStep) -> bool {
    let o = &step.outputs;
    (0.0..=p.law.torque_max.get()).contains(&o.generator_torque.get())
        && (p.law.pitch_min..=p.law.pitch_max).contains(&o.pitch)
        && o.blades.iter().flatten().all(|blade| (p.law.pitch_min..=p.law.pitch_max).contains(blade))
        && o.blades.is_some() == p.individual.is_some()
        && o.yaw_rate.abs() <= p.yaw.rate
        && (o.generator_connected || o.generator_torque.get() == 0.0)
        && (0.0..=p.rated_power.get()).contains(&step.power_limit.get())
}

/// The torque may drop at any rate only when the generator leaves the grid.
fn rates_are_kept(p: &TurbineParameters, before: &TurbineStep, after: &TurbineStep, dt: Duration) -> bool {
    let dt_s = dt.as_secs_f64();
    let pitch_moved = (after.outputs.pitch - before.outputs.pitch).abs().get();
    let torque_moved = (after.outputs.generator_torque - before.outputs.generator_torque).abs().get();
    let blades = before.outputs.blades.iter().flatten().zip(after.outputs.blades.iter().flatten());
    let blade_moved = blades.map(|(before, after)| (*after - *before).abs().get()).fold(0.0, f64::max);
    pitch_moved.max(blade_moved) <= p.law.pitch_rate_max.get() * dt_s + 1e-9
        && (!after.outputs.generator_connected || torque_moved <= p.law.torque_rate_max.get() * dt_s + 1e-6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn outputs_are_finite_within_limits_and_keep_their_rates_whatever_comes_in(
        phases in any_phases(), from in 0..STARTING_POINTS,
    ) {
        let mut controller = starting_points()[from];
        let parameters = *controller.parameters();
        let mut before: Option<TurbineStep> = None;
        for (inputs, demand, dt, cycles) in phases {
            for _ in 0..cycles {
                let was_seeded = controller.state().seeded;
                let step = controller.step(&inputs, &demand, dt);
                prop_assert!(outputs_are_finite_and_within_limits(&parameters, &step), "{:?}", step);
                if let (Some(before), true) = (&before, was_seeded) {
                    prop_assert!(rates_are_kept(&parameters, before, &step, dt), "{:?} to {:?} in {:?}", before, step, dt);
                }
                before = Some(step);
            }
        }
    }

    #[test]
    fn a_tripped_interlock_always_wins(phases in any_phases(), from in 0..STARTING_POINTS) {
        let mut controller = starting_points()[from];
        for (inputs, demand, dt, cycles) in phases {
            for _ in 0..cycles {
                let step = controller.step(&inputs, &demand, dt);
                prop_assert!(step.trips.is_empty() || step.mode == ModeName::EmergencyStop, "{:?}", step);
                prop_assert!(!demand.emergency_stop || step.mode == ModeName::EmergencyStop, "{:?}", step);
            }
        }
    }

    #[test]
    fn a_controller_restored_from_a_copied_state_goes_on_identically(
        before in any_phases(), after in any_phases(), from in 0..STARTING_POINTS,
    ) {
        let mut primary = starting_points()[from];
        for (inputs, demand, dt, cycles) in before {
            for _ in 0..cycles {
                primary.step(&inputs, &demand, dt);
            }
        }
        let mut standby = TurbineController::new(*primary.parameters());
        standby.restore(primary.state());
        for (inputs, demand, dt, cycles) in after {
            for _ in 0..cycles {
                prop_assert_eq!(primary.step(&inputs, &demand, dt), standby.step(&inputs, &demand, dt));
                prop_assert_eq!(primary.state(), standby.state());
            }
        }
    }

    #[test]
    fn a_reseed_from_any_inputs_keeps_the_limits(inputs in any_inputs(), demand in any_demand()) {
        for parameters in [TurbineParameters::NREL_5MW, takt_parameters()] {
            let mut controller = TurbineController::new(parameters);
            controller.reseed(&inputs);
            let step = controller.step(&inputs, &demand, Duration::from_millis(10));
            prop_assert!(outputs_are_finite_and_within_limits(&parameters, &step), "{:?}", step);
        }
    }
}
