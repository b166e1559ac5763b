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
//! (idling at 17.3), and beyond that to the far field, to which the weight leads over.

use super::{Coefficients, smooth_step};

/// The window in tip-speed ratio: nothing, all; all, nothing.
const RATIO_WINDOW: [f64; 4] = [0.5, 1.5, 18.0, 26.0];
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
    [-0.0434355, -0.1463214, -0.0170183, -0.0935668, 0.0361616, -0.0344675, -0.0023936],
    [0.0078234, -0.0678466, 0.1267571, -0.093771, 0.1196101, -0.0014838, 0.0441132],
    [-0.038004, -0.1599754, 0.0619883, -0.1653677, 0.0649694, -0.0593909, -0.0024695],
    [0.0366422, -0.053834, 0.1248336, -0.0434201, 0.0985013, -0.000_008_2, 0.0361431],
    [0.0047503, -0.1065045, 0.0432954, -0.0890967, 0.0406915, -0.0334446, -0.0022645],
    [0.0226958, 0.0105383, 0.0643689, 0.00318, 0.0519949, 0.0103589, 0.0199421],
    [-0.0064823, -0.0139623, 0.0025407, -0.0212507, 0.0086724, -0.0081009, -0.0025591],
    [0.0031879, 0.0275059, 0.0113703, 0.0191778, 0.011175, 0.0096061, 0.0069396],
];
const THRUST: Series = [
    [-0.201142, -0.349256, -0.582031, -0.261073, 0.467594, -0.404983, 0.075972],
    [-0.572259, -0.092358, -0.863272, -0.503726, 1.003267, -0.706214, 0.176678],
    [-0.667153, 0.465577, -0.391963, -0.653101, 0.824211, -0.676263, 0.100224],
    [-0.43856, 0.235563, 0.071385, -0.559639, 0.775709, -0.479317, 0.087214],
    [-0.137605, -0.122731, 0.236197, -0.520507, 0.487148, -0.345831, 0.004417],
    [0.021358, -0.164191, 0.29831, -0.283425, 0.343103, -0.142185, 0.007996],
    [0.013328, -0.09709, 0.11682, -0.148394, 0.104103, -0.064423, -0.029467],
    [0.025596, 0.012729, 0.087526, -0.003943, 0.074831, 0.007326, 0.008254],
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
