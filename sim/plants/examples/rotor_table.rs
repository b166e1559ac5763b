//! Prints the rotor of the simulated NREL 5-MW as a table for the tuner, in the text format of the ROSCO toolbox.

use control_loops_rotor::RotorTable;
use hal_units::Radians;
use sim_plants::RotorSurface;

fn main() {
    let rotor = RotorSurface::nrel_5mw();
    let degrees = Radians::from_degrees;
    let (ratios, pitches) = (((2.0, 15.0), 53), ((degrees(-5.0), degrees(35.0)), 41));
    let table = RotorTable::sampled(ratios, pitches, |ratio, pitch| rotor.coefficients(ratio, pitch));
    print!(
        "{}",
        table.to_rosco("A rotor like that of the NREL 5-MW: the formula of the simulated plant", 8.0)
    );
}
