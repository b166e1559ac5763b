//! A blade's pitch drive: second order, limited in rate and range.

use hal_units::Radians;

use super::TurbinePlantParameters;
use super::oscillator::{Motion, Oscillator};

#[derive(Debug, Clone, Copy)]
pub(super) struct PitchDrive {
    motion: Motion,
    /// Whether the drive stays where it is, whatever it is told.
    pub(super) jammed: bool,
}

impl PitchDrive {
    pub(super) const fn at_rest(angle: Radians) -> Self {
        Self { motion: Motion { position: angle.get(), velocity: 0.0 }, jammed: false }
    }

    pub(super) fn step(
        &mut self,
        command: Radians,
        p: &TurbinePlantParameters,
        oscillator: &Oscillator,
        step_s: f64,
    ) {
        if self.jammed || !command.is_finite() {
            self.motion.velocity = 0.0;
            return;
        }
        let (low, high) = p.pitch_range;
        let free = oscillator.advance(self.motion, command.limit(low, high).get());
        let fastest = p.pitch_rate_max.get();
        let farthest = fastest * step_s;
        let moved = (free.position - self.motion.position).max(-farthest).min(farthest);
        let reached = Radians(self.motion.position + moved);
        let held = reached.limit(low, high);
        self.motion = Motion {
            position: held.get(),
            velocity: if held == reached { free.velocity.max(-fastest).min(fastest) } else { 0.0 },
        };
    }

    pub(super) const fn angle(&self) -> Radians {
        Radians(self.motion.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: TurbinePlantParameters = TurbinePlantParameters::NREL_5MW;

    fn after(command_deg: f64, seconds: f64, step_s: f64) -> f64 {
        let oscillator = Oscillator::over(step_s, P.pitch_frequency_hz, P.pitch_damping);
        let mut drive = PitchDrive::at_rest(Radians::ZERO);
        for _ in 0..(seconds / step_s).round() as u32 {
            drive.step(Radians::from_degrees(command_deg), &P, &oscillator, step_s);
        }
        drive.angle().as_degrees()
    }

    #[test]
    fn a_small_step_overshoots_as_second_order_does() {
        // Damping 0.7: 4.6 % at t = pi / (wn sqrt(1 - zeta^2)) = 0.70 s.
        assert!((after(1.0, 0.70, 0.005) - 1.046).abs() < 0.002);
        assert!((after(1.0, 5.0, 0.005) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_large_step_moves_at_the_limited_rate() {
        let travelled = after(90.0, 6.0, 0.005) - after(90.0, 1.0, 0.005);
        assert!((travelled - 40.0).abs() < 0.01, "{travelled}");
    }

    #[test]
    fn the_range_is_never_left() {
        assert!(after(200.0, 60.0, 0.005) <= 90.0 + 1e-9);
        assert_eq!(after(-20.0, 10.0, 0.005), 0.0);
    }

    #[test]
    fn a_command_that_is_no_number_moves_nothing() {
        assert_eq!(after(f64::NAN, 1.0, 0.005), 0.0);
    }
}
