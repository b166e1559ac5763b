//! Collisions and impossible moves, judged from the map and the vehicles' positions alone.
//!
//! The judge shares no code with the planner: it knows cells, not nodes, and takes nobody's word.

use control_loops_layouts::grid::Grid;

/// Where a vehicle is: the cells that it covers, and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pose {
    /// The cell that it is on, or is about to reach; counted in rows from the top left.
    pub cell: usize,
    /// While it is between two cells, the one that it comes from.
    pub from: Option<usize>,
    /// In quarters of a turn from east over south.
    pub heading: u32,
}

/// What was seen in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Cells covered by two vehicles.
    pub collisions: u64,
    /// Pairs of vehicles that changed places.
    pub swaps: u64,
    /// Moves into a wall, over more than one cell, or not along the heading; turns of more than a quarter.
    pub impossible: u64,
}

impl Verdict {
    /// Everything that must not be.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.collisions + self.swaps + self.impossible
    }
}

/// The rules of a map.
#[derive(Debug, Clone)]
pub struct Judge {
    width: usize,
    free: Vec<bool>,
    turning: bool,
    last: Vec<Pose>,
    covered: Vec<Option<usize>>,
    total: Verdict,
}

impl Judge {
    /// For vehicles that move by one cell a step, and if `turning`, only along their heading.
    #[must_use]
    pub fn new(grid: &Grid, turning: bool) -> Self {
        let cells = grid.width() * grid.height();
        let free = (0..cells).map(|cell| grid.node_of(cell).is_some()).collect();
        let (last, covered) = (Vec::new(), vec![None; cells]);
        Self { width: grid.width(), free, turning, last, covered, total: Verdict::default() }
    }

    /// Looks at everybody once per step.
    pub fn see(&mut self, poses: &[Pose]) -> Verdict {
        let mut verdict = Verdict::default();
        self.covered.fill(None);
        for (vehicle, pose) in poses.iter().enumerate() {
            for cell in [Some(pose.cell), pose.from].into_iter().flatten() {
                match self.covered.get_mut(cell) {
                    Some(covered) if covered.is_some() => verdict.collisions += 1,
                    Some(covered) => *covered = Some(vehicle),
                    None => verdict.impossible += 1,
                }
                verdict.impossible += u64::from(!self.free.get(cell).copied().unwrap_or(false));
            }
        }
        for (vehicle, (before, now)) in self.last.iter().zip(poses).enumerate() {
            verdict.impossible += u64::from(!self.possible(before, now));
            let other = self.covered.get(before.cell).copied().flatten();
            let changed = other.and_then(|other| Some((other, self.last.get(other)?.cell)));
            if let Some((other, cell)) = changed {
                verdict.swaps += u64::from(other > vehicle && cell == now.cell && cell != before.cell);
            }
        }
        self.last.clear();
        self.last.extend_from_slice(poses);
        self.total.collisions += verdict.collisions;
        self.total.swaps += verdict.swaps;
        self.total.impossible += verdict.impossible;
        verdict
    }

    /// Everything seen so far.
    #[must_use]
    pub const fn total(&self) -> Verdict {
        self.total
    }

    fn possible(&self, before: &Pose, now: &Pose) -> bool {
        let turned = (now.heading + 4 - before.heading) % 4;
        if before.cell == now.cell {
            return turned != 2;
        }
        let (row, column) = (before.cell / self.width, before.cell % self.width);
        let (to_row, to_column) = (now.cell / self.width, now.cell % self.width);
        let along = match (to_row.abs_diff(row), to_column.abs_diff(column)) {
            (0, 1) => {
                if to_column > column {
                    0
                } else {
                    2
                }
            }
            (1, 0) => {
                if to_row > row {
                    1
                } else {
                    3
                }
            }
            _ => return false,
        };
        !self.turning || (turned == 0 && now.heading == along)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(turning: bool) -> Judge {
        Judge::new(&Grid::from_rows("test", 1, ["...", ".@.", "..."]).unwrap(), turning)
    }

    fn at(cell: usize) -> Pose {
        Pose { cell, from: None, heading: 0 }
    }

    #[test]
    fn two_vehicles_on_one_cell_collide() {
        assert_eq!(judge(false).see(&[at(0), at(0)]).collisions, 1);
        let moving = Pose { cell: 1, from: Some(0), heading: 0 };
        assert_eq!(judge(false).see(&[moving, at(0)]).collisions, 1);
        assert_eq!(judge(false).see(&[at(0), at(1)]), Verdict::default());
    }

    #[test]
    fn two_vehicles_that_change_places_are_seen() {
        let mut judge = judge(false);
        judge.see(&[at(0), at(1)]);
        assert_eq!(judge.see(&[at(1), at(0)]), Verdict { swaps: 1, ..Verdict::default() });
    }

    #[test]
    fn a_train_and_a_ring_are_no_swap() {
        let mut judge = judge(false);
        judge.see(&[at(0), at(1), at(2)]);
        assert_eq!(judge.see(&[at(1), at(2), at(5)]), Verdict::default());
    }

    #[test]
    fn jumps_and_walls_are_impossible() {
        let mut judge = judge(false);
        judge.see(&[at(0)]);
        assert_eq!(judge.see(&[at(2)]).impossible, 1);
        assert_eq!(judge.see(&[at(4)]).impossible, 2);
    }

    #[test]
    fn a_turning_vehicle_drives_along_its_heading_and_turns_by_a_quarter() {
        let mut judge = judge(true);
        judge.see(&[at(0)]);
        assert_eq!(judge.see(&[at(1)]).impossible, 0);
        assert_eq!(judge.see(&[at(0)]).impossible, 1);
        assert_eq!(judge.see(&[Pose { heading: 2, ..at(0) }]).impossible, 1);
        assert_eq!(judge.see(&[Pose { heading: 1, ..at(0) }]).impossible, 0);
    }
}
