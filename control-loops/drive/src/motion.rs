//! One degree of freedom in motion, with limited speed, acceleration and jerk.
//!
//! # Model
//!
//! Each step chooses the highest of a few rates of change of the acceleration after which the motion can still
//! end within the distance that remains, and the speed stays within its limit. Braking as hard as allowed is
//! always among them, and leads from a state that can stop in time to another one that can: so a distance that
//! was enough once stays enough, and one that shrinks is met with the hardest braking allowed.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Limits of a motion, in its unit (m or rad) and seconds. All above zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct MotionLimits {
    /// Speed, per s.
    pub speed: f64,
    /// Acceleration and deceleration, per s^2.
    pub acceleration: f64,
    /// Rate of change of the acceleration, per s^3.
    pub jerk: f64,
}

/// Speed and acceleration; the speed is never negative, the direction is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Motion {
    /// Per s.
    pub speed: f64,
    /// Per s^2; negative while braking.
    pub acceleration: f64,
}

/// Shares of the jerk that a step chooses from, the highest first; the last one is the one that always is there.
const JERK_SHARES: [f64; 6] = [1.0, 0.5, 0.0, -0.25, -0.5, -1.0];

impl Motion {
    /// Standing still.
    pub const REST: Self = Self { speed: 0.0, acceleration: 0.0 };

    /// Whether nothing moves.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        *self == Self::REST
    }

    /// The motion after `dt` that uses the remaining distance as fast as the limits allow. A distance of zero, or
    /// less, brakes.
    #[must_use]
    pub fn next(&self, limits: &MotionLimits, remaining: f64, dt: Duration) -> Self {
        let seconds = dt.as_secs_f64();
        for share in JERK_SHARES {
            let next = self.after(limits, share * limits.jerk, seconds);
            let driven = (self.speed + next.speed) / 2.0 * seconds;
            if next.peak(limits) <= limits.speed && driven + next.stopping_distance(limits) <= remaining {
                return next;
            }
        }
        self.after(limits, -limits.jerk, seconds)
    }

    /// The motion after `seconds` of a jerk.
    fn after(&self, limits: &MotionLimits, jerk: f64, seconds: f64) -> Self {
        let most = limits.acceleration;
        let acceleration = (self.acceleration + jerk * seconds).clamp(-most, most);
        let speed = self.speed + (self.acceleration + acceleration) / 2.0 * seconds;
        // What would go backwards in this step stands at its end.
        if speed <= 0.0 { Self::REST } else { Self { speed, acceleration } }
    }

    /// The highest speed if the acceleration ends as fast as it may.
    fn peak(&self, limits: &MotionLimits) -> f64 {
        let rising = self.acceleration.max(0.0);
        self.speed + rising * rising / (2.0 * limits.jerk)
    }

    /// The way until rest under the hardest braking allowed.
    #[must_use]
    pub fn stopping_distance(&self, limits: &MotionLimits) -> f64 {
        let Self { speed: v, acceleration: a } = *self;
        let (most, jerk) = (limits.acceleration, limits.jerk);
        if a < 0.0 && v * 2.0 * jerk <= a * a {
            // It stands before the deceleration could end: no lower rate is promised than this one.
            return v * v / (2.0 * -a);
        }
        // Seen from where the acceleration is, or was, zero.
        let t = a / jerk;
        let (from, driven) = if a >= 0.0 {
            (v + a * t / 2.0, v * t + a * t * t / 2.0 - jerk * t * t * t / 6.0)
        } else {
            let from = v + a * t / 2.0;
            (from, from * t - jerk * t * t * t / 6.0)
        };
        let stops = if from * jerk <= most * most {
            // The deceleration rises and falls without reaching its limit.
            from * libm::sqrt(from / jerk)
        } else {
            from / 2.0 * (from / most + most / jerk)
        };
        (driven + stops).max(0.0)
    }

    /// The motion after `dt` of a deceleration without a limit of jerk: for stops that somebody insists on.
    #[must_use]
    pub fn halted(&self, deceleration: f64, dt: Duration) -> Self {
        let speed = self.speed - deceleration * dt.as_secs_f64();
        if speed <= 0.0 { Self::REST } else { Self { speed, acceleration: -deceleration } }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const LIMITS: MotionLimits = MotionLimits { speed: 1.2, acceleration: 0.5, jerk: 1.5 };
    const TICK: Duration = Duration::from_millis(20);

    /// Distance, steps, and the motion at the end of a drive over `distance`.
    fn drive(distance: f64) -> (f64, u32) {
        let (mut motion, mut driven, mut steps) = (Motion::REST, 0.0, 0);
        loop {
            let next = motion.next(&LIMITS, distance - driven, TICK);
            driven += (motion.speed + next.speed) / 2.0 * TICK.as_secs_f64();
            motion = next;
            steps += 1;
            if motion.is_rest() || steps > 10_000 {
                return (driven, steps);
            }
        }
    }

    #[test]
    fn a_distance_is_driven_to_its_end_and_not_beyond() {
        for distance in [0.05, 0.3, 1.5, 4.0, 30.0] {
            let (driven, _) = drive(distance);
            assert!(driven <= distance + 1e-9 && driven > distance - 0.01, "{driven} of {distance}");
        }
    }

    #[test]
    fn a_long_way_is_driven_nearly_as_fast_as_the_limits_allow() {
        // With constant speed, and v/a + a/j for both ends together (each end takes half of its time again).
        let ideal =
            30.0 / LIMITS.speed + LIMITS.speed / LIMITS.acceleration + LIMITS.acceleration / LIMITS.jerk;
        let (_, steps) = drive(30.0);
        assert!(f64::from(steps) * 0.02 < ideal * 1.03, "{} s against {ideal} s", f64::from(steps) * 0.02);
    }

    proptest! {
        #[test]
        fn limits_hold_whatever_way_remains(
            remaining in proptest::collection::vec(-1.0_f64..5.0, 1..400),
        ) {
            let mut motion = Motion::REST;
            for remaining in remaining {
                let next = motion.next(&LIMITS, remaining, TICK);
                prop_assert!(next.speed >= 0.0 && next.speed <= LIMITS.speed + 1e-9);
                prop_assert!(next.acceleration.abs() <= LIMITS.acceleration + 1e-9);
                let jerk = (next.acceleration - motion.acceleration).abs() / TICK.as_secs_f64();
                prop_assert!(next.is_rest() || jerk <= LIMITS.jerk + 1e-9);
                motion = next;
            }
        }

        #[test]
        fn what_can_stop_in_time_still_can_after_the_hardest_braking(
            speed in 0.0_f64..1.2, share in -1.0_f64..1.0,
        ) {
            let motion = Motion { speed, acceleration: share * LIMITS.acceleration };
            let next = motion.after(&LIMITS, -LIMITS.jerk, TICK.as_secs_f64());
            let driven = (motion.speed + next.speed) / 2.0 * TICK.as_secs_f64();
            let (before, after) = (motion.stopping_distance(&LIMITS), next.stopping_distance(&LIMITS));
            // The step is trapezoidal, the distance is exact: they differ by less than a millimetre.
            prop_assert!(driven + after <= before + 1e-3, "{driven} + {after} > {before}");
        }
    }
}
