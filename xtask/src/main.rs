//! The program behind `cargo xtask`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::Failure;
use xtask::check::{Choice, Step, check};
use xtask::cluster::cluster;
use xtask::demo::demo;
use xtask::latency::latency;
use xtask::model::model;
use xtask::rt_vm::rt_vm;
use xtask::test::{Selection, test};
use xtask::testenv::testenv;
use xtask::workspace::Workspace;

/// Developer commands of Takt.
///
/// New here? `cargo xtask demo` shows control loops driving simulated turbines; `cargo xtask test` runs
/// every test; `cargo xtask check` is what a change has to pass.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: XtaskCommand,
}

#[derive(Debug, Subcommand)]
enum XtaskCommand {
    /// Build the programs and run the demo: turbines under closed-loop control over a real bus
    ///
    /// Builds takt, takt-agent and takt-sim in release mode, then becomes `takt demo`: the terminal,
    /// Ctrl-C and the exit code are its own.
    #[command(after_help = "Examples:
  cargo xtask demo                            four turbines until Ctrl-C
  cargo xtask demo --turbines 50 --seconds 60
  cargo xtask demo -- --help                  the options of the demo itself")]
    Demo {
        /// Arguments for `takt demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },

    /// Run all tests, with the real parts that they need
    ///
    /// Looks for the parts (Mosquitto, libmodbus, the reference data) and installs what is missing with
    /// apt-get when run as root on Debian; otherwise it says what to do. Tests whose part is missing are
    /// reported as ignored, never as passed; with CI=true a missing part is a failure.
    ///
    /// The reference data is the folder that TAKT_DATA names, or a folder shared/data beside the checkout.
    #[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --package hal-modbus
  cargo xtask test --package hal-modbus late_replies")]
    Test {
        /// Test only this package (may be repeated)
        #[arg(long, short, value_name = "PACKAGE")]
        package: Vec<String>,
        /// Leave the machine as it is: install nothing
        #[arg(long)]
        install_nothing: bool,
        /// Run only tests whose name contains this text
        #[arg(value_name = "TEST_NAME")]
        filters: Vec<String>,
    },

    /// Explore the pair protocol: every order of faults in coarse time, and mutants that must be caught
    ///
    /// Builds the explorer in release mode and runs it. It ends with 1 if an invariant is broken or a mutant
    /// is missed. With --faults it simulates random faults in fine time instead.
    #[command(after_help = "Examples:
  cargo xtask model --quick                      what CI runs, below a minute
  cargo xtask model                              tens of millions of states
  cargo xtask model --faults 1000000 --seed 1    a million random faults")]
    Model {
        /// Arguments for the explorer; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },

    /// Measure the real time of this machine beside peers, and write a report
    ///
    /// Builds takt-latency in release mode and runs all its probes. The report for people is
    /// target/latency/report.html, the figures are in report.json beside it. cyclictest, the peer of the agent's
    /// wait, is in Debian's package rt-tests; without it the report says that it is absent.
    #[command(after_help = "Examples:
  cargo xtask latency --quick
  cargo xtask latency --rounds 10 --stress all
  cargo run --release -p latency-tests-cli -- --help     single probes")]
    Latency {
        /// Arguments for takt-latency
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },

    /// Run the pair as pods in a real Kubernetes cluster of two nodes, and measure it at the devices
    ///
    /// Compiles etcd, API server, kubelet, containerd and helm the first time (about 10 minutes), builds the
    /// image, starts everything in network namespaces, installs the chart, applies plans, does things to the
    /// cluster, and removes all that it started. Needs root and Go.
    #[command(after_help = "Examples:
  cargo xtask cluster --json cluster.json
  cargo xtask cluster --api-only --plans 20
  cargo xtask cluster --plans 0 --fault cut-off --trials 20
  cargo xtask cluster -- --help")]
    Cluster {
        /// Arguments for takt-cluster; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },

    /// Boot a real-time kernel in a virtual machine, and run the doctor and the demo there
    ///
    /// Debian's newest kernel with PREEMPT_RT, emulated in software: isolated cores, one of them without a tick,
    /// a partition of control groups of version 2. Every check of the doctor has to be green but those that
    /// cannot be in a virtual machine, which are named. It says nothing of times, and takes some minutes. Needs
    /// QEMU (qemu-system-x86), busybox-static, and Debian's apt, which fetches the kernel once into the user's
    /// cache.
    #[command(after_help = "Examples:
  cargo xtask rt-vm
  cargo xtask rt-vm --json rt-vm.json")]
    RtVm {
        /// Write what the doctor and the demo said to this file, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },

    /// Compile what is missing of the API server that plans and sidecar are tested against
    ///
    /// etcd, kube-apiserver and kubectl, from their Go modules, into a folder of the user's cache that is named
    /// after their versions; TAKT_TESTENV names another one. Prints the folder. Needs Go, and a network the
    /// first time. `cargo xtask test` does the same.
    #[command(after_help = "Examples:
  cargo xtask testenv
  cargo xtask testenv --nodes      also kubelet, controller manager, scheduler, containerd and helm")]
    Testenv {
        /// Also what nodes need
        #[arg(long)]
        nodes: bool,
    },

    /// Check all that has to be green before a change goes in
    ///
    /// Runs every step even if one fails, prints the time and verdict of each, and exits with 1 if one
    /// failed. Tools that are missing are installed with `cargo install --locked` at pinned versions.
    #[command(after_help = "Examples:
  cargo xtask check
  cargo xtask check --only fmt --only clippy
  cargo xtask check --skip fuzz")]
    Check {
        /// Run only this step (may be repeated)
        #[arg(long, value_name = "STEP")]
        only: Vec<Step>,
        /// Leave this step out (may be repeated)
        #[arg(long, value_name = "STEP")]
        skip: Vec<Step>,
    },
}

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: XtaskCommand) -> Result<(), Failure> {
    match command {
        XtaskCommand::Demo { arguments } => match demo(&arguments)? {},
        XtaskCommand::Test { package, install_nothing, filters } => {
            let selection = Selection { packages: package, filters, install_nothing };
            test(&Workspace::load()?, &selection).1
        }
        XtaskCommand::Model { arguments } => model(&arguments),
        XtaskCommand::Latency { arguments } => latency(&Workspace::load()?, &arguments),
        XtaskCommand::Cluster { arguments } => cluster(&Workspace::load()?, &arguments),
        XtaskCommand::RtVm { json } => rt_vm(&Workspace::load()?, json.as_deref()),
        XtaskCommand::Testenv { nodes } => {
            testenv(&Workspace::load()?.root, nodes).map(|folder| println!("{}", folder.display()))
        }
        XtaskCommand::Check { only, skip } => check(&Workspace::load()?, &Choice { only, skip }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn demo_arguments(line: &str) -> Vec<String> {
        let words = ["cargo xtask", "demo"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            XtaskCommand::Demo { arguments } => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_arguments_of_the_demo_need_no_dashes_before_them() {
        assert_eq!(demo_arguments("--turbines 4"), ["--turbines", "4"]);
        assert_eq!(
            demo_arguments("-- --turbines 4 --json out.json"),
            ["--turbines", "4", "--json", "out.json"]
        );
        assert_eq!(demo_arguments("-- --help"), ["--help"]);
        assert!(demo_arguments("").is_empty());
    }
}
