//! Who drives the simulated turbine, and what a run under it comes to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hal_units::Duration;
use sim_world::{RunFigures, RunStatistics, TimedFault, TurbineLoop, TurbineRow};

use crate::bladed::Peer;
use crate::failure::Failure;

/// A controller as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ControllerChoice {
    /// The baseline law.
    Baseline,
    /// The Takt law, tuned for the turbine.
    Takt,
    /// A shared library with Bladed's interface.
    Discon(PathBuf),
}

impl FromStr for ControllerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "baseline" => Ok(Self::Baseline),
            None if text == "takt" => Ok(Self::Takt),
            Some(("discon", library)) if !library.is_empty() => Ok(Self::Discon(library.into())),
            None | Some(_) => Err("give baseline, takt, or discon:LIBRARY".to_owned()),
        }
    }
}

impl fmt::Display for ControllerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Takt => f.write_str("takt"),
            Self::Discon(library) => write!(f, "discon:{}", library.display()),
        }
    }
}

/// Whoever drives.
enum Pilot {
    /// The production controller inside the loop.
    Own,
    /// Somebody else's.
    Peer(Box<Peer>),
}

/// A turbine, who drives it, and what will break.
pub(crate) struct Trial {
    pub(crate) site: TurbineLoop,
    pilot: Pilot,
    faults: Vec<TimedFault>,
    statistics: RunStatistics,
    /// Rows before this time count for no figure.
    counted_from: Duration,
    shutdowns: Vec<String>,
}

impl Trial {
    /// Prepares a run; starts the library if one drives.
    pub(crate) fn new(
        site: TurbineLoop,
        controller: &ControllerChoice,
        infile: Option<&Path>,
        period: Duration,
    ) -> Result<Self, Failure> {
        let pilot = match controller {
            ControllerChoice::Baseline | ControllerChoice::Takt => Pilot::Own,
            ControllerChoice::Discon(library) => Pilot::Peer(Box::new(Peer::start(library, infile, period)?)),
        };
        let statistics = RunStatistics::default();
        let counted_from = Duration::ZERO;
        Ok(Self { site, pilot, faults: Vec::new(), statistics, counted_from, shutdowns: Vec::new() })
    }

    /// With faults to come.
    pub(crate) fn with_faults(mut self, faults: &[TimedFault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    /// The first seconds count for no figure: there a controller still finds its feet.
    pub(crate) const fn counted_from(mut self, t: Duration) -> Self {
        self.counted_from = t;
        self
    }

    /// One controller period.
    pub(crate) fn step(&mut self) -> Result<TurbineRow, Failure> {
        let now = self.site.now();
        for due in self.faults.extract_if(.., |fault| fault.at <= now) {
            due.fault.strike(&mut self.site);
        }
        match &mut self.pilot {
            Pilot::Own => {
                let step = self.site.step();
                for trip in step.trips.names() {
                    if !self.shutdowns.iter().any(|known| known == trip) {
                        self.shutdowns.push(trip.to_owned());
                    }
                }
            }
            Pilot::Peer(peer) => self.site.step_driven(|shown, now| peer.step(shown, now))?,
        }
        let row = self.site.row();
        if row.t > self.counted_from {
            self.statistics.add(&row);
        }
        Ok(row)
    }

    /// The figures so far.
    pub(crate) fn figures(&self) -> RunFigures {
        self.statistics.figures()
    }

    /// Why the interlock stopped the turbine, in the order in which it happened. Another's library has no
    /// interlock of ours around it.
    pub(crate) fn shutdowns(&self) -> &[String] {
        &self.shutdowns
    }
}
