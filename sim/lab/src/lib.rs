//! What a site of its own is made of, on one machine: hosts that are network namespaces, and programs on them.
//!
//! All that is made here ends with its owner: a namespace takes its processes with it, a process is killed when
//! it is dropped, and what an owner left that was itself killed is found by its name and removed by the next.
//!
//! - [`namespace`]: network namespaces, by the `ip` program.
//! - [`process`]: programs, ended in the way that each wants.
//! - [`kick`]: signals to processes and their families.
//! - [`commander`]: an operator at the site's broker; [`commands`]: one that sends all the time, and counts.
//! - [`site`], [`hall`]: the files of agents over the simulated plant.

pub mod commander;
pub mod commands;
pub mod hall;
pub mod kick;
pub mod namespace;
pub mod process;
pub mod site;

/// What cannot be had of this machine.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The network.
    #[error("{command}: {why}\n  remedy: run as root, with iproute2 installed")]
    Network {
        /// What was tried.
        command: String,
        /// What happened.
        why: String,
    },
    /// A program.
    #[error("{name}: {why}")]
    Program {
        /// Which.
        name: String,
        /// What happened.
        why: String,
    },
    /// A signal to a process.
    #[error("process {pid}: {why}")]
    Process {
        /// The process.
        pid: u32,
        /// What happened.
        why: String,
    },
}
