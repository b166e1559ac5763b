//! Blades that are led one by one, by a real agent over the bus.

use hal_units::{Duration, MetersPerSecond, Radians};
use sim_devices::registers::{PITCH_1_CMD, PITCH_2_CMD, PITCH_3_CMD, PITCH_INDIVIDUAL};
use sim_devices::{PlcConfig, TurbinePlc};
use sim_plants::{Inflow, RotorSurface, Turbine, TurbinePlantParameters, Wind};

use crate::agent::{Site, WITHIN, until};
use crate::field::Field;

/// One turbine at full load in a wind with shear, its shaft tilted.
fn field() -> Field {
    let inflow = Inflow { shear_exponent: 0.2, shaft_tilt: Radians::from_degrees(5.0), ..Inflow::UNIFORM };
    let plant = TurbinePlantParameters { inflow, ..TurbinePlantParameters::NREL_5MW };
    let wind = MetersPerSecond(18.0);
    let turbine = Turbine::new(plant, RotorSurface::nrel_5mw()).in_operation(wind);
    let config = PlcConfig {
        hold_after: Duration::from_secs(20),
        safe_after: Duration::from_secs(30),
        ..PlcConfig::default()
    };
    Field::of(vec![TurbinePlc::new(turbine, Wind::constant(wind), config)])
}

#[test]
fn the_blades_of_a_turbine_with_individual_pitch_are_told_apart_over_the_bus() {
    let field = field();
    let site = Site::over(&field.addresses()).with_individual_pitch();
    let agent = site.start();
    agent.until_all_run();
    // A few turns of the rotor are enough to see it begin: the blades move around each other.
    let told = until("the blades are apart", WITHIN, || {
        field.look(0, |plc| {
            let words = plc.commands();
            let blades = [PITCH_1_CMD, PITCH_2_CMD, PITCH_3_CMD].map(|register| register.f32(words));
            let apart =
                blades.into_iter().fold(f64::MIN, f64::max) - blades.into_iter().fold(f64::MAX, f64::min);
            (PITCH_INDIVIDUAL.u16(words) == 1 && apart > 0.01).then_some(blades)
        })
    });
    assert!(told.iter().all(|blade| (0.0..0.5).contains(blade)), "{told:?}");
    let last = agent.until_all_run();
    assert!(last.units[0].trips.is_empty(), "{last:#?}");
}
