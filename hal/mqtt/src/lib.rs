//! placeholder
pub mod command;
pub mod journal;
pub mod log;
pub mod outbox;
pub mod topic;
mod wire;
