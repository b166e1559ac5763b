//! The exact motion of a damped oscillator over one step.
//!
//! # Model
//!
//! `x'' = wn^2 (rest - x) - 2 zeta wn x'`, with `rest` constant over the step, has a closed solution:
//! position and velocity after the step are linear in those before it. Used instead of a numerical
//! scheme it is exact, hence stable at any step, and never gains energy.

/// Position and velocity of one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Motion {
    pub(super) position: f64,
    pub(super) velocity: f64,
}

/// The solution for one step length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Oscillator {
    position_from: (f64, f64),
    velocity_from: (f64, f64),
}

impl Oscillator {
    /// For a step of `step_s`, a natural frequency of `frequency_hz`, and a damping ratio `damping`,
    /// which is taken as just below one if it is not below it.
    pub(super) fn over(step_s: f64, frequency_hz: f64, damping: f64) -> Self {
        let natural = core::f64::consts::TAU * frequency_hz;
        let damping = damping.min(0.999_999);
        let damped = natural * (1.0 - damping * damping).sqrt();
        let decay = (-damping * natural * step_s).exp();
        let (sin, cos) = (damped * step_s).sin_cos();
        let slip = damping * natural / damped;
        Self {
            position_from: (decay * (cos + slip * sin), decay * sin / damped),
            velocity_from: (-decay * natural * natural / damped * sin, decay * (cos - slip * sin)),
        }
    }

    /// The motion one step later, towards `rest`.
    pub(super) fn advance(&self, motion: Motion, rest: f64) -> Motion {
        let away = motion.position - rest;
        Motion {
            position: rest + self.position_from.0 * away + self.position_from.1 * motion.velocity,
            velocity: self.velocity_from.0 * away + self.velocity_from.1 * motion.velocity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_step_equals_many_short_ones() {
        let start = Motion { position: 0.3, velocity: -1.0 };
        let long = Oscillator::over(0.8, 2.22, 0.05).advance(start, 0.1);
        let short = Oscillator::over(0.001, 2.22, 0.05);
        let many = (0..800).fold(start, |motion, _| short.advance(motion, 0.1));
        assert!((long.position - many.position).abs() < 1e-9);
        assert!((long.velocity - many.velocity).abs() < 1e-9);
    }

    #[test]
    fn the_motion_has_its_natural_period() {
        let (frequency, damping) = (0.32, 0.01);
        let period = 1.0 / (frequency * f64::sqrt(1.0 - damping * damping));
        let motion = Oscillator::over(period, frequency, damping)
            .advance(Motion { position: 1.0, velocity: 0.0 }, 0.0);
        assert!((motion.position - (-core::f64::consts::TAU * 0.01_f64).exp()).abs() < 1e-4);
    }
}
