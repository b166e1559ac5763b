//! A turbine's measurements as records of a Bladed-style swap array.
//!
//! Records are numbered as in Bladed's user's manual, from 1.

use hal_units::{Duration, NewtonMeters, Radians};
use sim_plants::Measurements;

/// Records up to the last one that is filled.
pub const RECORDS: usize = 129;
/// Length that the array is said to have, as OpenFAST's extended interface does.
const SWAP_LEN: f64 = 4096.0;

/// The records of one call, by number: what the sensors show `now`, for a controller that is called every
/// `period`. Status, and lengths of texts, are the caller's.
#[must_use]
pub fn records(shown: &Measurements, now: Duration, period: Duration) -> [(usize, f64); 21] {
    let [pitch_1, pitch_2, pitch_3] = shown.pitch.map(Radians::get);
    let [root_1, root_2, root_3] = shown.root_moments.map(NewtonMeters::get);
    [
        (2, now.as_secs_f64()),
        (3, period.as_secs_f64()),
        (4, pitch_1),
        (15, shown.power.get()),
        (20, shown.generator_speed.get()),
        (21, shown.rotor_speed.get()),
        (23, shown.generator_torque.get()),
        (24, shown.yaw_error.get()),
        (27, shown.wind_speed.get()),
        // Individual pitch: every blade has a demand of its own.
        (28, 1.0),
        (30, root_1),
        (31, root_2),
        (32, root_3),
        (33, pitch_2),
        (34, pitch_3),
        // Generator contactor: main winding.
        (35, 1.0),
        (37, shown.nacelle_yaw.get()),
        (53, shown.tower_acceleration.get()),
        (60, shown.azimuth.get()),
        (61, 3.0),
        (RECORDS, SWAP_LEN),
    ]
}
