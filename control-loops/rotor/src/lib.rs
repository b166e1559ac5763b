//! Rotor performance tables: power and thrust of a rotor over tip-speed ratio and pitch.
//!
//! # Model
//!
//! A [`RotorTable`] is a grid, interpolated bilinearly between its points. What lies beyond the grid is
//! its user's affair: the tuner stays inside, the simulated plant leads over into a model of its own. Both
//! read the same format here, and neither has to know the other.
//!
//! # Terms
//!
//! With rotor speed `w`, radius `R`, wind `v`, air density `rho`:
//!
//! - tip-speed ratio `l = w R / v`;
//! - power `P = 1/2 rho pi R^2 v^3 Cp`, thrust `T = 1/2 rho pi R^2 v^2 Ct`;
//! - torque `Q = 1/2 rho pi R^3 v^2 Cq`, hence `Cp = l Cq`.

mod rosco;
mod table;

pub use table::{BETZ, Coefficients, RotorTable};
