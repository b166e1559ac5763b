//! What the controller believes of its rotor: the torque coefficient on a fixed grid.
//!
//! # Model
//!
//! `Q = 1/2 rho pi R^3 v^2 Cq(l, theta)` with the tip-speed ratio `l = w R / v`. `Cq` is stored on an even
//! grid in both directions and interpolated bilinearly; outside the grid its edge holds. Slopes are those
//! of the cell. The memory is in place, so that parameters stay plain data.

use hal_units::Radians;

/// Grid lines in tip-speed ratio.
pub const RATIO_LINES: usize = 33;
/// Grid lines in pitch.
pub const PITCH_LINES: usize = 37;

/// Torque coefficient over tip-speed ratio and pitch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotorModel {
    ratio_min: f64,
    ratio_step: f64,
    pitch_min_rad: f64,
    pitch_step_rad: f64,
    /// A row for each tip-speed ratio. Single precision carries more digits than any rotor table.
    torque: [[f32; PITCH_LINES]; RATIO_LINES],
}

/// The torque coefficient at a point with its slopes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Torque {
    pub(super) value: f64,
    pub(super) per_ratio: f64,
}

impl RotorModel {
    /// Samples `Cq(ratio, pitch)` on the grid. The ranges are `(from, to)` with `from < to`.
    #[must_use]
    pub fn sampled(
        ratios: (f64, f64),
        pitches: (Radians, Radians),
        torque_coefficient: impl Fn(f64, Radians) -> f64,
    ) -> Self {
        let ratio_step = (ratios.1 - ratios.0) / (RATIO_LINES - 1) as f64;
        let pitch_step_rad = (pitches.1 - pitches.0).get() / (PITCH_LINES - 1) as f64;
        let mut torque = [[0.0; PITCH_LINES]; RATIO_LINES];
        for (row_at, row) in torque.iter_mut().enumerate() {
            for (at, value) in row.iter_mut().enumerate() {
                let ratio = ratios.0 + ratio_step * row_at as f64;
                let pitch = Radians(pitches.0.get() + pitch_step_rad * at as f64);
                *value = torque_coefficient(ratio, pitch) as f32;
            }
        }
        Self { ratio_min: ratios.0, ratio_step, pitch_min_rad: pitches.0.get(), pitch_step_rad, torque }
    }

    /// Whether every number of the model is finite and its grid ascends.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let scales = [self.ratio_min, self.ratio_step, self.pitch_min_rad, self.pitch_step_rad];
        scales.iter().all(|scale| scale.is_finite())
            && self.ratio_step > 0.0
            && self.pitch_step_rad > 0.0
            && self.torque.iter().flatten().all(|value| value.is_finite())
    }

    pub(super) fn torque(&self, ratio: f64, pitch: Radians) -> Torque {
        let (row, along) = place(ratio, self.ratio_min, self.ratio_step, RATIO_LINES);
        let (column, across) = place(pitch.get(), self.pitch_min_rad, self.pitch_step_rad, PITCH_LINES);
        let (low, high) = (self.line(row, column, across), self.line(row + 1, column, across));
        Torque { value: low + along * (high - low), per_ratio: (high - low) / self.ratio_step }
    }

    /// The pitch at which the coefficient has fallen to `wanted`, looking from `from` towards feather;
    /// `from` if it is already lower there, the grid's end if it nowhere is. From fine pitch on the
    /// coefficient falls towards feather, so that bisection finds the crossing.
    pub(super) fn pitch_for(&self, ratio: f64, wanted: f64, from: Radians) -> Radians {
        let (row, along) = place(ratio, self.ratio_min, self.ratio_step, RATIO_LINES);
        let at = |column: usize| {
            let (low, high) = (self.line(row, column, 0.0), self.line(row + 1, column, 0.0));
            low + along * (high - low)
        };
        let (first, _) = place(from.get(), self.pitch_min_rad, self.pitch_step_rad, PITCH_LINES);
        let (mut inside, mut outside) = (first, PITCH_LINES - 1);
        if at(outside) >= wanted {
            return Radians(self.pitch_min_rad + self.pitch_step_rad * outside as f64);
        }
        while outside - inside > 1 {
            let middle = inside.midpoint(outside);
            if at(middle) >= wanted {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        let (high, low) = (at(inside), at(outside));
        let along = if high > low { ((high - wanted) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        Radians(self.pitch_min_rad + self.pitch_step_rad * (inside as f64 + along)).max(from)
    }

    fn line(&self, row: usize, column: usize, across: f64) -> f64 {
        let at = |column: usize| {
            self.torque.get(row).and_then(|row| row.get(column)).copied().map_or(0.0, f64::from)
        };
        let low = at(column);
        if across == 0.0 { low } else { low + across * (at(column + 1) - low) }
    }
}

/// The cell that holds `value`, and how far along it lies, 0 to 1.
fn place(value: f64, min: f64, step: f64, lines: usize) -> (usize, f64) {
    let cells = lines - 1;
    let position = ((value - min) / step).max(0.0).min(cells as f64);
    // A position that is not a number counts as 0.
    let cell = (position as usize).min(cells - 1);
    (cell, (position - cell as f64).clamp(0.0, 1.0))
}
