//! What has happened, for whoever wants to know. A queue of fixed length; if it is full, the newest are lost
//! and counted.

use alloc::boxed::Box;
use alloc::vec;

use control_loops_fleet::Vehicle;

use crate::order::{OrderId, Outcome};

/// Something that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A vehicle got an order.
    Assigned {
        /// The order.
        order: OrderId,
        /// The vehicle.
        vehicle: Vehicle,
    },
    /// An order went back to the book before its load was taken.
    Returned {
        /// The order.
        order: OrderId,
        /// From whom.
        vehicle: Vehicle,
        /// Why.
        reason: Reason,
    },
    /// The load is on the vehicle.
    Picked {
        /// The order.
        order: OrderId,
        /// The vehicle.
        vehicle: Vehicle,
    },
    /// The load is on a vehicle that cannot go on by itself.
    Held {
        /// The order.
        order: OrderId,
        /// The vehicle.
        vehicle: Vehicle,
    },
    /// An order is over.
    Over {
        /// The order.
        order: OrderId,
        /// Who had it last.
        vehicle: Option<Vehicle>,
        /// How it ended.
        outcome: Outcome,
    },
    /// An order's deadline has passed; it is done all the same.
    Late {
        /// The order.
        order: OrderId,
    },
    /// An order waits for so long that it goes before all younger ones.
    Overdue {
        /// The order.
        order: OrderId,
    },
    /// No open way leads to where an order has to go next. It waits until one does.
    Blocked {
        /// The order.
        order: OrderId,
    },
    /// A vehicle can do less than it should.
    Degraded {
        /// The vehicle.
        vehicle: Vehicle,
        /// Why.
        what: Degradation,
    },
    /// A vehicle is as it should be again.
    Recovered {
        /// The vehicle.
        vehicle: Vehicle,
        /// What was amiss.
        what: Degradation,
    },
    /// A vehicle is on the layout and takes part.
    Joined {
        /// The vehicle.
        vehicle: Vehicle,
    },
    /// A vehicle does not take part any more.
    Left {
        /// The vehicle.
        vehicle: Vehicle,
    },
}

/// Why an order went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another vehicle does it sooner.
    Better,
    /// The vehicle does not drive by itself any more.
    Out,
    /// Its battery is nearly empty.
    Battery,
    /// It cannot reach the load any more.
    Unreachable,
}

/// What is amiss with a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degradation {
    /// Nothing was heard of it for a while.
    Silent,
    /// It has failed.
    Failed,
    /// A person drives it.
    ByHand,
    /// Its battery is nearly empty.
    BatteryCritical,
    /// Its battery is low, and there is no charger for it.
    NoCharger,
    /// It could not charge.
    Charging,
}

/// Events in order, up to a number.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    slots: Box<[Option<Event>]>,
    first: usize,
    len: usize,
    lost: u64,
}

impl Events {
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: vec![None; most.max(1)].into_boxed_slice(), first: 0, len: 0, lost: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.len == self.slots.len() {
            self.lost += 1;
            return;
        }
        let place = (self.first + self.len) % self.slots.len();
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(event);
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.len == 0 {
            return None;
        }
        let event = self.slots.get_mut(self.first).and_then(Option::take);
        self.first = (self.first + 1) % self.slots.len();
        self.len -= 1;
        event
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}
