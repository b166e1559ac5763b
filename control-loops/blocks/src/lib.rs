//! Control blocks: the parts that controllers are built from.
//!
//! # Model
//!
//! A block is plain `Copy` data with a `step` that takes the measurement, the parameters and the time
//! since the last step. It reads no clock, allocates nothing and cannot panic. Because the whole
//! memory of a block is its value, a standby takes a controller over by copying it.
//!
//! # What holds for every block
//!
//! - An input that is not finite is not taken: the block keeps its last value.
//! - A state that is finite stays finite, whatever the inputs.
//! - A step of zero duration moves no output by itself.
//!
//! # Terms
//!
//! - *rate*: change per second in the unit of the value;
//! - *corner*: the angular frequency at which a one-pole filter has lost 3 dB, the inverse of its time
//!   constant.

#![no_std]

mod filter;
mod hysteresis;
mod on_delay;
mod pid;
mod ramp;
mod rate_limit;

pub use filter::OnePole;
pub use hysteresis::Hysteresis;
pub use on_delay::OnDelay;
pub use pid::{Pid, PidParameters};
pub use ramp::Ramp;
pub use rate_limit::{RateLimit, RateLimits};
