//! Custom resources and sidecar against a real API server.
//!
//! Without one the tests report as ignored; `cargo xtask testenv` compiles it.

mod resources;
mod server;
mod sidecar;
