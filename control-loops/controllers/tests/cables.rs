//! The nacelle follows the wind, and turns back before its cables are twisted too far.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    ModeName, RunRequest, TurbineController, TurbineDemand, TurbineParameters, YawParameters, YawStatus,
};
use hal_process_image::Sample;
use hal_units::{Duration, Radians, RadiansPerSecond};
use proptest::prelude::*;
use support::{Bench, good, standing_inputs};

const YAW: YawParameters = YawParameters::NREL_5MW;

fn status(bench: &Bench) -> YawStatus {
    bench.last().yaw
}

// The supervisor.

#[test]
fn a_turbine_whose_cables_are_at_the_hard_limit_stops_and_untwists_before_it_starts_again() {
    let bench = Bench::at_full_power().twisted_deg(1075.0).for_seconds(5.0).in_mode(ModeName::Run);
    let bench = bench.twisted_deg(1081.0).for_seconds(0.01).in_mode(ModeName::NormalStop);
    assert_eq!(
        (status(&bench), bench.last().outputs.yaw_rate),
        (YawStatus::UntwistDue, RadiansPerSecond::ZERO)
    );
    let bench = bench.until_mode(ModeName::Idle, 60.0).for_seconds(1.0);
    assert_eq!((status(&bench), bench.last().outputs.yaw_rate), (YawStatus::Untwisting, -YAW.rate));
    let mut bench = bench.speed_rpm(0.0).wind(10.0);
    let mut twist_deg = 1081.0;
    while twist_deg > 20.5 {
        twist_deg += bench.last().outputs.yaw_rate.get().to_degrees();
        bench = bench.twisted_deg(twist_deg).for_seconds(1.0).in_mode(ModeName::Idle);
    }
    bench.twisted_deg(19.9).until_mode(ModeName::StartUp, 1.0);
}

#[test]
fn the_soft_limit_stops_nothing_and_is_seen_to_in_idle_without_wind() {
    let bench = Bench::at_full_power().twisted_deg(-1000.0).for_seconds(5.0).in_mode(ModeName::Run);
    assert_eq!(status(&bench), YawStatus::Standing);
    let bench = Bench::idle().twisted_deg(-1000.0).for_seconds(0.01);
    assert_eq!((status(&bench), bench.last().outputs.yaw_rate), (YawStatus::Untwisting, YAW.rate));
}

#[test]
fn nothing_is_untwisted_in_a_storm_while_parked_or_in_service() {
    let storm = Bench::idle().wind(60.0).for_seconds(600.0).twisted_deg(1090.0).for_seconds(1.0);
    let parked = Bench::parked().twisted_deg(1090.0).for_seconds(1.0);
    let service = Bench::service().twisted_deg(1090.0).for_seconds(1.0);
    for (bench, mode) in [(storm, ModeName::Idle), (parked, ModeName::Parked), (service, ModeName::Service)] {
        let bench = bench.in_mode(mode);
        assert_eq!(
            (status(&bench), bench.last().outputs.yaw_rate),
            (YawStatus::UntwistDue, RadiansPerSecond::ZERO)
        );
    }
}

#[test]
fn an_untwisting_that_was_interrupted_is_still_due_before_a_start() {
    let bench = Bench::idle().twisted_deg(1090.0).for_seconds(1.0).request(RunRequest::Service);
    let bench = bench.for_seconds(1.0).in_mode(ModeName::Service);
    // People turn the nacelle back by half a turn.
    let bench = bench.twisted_deg(900.0).for_seconds(1.0);
    let bench = bench.wind(10.0).request(RunRequest::Run).for_seconds(20.0).in_mode(ModeName::Idle);
    assert_eq!(status(&bench), YawStatus::Untwisting);
}

#[test]
fn a_turbine_whose_twist_is_lost_goes_on_without_turning_and_says_so() {
    let lost = [Some(Sample::NEVER), Some(good(0.0)), Some(good(f64::NAN))];
    for twist in lost {
        let mut bench = Bench::at_full_power().twisted_deg(400.0).for_seconds(1.0);
        bench.inputs.cable_twist = twist;
        bench.inputs.yaw_error = good(Radians::from_degrees(25.0).get());
        let bench = bench.for_seconds(120.0).in_mode(ModeName::Run);
        assert_eq!(
            (status(&bench), bench.last().outputs.yaw_rate),
            (YawStatus::TwistUnknown, RadiansPerSecond::ZERO)
        );
    }
}

#[test]
fn a_reset_says_that_the_counter_is_right_again() {
    let bench = Bench::at_full_power().twisted_deg(400.0).for_seconds(1.0).twisted_deg(0.0).for_seconds(2.0);
    assert_eq!(status(&bench), YawStatus::TwistUnknown);
    assert_eq!(status(&bench.reset().for_seconds(1.0)), YawStatus::Standing);
}

#[test]
fn the_nacelle_of_a_device_that_counts_no_twist_turns_as_it_likes() {
    let mut bench = Bench::at_full_power();
    bench.inputs.yaw_error = good(Radians::from_degrees(25.0).get());
    let bench = bench.for_seconds(30.0);
    assert_eq!((status(&bench), bench.last().outputs.yaw_rate), (YawStatus::Turning, YAW.rate));
}

#[test]
fn a_start_waits_until_the_nacelle_faces_the_wind() {
    let mut bench = Bench::idle().wind(10.0);
    bench.inputs.yaw_error = good(Radians::from_degrees(31.0).get());
    let mut bench = bench.for_seconds(300.0).in_mode(ModeName::Idle);
    bench.inputs.yaw_error = good(Radians::from_degrees(29.0).get());
    bench.for_seconds(0.02).in_mode(ModeName::StartUp);
}

#[test]
fn a_vane_is_not_followed_in_a_calm() {
    let mut bench = Bench::idle().for_seconds(700.0);
    bench.inputs.yaw_error = good(Radians::from_degrees(90.0).get());
    assert_eq!(bench.for_seconds(100.0).last().outputs.yaw_rate, RadiansPerSecond::ZERO);
}

// Whatever the wind does.

/// Seconds between two steps: the yaw drive's times are long.
const STEP: Duration = Duration::from_millis(200);

/// A wind, in steps: for so many seconds it blows so fast and turns by so much a second.
fn any_wind() -> impl Strategy<Value = Vec<(u32, f64, f64)>> {
    // Mostly turning one way, so that cables are twisted.
    let turn = prop_oneof![3 => 0.0..0.35, 1 => -0.1..0.1];
    let speed = prop_oneof![4 => 5.0..15.0, 1 => 0.0..2.0, 1 => 30.0..40.0];
    proptest::collection::vec((60_u32..3000, speed, turn), 4..12)
}

struct Nacelle {
    controller: TurbineController,
    direction_deg: f64,
    twist_deg: f64,
    turns: u32,
    last_rate: f64,
    stood: Duration,
}

impl Nacelle {
    fn step(&mut self, wind_mps: f64, vane_noise_deg: f64) {
        let off = (self.direction_deg - self.twist_deg + 180.0).rem_euclid(360.0) - 180.0;
        let mut inputs = standing_inputs();
        inputs.wind_speed = good(wind_mps);
        inputs.yaw_error = good((off + vane_noise_deg).to_radians());
        inputs.cable_twist = Some(good(self.twist_deg.to_radians()));
        let pitch = self.controller.state().pitch.value();
        inputs.blades = [good(pitch); 3];
        let step = self.controller.step(&inputs, &TurbineDemand::RUN, STEP);
        let rate = step.outputs.yaw_rate.get();
        assert!(rate == 0.0 || rate.abs() == YAW.rate.get(), "{rate}");
        let begins = rate != 0.0 && self.last_rate != rate;
        assert!(!begins || self.stood >= YAW.rest, "it has stood for {:?}", self.stood);
        self.turns += u32::from(begins);
        self.stood = if rate == 0.0 { self.stood + STEP } else { Duration::ZERO };
        self.last_rate = rate;
        self.twist_deg += rate.to_degrees() * STEP.as_secs_f64();
        assert!(self.twist_deg.abs() <= 1080.0 + 0.1, "{}", self.twist_deg);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Beyond the hard limit by no more than one step's turn, never a turn without a rest before it, and no more turns than
    /// one in 20 seconds: the filter has to leave the dead band first.
    #[test]
    fn no_wind_twists_the_cables_beyond_the_limit_or_makes_the_drive_chatter(
        wind in any_wind(),
        clockwise: bool,
        noise_deg in 0.0..5.0,
    ) {
        let controller = TurbineController::new(TurbineParameters::NREL_5MW);
        let sign = if clockwise { 1.0 } else { -1.0 };
        // The turns of the hours before.
        let twist_deg = sign * 700.0;
        let mut nacelle = Nacelle { controller, direction_deg: twist_deg, twist_deg, turns: 0, last_rate: 0.0, stood: YAW.rest };
        let mut seconds = 0;
        for (duration_s, wind_mps, turn_degps) in wind {
            for at in 0..duration_s * 5 {
                nacelle.direction_deg += sign * turn_degps * STEP.as_secs_f64();
                nacelle.step(wind_mps, if at % 2 == 0 { noise_deg } else { -noise_deg });
            }
            seconds += duration_s;
        }
        prop_assert!(nacelle.turns <= seconds / 20 + 1, "{} turns in {seconds} s", nacelle.turns);
    }
}
