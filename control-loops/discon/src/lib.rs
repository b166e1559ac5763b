//! The turbine controller for the tools that engineers already use: `libtakt_discon.so` exports `DISCON`, so
//! that OpenFAST, Bladed and other simulators of loads run the very controller that the agent runs.
//!
//! # Model
//!
//! The simulator calls once per communication interval with an array of single-precision records and the name of
//! an input file. The first call reads the file and tunes the controller; every call turns records into
//! measurements, steps the controller, and turns its outputs into records. The input file is TOML:
//!
//! ```toml
//! turbine = "nrel-5mw.toml"                  # description, relative to this file
//! rotor_table = "Cp_Ct_Cq.NREL5MW.txt"       # likewise
//! ```
//!
//! A simulator has no grid signal and no watchdog: the grid counts as there, the device as normal. One process
//! holds one controller, as with every library of this interface.
//!
//! # Terms
//!
//! Records of the array are numbered from 1, as in Bladed's user's manual, appendix A.

use std::path::{Path, PathBuf};

use control_loops_controllers::turbine::{
    BladeLoads, Quality, Sample, TurbineController, TurbineDemand, TurbineInputs, TurbineOutputs,
    TurbineParameters,
};
use control_loops_rotor::RotorTable;
use control_loops_tuning::{TurbineDescription, tune};
use hal_diagnostics::{Diagnostic, Document};
use hal_linux_rt::bladed::DisconController;
use hal_units::{Duration, Instant, Radians};
use serde::Deserialize;

hal_linux_rt::export_discon!(crate::Discon);

/// The input file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFile {
    turbine: PathBuf,
    rotor_table: PathBuf,
}

/// The controller behind the array.
#[derive(Debug)]
pub struct Discon {
    controller: TurbineController,
    calls: u32,
}

impl Discon {
    /// A controller with these parameters.
    #[must_use]
    pub fn new(parameters: TurbineParameters) -> Self {
        Self { controller: TurbineController::new(parameters), calls: 0 }
    }
}

/// Reads the input file and what it names, and tunes.
///
/// # Errors
/// At the first file that cannot be read or used.
pub fn parameters_from(infile: &Path) -> Result<TurbineParameters, Diagnostic> {
    let input: InputFile = Document::read(infile)?.parse()?;
    let folder = infile.parent().unwrap_or(Path::new(""));
    let table = Document::read(&folder.join(input.rotor_table))?;
    let table = RotorTable::from_rosco(table.file(), table.text())?;
    let description = Document::read(&folder.join(input.turbine))?;
    let turbine = TurbineDescription::parse(&description)?;
    Ok(tune(description.file(), &turbine, &table)?.parameters)
}

impl DisconController for Discon {
    fn open(infile: &str) -> Result<Self, String> {
        parameters_from(Path::new(infile)).map(Self::new).map_err(|complaint| complaint.to_string())
    }

    fn step(&mut self, records: &mut [f32]) -> Result<(), String> {
        self.calls = self.calls.wrapping_add(1);
        let dt_s = get(records, 3);
        if !(dt_s > 0.0 && dt_s < 10.0) {
            return Err(format!("record 3, the communication interval, is {dt_s} s"));
        }
        let inputs = inputs_from(records, self.calls);
        let step = self.controller.step(&inputs, &TurbineDemand::RUN, Duration::from_secs_f64(dt_s));
        put_outputs(records, &step.outputs);
        Ok(())
    }
}

fn get(records: &[f32], record: usize) -> f64 {
    records.get(record - 1).copied().map_or(f64::NAN, f64::from)
}

/// What the records say, as measurements.
#[must_use]
pub fn inputs_from(records: &[f32], sequence: u32) -> TurbineInputs {
    let time_s = get(records, 2);
    let acquired_at = Instant::ZERO + Duration::try_from_secs_f64(time_s).unwrap_or_default();
    let sample = |value: f64| {
        let quality = if value.is_finite() { Quality::Good } else { Quality::Bad };
        Sample { value, quality, acquired_at, sequence }
    };
    TurbineInputs {
        generator_speed: sample(get(records, 20)),
        rotor_speed: sample(get(records, 21)),
        // Blades 1, 2 and 3; a rotor of two has no third.
        blades: [4, 33, if get(records, 61) == 2.0 { 33 } else { 34 }]
            .map(|record| sample(get(records, record))),
        generator_torque: sample(get(records, 23)),
        power: sample(get(records, 15)),
        wind_speed: sample(get(records, 27)),
        yaw_error: sample(get(records, 24)),
        cable_twist: None,
        tower_acceleration: sample(get(records, 53)),
        grid_ok: sample(1.0),
        plc_state: sample(0.0),
        // Azimuth, and the blades' out-of-plane root moments; a rotor of two has no third.
        blade_loads: (get(records, 61) != 2.0).then(|| BladeLoads {
            azimuth: sample(get(records, 60)),
            root_moments: [30, 31, 32].map(|record| sample(get(records, record))),
        }),
        outputs_unacknowledged_for: Duration::ZERO,
    }
}

/// Writes the outputs into their records.
pub fn put_outputs(records: &mut [f32], outputs: &TurbineOutputs) {
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    let pitch = outputs.pitch.get();
    let [first, second, third] = outputs.blades.unwrap_or([outputs.pitch; 3]).map(Radians::get);
    let values = [
        // Contactor: main winding. Shaft brake.
        (35, flag(outputs.generator_connected)),
        (36, flag(outputs.brake)),
        // Blades 1, 2 and 3, and all of them.
        (42, first),
        (43, second),
        (44, third),
        (45, pitch),
        (47, outputs.generator_torque.get()),
        (48, outputs.yaw_rate.get()),
    ];
    for (record, value) in values {
        if let Some(number) = records.get_mut(record - 1) {
            *number = value as f32;
        }
    }
}
