//! What both the virtual and the served turbine are told about their plant.

use std::path::Path;

use clap::ValueEnum;
use control_loops_tuning::{Tuned, TurbineDescription};
use hal_diagnostics::Document;
use hal_units::{Meters, NewtonMeters, Radians, RadiansPerSecond, Watts};
use sim_plants::{Inflow, NoiseLevels, RotorSurface, TurbinePlantParameters, Wind, WindSpec};

use crate::failure::Failure;
use crate::text_file;

pub(crate) const WIND_HELP: &str = "\
Wind at hub height, averaged over the rotor; speeds in m/s:
  const:V                       the same for ever
  steps:V1,V2,...:SECONDS       each speed for so long, the last for ever
  eog:V or eog:V:CLASS          IEC 61400-1 extreme operating gust at 60 s (class A, B, C)
  turb:MEAN:INTENSITY_PERCENT   turbulence, from --seed
  FILE.csv                      columns t_s and wind_mps, perhaps wind_dir_deg
  FILE.wnd                      OpenFAST uniform wind
  FILE.bts                      TurbSim full field, averaged over the rotor";

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

/// The largest full field that is read, in bytes: an hour at 20 Hz on 40 by 40 points.
const FULL_FIELD_BYTES_MAX: u64 = 1 << 30;

/// The wind of a spec for a rotor of this radius, from its file if it names one.
pub(crate) fn wind(spec: &WindSpec, seed: u64, rotor_radius: Meters) -> Result<Wind, Failure> {
    match spec {
        WindSpec::File { path } if path.to_ascii_lowercase().ends_with(".bts") => {
            let bytes = hal_diagnostics::read_bytes_at_most(Path::new(path), FULL_FIELD_BYTES_MAX)?;
            Ok(Wind::from_full_field(path, &bytes, rotor_radius)?)
        }
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

/// A turbine's description from its file, or the built-in one of the NREL 5-MW.
pub(crate) fn description(path: Option<&Path>) -> Result<TurbineDescription, Failure> {
    let document = match path {
        Some(path) => Document::read(path)?,
        None => Document::new("nrel-5mw.toml", control_loops_tuning::NREL_5MW),
    };
    Ok(TurbineDescription::parse(&document)?)
}

/// A controller for a described turbine with this rotor.
pub(crate) fn tuned(
    path: Option<&Path>,
    description: &TurbineDescription,
    rotor: &RotorSurface,
) -> Result<Tuned, Failure> {
    let file = path.map_or_else(|| "nrel-5mw.toml".to_owned(), |path| path.display().to_string());
    Ok(control_loops_tuning::tune(&file, description, &rotor.as_table())?)
}

/// The physics of a described turbine. What the description does not say is as on the NREL 5-MW, scaled
/// with the torque.
pub(crate) fn physics(d: &TurbineDescription) -> TurbinePlantParameters {
    let reference = TurbinePlantParameters::NREL_5MW;
    let rated_rotor_speed = RadiansPerSecond::from_rpm(d.rotor.rated_speed_rpm);
    let rated_power = Watts::from_kilowatts(d.generator.rated_power_kw);
    let rated_torque = rated_power / d.generator.efficiency / (rated_rotor_speed * d.generator.gearbox_ratio);
    let torque_max = NewtonMeters(rated_torque.get() * d.generator.torque_max_share);
    let hub_height = reference.inflow.hub_height * (d.rotor.radius_m / reference.rotor_radius.get());
    TurbinePlantParameters {
        inflow: Inflow { hub_height, ..Inflow::UNIFORM },
        rotor_radius: Meters(d.rotor.radius_m),
        air_density_kgpm3: d.rotor.air_density_kgpm3,
        gearbox_ratio: d.generator.gearbox_ratio,
        rotor_inertia_kgm2: d.rotor.inertia_kgm2,
        generator_inertia_kgm2: d.generator.inertia_kgm2,
        shaft_stiffness_nmprad: d.drivetrain.stiffness_nmprad,
        shaft_damping_nmsprad: d.drivetrain.damping_nmsprad,
        generator_efficiency: d.generator.efficiency,
        generator_torque_max: torque_max,
        rated_power,
        rated_rotor_speed,
        pitch_frequency_hz: d.pitch.frequency_hz,
        pitch_damping: d.pitch.damping,
        pitch_rate_max: RadiansPerSecond(Radians::from_degrees(d.pitch.rate_degps).get()),
        tower_frequency_hz: d.tower.frequency_hz,
        tower_damping: d.tower.damping,
        tower_mass_kg: d.tower.mass_kg,
        brake_torque_max: reference.brake_torque_max * (torque_max / reference.generator_torque_max),
        ..reference
    }
}
