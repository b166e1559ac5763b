//! Wake-aware set points: who gives how much, by the direction of the wind.

use core::f64::consts::TAU;

use hal_units::Radians;

/// Weights of a group's units by the direction that the wind comes from. Between two directions the weights lie on
/// the straight line between theirs, also over north.
#[derive(Debug, Clone, PartialEq)]
pub struct WakeTable {
    /// From north clockwise, ascending, from 0 to below a turn; at least one.
    pub directions: Box<[Radians]>,
    /// For each direction a weight for each unit of the group, in the group's order.
    pub weights: Box<[Box<[f64]>]>,
}

impl WakeTable {
    /// A unit's weight while the wind comes from there; 1 for a unit that the table does not have.
    #[must_use]
    pub fn weight(&self, unit: usize, from: Radians) -> f64 {
        let angle = from.get().rem_euclid(TAU);
        let count = self.directions.len();
        let above = self.directions.partition_point(|direction| direction.get() <= angle);
        // The last one before, and the first one after, around the circle.
        let (low, high) = ((above + count).wrapping_sub(1) % count.max(1), above % count.max(1));
        let at = |row: usize| self.weights.get(row).and_then(|row| row.get(unit)).copied().unwrap_or(1.0);
        let place = |row: usize| self.directions.get(row).map_or(0.0, |direction| direction.get());
        let span = (place(high) - place(low)).rem_euclid(TAU);
        let share = if span > 0.0 { (angle - place(low)).rem_euclid(TAU) / span } else { 0.0 };
        at(low) + (at(high) - at(low)) * share
    }
}

/// The mean of the directions that several turbines see, on the circle; none if nobody sees one, or all see another.
pub(super) fn mean_direction(seen: impl Iterator<Item = Radians>) -> Option<Radians> {
    const NONE_BELOW: f64 = 1e-6;
    let (mut north, mut east) = (0.0_f64, 0.0_f64);
    for from in seen {
        let (sin, cos) = from.get().sin_cos();
        (north, east) = (north + cos, east + sin);
    }
    (north.hypot(east) > NONE_BELOW).then(|| Radians(east.atan2(north)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> WakeTable {
        WakeTable {
            directions: [10.0, 100.0, 350.0].map(Radians::from_degrees).into(),
            weights: [[1.0, 2.0], [0.5, 1.0], [2.0, 1.0]].map(|row| row.to_vec().into_boxed_slice()).into(),
        }
    }

    fn weight(unit: usize, from_deg: f64) -> f64 {
        table().weight(unit, Radians::from_degrees(from_deg))
    }

    #[test]
    fn a_weight_is_the_table_s_at_its_directions_and_between_them_on_a_line() {
        for (from_deg, expected) in [(10.0, 1.0), (100.0, 0.5), (55.0, 0.75), (350.0, 2.0), (225.0, 1.25)] {
            assert!((weight(0, from_deg) - expected).abs() < 1e-9, "{from_deg}: {}", weight(0, from_deg));
        }
    }

    #[test]
    fn the_line_goes_over_north() {
        for (from_deg, expected) in [(0.0, 1.5), (355.0, 1.75), (365.0, 1.25), (-5.0, 1.75)] {
            assert!((weight(0, from_deg) - expected).abs() < 1e-9, "{from_deg}: {}", weight(0, from_deg));
        }
    }

    #[test]
    fn one_direction_holds_everywhere_and_unknown_units_weigh_one() {
        let table = WakeTable {
            directions: [Radians::from_degrees(90.0)].into(),
            weights: [vec![0.7].into_boxed_slice()].into(),
        };
        for from_deg in [0.0, 90.0, 270.0] {
            assert!((table.weight(0, Radians::from_degrees(from_deg)) - 0.7).abs() < 1e-12);
            assert_eq!(table.weight(1, Radians::from_degrees(from_deg)), 1.0);
        }
    }

    #[test]
    fn the_mean_direction_is_that_of_the_circle() {
        let mean_deg = |seen: &[f64]| {
            mean_direction(seen.iter().copied().map(Radians::from_degrees)).map(Radians::as_degrees)
        };
        assert_eq!((mean_deg(&[]), mean_deg(&[0.0, 120.0, 240.0])), (None, None));
        assert!((mean_deg(&[350.0, 20.0]).unwrap() - 5.0).abs() < 1e-9);
        assert!((mean_deg(&[350.0, 20.0, 185.0]).unwrap() - 5.0).abs() < 1e-9);
    }
}
