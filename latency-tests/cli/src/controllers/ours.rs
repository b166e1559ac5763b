//! Our controllers, on this thread.

use std::hint::black_box;

use control_loops_controllers::turbine::{
    TurbineController, TurbineDemand, TurbineInputs, TurbineParameters,
};
use hal_linux_rt::clock::now;
use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;

use super::BATCH;
use super::recording::{PERIOD, Recording};

/// A controller under one of the laws.
pub(super) struct Ours {
    name: &'static str,
    parameters: TurbineParameters,
    inputs: Vec<TurbineInputs>,
}

impl Ours {
    pub(super) fn takt(recording: &Recording) -> Self {
        Self { name: "takt", parameters: recording.takt, inputs: recording.inputs() }
    }

    pub(super) fn baseline(recording: &Recording) -> Self {
        let parameters = TurbineParameters::NREL_5MW;
        Self { name: "takt-baseline", parameters, inputs: recording.inputs() }
    }
}

impl Contender for Ours {
    fn name(&self) -> &str {
        self.name
    }

    fn turn(&mut self) -> Result<Times, String> {
        let mut controller = TurbineController::new(self.parameters);
        let mut times = Times::new();
        for batch in self.inputs.chunks_exact(BATCH) {
            let began = now();
            for inputs in batch {
                black_box(controller.step(black_box(inputs), &TurbineDemand::RUN, PERIOD));
            }
            times.add(now().since(began));
        }
        Ok(times)
    }
}
