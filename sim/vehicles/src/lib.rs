//! Simulated vehicles that speak VDA 5050, 2.1 or 3.0: what a fleet's master meets at the other end.
//!
//! # Model
//!
//! Pure: messages, happenings and time come in, messages come out; equal seeds give equal runs. A [`Vehicle`]
//! takes or refuses orders by the standard's rules ([`hal_vda5050::judge()`]), drives its base, does what is
//! to be done at nodes and edges, uses its battery, and says how it is on events and at an interval. What it
//! says of its place is noisy; [`Truth`] is where it truly is, and [`Yard`] judges from that alone whether
//! vehicles collided.
//!
//! # Limits
//!
//! Ways are straight lines between nodes: an order with trajectories or corridors is refused. Zone sets are
//! kept, enabled and deleted, but not obeyed. Loads have no weight.

mod factsheet;
mod faults;
mod hearing;
mod living;
mod motion;
mod setup;
mod tasks;
mod telling;
mod vehicle;
mod yard;

pub use motion::Truth;
pub use setup::{Battery, Drive, Kinematics, Noise, Places, Setup, Start};
pub use vehicle::{Happening, Said, Tally, Vehicle};
pub use yard::Yard;
