//! What differs from vehicle to vehicle.

use core::fmt;

use hal_units::{Duration, Meters, MetersPerSecond2};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::chassis::Chassis;
use crate::motion::MotionLimits;

/// Parameters of a drive loop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DriveParameters {
    /// What drives it.
    pub chassis: Chassis,
    /// Straight on: m, s.
    pub linear: MotionLimits,
    /// On the spot: rad, s.
    pub angular: MotionLimits,
    /// Deceleration of stops that are insisted on but do not command zero at once.
    pub stop_deceleration: MetersPerSecond2,
    /// A fix may be so old.
    pub fix_age_max: Duration,
    /// Commands may stay unacknowledged for so long.
    pub unacknowledged_max: Duration,
    /// The vehicle may be so far beside its way.
    pub off_path_max: Meters,
}

/// A parameter that no vehicle can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterError {
    /// Which.
    pub name: &'static str,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not above zero", self.name)
    }
}

impl core::error::Error for ParameterError {}

impl DriveParameters {
    /// A small carrier: 1.5 m/s, 0.8 m/s^2, 2.5 m/s^3; a quarter turn in about three seconds.
    /// Commands may stay unacknowledged for a takeover by the other node of a pair; a link that is lost altogether
    /// shows sooner, by the age of what is measured.
    #[must_use]
    pub const fn usual(chassis: Chassis) -> Self {
        Self {
            chassis,
            linear: MotionLimits { speed: 1.5, acceleration: 0.8, jerk: 2.5 },
            angular: MotionLimits { speed: 1.0, acceleration: 1.5, jerk: 6.0 },
            stop_deceleration: MetersPerSecond2(1.5),
            fix_age_max: Duration::from_millis(400),
            unacknowledged_max: Duration::from_millis(250),
            off_path_max: Meters(0.25),
        }
    }

    /// Checks that all of it can be.
    ///
    /// # Errors
    /// Names the first parameter that is not above zero.
    pub fn checked(self) -> Result<Self, ParameterError> {
        let size = match self.chassis {
            Chassis::Differential { track } => ("track", track.get()),
            Chassis::Tricycle { wheelbase } => ("wheelbase", wheelbase.get()),
        };
        let values = [
            size,
            ("speed", self.linear.speed),
            ("acceleration", self.linear.acceleration),
            ("jerk", self.linear.jerk),
            ("turn speed", self.angular.speed),
            ("turn acceleration", self.angular.acceleration),
            ("turn jerk", self.angular.jerk),
            ("stop deceleration", self.stop_deceleration.get()),
            ("off-path limit", self.off_path_max.get()),
        ];
        match values.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((name, _)) => Err(ParameterError { name }),
            None => Ok(self),
        }
    }
}
