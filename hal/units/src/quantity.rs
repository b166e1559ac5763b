//! SI quantities as newtypes over `f64`.

use core::f64::consts::PI;
use core::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($($(#[$doc:meta])* $name:ident, $symbol:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize, Schema)]
        #[repr(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0.0);
            /// The unit's symbol.
            pub const SYMBOL: &'static str = $symbol;

            /// The bare number in the unit of the type.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }

            /// Neither NaN nor infinite.
            #[must_use]
            pub const fn is_finite(self) -> bool {
                self.0.is_finite()
            }

            /// Magnitude.
            #[must_use]
            pub const fn abs(self) -> Self {
                Self(self.0.abs())
            }

            /// The smaller of two; a NaN gives way to the other.
            #[must_use]
            pub const fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }

            /// The larger of two; a NaN gives way to the other.
            #[must_use]
            pub const fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// Held between `low` and `high`. Unlike `f64::clamp` it never panics: with `low > high`
            /// the result is `high`.
            #[must_use]
            pub const fn limit(self, low: Self, high: Self) -> Self {
                self.max(low).min(high)
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        /// The ratio of two quantities of one kind has no unit.
        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }
    )*};
}

quantity! {
    /// Angle, rad.
    Radians, "rad";
    /// Angular speed, rad/s.
    RadiansPerSecond, "rad/s";
    /// Torque, N m.
    NewtonMeters, "N m";
    /// Rate of change of torque, N m/s.
    NewtonMetersPerSecond, "N m/s";
    /// Power, W.
    Watts, "W";
    /// Length, m.
    Meters, "m";
    /// Speed, m/s.
    MetersPerSecond, "m/s";
    /// Acceleration, m/s2.
    MetersPerSecond2, "m/s2";
    /// Force, N.
    Newtons, "N";
}

impl Radians {
    /// From degrees.
    #[must_use]
    pub const fn from_degrees(degrees: f64) -> Self {
        Self(degrees * PI / 180.0)
    }

    /// In degrees.
    #[must_use]
    pub const fn as_degrees(self) -> f64 {
        self.0 * 180.0 / PI
    }
}

impl RadiansPerSecond {
    /// From revolutions per minute.
    #[must_use]
    pub const fn from_rpm(rpm: f64) -> Self {
        Self(rpm * PI / 30.0)
    }

    /// In revolutions per minute.
    #[must_use]
    pub const fn as_rpm(self) -> f64 {
        self.0 * 30.0 / PI
    }
}

impl Watts {
    /// From kilowatts.
    #[must_use]
    pub const fn from_kilowatts(kilowatts: f64) -> Self {
        Self(kilowatts * 1e3)
    }

    /// In kilowatts.
    #[must_use]
    pub const fn as_kilowatts(self) -> f64 {
        self.0 / 1e3
    }
}

/// Mechanical power of a shaft.
impl Mul<RadiansPerSecond> for NewtonMeters {
    type Output = Watts;
    fn mul(self, speed: RadiansPerSecond) -> Watts {
        Watts(self.0 * speed.0)
    }
}

/// Torque that carries a power at a speed.
impl Div<RadiansPerSecond> for Watts {
    type Output = NewtonMeters;
    fn div(self, speed: RadiansPerSecond) -> NewtonMeters {
        NewtonMeters(self.0 / speed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rated_speed_of_the_reference_turbine_converts() {
        let rated = RadiansPerSecond::from_rpm(1173.7);
        assert!((rated.get() - 122.9096).abs() < 1e-3);
        assert!((rated.as_rpm() - 1173.7).abs() < 1e-9);
    }

    #[test]
    fn torque_times_speed_is_power() {
        let power = NewtonMeters(43_093.55) * RadiansPerSecond(122.9096);
        assert!((power.as_kilowatts() - 5296.61).abs() < 0.1);
    }

    #[test]
    fn limit_with_crossed_bounds_keeps_the_upper() {
        assert_eq!(Radians(1.0).limit(Radians(3.0), Radians(2.0)), Radians(2.0));
    }

    #[test]
    fn nan_gives_way_to_a_bound() {
        assert_eq!(Radians(f64::NAN).limit(Radians(0.0), Radians(1.0)), Radians(0.0));
    }
}
