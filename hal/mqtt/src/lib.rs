//! placeholder
pub mod log;
pub mod outbox;
pub mod topic;
mod wire;
