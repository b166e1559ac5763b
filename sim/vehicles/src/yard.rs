//! Whether vehicles collide, judged from where they truly are.

use std::collections::HashSet;

use crate::motion::Truth;

/// All vehicles of a site as discs.
#[derive(Debug, Clone)]
pub struct Yard {
    diameter: f64,
    /// Pairs that touch now.
    touching: HashSet<(usize, usize)>,
    collisions: u64,
    nearest: f64,
}

impl Yard {
    /// Vehicles that are discs of this diameter, in metres.
    #[must_use]
    pub fn new(diameter: f64) -> Self {
        Self { diameter, touching: HashSet::new(), collisions: 0, nearest: f64::INFINITY }
    }

    /// Looks at all vehicles at one time. A pair that touches counts once until it has parted.
    pub fn see<'a>(&mut self, vehicles: impl IntoIterator<Item = &'a Truth>) {
        let mut by_x: Vec<(usize, f64, f64)> =
            vehicles.into_iter().enumerate().map(|(index, truth)| (index, truth.x, truth.y)).collect();
        by_x.sort_by(|a, b| a.1.total_cmp(&b.1));
        // Nearer than this is worth knowing; farther apart nobody looks.
        let reach = self.diameter * 2.0;
        let mut touching = HashSet::new();
        for (at, (first, x, y)) in by_x.iter().enumerate() {
            for (second, other_x, other_y) in
                by_x.iter().skip(at + 1).take_while(|other| other.1 - x <= reach)
            {
                let distance = (other_x - x).hypot(other_y - y);
                self.nearest = self.nearest.min(distance);
                if distance < self.diameter {
                    touching.insert((*first.min(second), *first.max(second)));
                }
            }
        }
        self.collisions += touching.difference(&self.touching).count() as u64;
        self.touching = touching;
    }

    /// How often two vehicles began to touch.
    #[must_use]
    pub const fn collisions(&self) -> u64 {
        self.collisions
    }

    /// The least distance of two centres, in metres; `None` if none were nearer than two diameters.
    #[must_use]
    pub fn nearest(&self) -> Option<f64> {
        (self.nearest <= self.diameter * 2.0).then_some(self.nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_touches_counts_once_until_it_has_parted() {
        let mut yard = Yard::new(0.6);
        let mut at = |x: f64| yard.see(&[Truth::at([0.0, 0.0], 0.0), Truth::at([x, 0.0], 0.0)]);
        for x in [1.0, 0.5, 0.4, 1.0, 0.59] {
            at(x);
        }
        assert_eq!((yard.collisions(), yard.nearest()), (2, Some(0.4)));
    }
}
