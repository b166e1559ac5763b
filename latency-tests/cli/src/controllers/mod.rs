//! What a step of a turbine controller costs: Takt's laws beside a controller of others, through its C interface.
//!
//! # Model
//!
//! A run in turbulence, recorded once, is what all of them see: everyone steps through the same measurements, and what
//! comes out moves nothing. Ours are whole controllers, with supervisor, interlock and limiter. A time is that of a
//! hundred steps, because one of ours takes not much longer than a look at the clock.
//!
//! # Map
//!
//! - [`recording`]: what they see.
//! - [`ours`]: those of this program.
//! - [`discon`]: one in a shared library.

mod discon;
mod ours;
pub(crate) mod recording;

use std::path::{Path, PathBuf};

use latency_tests_harness::rounds::{self, Comparison, Contender};

use self::recording::Recording;
use crate::Options;

/// Steps that are timed together.
const BATCH: usize = 100;
/// Steps of a turn: ten minutes at 50 Hz.
const STEPS: usize = 30_000;

/// A controller of others, with its own input file.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Library {
    /// Shared library of a turbine controller with Bladed's interface, to compare with; switch its logs off
    #[arg(long, value_name = "LIBRARY", requires = "discon_config")]
    discon: Option<PathBuf>,
    /// Its input file
    #[arg(long, value_name = "FILE", requires = "discon")]
    discon_config: Option<PathBuf>,
}

impl Library {
    fn files(&self) -> Option<(&Path, &Path)> {
        self.discon.as_deref().zip(self.discon_config.as_deref())
    }
}

/// Compares the Takt law with its peers.
pub(crate) fn compare(options: &Options, library: &Library, load: &str) -> Result<Comparison, String> {
    let recording = Recording::of(if options.quick { STEPS / 10 } else { STEPS })?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(ours::Ours::takt(&recording)),
        Box::new(ours::Ours::baseline(&recording)),
        Box::new(discon::Discon::new(library.files(), &recording)),
    ];
    let contenders = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("round {round} of {}: {name}", options.rounds);
    });
    Ok(Comparison {
        title: format!("{BATCH} steps of a turbine controller, turbulence at 14 m/s"),
        load: load.to_owned(),
        contenders,
        host_stalls_over_1ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_laws_are_measured_and_a_library_that_is_not_given_is_named_as_absent() {
        let options = Options { rounds: 1, quick: true, ..Options::usual() };
        let library = Library { discon: None, discon_config: None };
        let compared = compare(&options, &library, "idle").unwrap().compared().unwrap();
        assert_eq!(compared.figures.samples, (STEPS / 10 / BATCH) as u64);
        assert!(compared.peers["takt-baseline"].ratio_p50.is_some());
        assert!(compared.peers["discon"].absent.as_ref().unwrap().contains("--discon"));
    }
}
