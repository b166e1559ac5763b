//! Custom resources and sidecar against a real API server.
//!
//! Without one the tests report as ignored; `cargo xtask testenv` compiles it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod resources;
mod rollout;
mod server;
mod sidecar;
mod sync;
mod two_clusters;
