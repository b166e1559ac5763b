//! A straight line from one value to another in a given time.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Goes from one value to another in a stated time, on a straight line, and stays there.
///
/// Unlike a rate limit it follows no target: once started, its course and its end are known.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Ramp {
    from: f64,
    to: f64,
    elapsed: Duration,
    span: Duration,
}

impl Ramp {
    /// Starts at `from` and reaches `to` after `span`; ends that are not finite count as 0.
    #[must_use]
    pub const fn new(from: f64, to: f64, span: Duration) -> Self {
        let from = if from.is_finite() { from } else { 0.0 };
        let to = if to.is_finite() { to } else { 0.0 };
        Self { from, to, elapsed: Duration::ZERO, span }
    }

    /// Where the ramp is now.
    #[must_use]
    pub fn value(&self) -> f64 {
        if self.is_done() {
            return self.to;
        }
        let done = self.elapsed.as_secs_f64() / self.span.as_secs_f64();
        self.from * (1.0 - done) + self.to * done
    }

    /// Whether the end is reached.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.elapsed >= self.span
    }

    /// Goes on by `dt` and returns the new value.
    pub fn step(&mut self, dt: Duration) -> f64 {
        self.elapsed = self.elapsed.saturating_add(dt).min(self.span);
        self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halfway_in_time_is_halfway_in_value() {
        let mut torque = Ramp::new(40.0, 0.0, Duration::from_secs(20));
        assert_eq!(torque.step(Duration::from_secs(10)), 20.0);
        assert!(!torque.is_done());
        assert_eq!(torque.step(Duration::from_secs(60)), 0.0);
        assert!(torque.is_done());
    }

    #[test]
    fn a_ramp_of_no_time_is_at_its_end() {
        assert_eq!(Ramp::new(1.0, 2.0, Duration::ZERO).value(), 2.0);
    }

    proptest! {
           #[test]
           fn the_value_goes_one_way_and_ends_exactly(
               from in proptest::num::f64::ANY, to in proptest::num::f64::ANY, span_ms in 0_u64..100_000,
               steps_ms in proptest::collection::vec(0_u64..10_000, 1..100),
           ) {
               let span = Duration::from_millis(span_ms);
               let mut ramp = Ramp::new(from, to, span);
               let (from, to) = (ramp.from, ramp.to);
               let mut before = ramp.value();
               for step_ms in steps_ms {
                   let after = ramp.step(Duration::from_millis(step_ms));
                   prop_assert!(after.is_finite());
                   let slack = 1e-12 * from.abs().max(to.abs());
                   let onward = if to >= from { after >= before - slack } else { after <= before + slack };
    prop_assert!(onward);
                   before = after;
               }
               ramp.step(span);
               prop_assert_eq!(ramp.value(), to);
           }
       }
}
