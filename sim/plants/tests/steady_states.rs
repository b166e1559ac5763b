//! The plant under a baseline law against the published steady states of the reference turbine.
//!
//! The law here is a bare one of the test's own, enough to find the steady state: the published torque
//! regions, and an integral of the speed's excess for the blades.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians};
use sim_plants::{Actuation, Measurements, RotorSurface, Turbine, TurbinePlantParameters};

/// Torque over generator speed, published with the baseline controller; region 3 by its power.
fn baseline_torque(speed: f64, pitch: Radians) -> f64 {
    let (cut_in, optimal_from, rated, gain, slip) = (70.16224, 91.21091, 121.6805_f64, 2.332287, 1.1);
    let power = 5_296_610.0;
    let synchronous = rated / slip;
    let slope = power / rated / (rated - synchronous);
    let optimal_to = (slope - (slope * (slope - 4.0 * gain * synchronous)).sqrt()) / (2.0 * gain);
    if speed >= rated || pitch.get() >= 0.01745 {
        power / speed
    } else if speed <= cut_in {
        0.0
    } else if speed < optimal_from {
        gain * optimal_from * optimal_from * (speed - cut_in) / (optimal_from - cut_in)
    } else if speed < optimal_to {
        gain * speed * speed
    } else {
        slope * (speed - synchronous)
    }
}

fn settled(rotor: &RotorSurface, wind_mps: f64) -> Measurements {
    let (wind, dt) = (MetersPerSecond(wind_mps), Duration::from_millis(10));
    let mut turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, rotor.clone()).in_operation(wind);
    let mut integral = turbine.measurements().pitch[0].get();
    for _ in 0..60_000 {
        let measured = turbine.measurements();
        let excess = measured.generator_speed.get() - 122.9096;
        let gain = 1.0 / (1.0 + measured.pitch[0].get() / 0.109_996_5);
        integral = (integral + gain * 0.008_068_634 * excess * dt.as_secs_f64()).clamp(0.0, 1.57);
        let actuation = Actuation {
            generator_torque: NewtonMeters(baseline_torque(
                measured.generator_speed.get(),
                measured.pitch[0],
            )),
            pitch: [Radians(integral + gain * 0.018_826_81 * excess); 3],
            generator_connected: true,
            ..Actuation::FEATHERED
        };
        turbine.step(wind, Radians::ZERO, &actuation, dt);
    }
    turbine.measurements()
}

/// Largest differences allowed: rpm, deg, and power in percent from 7 m/s up.
struct Allowed {
    rotor_rpm: f64,
    pitch_deg: f64,
    power_percent: f64,
}

fn check_steady_states(rotor: &RotorSurface, allowed: &Allowed) {
    let states = common::published_steady_states();
    let whole = states.iter().filter(|state| state.wind_mps.fract() == 0.0 && state.wind_mps >= 3.0);
    let mut worst = [0.0_f64; 4];
    for state in whole {
        let found = settled(rotor, state.wind_mps);
        let rpm = found.rotor_speed.as_rpm() - state.rotor_rpm;
        let deg = found.pitch[0].as_degrees() - state.pitch_deg;
        let percent = 100.0 * (found.power.as_kilowatts() / state.power_kw - 1.0);
        let thrust = 100.0 * (found.thrust.get() / 1e3 / state.thrust_kn - 1.0);
        println!(
            "{:5} m/s: {rpm:+.3} rpm {deg:+.3} deg {percent:+.2} % power {thrust:+.1} % thrust",
            state.wind_mps
        );
        let percent = if state.wind_mps >= 7.0 { percent } else { 0.0 };
        for (worst, error) in worst.iter_mut().zip([rpm, deg, percent, thrust]) {
            *worst = worst.max(error.abs());
        }
    }
    println!("worst: {worst:.3?}");
    assert!(worst[0] <= allowed.rotor_rpm, "rotor speed off by {} rpm", worst[0]);
    assert!(worst[1] <= allowed.pitch_deg, "pitch off by {} deg", worst[1]);
    assert!(worst[2] <= allowed.power_percent, "power off by {} %", worst[2]);
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn with_the_built_in_rotor_the_steady_states_are_the_published_ones() {
    let allowed = Allowed { rotor_rpm: 0.12, pitch_deg: 0.8, power_percent: 5.0 };
    check_steady_states(&RotorSurface::nrel_5mw(), &allowed);
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn with_the_published_table_the_steady_states_are_the_published_ones() {
    let (name, text) = common::published_table();
    let rotor = RotorSurface::from_rosco_table(&name, &text).unwrap();
    check_steady_states(&rotor, &Allowed { rotor_rpm: 0.07, pitch_deg: 0.55, power_percent: 3.0 });
}
