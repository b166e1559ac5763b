//! What Takt knows of a field device, independent of the wire it hangs on.
//!
//! # Model
//!
//! A [`DeviceProfile`] says which registers a device has, what they mean, how old their values may
//! become, and what is safe. It is written in TOML, checked whole when it is read, and compiled into
//! *blocks*: runs of neighbouring registers that travel in one transaction. [`DeviceProfile::decode`]
//! and [`DeviceProfile::encode`] turn blocks into process images and back.
//!
//! # Terms
//!
//! - tag: a named value of a device, in SI units inside Takt.
//! - block: registers that one request reads or writes.
//! - safe action: what an output does when nobody may or can command it.

mod budget;
mod codec;
mod frame;
mod poll;
mod profile;
mod profile_toml;
mod register;
mod serial;
mod unit;

pub use budget::{BusBudget, BusDevice, DeviceCost, Medium, Refusal, Report};
pub use frame::{TransactionBytes, exchange_bytes, read_bytes, write_bytes};
pub use poll::{Attempt, PollOrder, RetryPolicy, Standing};
pub use profile::{Block, DeviceProfile, Exchange, InputTag, OutputTag, SafeAction, Start};
pub use register::{Register, RegisterTable, RegisterType, WordOrder};
pub use serial::SerialTiming;
