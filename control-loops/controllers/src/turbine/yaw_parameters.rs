//! Numbers of the yaw drive and its cables.

use hal_units::{Duration, Radians, RadiansPerSecond};

/// Numbers of the yaw drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YawParameters {
    /// Filtered error up to which the nacelle stays.
    pub dead_band: Radians,
    /// Corner of the error's filter.
    pub filter_corner: RadiansPerSecond,
    /// The drive's only speed.
    pub rate: RadiansPerSecond,
    /// How long the drive rests after each turn.
    pub rest: Duration,
    /// A turbine does not start while the nacelle is further from the wind.
    pub start_error_max: Radians,
    /// Twist of the cables from which they are untwisted in idle without wind.
    pub twist_soft: Radians,
    /// Twist from which the turbine stops to have them untwisted.
    pub twist_hard: Radians,
    /// Twist down to which they are untwisted.
    pub untwisted: Radians,
    /// How far the counted twist may be from what the observer expects.
    pub twist_deviation: Radians,
    /// A counter that is further away for so long has lost its place.
    pub twist_doubt_max: Duration,
    /// Way on which the observer is drawn towards the counter.
    pub twist_observer_way: Radians,
}

impl YawParameters {
    /// Rate 0.3 deg/s (NREL/TP-500-38060, chapter 7.3); the rest is our choice. A counter that stands still while the drive
    /// turns falls behind the observer by 18 degrees in the end, and by the 10 allowed on a way of 15; one that follows a
    /// drive half as fast as commanded stays within 9.
    pub const NREL_5MW: Self = Self {
        dead_band: Radians::from_degrees(8.0),
        filter_corner: RadiansPerSecond(1.0 / 30.0),
        rate: RadiansPerSecond(Radians::from_degrees(0.3).get()),
        rest: Duration::from_secs(5),
        start_error_max: Radians::from_degrees(30.0),
        twist_soft: Radians::from_degrees(2.0 * 360.0),
        twist_hard: Radians::from_degrees(3.0 * 360.0),
        untwisted: Radians::from_degrees(20.0),
        twist_deviation: Radians::from_degrees(10.0),
        twist_doubt_max: Duration::from_secs(1),
        twist_observer_way: Radians::from_degrees(18.0),
    };
}
