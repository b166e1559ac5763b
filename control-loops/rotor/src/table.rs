//! A rotor as a table over tip-speed ratio and pitch.

use hal_diagnostics::Diagnostic;
use hal_units::Radians;

use crate::rosco;

/// Betz's limit of the power coefficient.
pub const BETZ: f64 = 16.0 / 27.0;

/// Torque and thrust coefficient at one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// Cq, without unit.
    pub torque: f64,
    /// Ct, without unit.
    pub thrust: f64,
}

/// A grid with at least two lines in both directions, ascending, all finite. Matrices are row-major, a
/// row for each tip-speed ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct RotorTable {
    pub(crate) ratios: Vec<f64>,
    pub(crate) pitches_rad: Vec<f64>,
    pub(crate) power: Vec<f64>,
    pub(crate) thrust: Vec<f64>,
}

impl RotorTable {
    /// Reads a table in the text format of the ROSCO toolbox (`Cp_Ct_Cq.*.txt`): comment lines start
    /// with `#`; then the pitch angles in degrees, the tip-speed ratios, the wind speeds (one), and
    /// the matrices of power, thrust and torque coefficient, a row for each tip-speed ratio.
    ///
    /// # Errors
    /// At the first line that is missing, malformed, not finite, not ascending, of the wrong length,
    /// or physically impossible.
    pub fn from_rosco(file_name: &str, text: &str) -> Result<Self, Diagnostic> {
        rosco::parse(file_name, text)
    }

    /// The table in the same format, with six digits behind the point; `wind_mps` is only told.
    #[must_use]
    pub fn to_rosco(&self, what: &str, wind_mps: f64) -> String {
        rosco::text(self, what, wind_mps)
    }

    /// Samples a rotor on an even grid. The ranges are `(from, to)` with `from < to`; at least two lines
    /// are taken in both directions.
    #[must_use]
    pub fn sampled(
        ratios: ((f64, f64), usize),
        pitches: ((Radians, Radians), usize),
        rotor: impl Fn(f64, Radians) -> Coefficients,
    ) -> Self {
        let even = |(from, to): (f64, f64), lines: usize| -> Vec<f64> {
            let cells = lines.max(2) - 1;
            (0..=cells).map(|line| from + (to - from) * line as f64 / cells as f64).collect()
        };
        let ratios = even(ratios.0, ratios.1);
        let pitches_rad = even((pitches.0.0.get(), pitches.0.1.get()), pitches.1);
        let grid = ratios.iter().flat_map(|&ratio| pitches_rad.iter().map(move |&pitch| (ratio, pitch)));
        let (power, thrust) = grid
            .map(|(ratio, pitch)| {
                let found = rotor(ratio, Radians(pitch));
                (ratio * found.torque, found.thrust)
            })
            .unzip();
        Self { ratios, pitches_rad, power, thrust }
    }

    /// Smallest and largest tip-speed ratio of the grid.
    #[must_use]
    pub fn ratio_range(&self) -> (f64, f64) {
        ends(&self.ratios)
    }

    /// Smallest and largest pitch of the grid.
    #[must_use]
    pub fn pitch_range(&self) -> (Radians, Radians) {
        let (from, to) = ends(&self.pitches_rad);
        (Radians(from), Radians(to))
    }

    /// Bilinear within the grid; the edge's torque below it, straight on above it in tip-speed ratio, the
    /// edge beyond it in pitch.
    #[must_use]
    pub fn coefficients(&self, ratio: f64, pitch: Radians) -> Coefficients {
        let ratio = ratio.max(self.ratios.first().copied().unwrap_or(ratio));
        let (row, along) = bracket(&self.ratios, ratio);
        let (column, across) = bracket(&self.pitches_rad, pitch.get());
        let across = across.clamp(0.0, 1.0);
        let columns = self.pitches_rad.len();
        let value = |matrix: &[f64]| {
            let at = |row: usize, column: usize| matrix.get(row * columns + column).copied().unwrap_or(0.0);
            let line = |row: usize| at(row, column) + across * (at(row, column + 1) - at(row, column));
            line(row) + along * (line(row + 1) - line(row))
        };
        let power = value(&self.power).min(BETZ);
        Coefficients { torque: if ratio > 0.0 { power / ratio } else { 0.0 }, thrust: value(&self.thrust) }
    }
}

fn ends(list: &[f64]) -> (f64, f64) {
    (list.first().copied().unwrap_or(0.0), list.last().copied().unwrap_or(0.0))
}

/// The interval that holds `at`, and how far along it lies: below 0 or above 1 outside the list.
fn bracket(list: &[f64], at: f64) -> (usize, f64) {
    let upper = list.partition_point(|&line| line <= at).clamp(1, list.len().saturating_sub(1).max(1));
    match (list.get(upper - 1), list.get(upper)) {
        (Some(low), Some(high)) => (upper - 1, (at - low) / (high - low)),
        _ => (0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_interpolated_exactly() {
        let power = |ratio: f64, pitch: f64| 0.1 + 0.02 * ratio - 0.3 * pitch;
        let plane =
            RotorTable::sampled(((2.0, 8.0), 4), ((Radians(0.0), Radians(0.4)), 3), |ratio, pitch| {
                let power = power(ratio, pitch.get());
                Coefficients { torque: power / ratio, thrust: power }
            });
        assert_eq!(plane.ratio_range(), (2.0, 8.0));
        for (ratio, pitch) in [(2.0, 0.0), (3.0, 0.05), (5.0, 0.2), (8.0, 0.4)] {
            let found = plane.coefficients(ratio, Radians(pitch));
            let expected = power(ratio, pitch);
            assert!((found.thrust - expected).abs() < 1e-12, "{ratio} {pitch}");
            assert!((found.torque - expected / ratio).abs() < 1e-12, "{ratio} {pitch}");
        }
    }
}
