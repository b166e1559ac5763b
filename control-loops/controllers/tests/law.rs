//! The bare law by itself: its curve, its limits, its entry into a running turbine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_controllers::turbine::{BaselineLaw, LawParameters, LawState, TorqueRegion};
use hal_units::{Duration, NewtonMeters, Radians, RadiansPerSecond};
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(10);

fn law() -> BaselineLaw {
    BaselineLaw::new(LawParameters::NREL_5MW)
}

/// Torque after long at a speed, the blades held at fine pitch by a speed below reference.
fn settled_at(speed_radps: f64, power_share: f64) -> LawState {
    let mut state = law().first_call(RadiansPerSecond(speed_radps), Radians::ZERO);
    for _ in 0..2000 {
        law().step(&mut state, RadiansPerSecond(speed_radps), power_share, TICK);
    }
    state
}

#[test]
fn region_2_ends_where_the_report_says() {
    // NREL/TP-500-38060, section 7.1: the transition lies at 119.0 rad/s (1,136.5 rpm).
    assert!((law().region_2_5_speed().as_rpm() - 1136.5).abs() < 0.1);
}

#[test]
fn each_region_gives_its_torque() {
    let expect = [
        (60.0, 0.0, TorqueRegion::One),
        (80.0, 9_068.8, TorqueRegion::OneAndHalf),
        (100.0, 23_322.87, TorqueRegion::Two),
        (120.0, 36_916.0, TorqueRegion::TwoAndHalf),
        (122.0, 43_414.84, TorqueRegion::Three),
    ];
    for (speed_radps, torque_nm, region) in expect {
        let state = settled_at(speed_radps, 1.0);
        assert_eq!(state.region, region, "at {speed_radps}");
        assert!((state.torque.get() - torque_nm).abs() < 1.0, "{} at {speed_radps}", state.torque.get());
    }
}

#[test]
fn the_torque_curve_has_no_jump() {
    let mut before = NewtonMeters::ZERO;
    for millis in 0..125_000 {
        let (torque, _) = law().torque_curve(RadiansPerSecond(f64::from(millis) * 1e-3));
        assert!((torque - before).abs() < NewtonMeters(6.0), "at {millis} mrad/s");
        before = torque;
    }
}

#[test]
fn a_half_power_share_halves_the_power_and_leaves_the_reference_speed() {
    let state = settled_at(122.9, 0.5);
    let power_w = state.torque.get() * state.speed.value();
    assert!((power_w - 0.5 * 5_296_610.0).abs() < 1.0, "{power_w}");
}

#[test]
fn a_power_share_above_what_the_curve_gives_changes_nothing() {
    assert_eq!(settled_at(100.0, 0.9).torque, settled_at(100.0, 1.0).torque);
}

#[test]
fn calls_faster_than_the_update_interval_hold_the_command() {
    let law = law();
    let mut state = law.first_call(RadiansPerSecond(130.0), Radians::from_degrees(5.0));
    let held = state.command();
    let speed = RadiansPerSecond(135.0);
    assert_eq!(law.step(&mut state, speed, 1.0, Duration::from_micros(600)), held);
    assert_eq!(law.step(&mut state, speed, 1.0, Duration::from_micros(600)), held);
    assert_ne!(law.step(&mut state, speed, 1.0, Duration::from_micros(50)), held);
}

#[test]
fn after_a_gust_the_integral_leaves_its_limit_within_a_second() {
    let law = law();
    let mut state = law.first_call(RadiansPerSecond(100.0), Radians::ZERO);
    for _ in 0..60_000 {
        law.step(&mut state, RadiansPerSecond(100.0), 1.0, TICK);
    }
    for _ in 0..100 {
        law.step(&mut state, RadiansPerSecond(135.0), 1.0, TICK);
    }
    assert!(state.pitch > Radians::ZERO, "ten minutes of low wind must not be worked off first");
}

/// Gain correction of the pitch controller (NREL/TP-500-38060, section 7.2).
fn gain(pitch_deg: f64) -> f64 {
    1.0 / (1.0 + pitch_deg.to_radians() / 0.109_996_5)
}

/// What the proportional part alone commands.
fn proportional_part_rad(speed_radps: f64, pitch_deg: f64) -> f64 {
    0.018_826_81 * gain(pitch_deg) * (speed_radps - 122.9096)
}

/// What the integral adds in one tick.
fn integral_step_rad(speed_radps: f64, pitch_deg: f64) -> f64 {
    0.008_068_634 * gain(pitch_deg) * (speed_radps - 122.9096).abs() * TICK.as_secs_f64()
}

#[test]
fn a_reseeded_law_whose_proportional_part_exceeds_the_pitch_moves_no_faster_than_the_actuator() {
    // At this overspeed the proportional part alone asks for more than the pitch; the integral cannot
    // make up for it, because it does not go below what gives the fine pitch.
    let (speed_radps, pitch_deg) = (149.109, 10.306);
    assert!(proportional_part_rad(speed_radps, pitch_deg) > pitch_deg.to_radians());
    let pitch = Radians::from_degrees(pitch_deg);
    let mut state = law().reseeded(RadiansPerSecond(speed_radps), NewtonMeters::ZERO, pitch);
    let command = law().step(&mut state, RadiansPerSecond(speed_radps), 1.0, TICK);
    assert!(command.pitch > pitch, "towards feather, against the overspeed");
    assert!((command.pitch - pitch).get() <= 0.139_626_3 * 0.01 + 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reseeded_law_goes_on_without_a_bump(
        speed_radps in 71.0..150.0, torque_nm in 0.0..47_402.0, pitch_deg in 0.0..30.0,
    ) {
        let (speed, pitch) = (RadiansPerSecond(speed_radps), Radians::from_degrees(pitch_deg));
        let mut state = law().reseeded(speed, NewtonMeters(torque_nm), pitch);
        let command = law().step(&mut state, speed, 1.0, TICK);
        prop_assert!((command.torque.get() - torque_nm).abs() <= 150.0 + 1e-9);
        prop_assert!((command.pitch - pitch).abs() <= Radians(0.139_626_3 * 0.01 + 1e-12));
        let one_step = integral_step_rad(speed_radps, pitch_deg);
        if proportional_part_rad(speed_radps, pitch_deg) <= pitch.get() && speed_radps >= 122.9096 {
            prop_assert!((command.pitch - pitch).abs().get() <= one_step + 1e-12);
        }
    }

    #[test]
    fn commands_stay_within_limits_and_rates(
        speeds in proptest::collection::vec(proptest::num::f64::ANY, 1..100), share in proptest::num::f64::ANY,
        start_radps in 0.0..160.0, pitch_deg in 0.0..90.0, dt_us in 0_u64..100_000,
    ) {
        let (p, dt) = (LawParameters::NREL_5MW, Duration::from_micros(dt_us));
        let mut state = law().first_call(RadiansPerSecond(start_radps), Radians::from_degrees(pitch_deg));
        for speed in speeds {
            let before = state.command();
            let elapsed_s = (state.since_update + dt).as_secs_f64();
            let now = law().step(&mut state, RadiansPerSecond(speed), share, dt);
            prop_assert!((0.0..=p.torque_max.get()).contains(&now.torque.get()), "{:?}", now);
            prop_assert!((p.pitch_min..=p.pitch_max).contains(&now.pitch), "{:?}", now);
            let torque_step = (now.torque - before.torque).abs().get();
            prop_assert!(torque_step <= p.torque_rate_max.get() * elapsed_s + 1e-6);
            let pitch_step = (now.pitch - before.pitch).abs().get();
            prop_assert!(pitch_step <= p.pitch_rate_max.get() * elapsed_s + 1e-12);
        }
    }
}
