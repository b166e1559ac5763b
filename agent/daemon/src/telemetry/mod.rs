//! What the cycles report, gathered by a thread that is not real-time.

mod black_box;
mod collector;
mod distribution;
mod kernel;
mod miss;
mod traces;

pub use collector::{Collector, GroupFacts};
pub use distribution::Spread;
pub(crate) use traces::TraceFolder;
