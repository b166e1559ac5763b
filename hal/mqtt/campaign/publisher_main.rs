//! The publisher of the outbox campaign as a process of its own: `cargo test` starts and kills it.

mod publisher;

use std::process::ExitCode;

fn main() -> ExitCode {
    publisher::main(std::env::args().skip(1))
}
