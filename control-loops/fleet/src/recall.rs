//! Actions that are promised to a vehicle, and all others taken back.
//!
//! # Model
//!
//! What is promised cannot be taken back: the vehicle has been told (the base of an order). The rest of a
//! vehicle's actions can, as long as nobody's later visit rests on it: whoever planned to come to a node where
//! a recalled vehicle now stays loses its actions too, and so on. In the worst case all stay where their
//! promised ways end; those ends are nodes of their own, because a node's turn comes for one vehicle at a time.
//!
//! # Invariant
//!
//! After a recall the plan that is left is the old one with some vehicles standing where nobody comes any
//! more. Its moves keep their order, so the invariant of `release.rs` holds.

use crate::graph::{Heading, Node, Vehicle};
use crate::release::Release;

impl Release {
    /// Promises as many of the next actions as their turn has come, at most `most`. How many are promised.
    pub fn promise(&mut self, vehicle: Vehicle, most: usize) -> usize {
        let slot = vehicle.0 as usize;
        let promised = self.released(vehicle).min(most).max(self.promised.at(slot) as usize);
        self.promised.put(slot, promised as u32);
        promised
    }

    /// How many of the next actions are promised.
    #[must_use]
    pub fn promised(&self, vehicle: Vehicle) -> usize {
        self.promised.at(vehicle.0 as usize) as usize
    }

    /// Whether a vehicle is on the layout.
    #[must_use]
    pub fn is_there(&self, vehicle: Vehicle) -> bool {
        !self.absent.at(vehicle.0 as usize)
    }

    /// Where a vehicle is when it has done what is promised.
    #[must_use]
    pub fn promised_end(&self, vehicle: Vehicle) -> (Node, Heading) {
        let slot = vehicle.0 as usize;
        let last = self.kept_actions(slot).checked_sub(1).and_then(|last| self.planned(vehicle, last));
        let standing = (self.node(vehicle), Heading::from_index(self.heading.at(slot)));
        last.map_or(standing, |last| (last.action.node, last.action.heading))
    }

    /// Says whether a vehicle may stay anywhere on its promised way.
    pub fn set_stuck(&mut self, vehicle: Vehicle, stuck: bool) {
        self.stuck.put(vehicle.0 as usize, stuck);
    }

    /// Takes back what is not promised from these vehicles, and from all whose actions rest on it. Where
    /// they end then, [`Release::end`] says.
    pub fn recall(&mut self, from: impl Fn(Vehicle) -> bool) {
        self.recall_where(|_, vehicle| from(vehicle));
    }

    pub(crate) fn recall_where(&mut self, from: impl Fn(&Self, Vehicle) -> bool) {
        self.kept.fill(false);
        for vehicle in 0..self.vehicles() {
            let recalled = !self.absent.at(vehicle as usize) && from(self, Vehicle(vehicle));
            self.recalled.put(vehicle as usize, recalled);
            if recalled {
                self.keep(vehicle);
            }
        }
        self.spread();
        for vehicle in 0..self.vehicles() {
            if self.recalled.at(vehicle as usize) {
                self.withdraw(vehicle, self.kept_actions(vehicle as usize));
            }
        }
    }

    /// Where a vehicle is when it has done everything.
    #[must_use]
    pub fn end(&self, vehicle: Vehicle) -> (Node, Heading) {
        let (node, heading) = self.end.at(vehicle.0 as usize);
        (Node(node), Heading::from_index(heading))
    }

    /// Takes back even what is promised from a vehicle that has said that it stands still and has given it up.
    ///
    /// The caller recalls first, with the vehicle stuck, so that nobody plans to come where it stands.
    pub fn give_up(&mut self, vehicle: Vehicle) {
        self.under_way.put(vehicle.0 as usize, false);
        self.promised.put(vehicle.0 as usize, 0);
        self.withdraw(vehicle.0, 0);
    }

    /// Takes a vehicle off the layout. What it still had to do is gone, and its node is free.
    pub fn leave(&mut self, vehicle: Vehicle) {
        let slot = vehicle.0 as usize;
        if self.absent.at(slot) {
            return;
        }
        self.give_up(vehicle);
        let node = self.node.at(slot) as usize;
        self.left.put(node, self.left.at(node).wrapping_add(1));
        self.absent.put(slot, true);
    }

    /// Puts a vehicle that is not on the layout on a node that nobody holds or has still to visit. Whether it
    /// is there now.
    pub fn enter(&mut self, vehicle: Vehicle, node: Node, heading: Heading) -> bool {
        let (slot, place) = (vehicle.0 as usize, node.0 as usize);
        let free = place < self.tickets.len() && self.tickets.at(place) == self.left.at(place);
        if !self.absent.at(slot) || !free {
            return false;
        }
        self.tickets.put(place, self.tickets.at(place).wrapping_add(1));
        self.absent.put(slot, false);
        self.stuck.put(slot, false);
        self.node.put(slot, node.0);
        self.heading.put(slot, heading.index());
        self.end.put(slot, (node.0, heading.index()));
        true
    }

    /// Who holds a node, or comes there over its promised way.
    #[must_use]
    pub fn holder(&self, node: Node) -> Option<Vehicle> {
        let holds = |vehicle: &u16| {
            let slot = *vehicle as usize;
            let comes = (0..self.kept_actions(slot))
                .filter_map(|index| self.planned(Vehicle(*vehicle), index))
                .any(|planned| planned.action.node == node);
            !self.absent.at(slot) && (self.node.at(slot) == node.0 || comes)
        };
        (0..self.vehicles()).find(holds).map(Vehicle)
    }

    /// Whether some vehicle's actions that can be taken back fit the description, by where they begin and end.
    pub(crate) fn any_open_action(&self, vehicle: Vehicle, fits: impl Fn(Node, Node) -> bool) -> bool {
        let (mut at, _) = self.promised_end(vehicle);
        (self.kept_actions(vehicle.0 as usize)..self.len.at(vehicle.0 as usize)).any(|index| {
            let Some(planned) = self.planned(vehicle, index) else { return false };
            let from = core::mem::replace(&mut at, planned.action.node);
            fits(from, at)
        })
    }

    pub(crate) fn vehicles(&self) -> u16 {
        self.len.len() as u16
    }

    /// Actions that stay: promised, or begun.
    fn kept_actions(&self, slot: usize) -> u32 {
        self.promised.at(slot).max(u32::from(self.under_way.at(slot))).min(self.len.at(slot))
    }

    fn keep(&mut self, vehicle: u16) {
        let slot = vehicle as usize;
        let (end, _) = self.promised_end(Vehicle(vehicle));
        self.kept.put(end.0 as usize, true);
        if self.stuck.at(slot) {
            self.kept.put(self.node.at(slot) as usize, true);
            for index in 0..self.kept_actions(slot) {
                if let Some(planned) = self.planned(Vehicle(vehicle), index) {
                    self.kept.put(planned.action.node.0 as usize, true);
                }
            }
        }
    }

    /// Adds whoever planned to come to a kept node. Each round adds one vehicle at least.
    fn spread(&mut self) {
        for _ in 0..self.vehicles() {
            let mut any = false;
            for vehicle in 0..self.vehicles() {
                let slot = vehicle as usize;
                let rests = !self.recalled.at(slot)
                    && self.any_open_action(Vehicle(vehicle), |from, to| {
                        from != to && self.kept.at(to.0 as usize)
                    });
                if rests {
                    self.recalled.put(slot, true);
                    self.keep(vehicle);
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Takes back all actions but the first `keep`; later visitors move up.
    fn withdraw(&mut self, vehicle: u16, keep: u32) {
        let slot = vehicle as usize;
        while self.len.at(slot) > keep {
            let last = self.len.at(slot) - 1;
            let Some(planned) = self.planned(Vehicle(vehicle), last) else { return };
            let before = last.checked_sub(1).and_then(|before| self.planned(Vehicle(vehicle), before));
            let (from, heading) = before.map_or((self.node.at(slot), self.heading.at(slot)), |before| {
                (before.action.node.0, before.action.heading.index())
            });
            self.len.put(slot, last);
            self.end.put(slot, (from, heading));
            let node = planned.action.node;
            if node.0 != from {
                self.move_up(node, planned.ticket);
            }
        }
    }

    fn move_up(&mut self, node: Node, ticket: u32) {
        for vehicle in 0..self.vehicles() {
            let slot = vehicle as usize;
            for index in 0..self.len.at(slot) {
                let place = (self.first.at(slot) + index) as usize % self.ahead_max;
                let mut planned = self.queue.at(slot * self.ahead_max + place);
                // Tickets wrap; those of one node are close together.
                let later = planned.ticket.wrapping_sub(ticket) as i32 > 0;
                if planned.action.node == node && later {
                    planned.ticket = planned.ticket.wrapping_sub(1);
                    self.queue.put(slot * self.ahead_max + place, planned);
                }
            }
        }
        let tickets = self.tickets.at(node.0 as usize).wrapping_sub(1);
        self.tickets.put(node.0 as usize, tickets);
    }
}
