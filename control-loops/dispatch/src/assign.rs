//! Who does which order.
//!
//! # Model
//!
//! The most urgent waiting orders, and those that a vehicle has and has not begun, are matched with all
//! vehicles that could do them, so that the sum of costs is least (the Hungarian method in the form of shortest
//! augmenting paths; Kuhn 1955, doi:10.1002/nav.3800020109; Jonker and Volgenant 1987,
//! doi:10.1007/BF02278710). A pair costs the time that the vehicle needs to the load over the open ways. A
//! loaded vehicle takes part with what it still has to drive; if it is the best one, the order waits for it.
//! An order without a vehicle costs more than any way, and more the more urgent it is.
//!
//! Urgency is age, plus so much for each level of priority, plus what a near deadline adds. So a younger order
//! goes before an older one only by a limited time, and from [`crate::Setup::overdue_after`] on not at all.

use alloc::boxed::Box;
use alloc::vec;

use control_loops_fleet::Vehicle;

use crate::book::Record;
use crate::controller::FleetController;
use crate::event::{Event, Reason};
use crate::order::{Class, OrderState};
use crate::vehicle::{Duty, Standing};

/// No pair.
const NEVER: i64 = i64::MAX / 4;
/// What it costs that an order gets no vehicle: more than any way.
const LEFT: i64 = 1 << 40;
/// And what that costs more for each order that is overdue and younger: more than all ways together.
const LEFT_OVERDUE: i64 = 1 << 48;
const NOBODY: u16 = u16::MAX;

/// An order that is matched.
#[derive(Debug, Clone, Copy)]
struct Row {
    slot: u16,
    overdue: bool,
    urgency: i64,
    accepted: u64,
    /// The vehicle that has it.
    has: u16,
}

const NO_ROW: Row = Row { slot: 0, overdue: false, urgency: 0, accepted: 0, has: NOBODY };

/// Memory of the matching.
#[derive(Debug, Clone)]
pub(crate) struct Matching {
    rows: Box<[Row]>,
    len: usize,
    vehicles: usize,
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

    fn row(&self, index: usize) -> Row {
        self.rows.get(index).copied().unwrap_or(NO_ROW)
    }

    /// Adds a row; from `first` on the most urgent ones are kept, most urgent first, at most `most` of them.
    fn offer(&mut self, row: Row, first: usize, most: usize) {
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

    fn set_cost(&mut self, row: usize, vehicle: usize, cost: i64) {
        if let Some(slot) = self.cost.get_mut(row * self.vehicles + vehicle) {
            *slot = cost;
        }
    }

    /// What a row and a column cost together, both counted from 1.
    fn pair(&self, row: usize, column: usize) -> i64 {
        if let Some(left) = (column - 1).checked_sub(self.vehicles) {
            return if left + 1 == row { get(&self.left, left) } else { NEVER };
        }
        self.cost.get((row - 1) * self.vehicles + column - 1).copied().unwrap_or(NEVER)
    }

    /// Of orders that are overdue, each older one is dearer to leave.
    fn price_left(&mut self) {
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
    fn solve(&mut self) {
        let columns = self.vehicles + self.len;
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
    fn row_for(&self, vehicle: usize) -> Option<Row> {
        let row = get(&self.row_of, vehicle + 1).checked_sub(1)?;
        (self.cost.get(row * self.vehicles + vehicle).copied().unwrap_or(NEVER) < NEVER)
            .then(|| self.row(row))
    }
}

fn get<T: Copy + Default>(values: &[T], index: usize) -> T {
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

impl FleetController {
    /// Gives orders to vehicles.
    pub(crate) fn assign(&mut self) {
        if !self.book.iter().any(|(_, record)| record.state == OrderState::Waiting) {
            return;
        }
        self.list_rows();
        self.price_pairs();
        self.matching.price_left();
        self.matching.solve();
        // First everything that changes hands is laid down, then it is taken up.
        for vehicle in self.all() {
            let has = self.look(vehicle).duty.order();
            let Some(row) = self.matching.row_for(usize::from(vehicle.0)) else { continue };
            if row.has != NOBODY && row.has != vehicle.0 && !self.is_busy(vehicle) {
                self.give_back(Vehicle(row.has), Reason::Better);
            }
            if has.is_some_and(|slot| slot != row.slot) && self.is_free_to_change(vehicle) {
                self.give_back(vehicle, Reason::Better);
            }
        }
        for vehicle in self.all() {
            let Some(row) = self.matching.row_for(usize::from(vehicle.0)) else { continue };
            let waits = self.book.at(row.slot).filter(|record| record.state == OrderState::Waiting).copied();
            if let Some(record) = waits.filter(|_| !self.is_busy(vehicle)) {
                self.give(vehicle, row.slot, &record);
            }
        }
    }

    fn give(&mut self, vehicle: Vehicle, slot: u16, record: &Record) {
        let duty = if record.pick.is_some() { Duty::ToPick(slot) } else { Duty::ToDrop(slot) };
        self.begin_duty(vehicle, duty);
        self.set_state(slot, OrderState::Assigned(vehicle));
        self.say_blocked(slot, false);
        self.events.push(Event::Assigned { order: record.id, vehicle });
    }

    /// Whether a vehicle cannot begin another order now.
    fn is_busy(&self, vehicle: Vehicle) -> bool {
        let (cart, battery) = (self.look(vehicle), self.setup.battery);
        if cart.standing != Standing::Driving || cart.battery < battery.low {
            return true;
        }
        match cart.duty {
            Duty::Idle | Duty::ToPark(_) | Duty::Parked(_) => false,
            Duty::ToCharge(_) | Duty::Charging(_) => cart.battery < battery.enough,
            Duty::ToPick(_) | Duty::ToDrop(_) => !self.is_free_to_change(vehicle),
            Duty::AtPick(_) | Duty::AtDrop(_) | Duty::Held(_) => true,
        }
    }

    /// The orders that are matched: the most urgent that wait, then those that may change hands.
    fn list_rows(&mut self) {
        let most = self.setup.window_orders;
        self.matching.len = 0;
        let mut first = 0;
        for waiting in [true, false] {
            for slot in 0..self.book.slots() {
                let Some(record) = self.book.at(slot).copied() else { continue };
                let has = record.state.vehicle();
                let fits = if waiting {
                    record.state == OrderState::Waiting
                } else {
                    has.is_some_and(|vehicle| self.is_free_to_change(vehicle) && !self.is_busy(vehicle))
                };
                if fits {
                    let row = Row {
                        slot,
                        overdue: record.overdue,
                        urgency: self.urgency(&record),
                        accepted: record.accepted,
                        has: has.map_or(NOBODY, |vehicle| vehicle.0),
                    };
                    self.matching.offer(row, first, most);
                }
            }
            first = self.matching.len;
        }
    }

    /// How urgent an order is, in milliseconds of way that may be driven for it.
    fn urgency(&self, record: &Record) -> i64 {
        let now = self.clock.millis();
        let age = now.saturating_sub(record.accepted) as i64;
        let worth = self.setup.priority_worth.as_millis() as i64;
        let overdue_after = self.setup.overdue_after.as_millis() as i64;
        // A deadline counts as if the order were older, the more the nearer it is.
        let near = record.deadline.map_or(0, |deadline| {
            let left = deadline.saturating_sub(now) as i64;
            (overdue_after - left).clamp(0, overdue_after)
        });
        age + i64::from(record.priority) * worth + near
    }

    /// What each pair costs.
    fn price_pairs(&mut self) {
        let action_ms = self.setup.action_time.as_millis() as i64;
        let gain_ms = self.setup.reassign_gain.as_millis() as i64;
        for index in 0..self.matching.len {
            let row = self.matching.row(index);
            let Some(record) = self.book.at(row.slot).copied() else { continue };
            let mut reachable = false;
            for vehicle in self.all() {
                let mut cost = NEVER;
                if let Some(steps) = self.way_to(vehicle, &record, row.overdue) {
                    cost = i64::from(steps) * action_ms;
                    if row.has == vehicle.0 {
                        cost -= gain_ms;
                    }
                    reachable = true;
                }
                self.matching.set_cost(index, usize::from(vehicle.0), cost);
            }
            if row.has == NOBODY {
                let cut = !reachable && self.is_cut_off(&record);
                self.say_blocked(row.slot, cut);
            }
        }
    }

    /// Steps until a vehicle could be at an order's first node; `None` if it cannot do it now.
    fn way_to(&mut self, vehicle: Vehicle, record: &Record, overdue: bool) -> Option<u32> {
        if !self.fits(vehicle, record) {
            return None;
        }
        let first = record.first_node();
        let cart = self.look(vehicle);
        let loaded = match cart.duty {
            Duty::ToDrop(slot) | Duty::AtDrop(slot) => Some(slot),
            Duty::Idle
            | Duty::ToPark(_)
            | Duty::Parked(_)
            | Duty::ToCharge(_)
            | Duty::Charging(_)
            | Duty::ToPick(_)
            | Duty::AtPick(_)
            | Duty::Held(_) => None,
        };
        let busy = self.is_busy(vehicle);
        let Self { distances, traffic, book, setup, .. } = self;
        let planner = traffic.planner();
        if !busy {
            return distances.from_vehicle(planner, vehicle, first);
        }
        let able = cart.standing == Standing::Driving && cart.battery >= setup.battery.low && !overdue;
        let drop = book.at(loaded.filter(|_| able)?)?.drop;
        let left = planner.steps_to_goal(vehicle)?;
        Some(left + distances.between(planner, drop, first)?)
    }

    fn fits(&self, vehicle: Vehicle, record: &Record) -> bool {
        self.can_carry(vehicle, record.class, record.load_kg)
    }

    /// Whether a vehicle is of a class and carries so much.
    pub(crate) fn can_carry(&self, vehicle: Vehicle, class: Option<Class>, load_kg: u32) -> bool {
        let fixed = self.fixed.get(usize::from(vehicle.0));
        fixed.is_some_and(|fixed| {
            class.is_none_or(|class| class == fixed.class) && load_kg <= fixed.capacity_kg
        })
    }

    /// Whether no vehicle that drives and could do an order gets to its first node.
    fn is_cut_off(&mut self, record: &Record) -> bool {
        let first = record.first_node();
        let mut any = false;
        for vehicle in self.all() {
            if self.look(vehicle).standing == Standing::Driving && self.fits(vehicle, record) {
                any = true;
                let Self { distances, traffic, .. } = self;
                if distances.from_vehicle(traffic.planner(), vehicle, first).is_some() {
                    return false;
                }
            }
        }
        any
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
