//! The turbine as a whole: what must be true of its physics whatever drives it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond};
use proptest::prelude::*;
use sim_plants::{Actuation, Measurements, RotorSurface, Turbine, TurbinePlantParameters};

const CYCLE: Duration = Duration::from_millis(10);

fn turbine() -> Turbine {
    Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw())
}

fn run(turbine: &mut Turbine, wind_mps: f64, actuation: Actuation, seconds: f64) -> Measurements {
    for _ in 0..(seconds * 100.0).round() as u32 {
        turbine.step(MetersPerSecond(wind_mps), Radians::ZERO, &actuation, CYCLE);
    }
    turbine.measurements()
}

fn numbers(measured: &Measurements) -> [f64; 10] {
    [
        measured.generator_speed.get(),
        measured.rotor_speed.get(),
        measured.pitch[0].get(),
        measured.generator_torque.get(),
        measured.power.get(),
        measured.thrust.get(),
        measured.nacelle_yaw.get(),
        measured.cable_twist.get(),
        measured.tower_acceleration.get(),
        measured.tower_deflection.get(),
    ]
}

#[test]
fn in_operation_nothing_moves_under_the_same_actuation() {
    for wind_mps in [5.0, 8.0, 11.0, 13.0, 18.0, 25.0] {
        let mut turbine = turbine().in_operation(MetersPerSecond(wind_mps));
        let before = turbine.measurements();
        let actuation = *turbine.actuation();
        let after = run(&mut turbine, wind_mps, actuation, 1.0);
        let drift = after.rotor_speed / before.rotor_speed - 1.0;
        assert!(drift.abs() < 2e-3, "{wind_mps} m/s: the speed drifts by {drift}");
        let twist = after.rotor_speed * 97.0 - after.generator_speed;
        assert!(twist.abs().get() < 0.05, "{wind_mps} m/s: the drivetrain swings");
        assert!(after.tower_acceleration.abs().get() < 0.02, "{wind_mps} m/s: the tower swings");
    }
}

#[test]
fn above_rated_wind_the_operation_is_at_rated_power() {
    for wind_mps in [12.0, 16.0, 25.0] {
        let measured = turbine().in_operation(MetersPerSecond(wind_mps)).measurements();
        assert!((measured.power.as_kilowatts() - 5000.0).abs() < 1.0, "{wind_mps} m/s");
        assert!((measured.rotor_speed.as_rpm() - 12.1).abs() < 1e-6, "{wind_mps} m/s");
    }
}

#[test]
fn a_feathered_turbine_stays_nearly_still_in_a_storm() {
    let mut turbine = turbine();
    let measured = run(&mut turbine, 30.0, Actuation::FEATHERED, 300.0);
    assert!(measured.rotor_speed.abs().as_rpm() < 0.5, "{}", measured.rotor_speed.as_rpm());
}

#[test]
fn blades_turned_into_the_wind_start_the_rotor() {
    let mut turbine = turbine();
    let fine = Actuation { pitch: [Radians::from_degrees(10.0); 3], ..Actuation::FEATHERED };
    let measured = run(&mut turbine, 6.0, fine, 300.0);
    assert!(measured.rotor_speed.as_rpm() > 4.0, "{}", measured.rotor_speed.as_rpm());
}

#[test]
fn a_rotor_without_load_runs_away_only_to_where_the_air_stops_it() {
    let mut turbine = turbine().in_operation(MetersPerSecond(10.0));
    let loose = Actuation { pitch: [Radians::ZERO; 3], ..Actuation::FEATHERED };
    let measured = run(&mut turbine, 10.0, loose, 600.0);
    let ratio = measured.rotor_speed.get() * 63.0 / 10.0;
    assert!((15.0..20.0).contains(&ratio), "tip-speed ratio {ratio}");
}

#[test]
fn feathering_and_braking_stop_the_rotor_from_full_load() {
    let mut turbine = turbine().in_operation(MetersPerSecond(18.0));
    let measured = run(&mut turbine, 18.0, Actuation::FEATHERED, 40.0);
    assert!(measured.rotor_speed.as_rpm() < 3.0, "{}", measured.rotor_speed.as_rpm());
    let braked = Actuation { brake: true, ..Actuation::FEATHERED };
    let measured = run(&mut turbine, 18.0, braked, 40.0);
    assert!(measured.rotor_speed.abs().as_rpm() < 0.01, "{}", measured.rotor_speed.as_rpm());
    assert!(measured.brake_applied);
}

#[test]
fn without_grid_there_is_neither_torque_nor_yaw() {
    let mut turbine = turbine().in_operation(MetersPerSecond(10.0));
    turbine.set_grid_present(false);
    let turning = Actuation { yaw_rate: RadiansPerSecond(1.0), ..*turbine.actuation() };
    let measured = run(&mut turbine, 10.0, turning, 1.0);
    assert_eq!((measured.generator_torque.get(), measured.power.get()), (0.0, 0.0));
    assert_eq!(measured.nacelle_yaw, Radians::ZERO);
    assert!(!measured.grid_ok);
    turbine.set_grid_present(true);
    assert!(run(&mut turbine, 10.0, turning, 1.0).power.as_kilowatts() > 1000.0);
}

#[test]
fn the_nacelle_turns_at_its_limited_rate() {
    let mut turbine = turbine();
    let turning = Actuation { yaw_rate: RadiansPerSecond(1.0), ..Actuation::FEATHERED };
    let yaw = run(&mut turbine, 0.0, turning, 100.0).nacelle_yaw;
    assert!((yaw.as_degrees() - 30.0).abs() < 1e-6, "{}", yaw.as_degrees());
}

#[test]
fn cables_are_twisted_on_where_the_nacelle_comes_round() {
    let mut turbine = turbine();
    let turning = Actuation { yaw_rate: RadiansPerSecond(1.0), ..Actuation::FEATHERED };
    let measured = run(&mut turbine, 0.0, turning, 1300.0);
    assert!(
        (measured.cable_twist.as_degrees() - 390.0).abs() < 1e-6,
        "{}",
        measured.cable_twist.as_degrees()
    );
    assert!((measured.nacelle_yaw.as_degrees() - 30.0).abs() < 1e-6, "{}", measured.nacelle_yaw.as_degrees());
}

#[test]
fn a_yawed_rotor_captures_less() {
    let mut turbine = turbine().in_operation(MetersPerSecond(10.0));
    let actuation = *turbine.actuation();
    let straight = turbine.measurements().rotor_torque;
    for _ in 0..200 {
        turbine.step(MetersPerSecond(10.0), Radians::from_degrees(40.0), &actuation, CYCLE);
    }
    let measured = turbine.measurements();
    assert!(measured.rotor_torque < straight * 0.8);
    assert!((measured.yaw_error.as_degrees() - 40.0).abs() < 1e-6);
}

#[test]
fn a_lost_load_makes_the_drivetrain_ring_at_its_natural_frequency() {
    let mut turbine = turbine().in_operation(MetersPerSecond(11.0));
    let open = Actuation { generator_connected: false, ..*turbine.actuation() };
    let mut slips = Vec::new();
    for _ in 0..1000 {
        turbine.step(MetersPerSecond(11.0), Radians::ZERO, &open, Duration::from_millis(2));
        let measured = turbine.measurements();
        slips.push((measured.rotor_speed * 97.0 - measured.generator_speed).get());
    }
    let crossings: Vec<usize> = (1..slips.len()).filter(|&k| slips[k - 1] < 0.0 && slips[k] >= 0.0).collect();
    let periods = (crossings.len() - 1) as f64;
    let frequency_hz = periods / (0.002 * (crossings.last().unwrap() - crossings[0]) as f64);
    assert!((frequency_hz - 2.22).abs() < 0.02, "{frequency_hz} Hz");
}

#[test]
fn the_step_hardly_changes_the_result() {
    let after = |step: Duration| {
        let mut turbine = turbine().in_operation(MetersPerSecond(9.0));
        let actuation = *turbine.actuation();
        for _ in 0..(20_000 / step.as_millis()) {
            turbine.step(MetersPerSecond(10.0), Radians::ZERO, &actuation, step);
        }
        turbine.measurements().rotor_speed.as_rpm()
    };
    let (fine, coarse) = (after(Duration::from_millis(1)), after(Duration::from_millis(1000)));
    assert!((fine - coarse).abs() < 2e-3, "{fine} rpm against {coarse} rpm");
}

#[test]
fn one_jammed_blade_leaves_the_others_free() {
    let mut turbine = turbine().in_operation(MetersPerSecond(18.0));
    turbine.set_pitch_drive_jammed(1, true);
    let stuck = turbine.measurements().pitch[1];
    let measured = run(&mut turbine, 18.0, Actuation::FEATHERED, 15.0);
    assert_eq!(measured.pitch[1], stuck);
    assert!(measured.pitch[0].as_degrees() > 89.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any wind, any command, any step: the plant stays finite and within what air can do.
    #[test]
    fn nothing_makes_the_plant_blow_up(
        steps in proptest::collection::vec(
            (
                prop_oneof![0.0..60.0, Just(f64::NAN), Just(-5.0)],
                prop_oneof![-1.0..2.0, Just(f64::NAN)],
                prop_oneof![-1e5..1e5, Just(f64::INFINITY)],
                any::<(bool, bool)>(),
                1_u64..3_000,
            ),
            1..80,
        )
    ) {
        let mut turbine = turbine().in_operation(MetersPerSecond(12.0));
        for (wind_mps, pitch, torque, (brake, generator_connected), millis) in steps {
            let actuation = Actuation {
                generator_torque: NewtonMeters(torque),
                pitch: [Radians(pitch); 3],
                yaw_rate: RadiansPerSecond(pitch),
                brake,
                generator_connected,
            };
            turbine.step(MetersPerSecond(wind_mps), Radians(pitch), &actuation, Duration::from_millis(millis));
            let measured = turbine.measurements();
            for number in numbers(&measured) {
                prop_assert!(number.is_finite(), "{measured:?}");
            }
            let fastest = 60.0 * 20.0 / 63.0;
            prop_assert!(measured.rotor_speed.abs().get() < fastest, "{measured:?}");
            prop_assert!((0.0..=core::f64::consts::FRAC_PI_2 + 1e-9).contains(&measured.pitch[0].get()), "{measured:?}");
        }
    }
}
