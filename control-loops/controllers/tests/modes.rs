//! Every transition of the supervisor, told as a scenario.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    ModeName, RunRequest, Trip, TurbineController, TurbineInputs, TurbineParameters, WindBand,
};
use hal_units::{Duration, Radians, Watts};
use support::{Bench, FEATHER, TICK, bad, good};

// Before anything is known.

#[test]
fn without_measurements_the_outputs_are_the_safe_ones_and_say_so() {
    let mut bench = Bench::parked();
    bench.controller = TurbineController::new(TurbineParameters::NREL_5MW);
    bench.inputs = TurbineInputs::NEVER;
    let bench = bench.request(RunRequest::Run).for_seconds(10.0);
    let step = bench.last();
    assert!(!step.seeded && step.holding && step.trips.is_empty());
    assert_eq!((step.outputs.pitch, step.outputs.generator_torque.get()), (FEATHER, 0.0));
    assert!(!step.outputs.generator_connected);
}

#[test]
fn a_turbine_that_produces_already_is_taken_over_without_a_bump() {
    let step = *Bench::producing(1173.7, 14.53, 43_093.55, 18.0).last();
    assert!(step.seeded);
    assert!((step.outputs.pitch.as_degrees() - 14.53).abs() < 0.01);
    assert!((step.outputs.generator_torque.get() - 43_093.55).abs() < 10.0);
}

#[test]
fn a_derated_turbine_is_taken_over_at_its_present_power() {
    let step = *Bench::producing(1173.7, 18.0, 21_546.8, 18.0).last();
    assert!((step.outputs.generator_torque.get() - 21_546.8).abs() < 900.0, "{step:?}");
}

#[test]
fn a_rotor_that_turns_with_pitched_blades_is_taken_over_as_starting() {
    let mut bench = Bench::parked().request(RunRequest::Run).speed_rpm(400.0);
    bench.inputs.blades = [good(Radians::from_degrees(20.0).get()); 3];
    bench.controller.reseed(&bench.inputs);
    bench.for_seconds(0.01).in_mode(ModeName::StartUp);
}

#[test]
fn a_feathered_rotor_that_turns_is_taken_over_as_stopping() {
    let mut bench = Bench::parked().speed_rpm(400.0);
    bench.inputs.blades = [good(FEATHER.get()); 3];
    bench.controller.reseed(&bench.inputs);
    bench.for_seconds(0.01).in_mode(ModeName::NormalStop);
}

#[test]
fn a_reseed_without_speed_or_pitch_changes_nothing() {
    for spoil in [(|i: &mut TurbineInputs| i.blades = [bad(); 3]) as fn(&mut TurbineInputs), |i| {
        (i.generator_speed, i.rotor_speed) = (bad(), bad())
    }] {
        let mut bench = Bench::at_full_power();
        let before = bench.controller.state();
        spoil(&mut bench.inputs);
        bench.controller.reseed(&bench.inputs);
        assert_eq!(bench.controller.state(), before);
    }
}

// Idle.

#[test]
fn a_turbine_that_may_run_waits_in_idle_for_wind() {
    let step = *Bench::idle().for_seconds(30.0).in_mode(ModeName::Idle).last();
    assert_eq!(step.outputs.pitch, FEATHER);
    assert!(!step.outputs.brake && !step.outputs.generator_connected);
}

#[test]
fn idle_starts_when_the_slow_wind_reaches_cut_in() {
    let bench = Bench::idle().wind(3.1).for_seconds(10.0).in_mode(ModeName::Idle);
    bench.until_mode(ModeName::StartUp, 200.0);
}

#[test]
fn idle_does_not_start_while_something_that_the_interlock_watches_is_missing() {
    let spoilers: [fn(&mut TurbineInputs); 7] = [
        |i| i.generator_speed = bad(),
        |i| i.rotor_speed = bad(),
        |i| i.blades = [bad(); 3],
        |i| i.tower_acceleration = bad(),
        |i| i.grid_ok = good(0.0),
        |i| i.plc_state = good(1.0),
        |i| i.outputs_unacknowledged_for = Duration::from_secs(2),
    ];
    for (at, spoil) in spoilers.into_iter().enumerate() {
        // A fresh controller that never saw the signal good, so that no trip hides the refusal.
        let mut bench = Bench::parked().request(RunRequest::Run);
        bench.controller = TurbineController::new(TurbineParameters::NREL_5MW);
        let bench = bench.spoil(spoil).for_seconds(20.0);
        let mode = bench.last().mode;
        assert!(mode == ModeName::Idle || mode == ModeName::Parked, "{at}: {mode:?}");
    }
}

#[test]
fn idle_that_is_asked_to_stop_parks() {
    Bench::idle().request(RunRequest::Stop).for_seconds(1.0).in_mode(ModeName::Parked);
}

// Start-up.

#[test]
fn a_start_takes_the_blades_out_of_feather_at_2_degrees_per_second_without_load() {
    let bench = Bench::starting().for_seconds(10.0);
    let step = bench.last();
    assert!((step.outputs.pitch.as_degrees() - 70.0).abs() < 0.5, "{}", step.outputs.pitch.as_degrees());
    assert!(!step.outputs.brake && !step.outputs.generator_connected);
}

#[test]
fn the_blades_wait_at_20_degrees_until_the_rotor_turns() {
    let bench = Bench::starting().for_seconds(100.0);
    assert!((bench.last().outputs.pitch.as_degrees() - 20.0).abs() < 1e-9);
    let bench = bench.speed_rpm(1.5 * 97.0).for_seconds(20.0).in_mode(ModeName::StartUp);
    assert_eq!(bench.last().outputs.pitch, Radians::ZERO);
}

#[test]
fn at_fine_pitch_the_generator_is_connected_from_the_cut_in_speed_on() {
    let bench = Bench::starting().speed_rpm(600.0).for_seconds(60.0).in_mode(ModeName::StartUp);
    assert_eq!(bench.last().outputs.pitch, Radians::ZERO);
    let bench = bench.speed_rpm(675.0).for_seconds(0.02).in_mode(ModeName::Run);
    assert!(bench.last().outputs.generator_connected);
}

#[test]
fn with_pitched_blades_the_generator_waits_for_95_percent_of_the_reference_speed() {
    let bench = Bench::starting().speed_rpm(1100.0).for_seconds(5.0).in_mode(ModeName::StartUp);
    assert!(bench.last().outputs.pitch > Radians::from_degrees(20.0));
    bench.speed_rpm(1120.0).for_seconds(0.02).in_mode(ModeName::Run);
}

#[test]
fn blades_are_held_back_while_the_unloaded_rotor_nears_the_reference_speed() {
    let bench = Bench::starting().speed_rpm(1000.0).for_seconds(20.0);
    let before = bench.last().outputs.pitch;
    let bench = bench.speed_rpm(1110.0).for_seconds(2.0).in_mode(ModeName::StartUp);
    let moved_deg = (bench.last().outputs.pitch - before).as_degrees();
    assert!(moved_deg > -1.0, "at 2 deg/s they would come out by 4 degrees, not {moved_deg}");
}

#[test]
fn power_is_taken_up_on_a_ramp_after_connecting() {
    let bench = Bench::starting().speed_rpm(1173.7).wind(18.0).until_mode(ModeName::Run, 60.0);
    let after_1_s = bench.for_seconds(1.0);
    let power_kw = after_1_s.last().power_limit.as_kilowatts();
    assert!((power_kw - 1000.0).abs() < 20.0, "{power_kw}");
}

#[test]
fn a_start_that_is_not_wanted_any_more_stops() {
    Bench::starting().request(RunRequest::Stop).for_seconds(0.01).in_mode(ModeName::NormalStop);
}

#[test]
fn a_start_into_a_storm_is_given_up() {
    Bench::starting().wind(60.0).until_mode(ModeName::NormalStop, 60.0);
}

#[test]
fn a_start_that_takes_15_minutes_is_given_up() {
    let bench = Bench::starting().speed_rpm(300.0).for_seconds(890.0).in_mode(ModeName::StartUp);
    bench.until_mode(ModeName::NormalStop, 20.0);
}

// Run and derated.

#[test]
fn a_power_limit_below_rated_derates_and_its_removal_ends_that() {
    let bench = Bench::at_full_power().power_limit(Watts(3e6)).for_seconds(0.01);
    let bench = bench.in_mode(ModeName::Derated).for_seconds(10.0);
    let step = *bench.last();
    let power_kw = (step.outputs.generator_torque.get() * 122.9096) * 0.944 / 1e3;
    assert!((power_kw - 3000.0).abs() < 5.0, "{power_kw}");
    bench.power_limit(Watts(5e6)).for_seconds(0.01).in_mode(ModeName::Run);
}

#[test]
fn a_power_limit_falls_at_10_and_rises_at_20_percent_per_second() {
    let bench = Bench::at_full_power().power_limit(Watts(3e6)).for_seconds(2.0);
    assert!((bench.last().power_limit.as_kilowatts() - 4000.0).abs() < 1.0);
    let bench = bench.for_seconds(10.0).power_limit(Watts(5e6)).for_seconds(1.0);
    assert!((bench.last().power_limit.as_kilowatts() - 4000.0).abs() < 1.0);
}

#[test]
fn a_power_limit_that_is_no_number_leaves_the_last_one() {
    let bench = Bench::at_full_power().power_limit(Watts(3e6)).for_seconds(10.0);
    let bench = bench.power_limit(Watts(f64::NAN)).for_seconds(10.0);
    assert_eq!(bench.last().power_limit, Watts(3e6));
}

#[test]
fn a_run_goes_on_through_a_lull_and_stops_when_it_lasts() {
    let bench = Bench::producing(700.0, 0.0, 1000.0, 4.0).wind(2.0).speed_rpm(500.0);
    let bench = bench.for_seconds(300.0).in_mode(ModeName::Run);
    assert_eq!(bench.last().wind, WindBand::Weak);
    let bench = bench.until_mode(ModeName::NormalStop, 500.0);
    assert_eq!(bench.last().wind, WindBand::Calm);
}

#[test]
fn a_run_stops_in_a_storm_and_waits_below_22_metres_per_second_to_restart() {
    let bench = Bench::at_full_power().wind(28.0).until_mode(ModeName::NormalStop, 200.0);
    let bench = bench.speed_rpm(0.0).until_mode(ModeName::Idle, 60.0);
    let bench = bench.wind(23.0).for_seconds(600.0).in_mode(ModeName::Idle);
    bench.wind(21.0).until_mode(ModeName::StartUp, 300.0);
}

#[test]
fn a_gust_above_cut_out_stops_nothing() {
    Bench::at_full_power().wind(35.0).for_seconds(8.0).in_mode(ModeName::Run);
}

#[test]
fn one_speed_sensor_lost_is_replaced_by_the_other() {
    let bench = Bench::at_full_power().spoil(|i| i.generator_speed = bad()).for_seconds(60.0);
    let bench = bench.in_mode(ModeName::Run);
    assert!(!bench.last().holding);
}

#[test]
fn both_speed_sensors_lost_for_a_moment_hold_the_outputs() {
    let bench = Bench::at_full_power();
    let before = bench.last().outputs;
    let bench = bench.spoil(|i| (i.generator_speed, i.rotor_speed) = (bad(), bad())).for_seconds(0.4);
    assert!(bench.last().holding);
    assert_eq!(bench.last().outputs, before);
}

#[test]
fn pitched_blades_at_a_crawl_get_no_constant_power_torque() {
    let bench = Bench::at_full_power().speed_rpm(500.0).for_seconds(6.0);
    assert_eq!(bench.last().outputs.generator_torque.get(), 0.0);
}

// Normal stop.

#[test]
fn a_stop_goes_to_feather_at_3_degrees_per_second_and_lets_go_of_the_torque() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(10.0);
    let outputs = bench.in_mode(ModeName::NormalStop).last().outputs;
    assert!((outputs.pitch.as_degrees() - 44.5).abs() < 0.5, "{}", outputs.pitch.as_degrees());
    let half_nm = 43_093.55 / 2.0;
    assert!((outputs.generator_torque.get() - half_nm).abs() < 200.0, "{outputs:?}");
    assert!(!outputs.brake);
}

#[test]
fn a_stopping_generator_stays_on_the_grid_until_it_is_slow_and_unloaded() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(10.0);
    assert!(bench.last().outputs.generator_connected);
    let bench = bench.speed_rpm(600.0).for_seconds(4.0);
    assert_eq!(bench.last().outputs.generator_torque.get(), 0.0);
    assert!(!bench.last().outputs.generator_connected);
}

#[test]
fn the_brake_closes_only_at_low_rotor_speed() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(60.0);
    assert!(!bench.last().outputs.brake);
    let bench = bench.speed_rpm(1.6 * 97.0).for_seconds(1.0);
    assert!(!bench.last().outputs.brake);
    let bench = bench.speed_rpm(1.4 * 97.0).for_seconds(1.0);
    assert!(bench.last().outputs.brake);
}

#[test]
fn a_stopped_turbine_is_parked_with_the_brake_closed() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(40.0);
    let bench = bench.speed_rpm(0.0).until_mode(ModeName::Parked, 60.0).for_seconds(1.0);
    let outputs = bench.last().outputs;
    assert!(outputs.brake && !outputs.generator_connected);
    assert_eq!(outputs.pitch, FEATHER);
}

#[test]
fn a_stop_that_is_called_off_goes_through_idle_to_a_new_start() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(30.0);
    let bench = bench.speed_rpm(300.0).request(RunRequest::Run).until_mode(ModeName::Idle, 60.0);
    bench.until_mode(ModeName::StartUp, 1.0);
}

#[test]
fn a_stop_for_service_ends_in_service() {
    let bench = Bench::at_full_power().request(RunRequest::Service).for_seconds(40.0);
    bench.speed_rpm(0.0).until_mode(ModeName::Service, 60.0);
}

// Parked and service.

#[test]
fn parked_that_is_asked_to_run_goes_to_idle_first() {
    let mut bench = Bench::parked().in_mode(ModeName::Parked).request(RunRequest::Run);
    assert_eq!(bench.tick().mode, ModeName::Idle);
    assert_eq!(bench.tick().mode, ModeName::StartUp);
}

#[test]
fn parked_whose_rotor_turns_stops_it_again() {
    Bench::parked().speed_rpm(4.0 * 97.0).for_seconds(0.02).in_mode(ModeName::NormalStop);
}

#[test]
fn service_is_entered_from_parked_and_left_to_parked() {
    let bench = Bench::service().for_seconds(60.0).in_mode(ModeName::Service);
    assert!(bench.last().outputs.brake);
    let mut bench = bench.request(RunRequest::Run);
    assert_eq!(bench.tick().mode, ModeName::Parked);
}

#[test]
fn service_whose_rotor_turns_stops_it_again() {
    Bench::service().speed_rpm(4.0 * 97.0).for_seconds(0.02).in_mode(ModeName::NormalStop);
}

#[test]
fn the_nacelle_turns_into_the_wind_only_while_the_turbine_may_run() {
    for (bench, may_yaw) in [
        (Bench::idle(), true),
        (Bench::starting(), true),
        (Bench::at_full_power(), true),
        (Bench::parked(), false),
        (Bench::service(), false),
        (Bench::in_emergency_stop(), false),
    ] {
        let mut bench = bench.spoil(|i| i.yaw_error = good(0.5));
        let turned = (0..6000).any(|_| bench.tick().outputs.yaw_rate.get() > 0.0);
        assert_eq!(turned, may_yaw, "{:?}", bench.last().mode);
    }
}

// Emergency stop.

#[test]
fn every_mode_obeys_the_emergency_stop_within_one_step() {
    let mut stopping = Bench::at_full_power().request(RunRequest::Stop).for_seconds(1.0);
    stopping = stopping.in_mode(ModeName::NormalStop);
    let derated = Bench::at_full_power().power_limit(Watts(3e6)).for_seconds(1.0);
    for mut bench in [
        Bench::idle(),
        Bench::starting(),
        Bench::at_full_power(),
        derated.in_mode(ModeName::Derated),
        stopping,
        Bench::parked(),
        Bench::service(),
    ] {
        let before = bench.last().mode;
        bench.demand.emergency_stop = true;
        let step = bench.tick();
        assert_eq!(step.mode, ModeName::EmergencyStop, "from {before:?}");
        assert!(step.trips.contains(Trip::EmergencyStopCommand));
    }
}

#[test]
fn an_emergency_stop_pitches_at_8_degrees_per_second() {
    let mut bench = Bench::at_full_power();
    let from = bench.last().outputs.pitch;
    bench.demand.emergency_stop = true;
    let bench = bench.for_seconds(5.0);
    assert!(((bench.last().outputs.pitch - from).as_degrees() - 40.0).abs() < 0.1);
}

#[test]
fn an_emergency_stop_brakes_with_the_generator_as_long_as_there_is_a_grid() {
    let mut bench = Bench::at_full_power();
    bench.demand.emergency_stop = true;
    let step = bench.tick();
    assert!(step.outputs.generator_connected);
    assert!((step.outputs.generator_torque.get() - (43_093.55 - 150.0)).abs() < 1.0, "{step:?}");
    assert!(!bench.for_seconds(4.0).last().outputs.generator_connected);
}

#[test]
fn a_lost_grid_disconnects_the_generator_at_once() {
    let bench = Bench::at_full_power().spoil(|i| i.grid_ok = good(0.0));
    let outputs = bench.until_mode(ModeName::EmergencyStop, 0.2).last().outputs;
    assert!(!outputs.generator_connected);
    assert_eq!(outputs.generator_torque.get(), 0.0);
}

#[test]
fn an_emergency_stop_closes_the_brake_at_low_speed_only() {
    let bench = Bench::in_emergency_stop().for_seconds(20.0);
    assert!(!bench.last().outputs.brake);
    assert!(bench.speed_rpm(100.0).for_seconds(0.02).last().outputs.brake);
}

#[test]
fn beyond_the_hard_overspeed_limit_the_brake_closes_at_once() {
    let bench = Bench::at_full_power().speed_rpm(1173.7 * 1.31).for_seconds(0.02);
    assert!(bench.in_mode(ModeName::EmergencyStop).last().outputs.brake);
}

#[test]
fn an_emergency_stop_lasts_until_it_is_reset_and_the_rotor_stands() {
    let bench = Bench::in_emergency_stop().speed_rpm(0.0).for_seconds(60.0);
    let bench = bench.in_mode(ModeName::EmergencyStop).speed_rpm(1000.0).reset();
    let bench = bench.in_mode(ModeName::EmergencyStop);
    assert!(bench.last().trips.is_empty());
    bench.speed_rpm(0.0).until_mode(ModeName::Parked, 0.02);
}

#[test]
fn after_a_reset_a_turbine_that_is_asked_to_run_starts_again() {
    let bench = Bench::in_emergency_stop().speed_rpm(0.0).for_seconds(20.0).reset();
    bench.until_mode(ModeName::StartUp, 1.0);
}

#[test]
fn an_interlock_that_is_tripped_survives_a_reseed() {
    let mut bench = Bench::in_emergency_stop();
    bench.controller.reseed(&bench.inputs);
    assert_eq!(bench.tick().mode, ModeName::EmergencyStop);
}

#[test]
fn each_trip_stops_a_turbine_at_full_power() {
    type Cause = fn(&mut Bench);
    let causes: [(Trip, Cause); 11] = [
        (Trip::Overspeed, |b| b.inputs.generator_speed = good(122.9096 * 1.26)),
        (Trip::OverspeedHard, |b| b.inputs.rotor_speed = good(122.9096 * 1.31 / 97.0)),
        (Trip::Vibration, |b| b.inputs.tower_acceleration = good(4.0)),
        (Trip::GridLoss, |b| b.inputs.grid_ok = good(0.0)),
        (Trip::LostCommands, |b| b.inputs.outputs_unacknowledged_for = Duration::from_secs(2)),
        (Trip::DeviceSafeState, |b| b.inputs.plc_state = good(2.0)),
        (Trip::SpeedSensors, |b| (b.inputs.generator_speed, b.inputs.rotor_speed) = (bad(), bad())),
        (Trip::SpeedMismatch, |b| b.inputs.rotor_speed = good(1.0)),
        (Trip::PitchSensor, |b| b.inputs.blades = [bad(); 3]),
        (Trip::VibrationSensor, |b| b.inputs.tower_acceleration = bad()),
        (Trip::GridSensor, |b| b.inputs.grid_ok = bad()),
    ];
    for (trip, cause) in causes {
        let mut bench = Bench::at_full_power();
        cause(&mut bench);
        let bench = bench.until_mode(ModeName::EmergencyStop, 1.1);
        assert!(bench.last().trips.contains(trip), "{trip:?}");
    }
}

// Time.

#[test]
fn after_a_long_pause_the_outputs_go_on_instead_of_jumping() {
    let mut bench = Bench::at_full_power().speed_rpm(1300.0).for_seconds(0.01);
    let before = bench.last().outputs.pitch;
    let step = bench.controller.step(&bench.inputs, &bench.demand, Duration::from_secs(30));
    assert!((step.outputs.pitch - before).as_degrees() <= 8.0 * 0.2 + 1e-6);
}

#[test]
fn a_step_of_no_time_changes_no_output() {
    let bench = Bench::at_full_power().speed_rpm(1200.0).for_seconds(1.0);
    let mut controller = bench.controller;
    let step = controller.step(&bench.inputs, &bench.demand, Duration::ZERO);
    assert_eq!(step.outputs, bench.last().outputs);
    assert_eq!(TICK.as_millis(), 10);
}
