//! What the cycles report, gathered by a thread that is not real-time.

mod collector;
mod distribution;
mod miss;

pub use collector::{Collector, GroupFacts};
pub use distribution::Spread;
