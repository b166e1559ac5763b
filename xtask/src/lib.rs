//! Developer commands: `cargo xtask demo`, `cargo xtask test`, `cargo xtask model`,
//! `cargo xtask latency`, `cargo xtask cluster`, `cargo xtask rt-vm`, `cargo xtask check`.
//!
//! # Problem
//!
//! A newcomer clones the project and runs one command; the CI runs the same one. What the machine
//! lacks is installed where that is allowed, and otherwise said plainly: a test that needs a part
//! that is not there is reported as ignored, never as passed.
//!
//! # Code map
//!
//! - [`demo`], [`mod@test`], [`model`], [`latency`], [`cluster`], [`rt_vm`], [`check`]: one module per command.
//! - [`architecture`]: the rules about who may depend on whom, and where `unsafe` may be.
//! - [`libtest`]: reads what `cargo test` prints.
//! - [`parts`], [`tools`]: what tests and checks need from the machine, and how it gets there.
//! - [`process`], [`workspace`]: running commands, and what cargo knows about the checkout.

pub mod architecture;
pub mod budgets;
pub mod check;
pub mod cluster;
pub mod demo;
mod failure;
pub mod fuzz;
pub mod latency;
pub mod libtest;
pub mod model;
pub mod parts;
pub mod process;
pub mod rt_vm;
pub mod rust_words;
pub mod sanitizer;
pub mod statically;
pub mod test;
pub mod testenv;
pub mod tools;
pub mod workspace;

pub use failure::Failure;
