//! What drives a vehicle: from the motion that is wanted to what its drives shall do, and back.
//!
//! The reference point lies on the axle that is not steered: the middle between the driven wheels of a
//! differential vehicle, the middle of the rear axle of a tricycle, whose one front wheel drives and steers. Both
//! can turn on the spot about it. Kinematics after Siegwart, Nourbakhsh and Scaramuzza, *Introduction to
//! Autonomous Mobile Robots*, chapter 3.

use core::f64::consts::FRAC_PI_2;

use hal_units::{Meters, MetersPerSecond, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// How a vehicle is driven.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub enum Chassis {
    /// Two driven wheels on one axle.
    Differential {
        /// Between the wheels' middles. Above zero.
        track: Meters,
    },
    /// One front wheel that drives and steers by up to a quarter turn to each side.
    Tricycle {
        /// From the front wheel to the rear axle. Above zero.
        wheelbase: Meters,
    },
}

/// Motion of the reference point.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Twist {
    /// Forward.
    pub speed: MetersPerSecond,
    /// Counterclockwise, seen from above.
    pub turn_rate: RadiansPerSecond,
}

impl Twist {
    /// Standing still.
    pub const REST: Self = Self { speed: MetersPerSecond(0.0), turn_rate: RadiansPerSecond(0.0) };
}

/// What the drives do, or shall do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub enum Actuation {
    /// Speeds of the two wheels.
    Differential {
        /// Forward.
        left: MetersPerSecond,
        /// Forward.
        right: MetersPerSecond,
    },
    /// The front wheel.
    Tricycle {
        /// Forward.
        wheel_speed: MetersPerSecond,
        /// To the left.
        steer: Radians,
    },
}

/// A steered wheel that is further off than this drives nothing yet.
const STEER_READY: Radians = Radians(0.12);
/// Slower than this, at the steered wheel, the angle does not matter and stays.
const STEER_BELOW: f64 = 1e-6;

impl Chassis {
    /// What the drives shall do for a twist; a steered wheel that is not asked to move keeps its angle.
    #[must_use]
    pub fn command(&self, twist: Twist, steer_before: Radians) -> Actuation {
        let (speed, turn_rate) = (twist.speed.get(), twist.turn_rate.get());
        match *self {
            Self::Differential { track } => {
                let half = turn_rate * track.get() / 2.0;
                Actuation::Differential {
                    left: MetersPerSecond(speed - half),
                    right: MetersPerSecond(speed + half),
                }
            }
            Self::Tricycle { wheelbase } => {
                let across = turn_rate * wheelbase.get();
                let wheel_speed = libm::hypot(speed, across);
                if wheel_speed < STEER_BELOW {
                    return Actuation::Tricycle { wheel_speed: MetersPerSecond(0.0), steer: steer_before };
                }
                // Forward speeds alone: a quarter turn to each side is enough.
                let steer = libm::atan2(across, speed.max(0.0)).clamp(-FRAC_PI_2, FRAC_PI_2);
                Actuation::Tricycle { wheel_speed: MetersPerSecond(wheel_speed), steer: Radians(steer) }
            }
        }
    }

    /// The motion that follows from what the drives do.
    #[must_use]
    pub fn twist(&self, actuation: Actuation) -> Twist {
        match (*self, actuation) {
            (Self::Differential { track }, Actuation::Differential { left, right }) => Twist {
                speed: (left + right) / 2.0,
                turn_rate: RadiansPerSecond((right - left).get() / track.get()),
            },
            (Self::Tricycle { wheelbase }, Actuation::Tricycle { wheel_speed, steer }) => Twist {
                speed: wheel_speed * libm::cos(steer.get()),
                turn_rate: RadiansPerSecond(wheel_speed.get() * libm::sin(steer.get()) / wheelbase.get()),
            },
            // Binding gives each chassis measurements of its own kind.
            (Self::Differential { .. } | Self::Tricycle { .. }, _) => Twist::REST,
        }
    }
}

impl Actuation {
    /// The angle of a steered wheel; zero without one.
    #[must_use]
    pub const fn steer(&self) -> Radians {
        match self {
            Self::Differential { .. } => Radians(0.0),
            Self::Tricycle { steer, .. } => *steer,
        }
    }

    /// The same with wheels that stand.
    #[must_use]
    pub const fn at_rest(&self) -> Self {
        match *self {
            Self::Differential { .. } => {
                Self::Differential { left: MetersPerSecond(0.0), right: MetersPerSecond(0.0) }
            }
            Self::Tricycle { steer, .. } => Self::Tricycle { wheel_speed: MetersPerSecond(0.0), steer },
        }
    }

    /// Whether the steered wheel, if there is one, is where it is wanted, so that the drive may pull.
    #[must_use]
    pub fn is_steered(&self, measured: &Self) -> bool {
        (self.steer() - measured.steer()).abs() <= STEER_READY
    }

    /// The fastest wheel.
    #[must_use]
    pub fn wheel_speed_max(&self) -> MetersPerSecond {
        match *self {
            Self::Differential { left, right } => left.abs().max(right.abs()),
            Self::Tricycle { wheel_speed, .. } => wheel_speed.abs(),
        }
    }

    /// Whether all of it are numbers.
    #[must_use]
    pub const fn is_finite(&self) -> bool {
        match self {
            Self::Differential { left, right } => left.is_finite() && right.is_finite(),
            Self::Tricycle { wheel_speed, steer } => wheel_speed.is_finite() && steer.is_finite(),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const CHASSIS: [Chassis; 2] =
        [Chassis::Differential { track: Meters(0.6) }, Chassis::Tricycle { wheelbase: Meters(1.1) }];

    #[test]
    fn a_tricycle_turns_on_the_spot_with_its_wheel_across() {
        let turn = Twist { turn_rate: RadiansPerSecond(0.5), ..Twist::REST };
        let command = CHASSIS[1].command(turn, Radians::ZERO);
        assert!((command.steer().get() - FRAC_PI_2).abs() < 1e-9);
        assert!((command.wheel_speed_max().get() - 0.55).abs() < 1e-9);
    }

    #[test]
    fn a_wheel_that_stands_keeps_its_angle() {
        let command = CHASSIS[1].command(Twist::REST, Radians(0.7));
        assert_eq!(command.steer(), Radians(0.7));
    }

    proptest! {
        #[test]
        fn the_drives_do_what_is_wanted(speed in 0.01_f64..2.0, turn in -1.5_f64..1.5) {
            for chassis in CHASSIS {
                let wanted = Twist { speed: MetersPerSecond(speed), turn_rate: RadiansPerSecond(turn) };
                let done = chassis.twist(chassis.command(wanted, Radians::ZERO));
                prop_assert!((done.speed - wanted.speed).abs().get() < 1e-9);
                prop_assert!((done.turn_rate - wanted.turn_rate).abs().get() < 1e-9);
            }
        }
    }
}
