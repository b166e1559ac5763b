//! Who does which order.
//!
//! # Model
//!
//! The most urgent waiting orders, and those that a vehicle has and has not begun, are matched with all
//! vehicles that could do them, so that the sum of costs is least (`matching.rs`). A pair costs the time that
//! the vehicle needs to the load over the open ways. A loaded vehicle that is nearly there takes part with what
//! it still has to drive. If it is the best one, the nearest vehicle that is left free sets out instead of it, so
//! that nothing waits while somebody is free; the best one takes the order over once it is free, if it is still
//! nearer by then. Without a free vehicle the order waits for the best one.
//! An order without a vehicle costs more than any way, and more the more urgent it is.
//!
//! Urgency is age, plus so much for each level of priority, plus what a near deadline adds. So a younger order
//! goes before an older one only by a limited time, and from [`crate::Setup::overdue_after`] on not at all.

use control_loops_fleet::Vehicle;

use crate::book::Record;
use crate::controller::FleetController;
use crate::event::{Event, Reason};
use crate::matching::{NEVER, NOBODY, Row, get};
use crate::order::{Class, OrderState};
use crate::vehicle::{Duty, Standing};

/// A loaded vehicle takes part if it is at its goal within so many steps.
const SOON_STEPS: u32 = 20;

impl FleetController {
    /// Gives orders to vehicles.
    pub(crate) fn assign(&mut self) {
        let may_change =
            |record: &Record| record.state.vehicle().is_some_and(|vehicle| self.is_free_to_change(vehicle));
        let open =
            |record: &Record| record.state == OrderState::Waiting || (record.bridged && may_change(record));
        if !self.book.iter().any(|(_, record)| open(record)) {
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
            if self.is_busy(vehicle) {
                continue;
            }
            match self.waiting(row.slot) {
                Some(record) => self.give(vehicle, row.slot, &record, false),
                None => self.note_bridged(row.slot, false),
            }
        }
        self.bridge();
    }

    /// Gives what would wait for a loaded vehicle to the nearest vehicle that is left free, the most urgent first.
    fn bridge(&mut self) {
        for index in 0..self.matching.len {
            let row = self.matching.row(index);
            let Some(record) = self.waiting(row.slot) else { continue };
            let mut nearest: Option<(i64, Vehicle)> = None;
            for vehicle in self.all() {
                let at = usize::from(vehicle.0);
                let Some(cost) = self.matching.cost(index, at) else { continue };
                let free = self.matching.row_for(at).is_none()
                    && self.look(vehicle).duty.order().is_none()
                    && !self.is_busy(vehicle);
                if free && nearest.is_none_or(|(least, _)| cost < least) {
                    nearest = Some((cost, vehicle));
                }
            }
            if let Some((_, vehicle)) = nearest {
                self.give(vehicle, row.slot, &record, true);
            }
        }
    }

    /// An order, if it waits.
    fn waiting(&self, slot: u16) -> Option<Record> {
        self.book.at(slot).filter(|record| record.state == OrderState::Waiting).copied()
    }

    fn note_bridged(&mut self, slot: u16, bridged: bool) {
        if let Some(record) = self.book.at_mut(slot) {
            record.bridged = bridged;
        }
    }

    fn give(&mut self, vehicle: Vehicle, slot: u16, record: &Record, bridged: bool) {
        self.note_bridged(slot, bridged);
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
        let mut matching = core::mem::take(&mut self.matching);
        matching.list_columns(|vehicle| self.takes_part(Vehicle(vehicle as u16)));
        self.matching = matching;
        for index in 0..self.matching.len {
            let row = self.matching.row(index);
            let Some(record) = self.book.at(row.slot).copied() else { continue };
            let mut reachable = false;
            for vehicle in self.all() {
                if get(&self.matching.column_of, usize::from(vehicle.0)) == 0 {
                    continue;
                }
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

    /// Whether a vehicle can begin an order now, or soon.
    fn takes_part(&self, vehicle: Vehicle) -> bool {
        let loaded = matches!(self.look(vehicle).duty, Duty::ToDrop(_) | Duty::AtDrop(_));
        let near = || self.traffic.planner().steps_to_goal(vehicle).is_some_and(|steps| steps <= SOON_STEPS);
        !self.is_busy(vehicle) || (loaded && near())
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
        self.fixed.get(usize::from(vehicle.0)).is_some_and(|fixed| fixed.can(class, load_kg))
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
