//! A small master that lets vehicles drive up and down lanes of their own, and how fast they take what it says.

pub mod master;
#[path = "../../../hal/mqtt/campaign/mosquitto.rs"]
pub mod mosquitto;
