//! What one controller step costs: `cargo bench -p control-loops-controllers`.
//!
//! Goal: at most half a microsecond per turbine step, one with every feature of the Takt law. Each sample runs a thousand steps in which speed,
//! wind and the rest move as in a turbulent wind, so that no branch is always the same; the column to
//! read is the time per item.

use std::hint::black_box;

use control_loops_controllers::turbine::{
    RunRequest, TurbineController, TurbineDemand, TurbineInputs, TurbineParameters,
};
use divan::{Bencher, counter::ItemsCount};
use hal_process_image::{Quality, Sample};
use hal_units::{Duration, Instant, Watts};

const STEPS: usize = 1000;
const TICK: Duration = Duration::from_millis(10);

fn main() {
    divan::main();
}

fn good(value: f64) -> Sample {
    Sample { value, quality: Quality::Good, acquired_at: Instant::ZERO, sequence: 1 }
}

/// Around an operating point, swinging by 5 %.
fn inputs_around(speed_radps: f64, pitch_rad: f64, torque_nm: f64, wind_mps: f64) -> Vec<TurbineInputs> {
    let at = |step: usize| {
        let swing = 1.0 + 0.05 * (step as f64 * 0.013).sin();
        TurbineInputs {
            generator_speed: good(speed_radps * swing),
            rotor_speed: good(speed_radps * swing / 97.0),
            blades: [good(pitch_rad); 3],
            generator_torque: good(torque_nm),
            power: good(torque_nm * speed_radps * swing),
            wind_speed: good(wind_mps * swing),
            yaw_error: good(swing - 1.0),
            cable_twist: Some(good(swing - 1.0)),
            tower_acceleration: good(swing - 1.0),
            grid_ok: good(1.0),
            plc_state: good(0.0),
            blade_loads: None,
            outputs_unacknowledged_for: Duration::ZERO,
        }
    };
    (0..STEPS).map(at).collect()
}

fn steps_of(bencher: Bencher, inputs: Vec<TurbineInputs>, demand: TurbineDemand) {
    steps_under(TurbineParameters::NREL_5MW, bencher, inputs, demand);
}

/// The Takt law with every feature on.
fn takt() -> TurbineParameters {
    let parameters = tuned();
    assert!(parameters.takt.is_some(), "the features are wrong");
    parameters
}

fn tuned() -> TurbineParameters {
    let features = "[tuning]\ntower_damper_degspm = 1.0\npitch_play_deg = 0.02\nexcluded_speed_rpm = 9.0\n\
        excluded_half_width_rpm = 0.3\nstorm_from_mps = 23.0\nstorm_to_mps = 28.0\nthrust_share = 0.9\n\
        derated_speed_share = 0.8\n";
    let text = format!("{}\n{features}", control_loops_tuning::NREL_5MW);
    let document = hal_diagnostics::Document::new("nrel-5mw.toml", &text);
    let rotor = sim_plants::RotorSurface::nrel_5mw().as_table();
    control_loops_tuning::TurbineDescription::parse(&document)
        .and_then(|description| control_loops_tuning::tune("nrel-5mw.toml", &description, &rotor))
        .map_or(TurbineParameters::NREL_5MW, |tuned| tuned.parameters)
}

fn steps_under(
    parameters: TurbineParameters,
    bencher: Bencher,
    inputs: Vec<TurbineInputs>,
    demand: TurbineDemand,
) {
    let mut controller = TurbineController::new(parameters);
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| {
        for inputs in &inputs {
            black_box(controller.step(black_box(inputs), black_box(&demand), TICK));
        }
    });
}

#[divan::bench]
fn below_rated(bencher: Bencher) {
    steps_of(bencher, inputs_around(97.0, 0.0, 22_000.0, 8.0), TurbineDemand::RUN);
}

#[divan::bench]
fn above_rated(bencher: Bencher) {
    steps_of(bencher, inputs_around(122.9, 0.2536, 43_093.0, 18.0), TurbineDemand::RUN);
}

#[divan::bench]
fn takt_below_rated(bencher: Bencher) {
    steps_under(takt(), bencher, inputs_around(97.0, 0.0, 22_000.0, 8.0), TurbineDemand::RUN);
}

#[divan::bench]
fn takt_above_rated(bencher: Bencher) {
    steps_under(takt(), bencher, inputs_around(122.9, 0.2536, 43_093.0, 18.0), TurbineDemand::RUN);
}

#[divan::bench]
fn derated(bencher: Bencher) {
    let demand = TurbineDemand { power_limit: Watts(3e6), ..TurbineDemand::RUN };
    steps_of(bencher, inputs_around(122.9, 0.2536, 25_856.0, 18.0), demand);
}

#[divan::bench]
fn starting_up(bencher: Bencher) {
    steps_of(bencher, inputs_around(60.0, 0.5, 0.0, 12.0), TurbineDemand::RUN);
}

#[divan::bench]
fn parked(bencher: Bencher) {
    let demand = TurbineDemand { request: RunRequest::Stop, ..TurbineDemand::RUN };
    steps_of(bencher, inputs_around(0.0, 1.57, 0.0, 2.0), demand);
}
