//! A whole fleet in virtual time: the production step, real messages, simulated vehicles, and a radio link that
//! delays and loses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod beginning;
mod on_bus;
mod orders;
mod site;
mod stops;
