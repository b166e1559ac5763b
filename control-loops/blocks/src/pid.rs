//! A PID controller that does not wind up and can be taken over without a bump.

use hal_units::{Duration, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::OnePole;

/// Gains and limits of a [`Pid`]. The unit of a gain is output per input (and per second).
///
/// They come with every step, so that a gain schedule is only another set of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PidParameters {
    /// Output per unit of error.
    pub proportional: f64,
    /// Output per second and unit of error.
    pub integral_per_s: f64,
    /// Output times second per unit of the measurement.
    pub derivative_s: f64,
    /// Corner of the derivative's low-pass filter.
    pub derivative_corner: RadiansPerSecond,
    /// Back-calculation: how fast the integral follows an output that was cut off, 1/s. The usual
    /// choice is `integral_per_s / proportional` (Åström and Hägglund, Advanced PID Control, 2006, 3.5).
    pub tracking_per_s: f64,
    /// The smallest output.
    pub output_min: f64,
    /// The largest output.
    pub output_max: f64,
}

/// `u = P e + I ∫e + D`, the derivative on the filtered measurement (a changed setpoint gives no kick).
///
/// Anti-windup by back-calculation: what the limits cut off the output flows back into the integral.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Pid {
    integral: f64,
    measurement: OnePole,
    output: f64,
}

impl Pid {
    /// A controller that gives `output` now, for this setpoint and measurement: no bump at a takeover.
    #[must_use]
    pub fn seeded(parameters: &PidParameters, setpoint: f64, measurement: f64, output: f64) -> Self {
        let mut pid = Self::default();
        pid.reseed(parameters, setpoint, measurement, output);
        pid
    }

    /// Forgets the past and continues from `output`. Arguments that are not finite leave it as it is.
    pub fn reseed(&mut self, parameters: &PidParameters, setpoint: f64, measurement: f64, output: f64) {
        let output = limited(parameters, output);
        let integral = output - parameters.proportional * (setpoint - measurement);
        if integral.is_finite() && measurement.is_finite() && output.is_finite() {
            *self = Self { integral, measurement: OnePole::new(measurement), output };
        }
    }

    /// The last output.
    #[must_use]
    pub const fn output(&self) -> f64 {
        self.output
    }

    /// One step; the output lies within the limits. A step that leads to no finite number, because of
    /// a broken measurement or absurd gains, is not made: the last output stays.
    pub fn step(&mut self, parameters: &PidParameters, setpoint: f64, measurement: f64, dt: Duration) -> f64 {
        let dt_s = dt.as_secs_f64();
        let error = setpoint - measurement;
        let mut filtered = self.measurement;
        let moved = filtered.step(measurement, parameters.derivative_corner, dt) - self.measurement.value();
        let derivative = if dt_s > 0.0 { -parameters.derivative_s * moved / dt_s } else { 0.0 };
        let integral = self.integral + parameters.integral_per_s * error * dt_s;
        let wanted = parameters.proportional * error + integral + derivative;
        let output = limited(parameters, wanted);
        // With long steps at most all of it, or the integral would overshoot.
        let flows_back = (parameters.tracking_per_s * dt_s).clamp(0.0, 1.0);
        let integral = integral + flows_back * (output - wanted);
        if integral.is_finite() && wanted.is_finite() && output.is_finite() {
            *self = Self { integral, measurement: filtered, output };
        } else {
            self.output = limited(parameters, self.output);
        }
        self.output
    }
}

/// Limits that cross each other leave the upper one; a NaN output stays NaN, unlike with `f64::max`.
fn limited(parameters: &PidParameters, output: f64) -> f64 {
    if output.is_finite() { output.max(parameters.output_min).min(parameters.output_max) } else { output }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    fn pitch_like() -> PidParameters {
        PidParameters {
            proportional: 2.0,
            integral_per_s: 1.0,
            derivative_s: 0.0,
            derivative_corner: RadiansPerSecond(20.0),
            tracking_per_s: 2.0,
            output_min: -10.0,
            output_max: 10.0,
        }
    }

    #[test]
    fn a_constant_error_is_integrated() {
        let mut pid = Pid::default();
        for _ in 0..100 {
            pid.step(&pitch_like(), 1.0, 0.0, TICK);
        }
        assert!((pid.output() - (2.0 + 1.0)).abs() < 1e-9);
    }

    #[test]
    fn a_changed_setpoint_gives_no_derivative_kick() {
        let parameters = PidParameters { derivative_s: 5.0, ..pitch_like() };
        let mut pid = Pid::seeded(&parameters, 0.0, 0.0, 0.0);
        let output = pid.step(&parameters, 1.0, 0.0, TICK);
        assert!((output - (2.0 + 0.01)).abs() < 1e-9);
    }

    #[test]
    fn a_rising_measurement_is_braked_by_the_derivative() {
        let parameters = PidParameters { derivative_s: 0.5, ..pitch_like() };
        let mut with = Pid::seeded(&parameters, 0.0, 0.0, 0.0);
        let mut without = Pid::seeded(&pitch_like(), 0.0, 0.0, 0.0);
        assert!(with.step(&parameters, 0.0, 0.1, TICK) < without.step(&pitch_like(), 0.0, 0.1, TICK) - 0.1);
    }

    #[test]
    fn a_closed_loop_around_a_lag_settles_on_the_setpoint() {
        let (mut pid, mut plant) = (Pid::default(), 0.0);
        for _ in 0..6000 {
            let output = pid.step(&pitch_like(), 3.0, plant, TICK);
            plant += (output - plant) * 0.01;
        }
        assert!((plant - 3.0).abs() < 1e-6, "{plant}");
    }

    proptest! {
        #[test]
        fn after_a_reseed_the_first_output_is_the_seeded_one(
            setpoint in -100.0..100.0, measurement in -100.0..100.0, output in -10.0..10.0,
        ) {
            let mut pid = Pid::seeded(&pitch_like(), setpoint, measurement, output);
            let next = pid.step(&pitch_like(), setpoint, measurement, Duration::from_nanos(1));
            prop_assert!((next - output).abs() < 1e-6);
        }

        /// Without anti-windup, leaving the limit takes as long as staying in it did.
        #[test]
        fn however_long_it_was_saturated_it_leaves_the_limit_at_once_when_the_error_turns(
            saturated_ticks in 100_u32..20_000, error in 20.0..1000.0,
        ) {
            let mut pid = Pid::default();
            for _ in 0..saturated_ticks {
                pid.step(&pitch_like(), error, 0.0, TICK);
            }
            prop_assert_eq!(pid.output(), 10.0);
            pid.step(&pitch_like(), -1.0, 0.0, TICK);
            prop_assert!(pid.output() < 10.0);
        }

        #[test]
        fn the_output_is_finite_and_within_limits_whatever_comes(
            steps in proptest::collection::vec((proptest::num::f64::ANY, proptest::num::f64::ANY, any::<u32>()), 1..50),
            proportional in proptest::num::f64::ANY, integral_per_s in proptest::num::f64::ANY, tracking_per_s in proptest::num::f64::ANY,
            derivative_s in proptest::num::f64::ANY, seed in proptest::num::f64::ANY,
        ) {
            let parameters =
                PidParameters { proportional, integral_per_s, derivative_s, tracking_per_s, ..pitch_like() };
            let mut pid = Pid::seeded(&parameters, 0.0, 0.0, seed);
            for (setpoint, measurement, dt_us) in steps {
                let output = pid.step(&parameters, setpoint, measurement, Duration::from_micros(dt_us.into()));
                prop_assert!((-10.0..=10.0).contains(&output), "{}", output);
                prop_assert!(pid.integral.is_finite());
            }
        }
    }
}
