//! A controller whose predecessor has died: what it may start, and what waits for a reset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    ModeName, RunRequest, Trip, TurbineController, TurbineDemand, TurbineParameters,
};
use support::{Bench, bad, good};

const SAFE: f64 = 2.0;
const NORMAL: f64 = 0.0;

impl Bench {
    /// The predecessor has died, its device has made the turbine safe, and this one is to run it.
    fn succeeded_after_the_device_has_acted(self) -> Self {
        let operating = self.controller.is_operating();
        let mut controller = TurbineController::new(TurbineParameters::NREL_5MW);
        if operating {
            controller.resume_operating();
        }
        let mut bench = Self { controller, demand: TurbineDemand::RUN, ..Self::parked() };
        bench.inputs.plc_state = good(SAFE);
        bench.for_seconds(1.0)
    }

    fn device_normal(self) -> Self {
        self.spoil(|inputs| inputs.plc_state = good(NORMAL))
    }
}

#[test]
fn a_turbine_that_was_operating_waits_for_a_reset() {
    let bench = Bench::at_full_power().succeeded_after_the_device_has_acted();
    assert!(bench.last().trips.contains(Trip::DeviceSafeState));
    let bench = bench.device_normal().for_seconds(60.0).in_mode(ModeName::EmergencyStop);
    assert!(bench.controller.is_operating(), "also for the next one");
    bench.reset().until_mode(ModeName::StartUp, 1.0);
}

#[test]
fn one_that_was_starting_or_stopping_does_too() {
    for bench in [Bench::starting(), Bench::at_full_power().request(RunRequest::Stop).for_seconds(0.1)] {
        assert!(!bench.succeeded_after_the_device_has_acted().last().trips.is_empty());
    }
}

#[test]
fn one_that_was_at_rest_starts_when_the_device_is_normal() {
    for bench in [Bench::parked(), Bench::idle()] {
        let bench = bench.succeeded_after_the_device_has_acted();
        assert!(bench.last().trips.is_empty());
        bench.device_normal().until_mode(ModeName::StartUp, 1.0);
    }
}

#[test]
fn one_that_was_brought_to_rest_is_not_operating_any_more() {
    let bench = Bench::at_full_power().request(RunRequest::Stop).for_seconds(30.0).speed_rpm(0.0);
    assert!(!bench.until_mode(ModeName::Parked, 1.0).controller.is_operating());
}

#[test]
fn while_nobody_knows_how_the_device_is_a_turbine_that_was_operating_is_not_at_rest_in_order() {
    let mut controller = TurbineController::new(TurbineParameters::NREL_5MW);
    controller.resume_operating();
    let mut bench = Bench { controller, demand: TurbineDemand::STOP, ..Bench::parked() };
    bench.inputs.plc_state = bad();
    let bench = bench.for_seconds(10.0).in_mode(ModeName::Parked);
    assert!(bench.controller.is_operating());
    assert!(!bench.device_normal().for_seconds(0.1).controller.is_operating());
}
