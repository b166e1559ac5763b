//! The physics of the simulated plant: what a control loop would meet at a real wind turbine.
//!
//! # Model
//!
//! Everything here is pure: time, seeds and texts come in as arguments, nothing reads a clock or a
//! file, and the same arguments give the same results.
//!
//! - [`rotor`]: wind and blade angle into torque and thrust.
//! - [`turbine`]: rotor, drivetrain, pitch drives, generator, tower, yaw, brake.
//! - [`sensors`]: what the instruments show of it: noise and faults.
//! - [`wind`]: the speed of the wind over time.
//! - [`vehicle`]: wheels and localisation of a driverless vehicle.
//!
//! # Terms
//!
//! - tip-speed ratio: blade tip speed over wind speed, without unit.
//! - low-speed shaft: the rotor's; high-speed shaft: the generator's, behind the gearbox.
//! - fine pitch: 0 deg, the blade across the wind; feather: 90 deg, along the wind.

mod noise;
pub mod rotor;
pub mod sensors;
pub mod turbine;
pub mod vehicle;
pub mod wind;

pub use noise::Random;
pub use rotor::RotorSurface;
pub use sensors::{NoiseLevels, SensorFault, Sensors, Signal};
pub use turbine::{Actuation, Inflow, Measurements, Turbine, TurbinePlantParameters};
pub use vehicle::{VehiclePlant, Wheels};
pub use wind::{TurbulenceClass, Wind, WindError, WindSpec};
