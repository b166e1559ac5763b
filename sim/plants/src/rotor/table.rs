//! A rotor as a table over tip-speed ratio and pitch.

use hal_units::Radians;

use super::{Coefficients, smooth_step};

/// Betz's limit of the power coefficient.
pub(super) const BETZ: f64 = 16.0 / 27.0;
/// Beyond the largest tip-speed ratio `Cp` goes on straight while its weight falls to zero at this
/// multiple. Chosen so that with the published table of the NREL 5-MW rotor, which ends at 14.5, the
/// rotor idles near the published 17.3.
const RATIO_FADE: f64 = 1.62;
/// Below the smallest tip-speed ratio the weight falls to zero at this multiple.
const RATIO_FADE_BELOW: f64 = 0.4;
/// Beyond the pitch angles the weight falls to zero within these.
const PITCH_FADE_BELOW: Radians = Radians::from_degrees(5.0);
const PITCH_FADE: Radians = Radians::from_degrees(15.0);

/// A grid with at least two lines in both directions, ascending, all finite. Matrices are row-major, a
/// row for each tip-speed ratio.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) ratios: Vec<f64>,
    pub(super) pitches_rad: Vec<f64>,
    pub(super) power: Vec<f64>,
    pub(super) thrust: Vec<f64>,
}

impl Table {
    /// How much the table says at this point, 0 to 1; the rest is the far field's.
    pub(super) fn weight(&self, ratio: f64, pitch_rad: f64) -> f64 {
        let ends = |list: &[f64]| (list.first().copied(), list.last().copied());
        let ((Some(ratio_min), Some(ratio_max)), (Some(pitch_min), Some(pitch_max))) =
            (ends(&self.ratios), ends(&self.pitches_rad))
        else {
            return 0.0;
        };
        smooth_step(ratio, RATIO_FADE_BELOW * ratio_min, ratio_min)
            * smooth_step(ratio, RATIO_FADE * ratio_max, ratio_max)
            * smooth_step(pitch_rad, pitch_min - PITCH_FADE_BELOW.get(), pitch_min)
            * smooth_step(pitch_rad, pitch_max + PITCH_FADE.get(), pitch_max)
    }

    /// Bilinear within the grid; the edge's torque below it, straight on above it. Meaningful where
    /// [`Table::weight`] is above zero.
    pub(super) fn coefficients(&self, ratio: f64, pitch_rad: f64) -> Coefficients {
        let ratio = ratio.max(self.ratios.first().copied().unwrap_or(ratio));
        let (row, along) = bracket(&self.ratios, ratio);
        let (column, across) = bracket(&self.pitches_rad, pitch_rad);
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

    fn plane() -> Table {
        let power = |ratio: f64, pitch: f64| 0.1 + 0.02 * ratio - 0.3 * pitch;
        let (ratios, pitches_rad) = (vec![2.0, 4.0, 8.0], vec![0.0, 0.1, 0.4]);
        let grid: Vec<f64> =
            ratios.iter().flat_map(|&r| pitches_rad.iter().map(move |&p| power(r, p))).collect();
        Table { ratios, pitches_rad, thrust: grid.clone(), power: grid }
    }

    #[test]
    fn a_plane_is_interpolated_exactly() {
        for (ratio, pitch) in [(2.0, 0.0), (3.0, 0.05), (5.0, 0.2), (8.0, 0.4)] {
            let found = plane().coefficients(ratio, pitch);
            let expected = 0.1 + 0.02 * ratio - 0.3 * pitch;
            assert!((found.thrust - expected).abs() < 1e-12, "{ratio} {pitch}");
            assert!((found.torque - expected / ratio).abs() < 1e-12, "{ratio} {pitch}");
        }
    }

    #[test]
    fn the_weight_is_whole_on_the_grid_and_nothing_far_away() {
        assert_eq!(plane().weight(2.0, 0.0), 1.0);
        assert_eq!(plane().weight(8.0, 0.4), 1.0);
        assert_eq!(plane().weight(13.0, 0.2), 0.0);
        assert_eq!(plane().weight(0.0, 0.2), 0.0);
        assert_eq!(plane().weight(4.0, 1.5), 0.0);
    }
}
