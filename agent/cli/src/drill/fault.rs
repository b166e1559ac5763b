//! The faults, and what the pair promises in each: the one table that the verdict follows from.

use std::time::Duration;

use clap::ValueEnum;

/// What is done to the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// SIGKILL to the working process of the active node
    Kill,
    /// SIGSTOP to the active node, SIGCONT half a second later
    Stop,
    /// A busy real-time thread above the active node's control thread, on its core
    Starve,
    /// The active node loses all its cables and processes at once
    Power,
    /// The first link between the nodes is cut
    Link1,
    /// Both links are cut
    Links,
    /// Both links lose what one node sends, the other direction goes on
    Oneway,
    /// The active node is cut from the field
    Field,
    /// Neither node reaches the device that carries the arbiter
    Arbiter,
    /// SIGKILL to the standby
    Peer,
    /// The wall clock of this machine jumps ahead by 5 s, and back after 100 ms
    Clock,
    /// A switchover is asked for
    Planned,
    /// The active node dies, supervisor and all, and comes back after the takeover
    Rejoin,
    /// Switchovers are asked for in quick succession
    Flap,
    /// Nothing is done: the pair is watched for ten seconds
    None,
}

/// Whether a fault may move the office.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Office {
    /// The other node takes over, as fast as the limits say, once.
    Moves(Limits),
    /// Nothing moves.
    Stays,
    /// It moves as often as was granted, each time within the limits, and not as often as was asked.
    Limited(Limits),
}

/// Limits of a takeover as the devices see it, without the host's stalls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// 99th percentile, in milliseconds.
    pub(super) p99_ms: f64,
    /// The slowest, in milliseconds.
    pub(super) max_ms: f64,
    /// Largest bump, in percent of the actuator's span; `None` where it is only reported.
    pub(super) bump_percent: Option<f64>,
}

/// Anything unplanned that takes the office: below 60 ms. Its bump is measured, not promised.
const UNPLANNED: Limits = Limits { p99_ms: 60.0, max_ms: 60.0, bump_percent: None };
/// A crash: the supervisor resigns for the dead process, so nobody waits for a silence.
const CRASH: Limits = Limits { p99_ms: 25.0, max_ms: 60.0, bump_percent: None };
/// A planned switchover: at most one cycle of 10 ms more than the one that lies between two writes anyway.
/// A write is late by some milliseconds now and then, also without a switchover: hence the half cycle.
const PLANNED: Limits = Limits { p99_ms: 25.0, max_ms: 25.0, bump_percent: Some(0.5) };

impl Fault {
    /// What the pair promises.
    pub(super) const fn promise(self) -> Office {
        match self {
            Self::Kill => Office::Moves(CRASH),
            Self::Stop | Self::Starve | Self::Power | Self::Field | Self::Rejoin => Office::Moves(UNPLANNED),
            Self::Planned => Office::Moves(PLANNED),
            Self::Flap => Office::Limited(PLANNED),
            Self::Link1
            | Self::Links
            | Self::Oneway
            | Self::Arbiter
            | Self::Peer
            | Self::Clock
            | Self::None => Office::Stays,
        }
    }

    /// How long the fault lasts before it is healed.
    pub(super) const fn lasts(self) -> Duration {
        Duration::from_millis(match self {
            Self::Stop | Self::Starve => 500,
            Self::Clock => 100,
            Self::None => 10_000,
            Self::Link1 | Self::Links | Self::Oneway | Self::Field | Self::Arbiter | Self::Power => 1500,
            Self::Rejoin => 1000,
            Self::Kill | Self::Peer | Self::Planned | Self::Flap => 0,
        })
    }

    /// Whether it needs the drill's own network.
    pub(super) const fn needs_lab(self) -> bool {
        match self {
            Self::Power
            | Self::Link1
            | Self::Links
            | Self::Oneway
            | Self::Field
            | Self::Arbiter
            | Self::Rejoin => true,
            Self::Kill
            | Self::Stop
            | Self::Starve
            | Self::Peer
            | Self::Clock
            | Self::Planned
            | Self::Flap
            | Self::None => false,
        }
    }

    /// The word on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_contract() {
        let names: Vec<String> = Fault::value_variants().iter().map(|fault| fault.name()).collect();
        let contract =
            "kill stop starve power link1 links oneway field arbiter peer clock planned rejoin flap none";
        assert_eq!(names.join(" "), contract);
    }

    #[test]
    fn a_fault_that_only_cuts_the_nodes_from_each_other_moves_nothing() {
        for fault in [Fault::Link1, Fault::Links, Fault::Oneway] {
            assert_eq!(fault.promise(), Office::Stays);
        }
    }
}
