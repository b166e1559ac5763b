//! A plant that controls itself, as SunSpec's models 704 and 715 say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_controllers::der::{DerController, DerInputs, DerParameters, DerPhase, DerStep, RESET_FOR};
use control_loops_controllers::turbine::{Quality, Sample, TurbineDemand};
use hal_units::{Duration, Instant, Watts};

const TICK: Duration = Duration::from_millis(100);
const PARAMETERS: DerParameters =
    DerParameters { rated_power: Watts(5e6), revert_after: Duration::from_secs(30), revert_share: 0.4 };

fn good(value: f64) -> Sample {
    Sample { value, quality: Quality::Good, acquired_at: Instant::ZERO, sequence: 1 }
}

fn remote() -> DerInputs {
    DerInputs { local: good(0.0), power: good(3e6), alarms: good(0.0), limit_scale: good(-2.0) }
}

fn step(inputs: DerInputs, demand: TurbineDemand) -> DerStep {
    DerController::new(PARAMETERS).step(&inputs, &demand, TICK)
}

fn limited(watts: f64) -> TurbineDemand {
    TurbineDemand { power_limit: Watts(watts), ..TurbineDemand::RUN }
}

#[test]
fn the_limit_is_a_share_of_rated_power_and_says_what_to_revert_to() {
    let told = step(remote(), limited(2e6));
    let outputs = told.outputs.unwrap();
    assert_eq!((outputs.limit_share, outputs.revert_share, told.phase), (0.4, 0.4, DerPhase::Limited));
    assert_eq!((outputs.revert_after, outputs.run), (Duration::from_secs(30), true));
    let free = step(remote(), TurbineDemand::RUN);
    assert_eq!((free.outputs.unwrap().limit_share, free.phase), (1.0, DerPhase::Run));
    assert_eq!(step(remote(), limited(f64::NAN)).outputs.unwrap().limit_share, 0.0);
}

#[test]
fn a_device_in_local_control_or_one_that_cannot_be_seen_gets_nothing_written() {
    let local = step(DerInputs { local: good(1.0), ..remote() }, TurbineDemand::RUN);
    assert_eq!((local.outputs, local.phase), (None, DerPhase::Local));
    for unseen in [
        DerInputs::NEVER,
        DerInputs { local: Sample::NEVER, ..remote() },
        DerInputs { limit_scale: Sample::NEVER, ..remote() },
    ] {
        let blind = step(unseen, TurbineDemand::RUN);
        assert_eq!((blind.outputs, blind.phase), (None, DerPhase::Blind));
    }
}

#[test]
fn a_plant_that_is_to_stop_is_told_so_and_may_give_nothing() {
    for demand in [TurbineDemand::STOP, TurbineDemand { emergency_stop: true, ..TurbineDemand::RUN }] {
        let told = step(remote(), demand);
        let outputs = told.outputs.unwrap();
        assert_eq!((outputs.limit_share, outputs.run, told.phase), (0.0, false, DerPhase::Stopping));
        let rests = step(DerInputs { power: good(1e3), ..remote() }, demand);
        assert_eq!(rests.phase, DerPhase::Stopped);
    }
}

#[test]
fn the_heartbeat_counts_seconds_of_life_and_a_pause_once() {
    let mut controller = DerController::new(PARAMETERS);
    let mut beat = |dt| controller.step(&remote(), &TurbineDemand::RUN, dt).outputs.unwrap().heartbeat;
    let beats: Vec<u16> = (0..30).map(|_| beat(TICK)).collect();
    assert_eq!((beats[8], beats[9], beats[29]), (0, 1, 3));
    assert_eq!(beat(Duration::from_secs(60)), 4);
}

#[test]
fn a_reset_is_written_for_its_time_once_for_each_press() {
    let mut controller = DerController::new(PARAMETERS);
    let mut written = |reset| {
        let demand = TurbineDemand { reset, ..TurbineDemand::RUN };
        controller.step(&remote(), &demand, TICK).outputs.unwrap().reset
    };
    assert!(!written(false));
    let ticks = RESET_FOR.as_millis() / TICK.as_millis();
    let presses: Vec<bool> = (0..2 * ticks).map(|_| written(true)).collect();
    assert_eq!(presses.iter().filter(|written| **written).count() as u128, ticks);
    assert!(presses[0] && !presses[presses.len() - 1]);
}
