//! A first-order low-pass filter.

use hal_units::{Duration, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// One-pole low-pass filter, exact for an input that is constant between two steps:
/// `y += (1 - exp(-dt * corner)) * (x - y)`.
///
/// Being exact, it is stable for every step length, and two half steps equal a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct OnePole {
    value: f64,
}

impl OnePole {
    /// A filter at rest on `value`; a value that is not finite counts as 0.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { value: if value.is_finite() { value } else { 0.0 } }
    }

    /// The filtered value.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// Takes one input and returns the filtered value. A negative corner counts as 0: the value holds.
    pub fn step(&mut self, input: f64, corner: RadiansPerSecond, dt: Duration) -> f64 {
        if input.is_finite() && corner.is_finite() {
            let kept = libm::exp(-dt.as_secs_f64() * corner.max(RadiansPerSecond::ZERO).get());
            self.value = (1.0 - kept) * input + kept * self.value;
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn corner(corner_radps: f64) -> RadiansPerSecond {
        RadiansPerSecond(corner_radps)
    }

    #[test]
    fn a_step_is_followed_to_63_percent_in_one_time_constant() {
        let mut filter = OnePole::new(0.0);
        for _ in 0..200 {
            filter.step(1.0, corner(0.5), Duration::from_millis(10));
        }
        assert!((filter.value() - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn an_input_that_is_no_number_is_not_taken() {
        let mut filter = OnePole::new(3.0);
        assert_eq!(filter.step(f64::NAN, corner(1.0), Duration::from_secs(1)), 3.0);
        assert_eq!(filter.step(1.0, corner(f64::NAN), Duration::from_secs(1)), 3.0);
    }

    proptest! {
        #[test]
        fn the_output_lies_between_the_old_output_and_the_input(
            old in -1e6..1e6, input in -1e6..1e6, corner_radps in 0.0..1e3, dt_us in 0_u64..10_000_000,
        ) {
            let mut filter = OnePole::new(old);
            let new = filter.step(input, corner(corner_radps), Duration::from_micros(dt_us));
            prop_assert!(new >= old.min(input) - 1e-9 && new <= old.max(input) + 1e-9);
        }

        #[test]
        fn two_half_steps_equal_a_whole_one(
            old in -1e3..1e3, input in -1e3..1e3, corner_radps in 0.0..50.0, half_us in 0_u64..1_000_000,
        ) {
            let half = Duration::from_micros(half_us);
            let (mut halves, mut whole) = (OnePole::new(old), OnePole::new(old));
            halves.step(input, corner(corner_radps), half);
            halves.step(input, corner(corner_radps), half);
            whole.step(input, corner(corner_radps), half * 2);
            prop_assert!((halves.value() - whole.value()).abs() < 1e-9);
        }

        #[test]
        fn the_state_stays_finite(
            inputs in proptest::collection::vec(proptest::num::f64::ANY, 0..50), corner_radps in proptest::num::f64::ANY, dt_us in any::<u32>(),
        ) {
            let mut filter = OnePole::default();
            for input in inputs {
                prop_assert!(
                    filter.step(input, corner(corner_radps), Duration::from_micros(dt_us.into())).is_finite()
                );
            }
        }
    }
}
