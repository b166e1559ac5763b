//! A run as a text file of OpenFAST's kind (`.out`), for the tools that read those.
//!
//! Six lines of head, a line of channel names and one of units, then a line for each time; columns are
//! separated by tabs (OpenFAST documentation, "ASCII output format"). The names are those of OpenFAST's
//! list of output parameters. Not a channel but a truth: the mean over the rotor stands for the wind.

use std::fmt::Write;

use sim_world::TurbineRow;

/// Name, unit, and how to get it from a row.
type Channel = (&'static str, &'static str, fn(&TurbineRow) -> f64);

const CHANNELS: [Channel; 15] = [
    ("Time", "(s)", |row| row.t.as_secs_f64()),
    ("Wind1VelX", "(m/s)", |row| row.wind.get()),
    ("RotSpeed", "(rpm)", |row| row.rotor_speed.as_rpm()),
    ("GenSpeed", "(rpm)", |row| row.generator_speed.as_rpm()),
    ("BldPitch1", "(deg)", |row| row.blades[0].as_degrees()),
    ("BldPitch2", "(deg)", |row| row.blades[1].as_degrees()),
    ("BldPitch3", "(deg)", |row| row.blades[2].as_degrees()),
    ("GenTq", "(kN-m)", |row| row.generator_torque.get() / 1e3),
    ("GenPwr", "(kW)", |row| row.power.as_kilowatts()),
    ("RotThrust", "(kN)", |row| row.thrust.get() / 1e3),
    ("TTDspFA", "(m)", |row| row.tower_deflection.get()),
    ("NcIMUTAxs", "(m/s^2)", |row| row.tower_acceleration_mps2),
    ("RootMyc1", "(kN-m)", |row| row.root_moments[0].get() / 1e3),
    ("RootMyc2", "(kN-m)", |row| row.root_moments[1].get() / 1e3),
    ("RootMyc3", "(kN-m)", |row| row.root_moments[2].get() / 1e3),
];

/// The text of a file, row by row.
#[derive(Debug)]
pub(crate) struct OutputText(String);

impl OutputText {
    /// Head and names; `description` in one line says what was run.
    pub(crate) fn new(description: &str) -> Self {
        let mut text = format!(
            "\nComputed by takt-sim {}: one rotor disc, no OpenFAST\n\n\nDescription: {description}\n\n",
            env!("CARGO_PKG_VERSION")
        );
        for title in [|channel: &Channel| channel.0, |channel: &Channel| channel.1] {
            text.push_str(&CHANNELS.each_ref().map(title).join("\t"));
            text.push('\n');
        }
        Self(text)
    }

    pub(crate) fn push(&mut self, row: &TurbineRow) {
        for (at, (_, _, value)) in CHANNELS.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\t" };
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{separator}{:.6e}", value(row));
        }
        self.0.push('\n');
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
