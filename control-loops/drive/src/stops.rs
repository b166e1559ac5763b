//! Reasons to stand still. They are latched: only a reset lifts one, and only when its cause is gone.

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// One reason. The order is that of the bits in a [`StopSet`] and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StopCause {
    /// Measurements are too old or bad, or the vehicle acknowledges no commands.
    LinkLost = 0,
    /// No fix for too long.
    LocalisationLost = 1,
    /// A fix contradicts the odometry.
    LocalisationJump = 2,
    /// The vehicle is too far from its way.
    OffPath = 3,
    /// The vehicle's own safety controller has stopped it.
    ProtectiveStop = 4,
    /// The drives report a fault.
    DriveFault = 5,
    /// An operator's emergency stop.
    EmergencyStop = 6,
}

impl StopCause {
    /// Number of reasons.
    pub const COUNT: usize = 7;

    /// All reasons, in the order of their bits.
    pub const ALL: [Self; Self::COUNT] = [
        Self::LinkLost,
        Self::LocalisationLost,
        Self::LocalisationJump,
        Self::OffPath,
        Self::ProtectiveStop,
        Self::DriveFault,
        Self::EmergencyStop,
    ];

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinkLost => "link_lost",
            Self::LocalisationLost => "localisation_lost",
            Self::LocalisationJump => "localisation_jump",
            Self::OffPath => "off_path",
            Self::ProtectiveStop => "protective_stop",
            Self::DriveFault => "drive_fault",
            Self::EmergencyStop => "emergency_stop",
        }
    }

    /// Whether zero is commanded at once; otherwise the vehicle is braked to rest on its way.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        match self {
            Self::LinkLost | Self::ProtectiveStop | Self::DriveFault | Self::EmergencyStop => true,
            Self::LocalisationLost | Self::LocalisationJump | Self::OffPath => false,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Schema)]
pub struct StopSet(u8);

impl StopSet {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// One bit per reason, bit 0 first in [`StopCause::ALL`].
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there is no reason.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a reason is in the set.
    #[must_use]
    pub const fn contains(self, cause: StopCause) -> bool {
        self.0 & cause.bit() != 0
    }

    /// Adds a reason if it holds.
    pub const fn insert_if(&mut self, cause: StopCause, holds: bool) {
        if holds {
            self.0 |= cause.bit();
        }
    }

    /// All of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether zero is to be commanded at once.
    #[must_use]
    pub fn is_hard(self) -> bool {
        self.iter().any(StopCause::is_hard)
    }

    /// The reasons in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = StopCause> {
        StopCause::ALL.into_iter().filter(move |cause| self.contains(*cause))
    }

    /// The names of the reasons in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(StopCause::as_str)
    }
}

/// What has stopped the vehicle so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct Latch {
    stops: StopSet,
    reset_before: bool,
}

impl Latch {
    /// Nothing stands.
    pub const CLEAR: Self = Self { stops: StopSet::NONE, reset_before: false };

    /// The reasons that stand.
    #[must_use]
    pub const fn stops(&self) -> StopSet {
        self.stops
    }

    /// Takes the causes of this cycle and the position of the reset button. It works on its edge, and lifts only
    /// reasons whose cause is gone. Returns whether a reason was lifted.
    pub fn step(&mut self, causes: StopSet, reset: bool) -> bool {
        let pressed = reset && !self.reset_before;
        self.reset_before = reset;
        let before = self.stops;
        self.stops = if pressed { causes } else { before.union(causes) };
        pressed && before.iter().any(|cause| !self.stops.contains(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(causes: &[StopCause]) -> StopSet {
        let mut set = StopSet::NONE;
        causes.iter().for_each(|cause| set.insert_if(*cause, true));
        set
    }

    #[test]
    fn the_latch_as_a_table_of_all_sets() {
        for latched in 0..1_u8 << StopCause::COUNT {
            for causes in 0..1_u8 << StopCause::COUNT {
                for (reset, reset_before) in [(false, false), (false, true), (true, false), (true, true)] {
                    let mut latch = Latch { stops: StopSet(latched), reset_before };
                    latch.step(StopSet(causes), reset);
                    let expected = if reset && !reset_before { causes } else { latched | causes };
                    assert_eq!(latch.stops.bits(), expected);
                }
            }
        }
    }

    #[test]
    fn a_lost_link_commands_zero_at_once_and_a_lost_fix_brakes() {
        assert!(set(&[StopCause::LinkLost]).is_hard());
        assert!(!set(&[StopCause::LocalisationLost, StopCause::OffPath]).is_hard());
    }
}
