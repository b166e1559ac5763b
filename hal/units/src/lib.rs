//! Physical units and monotonic time as types.
//!
//! A raw number that crosses a crate's border says its unit by its type. All quantities are `f64` in
//! SI units; conversions from and to the units of the field (rpm, degrees, kilowatts) are named.
//!
//! Time is the kernel's monotonic clock in nanoseconds. This crate never reads a clock: an [`Instant`]
//! comes in as an argument, so that a whole site can run in virtual time.

#![no_std]

mod quantity;
mod time;

pub use quantity::{
    Meters, MetersPerSecond, MetersPerSecond2, NewtonMeters, NewtonMetersPerSecond, Newtons, Radians,
    RadiansPerSecond, Watts,
};
pub use time::{Duration, Instant};
