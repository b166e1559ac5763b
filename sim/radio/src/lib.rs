//! Simulated vehicles on a real MQTT broker, over a simulated Wi-Fi.
//!
//! # Model
//!
//! Every vehicle has a connection of its own: a last will belongs to a connection, and the master is to see
//! what the broker makes of a vehicle that is lost. A connection costs a socket, a task and some kilobytes, so
//! a thousand of them fit on one thread. MQTT 3.1.1, as most vehicles speak it.
//!
//! One task moves all vehicles: it takes what has come, lets time pass for everybody at a steady tick, and
//! hands out what they say. Between vehicle and broker is the air: each message takes the configured delay,
//! and one with QoS 0 is lost with the configured probability, either way. What TCP would send again (QoS 1)
//! is late, not lost. Equal seeds lose alike as long as messages come in the same order.

mod air;
mod connection;
mod fleet;

pub use air::AirConfig;
pub use fleet::{Fleet, FleetConfig, Others, Summary};
