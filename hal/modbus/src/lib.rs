//! The guarded Modbus master, for TCP and for serial lines (RTU).
//!
//! # Problem
//!
//! A controller must never act on a wrong value and never believe in a write that did not happen. A
//! Modbus answer carries little to check: on TCP the number of its transaction, on a serial line not
//! even that. So a late answer is easily taken for the answer to the next request, and a library that
//! trusts the lengths it is told reads past the truth.
//!
//! # Model
//!
//! A [line](LineConfig) is one wire with one or more devices. One task owns it ([`run_line`]); one
//! request is in flight at a time. Twice per cycle a [tick](BusTick) comes: *acquire* reads all inputs
//! of each device and publishes them whole or not at all, *apply* writes the newest outputs if they have
//! not expired. Every byte received is examined before the protocol library sees it; any fault, timeout
//! or cancellation ends the connection, or on a serial line the trust in that device, until a fresh
//! start has shown that answers match requests again. The first write after a fresh start is the safe
//! value. Every fault is counted under its own name ([`Fault`]).
//!
//! # Terms
//!
//! - line: a TCP connection or a serial port, with the devices on it.
//! - scan: all read blocks of a device, one after the other.
//! - quarantine: a device that fails is left out of the cycle and retried in slack, ever more rarely.
//! - probe: a request whose answer cannot be mistaken for any other that may still be under way.
//!
//! # What remains
//!
//! A frame on a serial line is protected by a 16-bit check sum only: a burst of more than 16 bits passes
//! it once in 65,536. A device that answers requests out of order, or repeats an old answer after a
//! whole further transaction, cannot be told from an honest one on a serial line. Behind a gateway an
//! answer that is more than 32,768 transactions late ends the connection; one that is exactly 65,536 late
//! could be taken.

mod config;
mod connect;
mod connection;
mod counters;
mod device;
mod distribution;
mod examine;
mod fault;
mod line;
mod office;
mod outputs;
mod query;
mod tap;
mod tick;

pub use config::{Clock, DevicePort, LineConfig, Parity, Transport};
pub use connect::Connect;
pub use connection::{Connection, ConnectionTiming};
pub use counters::{Count, DeviceCounters, DeviceState};
pub use device::Stream;
pub use distribution::{Distribution, DistributionSnapshot};
pub use fault::Fault;
pub use line::{DeviceEnd, run_line, run_line_on};
pub use office::{Office, OfficeHolder, Term};
pub use query::Query;
pub use tick::{BusTick, Phase, Stop, Ticker};
