//! What both the virtual and the served turbine are told about their plant.

use std::path::Path;

use clap::ValueEnum;
use hal_diagnostics::Document;
use sim_plants::{NoiseLevels, RotorSurface, Wind, WindSpec};

use crate::failure::Failure;
use crate::text_file;

pub(crate) const WIND_HELP: &str = "\
Wind at hub height, averaged over the rotor; speeds in m/s:
  const:V                       the same for ever
  steps:V1,V2,...:SECONDS       each speed for so long, the last for ever
  eog:V or eog:V:CLASS          IEC 61400-1 extreme operating gust at 60 s (class A, B, C)
  turb:MEAN:INTENSITY_PERCENT   turbulence, from --seed
  FILE.csv                      columns t_s and wind_mps, perhaps wind_dir_deg
  FILE.wnd                      OpenFAST uniform wind";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SensorNoise {
    /// Perfect sensors
    None,
    /// The usual industrial kind
    Usual,
}

impl SensorNoise {
    pub(crate) const fn levels(self) -> NoiseLevels {
        match self {
            Self::None => NoiseLevels::NONE,
            Self::Usual => NoiseLevels::USUAL,
        }
    }
}

/// The wind of a spec, from its file if it names one.
pub(crate) fn wind(spec: &WindSpec, seed: u64) -> Result<Wind, Failure> {
    match spec {
        WindSpec::File { path } => {
            let document = Document::read_at_most(Path::new(path), text_file::SERIES_BYTES_MAX)?;
            Ok(Wind::from_text(document.file(), document.text())?)
        }
        spec => Wind::from_spec(spec, seed).map_err(|error| Failure::arguments(error.to_string(), "")),
    }
}

/// The rotor of a table, or the built-in one.
pub(crate) fn rotor(table: Option<&Path>) -> Result<RotorSurface, Failure> {
    match table {
        Some(path) => {
            let document = Document::read(path)?;
            Ok(RotorSurface::from_rosco_table(document.file(), document.text())?)
        }
        None => Ok(RotorSurface::nrel_5mw()),
    }
}
