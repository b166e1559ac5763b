//! Our own smooth fit of the NREL 5-MW rotor.
//!
//! # Model
//!
//! Two tensor-product Chebyshev series, one for Cq and one for Ct, of degree 7 in `x` and 6 in `y`:
//!
//! - `x = l / (l + 12)` bends the tip-speed ratio `l` so that the fit is equally good at both ends;
//! - `y = (pitch + 12 deg) / (atan(1 / l) + 5 deg)` is the angle of the blade over the angle at which
//!   the air meets it. Lines of equal `y` follow the ridge of the surface, which is what lets so few
//!   terms carry it.
//!
//! Fitted by weighted, slightly regularised least squares to the published table of the reference
//! rotor (ROSCO toolbox, `Cp_Ct_Cq.NREL5MW.txt`), with more weight along the steady operating curve;
//! above the table's largest tip-speed ratio of 14.5 to the published steady states at light winds
//! (idling at 17.3), below its smallest of 2 to a parabola from there to the far field's standstill, and
//! beyond all that to the far field itself, to which the weight leads over.

use super::{Coefficients, smooth_step};

/// The window in tip-speed ratio: nothing, all; all, nothing.
const RATIO_WINDOW: [f64; 4] = [0.8, 2.0, 18.0, 26.0];
/// The window in `y`, likewise.
const ANGLE_WINDOW: [f64; 4] = [0.15, 0.3, 1.9, 2.6];
const RATIO_BEND: f64 = 12.0;
const BLADE_ANGLE_RAD: f64 = 12.0 * core::f64::consts::PI / 180.0;
const INFLOW_ANGLE_RAD: f64 = 5.0 * core::f64::consts::PI / 180.0;

/// Rows: degree in `x`; columns: degree in `y`.
type Series = [[f64; 7]; 8];

/// How much the fit says at this point, 0 to 1; the rest is the far field's.
pub(super) fn weight(tip_speed_ratio: f64, pitch_rad: f64) -> f64 {
    if tip_speed_ratio <= RATIO_WINDOW[0] {
        return 0.0;
    }
    window(tip_speed_ratio, RATIO_WINDOW) * window(angle(tip_speed_ratio, pitch_rad), ANGLE_WINDOW)
}

/// Meaningful where [`weight`] is above zero.
pub(super) fn coefficients(tip_speed_ratio: f64, pitch_rad: f64) -> Coefficients {
    let bent = |ratio: f64| ratio / (ratio + RATIO_BEND);
    let x = unit(bent(tip_speed_ratio), bent(RATIO_WINDOW[0]), bent(RATIO_WINDOW[3]));
    let y = unit(angle(tip_speed_ratio, pitch_rad), ANGLE_WINDOW[0], ANGLE_WINDOW[3]);
    let (x, y) = (chebyshev::<8>(x), chebyshev::<7>(y));
    Coefficients { torque: sum(&TORQUE, &x, &y), thrust: sum(&THRUST, &x, &y) }
}

fn window(at: f64, edges: [f64; 4]) -> f64 {
    let [nothing_below, all_from, all_to, nothing_above] = edges;
    smooth_step(at, nothing_below, all_from) * smooth_step(at, nothing_above, all_to)
}

fn angle(tip_speed_ratio: f64, pitch_rad: f64) -> f64 {
    (pitch_rad + BLADE_ANGLE_RAD) / (1.0_f64.atan2(tip_speed_ratio) + INFLOW_ANGLE_RAD)
}

fn unit(at: f64, low: f64, high: f64) -> f64 {
    (2.0 * (at - low) / (high - low) - 1.0).clamp(-1.0, 1.0)
}

/// Chebyshev polynomials of the first kind of degree 0 to N - 1.
fn chebyshev<const N: usize>(at: f64) -> [f64; N] {
    let (mut this, mut next) = (1.0, at);
    core::array::from_fn(|_| {
        let value = this;
        (this, next) = (next, 2.0 * at * next - this);
        value
    })
}

fn sum(series: &Series, x: &[f64; 8], y: &[f64; 7]) -> f64 {
    let row = |row: &[f64; 7]| row.iter().zip(y).map(|(c, y)| c * y).sum::<f64>();
    series.iter().zip(x).map(|(coefficients, x)| row(coefficients) * x).sum()
}

const TORQUE: Series = [
    [-0.0090516, -0.2374089, 0.0529555, -0.1302811, 0.0874252, -0.0329508, 0.0195701],
    [0.1053624, -0.1958402, 0.2707653, -0.2251042, 0.1699379, -0.0691547, 0.0357066],
    [0.0269048, -0.3001352, 0.1915568, -0.2175519, 0.1568914, -0.0543044, 0.0362919],
    [0.0967249, -0.170395, 0.2067109, -0.153496, 0.1223697, -0.0544259, 0.026154],
    [0.0508092, -0.1643964, 0.1320365, -0.1051241, 0.1006366, -0.0259771, 0.0223936],
    [0.0407831, -0.0610684, 0.0864594, -0.0616516, 0.0537657, -0.0201449, 0.0120295],
    [0.0109753, -0.022561, 0.0342926, -0.0194458, 0.0291411, -0.0036871, 0.0062378],
    [0.0061573, 0.0043266, 0.0139338, -4.2e-6, 0.0096918, 0.0009076, 0.0044864],
];
const THRUST: Series = [
    [-0.122957, -0.422239, -0.563118, -0.185613, 0.29715, -0.330612, -0.053832],
    [-0.583196, -0.477734, -1.071989, -0.594033, 0.528649, -0.64753, -0.10982],
    [-0.527906, 0.354586, -0.296564, -0.552757, 0.560556, -0.55559, -0.108928],
    [-0.425683, -0.141009, -0.053148, -0.675339, 0.443028, -0.453265, -0.112792],
    [-0.021675, -0.229341, 0.331218, -0.47609, 0.360262, -0.275001, -0.099152],
    [0.00505, -0.351164, 0.197092, -0.350008, 0.168351, -0.137985, -0.083886],
    [0.039885, -0.100035, 0.134053, -0.117438, 0.069316, -0.037732, -0.051932],
    [0.004076, -0.021814, 0.033816, -0.017357, 0.022934, 0.004245, -0.011143],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chebyshev_polynomials_are_cosines() {
        let angle: f64 = 0.7;
        for (degree, value) in chebyshev::<8>(angle.cos()).iter().enumerate() {
            assert!((value - (degree as f64 * angle).cos()).abs() < 1e-12, "degree {degree}");
        }
    }
}
