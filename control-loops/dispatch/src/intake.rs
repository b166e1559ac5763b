//! Orders in and out, and ways that are closed.

use control_loops_fleet::{CloseError, Closed, Node, Vehicle};
use hal_units::Instant;

use crate::book::Record;
use crate::controller::FleetController;
use crate::event::Event;
use crate::order::{
    CancelError, Cancelled, Fault, Order, OrderError, OrderId, OrderState, Outcome, Resolution,
};
use crate::vehicle::{Duty, Standing};

impl FleetController {
    /// Takes an order into the book, at this time.
    ///
    /// # Errors
    /// See [`OrderError`]; nothing changes then.
    pub fn submit(&mut self, now: Instant, order: Order) -> Result<(), OrderError> {
        self.clock.advance(now);
        if self.book.find(order.id).is_some() || self.book.ended(order.id).is_some() {
            return Err(OrderError::Duplicate);
        }
        for node in [Some(order.drop), order.pick].into_iter().flatten() {
            if node.0 as usize >= self.graph().nodes() {
                return Err(OrderError::UnknownNode(node));
            }
        }
        let deadline = order.deadline.map(|deadline| self.clock.millis_at(deadline));
        if deadline.is_some_and(|deadline| deadline <= self.clock.millis()) {
            return Err(OrderError::PastDeadline);
        }
        self.check_ways(&order)?;
        self.put(order, deadline)?;
        Ok(())
    }

    fn put(&mut self, order: Order, deadline: Option<u64>) -> Result<u16, OrderError> {
        let slot = self.book.free().ok_or(OrderError::Full)?;
        let record = Record {
            id: order.id,
            priority: order.priority,
            deadline,
            pick: order.pick,
            drop: order.drop,
            class: order.class,
            load_kg: order.load_kg,
            state: OrderState::Waiting,
            accepted: self.clock.millis(),
            cancelling: false,
            late: false,
            overdue: false,
            blocked: false,
            bridged: false,
        };
        self.book.put(slot, record);
        Ok(slot)
    }

    /// Takes an order into the book whose load is on a vehicle already, which brings it where it belongs: at once if
    /// it is on the layout, or else as soon as it is.
    ///
    /// # Errors
    /// See [`OrderError`]; `NoVehicle` also if this one has something else to do. Nothing changes then.
    pub fn take_up(&mut self, now: Instant, order: Order, vehicle: Vehicle) -> Result<(), OrderError> {
        self.clock.advance(now);
        if self.book.find(order.id).is_some() || self.book.ended(order.id).is_some() {
            return Err(OrderError::Duplicate);
        }
        if order.drop.0 as usize >= self.graph().nodes() {
            return Err(OrderError::UnknownNode(order.drop));
        }
        let cart = self.cart(vehicle).ok_or(OrderError::NoVehicle)?;
        if cart.duty != Duty::Idle || order.pick.is_none() {
            return Err(OrderError::NoVehicle);
        }
        let is_there = cart.standing == Standing::Driving;
        let slot = self.put(Order { deadline: None, ..order }, None)?;
        if is_there {
            self.begin_duty(vehicle, Duty::ToDrop(slot));
            return Ok(());
        }
        self.set_duty(vehicle, Duty::ToDrop(slot));
        self.set_state(slot, OrderState::Held(vehicle));
        self.events.push(Event::Held { order: order.id, vehicle });
        Ok(())
    }

    /// Notes how an order ended that is not in the book, so that it is known and not begun again.
    pub fn conclude(&mut self, id: OrderId, outcome: Outcome) {
        if self.book.find(id).is_none() && self.book.ended(id).is_none() {
            self.book.note_ended(id, outcome);
            self.events.push(Event::Over { order: id, vehicle: None, outcome });
        }
    }

    /// Whether some vehicle could do it over the ways that are not closed by name. Vehicles that are not on the
    /// layout may come.
    fn check_ways(&mut self, order: &Order) -> Result<(), OrderError> {
        if !self.all().any(|vehicle| self.can_carry(vehicle, order.class, order.load_kg)) {
            return Err(OrderError::NoVehicle);
        }
        let first = order.pick.unwrap_or(order.drop);
        let Self { distances, traffic, carts, fixed, .. } = self;
        let able = |vehicle: &Vehicle| {
            let drives =
                carts.get(usize::from(vehicle.0)).map(|cart| cart.standing) == Some(Standing::Driving);
            drives
                && fixed
                    .get(usize::from(vehicle.0))
                    .is_some_and(|fixed| fixed.can(order.class, order.load_kg))
        };
        let mut able = (0..carts.len() as u16).map(Vehicle).filter(able).peekable();
        let nobody = able.peek().is_none();
        let nodes = able.map(|vehicle| traffic.planner().position(vehicle).0);
        if !nobody && !distances.is_reached(traffic.planner(), first, nodes) {
            return Err(OrderError::Unreachable(first));
        }
        if distances.is_reached(traffic.planner(), order.drop, core::iter::once(first)) {
            Ok(())
        } else {
            Err(OrderError::Unreachable(order.drop))
        }
    }

    /// Cancels an order. Before its load is taken that is all; afterwards the load goes to `load_to`, or, if
    /// that is `None`, where it was to go anyway.
    ///
    /// # Errors
    /// See [`CancelError`]; nothing changes then.
    pub fn cancel(&mut self, id: OrderId, load_to: Option<Node>) -> Result<Cancelled, CancelError> {
        let slot = self.book.find(id).ok_or(CancelError::Unknown)?;
        let record = *self.book.at(slot).ok_or(CancelError::Unknown)?;
        match record.state {
            OrderState::Waiting | OrderState::Over(_) => {
                self.end_order(slot, Outcome::Cancelled);
                Ok(Cancelled::AtOnce)
            }
            OrderState::Held(_) => Err(CancelError::Held),
            OrderState::AtDrop(_) => Err(CancelError::TooLate),
            OrderState::Assigned(vehicle) | OrderState::ToPick(vehicle) | OrderState::ToDrop(vehicle)
                if self.is_free_to_change(vehicle) =>
            {
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(slot, Outcome::Cancelled);
                Ok(Cancelled::AtOnce)
            }
            OrderState::Assigned(vehicle)
            | OrderState::ToPick(vehicle)
            | OrderState::AtPick(vehicle)
            | OrderState::ToDrop(vehicle) => self.turn_back(slot, record, vehicle, load_to),
        }
    }

    /// The load of an order that is being cancelled gets another goal.
    fn turn_back(
        &mut self,
        slot: u16,
        record: Record,
        vehicle: Vehicle,
        load_to: Option<Node>,
    ) -> Result<Cancelled, CancelError> {
        let to = load_to.unwrap_or(record.drop);
        if record.pick.is_none() || self.look(vehicle).duty == Duty::ToDrop(slot) && self.is_granted(vehicle)
        {
            // What is to be done at the end of the way may have begun.
            return Err(CancelError::TooLate);
        }
        let Self { distances, traffic, .. } = self;
        if distances.from_vehicle(traffic.planner(), vehicle, to).is_none() {
            return Err(CancelError::NoWay(to));
        }
        if let Some(record) = self.book.at_mut(slot) {
            record.drop = to;
            record.cancelling = true;
        }
        if self.look(vehicle).duty == Duty::ToDrop(slot) {
            self.begin_duty(vehicle, Duty::ToDrop(slot));
        }
        Ok(Cancelled::LoadGoesTo(to))
    }

    /// What a person has decided about an order whose load is held.
    ///
    /// # Errors
    /// If no such order is held.
    pub fn resolve(&mut self, id: OrderId, resolution: Resolution) -> Result<(), CancelError> {
        let slot = self.book.find(id).ok_or(CancelError::Unknown)?;
        let Some(OrderState::Held(vehicle)) = self.book.at(slot).map(|record| record.state) else {
            return Err(CancelError::Unknown);
        };
        match resolution {
            Resolution::Done => {
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(slot, Outcome::Done);
            }
            Resolution::Failed => {
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(slot, Outcome::Failed(Fault::Resolved));
            }
            Resolution::GoOn => {
                self.begin_duty(vehicle, Duty::ToDrop(slot));
                if self.look(vehicle).standing != Standing::Driving {
                    self.set_state(slot, OrderState::Held(vehicle));
                }
            }
        }
        Ok(())
    }

    /// Closes the way from one node to the other, or opens it again. Who was granted it still takes it.
    ///
    /// # Errors
    /// If there is no such way.
    pub fn set_closed(&mut self, from: Node, to: Node, closed: bool) -> Result<Closed, CloseError> {
        self.traffic.set_closed(from, to, closed)
    }

    /// Closes a node for whoever is not on it, or takes one closing back; several add up.
    ///
    /// # Errors
    /// If there is no such node, or it is not closed.
    pub fn set_node_closed(&mut self, node: Node, closed: bool) -> Result<Closed, CloseError> {
        self.traffic.set_node_closed(node, closed)
    }

    /// As [`FleetController::set_node_closed`], but because of a vehicle that takes no part: it will open again, so
    /// orders wait for that.
    ///
    /// # Errors
    /// If there is no such node, or it is not barred.
    pub fn set_node_barred(&mut self, node: Node, barred: bool) -> Result<(), CloseError> {
        self.traffic.set_node_barred(node, barred)
    }

    /// Takes an order out of the book, and says so.
    pub(crate) fn end_order(&mut self, slot: u16, outcome: Outcome) {
        let Some(record) = self.book.end(slot, outcome) else { return };
        self.events.push(Event::Over { order: record.id, vehicle: record.state.vehicle(), outcome });
    }

    pub(crate) fn set_state(&mut self, slot: u16, state: OrderState) {
        if let Some(record) = self.book.at_mut(slot) {
            record.state = state;
        }
    }
}
