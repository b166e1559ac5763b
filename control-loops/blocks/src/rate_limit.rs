//! A value that moves no faster than allowed.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// The largest changes per second, both as magnitudes in the unit of the value per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimits {
    /// Upward.
    pub rise_per_s: f64,
    /// Downward.
    pub fall_per_s: f64,
}

impl RateLimits {
    /// The same limit both ways.
    #[must_use]
    pub const fn both(per_s: f64) -> Self {
        Self { rise_per_s: per_s, fall_per_s: per_s }
    }
}

/// Follows a target no faster than its limits, measured against its **own last value**.
///
/// Never against a measurement: with a real actuator behind it, a limit against the measured position
/// turns into a lag that can oscillate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct RateLimit {
    value: f64,
}

impl RateLimit {
    /// Starts from `value`; a value that is not finite counts as 0.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { value: if value.is_finite() { value } else { 0.0 } }
    }

    /// The value that was last given out.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// Moves towards `target` and returns the new value. A negative or undefined limit counts as 0.
    pub fn step(&mut self, target: f64, limits: RateLimits, dt: Duration) -> f64 {
        if target.is_finite() {
            let dt_s = dt.as_secs_f64();
            let low = self.value - limits.fall_per_s.max(0.0) * dt_s;
            let high = self.value + limits.rise_per_s.max(0.0) * dt_s;
            self.value = target.max(low).min(high);
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rise_and_fall_have_their_own_limits() {
        let limits = RateLimits { rise_per_s: 1.0, fall_per_s: 10.0 };
        let mut pitch = RateLimit::new(5.0);
        assert_eq!(pitch.step(100.0, limits, Duration::from_millis(500)), 5.5);
        assert_eq!(pitch.step(-100.0, limits, Duration::from_millis(500)), 0.5);
        assert_eq!(pitch.step(0.0, limits, Duration::from_millis(500)), 0.0);
    }

    proptest! {
        #[test]
        fn the_value_never_moves_faster_than_its_limit(
            start in -1e6..1e6, targets in proptest::collection::vec(proptest::num::f64::ANY, 1..50),
            rise_per_s in 0.0..1e6, fall_per_s in 0.0..1e6, dt_us in 0_u64..1_000_000,
        ) {
            let dt = Duration::from_micros(dt_us);
            let mut limited = RateLimit::new(start);
            for target in targets {
                let before = limited.value();
                let moved = limited.step(target, RateLimits { rise_per_s, fall_per_s }, dt) - before;
                let slack = 1e-9 * before.abs().max(1.0);
                prop_assert!(moved <= rise_per_s * dt.as_secs_f64() + slack);
                prop_assert!(moved >= -fall_per_s * dt.as_secs_f64() - slack);
            }
        }

        #[test]
        fn a_target_within_reach_is_met_exactly(start in -1e3..1e3_f64, target in -1e3..1e3_f64) {
            let mut limited = RateLimit::new(start);
            let rate = RateLimits::both((target - start).abs() * 1.001 + 1e-9);
            prop_assert_eq!(limited.step(target, rate, Duration::from_secs(1)), target);
        }

        #[test]
        fn the_state_stays_finite(
            targets in proptest::collection::vec(proptest::num::f64::ANY, 0..50), per_s in proptest::num::f64::ANY, dt_us in any::<u32>(),
        ) {
            let mut limited = RateLimit::default();
            for target in targets {
                let value = limited.step(target, RateLimits::both(per_s), Duration::from_micros(dt_us.into()));
                prop_assert!(value.is_finite());
            }
        }
    }
}
