//! The matching of orders and vehicles whose sum of costs is least.
//!
//! The Hungarian method in the form of shortest augmenting paths (Kuhn 1955, doi:10.1002/nav.3800020109; Jonker
//! and Volgenant 1987, doi:10.1007/BF02278710): rows squared, times columns.

use alloc::boxed::Box;
use alloc::vec;

/// No pair.
pub(crate) const NEVER: i64 = i64::MAX / 4;
/// What it costs that an order gets no vehicle: more than any way.
const LEFT: i64 = 1 << 40;
/// And what that costs more for each order that is overdue and younger: more than all ways together.
const LEFT_OVERDUE: i64 = 1 << 48;
pub(crate) const NOBODY: u16 = u16::MAX;

/// An order that is matched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) slot: u16,
    pub(crate) overdue: bool,
    pub(crate) urgency: i64,
    pub(crate) accepted: u64,
    /// The vehicle that has it.
    pub(crate) has: u16,
}

const NO_ROW: Row = Row { slot: 0, overdue: false, urgency: 0, accepted: 0, has: NOBODY };

/// Memory of the matching.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matching {
    rows: Box<[Row]>,
    pub(crate) len: usize,
    vehicles: usize,
    /// Vehicles that take part, and the column of each, counted from 1; 0 for none.
    columns: usize,
    pub(crate) column_of: Box<[usize]>,
    cost: Box<[i64]>,
    /// What it costs to leave each row without a vehicle.
    left: Box<[i64]>,
    row_value: Box<[i64]>,
    column_value: Box<[i64]>,
    /// The row of each column, counted from 1; 0 for none.
    row_of: Box<[usize]>,
    before: Box<[usize]>,
    least: Box<[i64]>,
    used: Box<[bool]>,
}

impl Matching {
    pub(crate) fn new(rows: usize, vehicles: usize) -> Self {
        // Each row can also be left without a vehicle: it has a column of its own for that.
        let columns = vehicles + rows + 1;
        Self {
            rows: vec![NO_ROW; rows].into_boxed_slice(),
            len: 0,
            vehicles,
            columns: 0,
            column_of: vec![0; vehicles].into_boxed_slice(),
            cost: vec![0; rows * vehicles].into_boxed_slice(),
            left: vec![0; rows].into_boxed_slice(),
            row_value: vec![0; rows + 1].into_boxed_slice(),
            column_value: vec![0; columns].into_boxed_slice(),
            row_of: vec![0; columns].into_boxed_slice(),
            before: vec![0; columns].into_boxed_slice(),
            least: vec![0; columns].into_boxed_slice(),
            used: vec![false; columns].into_boxed_slice(),
        }
    }

    pub(crate) fn row(&self, index: usize) -> Row {
        self.rows.get(index).copied().unwrap_or(NO_ROW)
    }

    /// Adds a row; from `first` on the most urgent ones are kept, most urgent first, at most `most` of them.
    pub(crate) fn offer(&mut self, row: Row, first: usize, most: usize) {
        let key = |row: &Row| {
            (!row.overdue, if row.overdue { row.accepted as i64 } else { -row.urgency }, row.slot)
        };
        let most = (first + most).min(self.rows.len());
        let Some(kept) = self.rows.get(first..self.len) else { return };
        let place = first + kept.partition_point(|other| key(other) < key(&row));
        if place >= most {
            return;
        }
        self.len = (self.len + 1).min(most);
        if let Some(moved) = self.rows.get_mut(place..self.len) {
            moved.rotate_right(1);
            if let Some(slot) = moved.first_mut() {
                *slot = row;
            }
        }
    }

    /// Only these vehicles take part.
    pub(crate) fn list_columns(&mut self, takes_part: impl Fn(usize) -> bool) {
        self.columns = 0;
        for vehicle in 0..self.vehicles {
            let column = if takes_part(vehicle) { self.columns + 1 } else { 0 };
            self.columns = self.columns.max(column);
            set(&mut self.column_of, vehicle, column);
        }
    }

    pub(crate) fn set_cost(&mut self, row: usize, vehicle: usize, cost: i64) {
        let Some(vehicle) = get(&self.column_of, vehicle).checked_sub(1) else { return };
        if let Some(slot) = self.cost.get_mut(row * self.vehicles + vehicle) {
            *slot = cost;
        }
    }

    /// What it costs that a vehicle does the order of a row; `None` if it does not take part or cannot.
    pub(crate) fn cost(&self, row: usize, vehicle: usize) -> Option<i64> {
        let column = get(&self.column_of, vehicle).checked_sub(1)?;
        self.cost.get(row * self.vehicles + column).copied().filter(|cost| *cost < NEVER)
    }

    /// What a row and a column cost together, both counted from 1.
    fn pair(&self, row: usize, column: usize) -> i64 {
        if let Some(left) = (column - 1).checked_sub(self.columns) {
            return if left + 1 == row { get(&self.left, left) } else { NEVER };
        }
        self.cost.get((row - 1) * self.vehicles + column - 1).copied().unwrap_or(NEVER)
    }

    /// Of orders that are overdue, each older one is dearer to leave.
    pub(crate) fn price_left(&mut self) {
        for index in 0..self.len {
            let this = self.row(index);
            let age = |row: &Row| (row.accepted, row.slot);
            let younger = |row: &&Row| row.overdue && age(row) >= age(&this);
            let rank = self.rows.iter().take(self.len).filter(younger).count();
            let overdue = if this.overdue { rank as i64 * LEFT_OVERDUE } else { 0 };
            set(&mut self.left, index, LEFT + this.urgency.min(LEFT / 2) + overdue);
        }
    }

    /// Matches each row with a column so that the sum is least. One row after the other takes the cheapest
    /// way of changing places.
    pub(crate) fn solve(&mut self) {
        let columns = self.columns + self.len;
        self.row_value.fill(0);
        self.column_value.fill(0);
        self.row_of.fill(0);
        for row in 1..=self.len {
            set(&mut self.row_of, 0, row);
            self.least.fill(NEVER);
            self.used.fill(false);
            let mut column = 0;
            for _ in 0..=columns {
                if get(&self.row_of, column) == 0 && column != 0 {
                    break;
                }
                column = self.relax(column, columns);
            }
            while column != 0 {
                let before = get(&self.before, column);
                let row = get(&self.row_of, before);
                set(&mut self.row_of, column, row);
                column = before;
            }
        }
    }

    /// Takes a column into the tree of changes, and says which is nearest now.
    fn relax(&mut self, column: usize, columns: usize) -> usize {
        set(&mut self.used, column, true);
        let row = get(&self.row_of, column);
        let (mut step, mut next) = (i64::MAX, 0);
        for other in 1..=columns {
            if get(&self.used, other) {
                continue;
            }
            let reduced = self.pair(row, other) - get(&self.row_value, row) - get(&self.column_value, other);
            if reduced < get(&self.least, other) {
                set(&mut self.least, other, reduced);
                set(&mut self.before, other, column);
            }
            if get(&self.least, other) < step {
                (step, next) = (get(&self.least, other), other);
            }
        }
        for other in 0..=columns {
            if get(&self.used, other) {
                let row = get(&self.row_of, other);
                add(&mut self.row_value, row, step);
                add(&mut self.column_value, other, -step);
            } else {
                add(&mut self.least, other, -step);
            }
        }
        next
    }

    /// The row that a vehicle was matched with.
    pub(crate) fn row_for(&self, vehicle: usize) -> Option<Row> {
        let column = get(&self.column_of, vehicle).checked_sub(1)?;
        let row = get(&self.row_of, column + 1).checked_sub(1)?;
        self.cost(row, vehicle).map(|_| self.row(row))
    }
}

pub(crate) fn get<T: Copy + Default>(values: &[T], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

fn set<T>(values: &mut [T], index: usize, value: T) {
    if let Some(slot) = values.get_mut(index) {
        *slot = value;
    }
}

fn add(values: &mut [i64], index: usize, more: i64) {
    if let Some(slot) = values.get_mut(index) {
        *slot += more;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    extern crate std;

    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// The least sum over all ways to give each row another column, or none.
    fn least(matching: &Matching, row: usize, taken: &mut Vec<usize>) -> i64 {
        if row > matching.len {
            return 0;
        }
        let left = matching.left[row - 1];
        let mut best = left + least(matching, row + 1, taken);
        for column in 1..=matching.vehicles {
            if !taken.contains(&column) && matching.pair(row, column) < NEVER {
                taken.push(column);
                best = best.min(matching.pair(row, column) + least(matching, row + 1, taken));
                taken.pop();
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_other_matching_costs_less(
            vehicles in 1_usize..5,
            costs in proptest::collection::vec(proptest::option::weighted(0.8, 0_i64..1_000), 1..20),
            overdue in any::<u8>(),
        ) {
            let rows = (costs.len() / vehicles).min(5);
            prop_assume!(rows > 0);
            let mut matching = Matching::new(rows, vehicles);
            matching.list_columns(|_| true);
            for row in 0..rows {
                let overdue = overdue >> row & 1 == 1;
                let row = Row { slot: row as u16, overdue, urgency: row as i64, accepted: 9 - row as u64, has: NOBODY };
                matching.offer(row, 0, rows);
            }
            for (index, cost) in costs.iter().take(rows * vehicles).enumerate() {
                matching.set_cost(index / vehicles, index % vehicles, cost.unwrap_or(NEVER));
            }
            matching.price_left();
            matching.solve();
            let mut sum = 0;
            let mut matched = vec![false; rows];
            for vehicle in 0..vehicles {
                let row = get(&matching.row_of, vehicle + 1);
                if row > 0 && matching.row_for(vehicle).is_some() {
                    prop_assert!(!std::mem::replace(&mut matched[row - 1], true), "a row twice");
                    sum += matching.pair(row, vehicle + 1);
                }
            }
            sum += matched.iter().zip(&matching.left).filter(|(matched, _)| !**matched).map(|(_, left)| left).sum::<i64>();
            prop_assert_eq!(sum, least(&matching, 1, &mut Vec::new()));
        }
    }
}
