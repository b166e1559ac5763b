//! Controllers: what decides the outputs of a plant from its inputs, once per cycle.
//!
//! Pure: `step(inputs, demand, dt) -> outputs`. No clock, no I/O, no allocation, no panic; the state is
//! plain `Copy` data, so that a standby can take it over.
//!
//! - [`turbine`]: the NREL 5-MW baseline control law, a supervisor around it, and the safety interlock
//!   that stands apart from both.
//! - [`der`]: a plant that controls itself and is told a limit, as SunSpec says.
//! - [`park`]: one power reference for many turbines.

#![no_std]

pub mod der;
pub mod park;
pub mod turbine;
