//! How much a rotor table says at a point; the rest is the far field's.

use control_loops_rotor::RotorTable;
use hal_units::Radians;

use super::smooth_step;

/// Beyond the largest tip-speed ratio `Cp` goes on straight while its weight falls to zero at this
/// multiple. Chosen so that with the published table of the NREL 5-MW rotor, which ends at 14.5, the
/// rotor idles near the published 17.3.
const RATIO_FADE: f64 = 1.62;
/// Below the smallest tip-speed ratio the weight falls to zero at this multiple.
const RATIO_FADE_BELOW: f64 = 0.4;
/// Beyond the pitch angles the weight falls to zero within these.
const PITCH_FADE_BELOW: Radians = Radians::from_degrees(5.0);
const PITCH_FADE: Radians = Radians::from_degrees(15.0);

/// 1 on the grid, 0 far from it.
pub(super) fn weight(table: &RotorTable, ratio: f64, pitch_rad: f64) -> f64 {
    let (ratio_min, ratio_max) = table.ratio_range();
    let (pitch_min, pitch_max) = table.pitch_range();
    smooth_step(ratio, RATIO_FADE_BELOW * ratio_min, ratio_min)
        * smooth_step(ratio, RATIO_FADE * ratio_max, ratio_max)
        * smooth_step(pitch_rad, (pitch_min - PITCH_FADE_BELOW).get(), pitch_min.get())
        * smooth_step(pitch_rad, (pitch_max + PITCH_FADE).get(), pitch_max.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotor::Coefficients;

    #[test]
    fn the_weight_is_whole_on_the_grid_and_nothing_far_away() {
        let nothing = |_, _| Coefficients { torque: 0.0, thrust: 0.0 };
        let table = RotorTable::sampled(((2.0, 8.0), 3), ((Radians(0.0), Radians(0.4)), 3), nothing);
        assert_eq!(weight(&table, 2.0, 0.0), 1.0);
        assert_eq!(weight(&table, 8.0, 0.4), 1.0);
        assert_eq!(weight(&table, 13.0, 0.2), 0.0);
        assert_eq!(weight(&table, 0.0, 0.2), 0.0);
        assert_eq!(weight(&table, 4.0, 1.5), 0.0);
    }
}
