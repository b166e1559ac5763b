//! Tuning by configuration only: from a turbine's data sheet and its rotor table to a controller.
//!
//! # Model
//!
//! - [`TurbineDescription`] is what a person writes (TOML): masses, limits, rated values, and, if they
//!   want, tuning knobs.
//! - [`tune()`] combines it with a [`RotorTable`](control_loops_rotor::RotorTable) into
//!   [`Tuned`]: the parameters of the whole turbine controller, and the steady states that follow.
//! - [`margins`] says how far the speed loop is from instability over the wind, and [`plot`] shows the
//!   schedule.
//!
//! Pure: no file is read here.

mod description;
pub mod margins;
pub mod plot;
mod steady;
mod tune;

pub use description::{
    DrivetrainText, GeneratorText, PitchText, RotorText, TowerText, TuningText, TurbineDescription, WindText,
};
pub use steady::SteadyState;
pub use tune::{Tuned, tune};

/// The NREL 5-MW reference turbine, as a description.
pub const NREL_5MW: &str = include_str!("../turbines/nrel-5mw.toml");
/// A rotor like that of the NREL 5-MW, as a table in the text format of the ROSCO toolbox: the formula of the
/// simulated plant on a grid (`cargo run -p sim-plants --example rotor_table` prints it).
pub const NREL_5MW_ROTOR: &str = include_str!("../turbines/nrel-5mw.rotor.txt");
/// The IEA 15-MW reference turbine, as a description.
pub const IEA_15MW: &str = include_str!("../turbines/iea-15mw.toml");
/// The NREL 2.8-127 reference turbine, as a description.
pub const NREL_2P8_127: &str = include_str!("../turbines/nrel-2.8-127.toml");
