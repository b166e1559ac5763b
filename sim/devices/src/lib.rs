//! Simulated field devices: what a control agent meets on the bus.
//!
//! # Model
//!
//! A [`TurbinePlc`] is the controller in the turbine's tower base: it scans the plant's sensors into
//! registers, takes commands from registers, and looks after itself when nobody commands it. A
//! [`DriveDevice`] is the same of a vehicle with its drives, a [`DerDevice`] a plant behind a SunSpec interface, a
//! [`MeterDevice`] a meter where a park meets the grid. All are pure: time comes in as an argument. A
//! [`Farm`] puts many of them on Modbus TCP, each on a port of its own, and lets their plants run in real time.
//!
//! The Modbus side is written from the specification, without the library that the agent's master
//! uses: two implementations that agree are worth more than one that agrees with itself.
//!
//! # Terms
//!
//! - scan: one run of the PLC: commands to the plant, plant forward, sensors to registers.
//! - watchdog: a command register that the master must change; see [`plc`].
//! - epoch: number of a term of office; a write of a lower one than the highest seen is refused.
//! - arbiter: registers in which two masters settle who of them commands; see [`Arbiter`].
//! - write log: every write of commands, applied or refused, on the simulator's one clock.
//! - truth: what happened in the plant, whatever the sensors showed.

mod arbiter;
pub mod der;
pub mod drive;
mod farm;
mod fault;
pub mod meter;
pub mod modbus;
pub mod plc;
pub mod registers;
mod sunspec;
pub mod write_log;

pub use arbiter::Arbiter;
pub use der::{DerConfig, DerDevice, DerTruth};
pub use drive::{DriveDevice, DriveMap};
pub use farm::{Farm, FarmConfig, FarmError, FieldDevice};
pub use fault::DeviceFault;
pub use meter::MeterDevice;
pub use plc::{PlcConfig, PlcState, Truth, TurbinePlc};
pub use write_log::{Verdict, WriteLog, WriteRecord};
