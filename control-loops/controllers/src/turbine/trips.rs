//! The causes for which the safety interlock stops the turbine.

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// One cause. The order is that of the bits in a [`TripSet`] and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Trip {
    /// Speed above 125 % of rated.
    Overspeed = 0,
    /// Speed above 130 % of rated: pitching has failed to hold it.
    OverspeedHard = 1,
    /// Tower-top acceleration.
    Vibration = 2,
    /// No grid to take the power.
    GridLoss = 3,
    /// The device acknowledges no outputs.
    LostCommands = 4,
    /// The device went to its own safe state.
    DeviceSafeState = 5,
    /// Neither speed sensor can be trusted.
    SpeedSensors = 6,
    /// The two speed sensors contradict each other.
    SpeedMismatch = 7,
    /// The pitch sensors cannot be trusted.
    PitchSensor = 8,
    /// The tower acceleration cannot be trusted.
    VibrationSensor = 9,
    /// The grid signal cannot be trusted.
    GridSensor = 10,
    /// Somebody pressed the emergency stop.
    EmergencyStopCommand = 11,
    /// A blade is not where its commands have sent it.
    PitchDeviation = 12,
}

impl Trip {
    /// Number of causes.
    pub const COUNT: usize = 13;

    /// All causes, in the order of their bits.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Overspeed,
        Self::OverspeedHard,
        Self::Vibration,
        Self::GridLoss,
        Self::LostCommands,
        Self::DeviceSafeState,
        Self::SpeedSensors,
        Self::SpeedMismatch,
        Self::PitchSensor,
        Self::VibrationSensor,
        Self::GridSensor,
        Self::EmergencyStopCommand,
        Self::PitchDeviation,
    ];

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overspeed => "overspeed",
            Self::OverspeedHard => "overspeed_hard",
            Self::Vibration => "vibration",
            Self::GridLoss => "grid_loss",
            Self::LostCommands => "lost_commands",
            Self::DeviceSafeState => "device_safe_state",
            Self::SpeedSensors => "speed_sensors",
            Self::SpeedMismatch => "speed_mismatch",
            Self::PitchSensor => "pitch_sensor",
            Self::VibrationSensor => "vibration_sensor",
            Self::GridSensor => "grid_sensor",
            Self::EmergencyStopCommand => "emergency_stop_command",
            Self::PitchDeviation => "pitch_deviation",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Schema)]
pub struct TripSet(u16);

impl TripSet {
    /// No cause.
    pub const NONE: Self = Self(0);

    /// One bit per cause, bit 0 first in [`Trip::ALL`]: for records and registers.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether there is no cause.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a cause is in the set.
    #[must_use]
    pub const fn contains(self, trip: Trip) -> bool {
        self.0 & trip.bit() != 0
    }

    /// Adds a cause.
    pub const fn insert(&mut self, trip: Trip) {
        self.0 |= trip.bit();
    }

    /// Adds a cause, or takes it out.
    pub(super) const fn set(&mut self, trip: Trip, is_in: bool) {
        self.0 = (self.0 & !trip.bit()) | if is_in { trip.bit() } else { 0 };
    }

    /// The causes that are in both sets.
    pub(super) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The causes that are in either set.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The causes in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Trip> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let trip = Trip::ALL.get(left.trailing_zeros() as usize).copied()?;
            left &= !trip.bit();
            Some(trip)
        })
    }

    /// The names of the causes in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Trip::as_str)
    }
}

impl FromIterator<Trip> for TripSet {
    fn from_iter<I: IntoIterator<Item = Trip>>(trips: I) -> Self {
        let mut set = Self::NONE;
        for trip in trips {
            set.insert(trip);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in_for_all_8192_sets() {
        for bits in 0..1_u16 << Trip::COUNT {
            let set: TripSet = Trip::ALL
                .into_iter()
                .enumerate()
                .filter(|(at, _)| bits >> at & 1 == 1)
                .map(|(_, t)| t)
                .collect();
            assert_eq!(set.bits(), bits);
            assert_eq!(set.iter().collect::<TripSet>(), set);
            assert_eq!(set.names().count(), bits.count_ones() as usize);
        }
    }
}
