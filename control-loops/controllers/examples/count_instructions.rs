//! Ten thousand steps at full power, to count the instructions of one:
//!
//! ```text
//! cargo build --release -p control-loops-controllers --example count_instructions
//! valgrind --tool=callgrind --toggle-collect='*steps_to_count*' target/release/examples/count_instructions
//! ```
//!
//! The count that callgrind prints as `Collected`, divided by 10,000, is that of one step.

use std::hint::black_box;

use control_loops_controllers::turbine::{
    TurbineController, TurbineDemand, TurbineInputs, TurbineParameters,
};
use hal_process_image::{Quality, Sample};
use hal_units::{Duration, Instant};

fn main() {
    let good = |value| Sample { value, quality: Quality::Good, acquired_at: Instant::ZERO, sequence: 1 };
    let inputs = TurbineInputs {
        generator_speed: good(122.95),
        rotor_speed: good(122.95 / 97.0),
        blades: [good(0.2536); 3],
        generator_torque: good(43_093.0),
        power: good(5e6),
        wind_speed: good(18.0),
        yaw_error: good(0.02),
        tower_acceleration: good(0.1),
        grid_ok: good(1.0),
        plc_state: good(0.0),
        outputs_unacknowledged_for: Duration::ZERO,
    };
    let mut controller = TurbineController::new(TurbineParameters::NREL_5MW);
    controller.reseed(&inputs);
    steps_to_count(&mut controller, &inputs);
    println!("mode {}", controller.state().mode.name().as_str());
}

#[inline(never)]
fn steps_to_count(controller: &mut TurbineController, inputs: &TurbineInputs) {
    for _ in 0..10_000 {
        black_box(controller.step(
            black_box(inputs),
            black_box(&TurbineDemand::RUN),
            Duration::from_millis(10),
        ));
    }
}
