//! The Takt law on the bench: its entry, its limits, its options.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    Mode, ModeName, ParameterError, TaktState, TorqueRegion, TurbineParameters,
};
use hal_units::{Radians, RadiansPerSecond, Watts};
use support::{Bench, good, takt_parameters, takt_parameters_with};

fn takt_state(bench: &Bench) -> TaktState {
    match bench.controller.state().mode {
        Mode::Run(operation) | Mode::Derated(operation) => operation.takt.unwrap(),
        other => panic!("not in operation: {other:?}"),
    }
}

#[test]
fn a_takeover_in_every_wind_moves_neither_pitch_nor_torque() {
    // Steady states of the built-in rotor: speed, pitch, torque, wind.
    for (rpm, pitch_deg, torque_nm, wind_mps) in
        [(873.0, 0.0, 19_500.0, 8.0), (1173.7, 3.06, 43_093.5, 12.0), (1173.7, 14.53, 43_093.5, 18.0)]
    {
        let mut bench =
            Bench::producing(rpm, pitch_deg, torque_nm, wind_mps).taken_over_by(takt_parameters());
        let before = bench.last().outputs;
        let after = bench.tick();
        assert_eq!(after.mode, ModeName::Run);
        let pitch_moved = (after.outputs.pitch - before.pitch).as_degrees().abs();
        let torque_moved = (after.outputs.generator_torque - before.generator_torque).get().abs();
        assert!(pitch_moved < 0.09, "{pitch_moved} deg at {wind_mps} m/s: one step at 8 deg/s is 0.08");
        assert!(torque_moved <= 150.0, "{torque_moved} N m at {wind_mps} m/s: one step at 15 kN m/s");
    }
}

#[test]
fn at_a_takeover_the_wind_is_the_one_in_which_the_rotor_is_in_balance() {
    for (rpm, pitch_deg, torque_nm, wind_mps) in
        [(1173.7, 14.53, 43_093.5, 18.0), (1173.7, 23.05, 43_093.5, 25.0), (873.0, 0.0, 17_800.0, 8.0)]
    {
        let bench =
            Bench::producing(rpm, pitch_deg, torque_nm, wind_mps - 3.0).taken_over_by(takt_parameters());
        let found = takt_state(&bench).wind().unwrap().get();
        assert!((found - wind_mps).abs() < 0.5, "{found} instead of {wind_mps}");
    }
}

#[test]
fn without_an_estimate_there_is_no_wind_and_the_law_still_takes_over_without_a_bump() {
    let parameters = takt_parameters_with("estimate_wind = false");
    let mut bench = Bench::at_full_power().taken_over_by(parameters);
    let before = bench.last().outputs.pitch;
    let step = bench.tick();
    assert_eq!(takt_state(&bench).wind(), None);
    assert!((step.outputs.pitch - before).as_degrees().abs() < 0.09);
    assert_eq!(step.region, Some(TorqueRegion::Three));
}

#[test]
fn too_fast_a_rotor_gets_more_pitch_and_too_slow_a_one_less() {
    for (rpm, opens) in [(1230.0, false), (1120.0, true)] {
        let bench = Bench::at_full_power().taken_over_by(takt_parameters()).speed_rpm(rpm).for_seconds(0.5);
        let moved = bench.last().outputs.pitch.as_degrees() - 14.53;
        assert!((moved < -0.1) == opens && moved.abs() > 0.1, "{moved} at {rpm}");
    }
}

#[test]
fn a_power_limit_lowers_the_torque_on_the_ramp() {
    let bench = Bench::at_full_power().taken_over_by(takt_parameters()).power_limit(Watts(2.5e6));
    let bench = bench.for_seconds(10.0).in_mode(ModeName::Derated);
    let power_w =
        bench.last().outputs.generator_torque.get() * RadiansPerSecond::from_rpm(1173.7).get() * 0.944;
    assert!((power_w - 2.5e6).abs() < 0.05e6, "{power_w}");
}

#[test]
fn a_storm_lowers_the_power_from_its_begin_on() {
    let parameters =
        takt_parameters_with("storm_from_mps = 20.0\nstorm_to_mps = 30.0\nstorm_power_share = 0.4");
    let at_25 = Bench::producing(1173.7, 23.05, 43_093.5, 25.0).taken_over_by(parameters);
    let step = at_25.for_seconds(5.0);
    let torque = step.last().outputs.generator_torque.get();
    assert!(torque < 0.8 * 43_093.5, "{torque}: the share at 25 m/s is 0.7");
}

#[test]
fn a_lost_pitch_sensor_or_rotor_sensor_leaves_the_law_in_charge() {
    let bench = Bench::at_full_power().taken_over_by(takt_parameters());
    let bench = bench.spoil(|inputs| {
        inputs.rotor_speed = support::bad();
        inputs.generator_torque = support::bad();
    });
    let bench = bench.for_seconds(5.0).in_mode(ModeName::Run);
    assert!((bench.last().outputs.pitch.as_degrees() - 14.53).abs() < 1.0);
}

#[test]
fn a_rotor_sensor_that_contradicts_the_generators_does_not_move_the_blades() {
    let bench = Bench::at_full_power().taken_over_by(takt_parameters()).for_seconds(2.0);
    let before_deg = bench.last().outputs.pitch.as_degrees();
    let bench =
        bench.spoil(|inputs| inputs.rotor_speed = good(1e-40)).for_seconds(0.9).in_mode(ModeName::Run);
    let moved_deg = (bench.last().outputs.pitch.as_degrees() - before_deg).abs();
    assert!(moved_deg < 0.2, "{moved_deg}");
}

#[test]
fn a_sensor_that_reads_nonsense_never_reaches_the_estimate() {
    let mut bench = Bench::at_full_power().taken_over_by(takt_parameters());
    for nonsense in [f64::INFINITY, -1e9, 1e300, 0.0] {
        bench = bench.spoil(|inputs| inputs.tower_acceleration = good(nonsense.clamp(-2.9, 2.9)));
        bench.inputs.generator_torque = good(nonsense);
        bench = bench.for_seconds(0.2);
        let state = takt_state(&bench);
        let wind = state.wind().unwrap().get();
        assert!((1.0..=60.0).contains(&wind) && state.pitch.is_finite(), "{state:?}");
    }
}

#[test]
fn parameters_that_make_no_law_are_named() {
    let mut parameters = takt_parameters();
    assert_eq!(parameters.check(), Ok(()));
    if let Some(takt) = &mut parameters.takt {
        takt.pitch.bandwidth = RadiansPerSecond::ZERO;
    }
    let expected = ParameterError::NotPositive { field: "takt.pitch.bandwidth" };
    assert_eq!(parameters.check(), Err(expected));
}

#[test]
fn the_baseline_turbine_has_no_takt_law() {
    assert!(TurbineParameters::NREL_5MW.takt.is_none());
    let limits = takt_parameters().law;
    assert_eq!(limits.pitch_max, TurbineParameters::NREL_5MW.law.pitch_max);
    assert_eq!(limits.pitch_min, Radians::ZERO);
}
