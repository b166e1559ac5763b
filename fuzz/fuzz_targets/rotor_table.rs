//! Rotor tables: any text is refused helpfully, or gives a rotor that makes no energy from nothing.
#![no_main]

use hal_units::Radians;
use libfuzzer_sys::fuzz_target;
use sim_plants::RotorSurface;
use takt_fuzz::assert_helpful;

const FILE: &str = "Cp_Ct_Cq.fuzz.txt";

/// Betz's limit, with room for rounding.
const POWER_COEFFICIENT_MAX: f64 = 16.0 / 27.0 + 1e-9;

fuzz_target!(|text: &str| {
    let rotor = match RotorSurface::from_rosco_table(FILE, text) {
        Ok(rotor) => rotor,
        Err(complaint) => return assert_helpful(FILE, text, &complaint),
    };
    for ratio in [-1.0, 0.0, 0.1, 2.0, 7.5, 12.0, 40.0, 1e6] {
        for pitch_deg in [-180.0, -5.0, 0.0, 3.0, 23.0, 90.0, 400.0] {
            let pitch = Radians::from_degrees(pitch_deg);
            let coefficients = rotor.coefficients(ratio, pitch);
            let power = rotor.power_coefficient(ratio, pitch);
            assert!(coefficients.torque.is_finite() && coefficients.thrust.is_finite());
            assert!(ratio <= 0.0 || power <= POWER_COEFFICIENT_MAX, "Cp {power} at {ratio}, {pitch_deg} deg");
        }
    }
});
