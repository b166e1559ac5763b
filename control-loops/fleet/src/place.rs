//! Vehicles that are put elsewhere, stay where they are, or leave the layout.
//!
//! The plan stays free of conflicts: whoever planned to pass where somebody rests now, rests as well, and so
//! on. In the end only those whom it concerns have lost their plans.

use crate::graph::{Heading, Node, Vehicle};
use crate::planner::Planner;
use crate::window::{NOBODY, Path};

/// Where a vehicle is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a node, to wait there.
    At(Node, Heading),
    /// Off the layout.
    Aside,
}

/// Why vehicles cannot be put there; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceError {
    /// No such node.
    UnknownNode {
        /// Who was to be there.
        vehicle: Vehicle,
    },
    /// Another one stands there.
    Taken {
        /// Who was to be there.
        vehicle: Vehicle,
        /// Who is there.
        by: Vehicle,
    },
}

impl Planner {
    /// Puts vehicles elsewhere, all at once; `None` leaves one where it is. Their plan is to wait there.
    ///
    /// # Errors
    /// If two would be on one node.
    pub fn relocate(&mut self, place: impl Fn(Vehicle, &Self) -> Option<Place>) -> Result<(), PlaceError> {
        for vehicle in (0..self.vehicles).map(Vehicle) {
            let Some(Place::At(node, _)) = place(vehicle, self) else { continue };
            if node.0 as usize >= self.graph.nodes() {
                return Err(PlaceError::UnknownNode { vehicle });
            }
            let holder = self.window.holder(0, node.0);
            let stays = holder != NOBODY && holder != vehicle.0 && place(Vehicle(holder), self).is_none();
            let same =
                |other: &u16| matches!(place(Vehicle(*other), self), Some(Place::At(at, _)) if at == node);
            let other = if stays { Some(holder) } else { (0..vehicle.0).find(same) };
            if let Some(by) = other.map(Vehicle) {
                return Err(PlaceError::Taken { vehicle, by });
            }
        }
        let mut count = 0;
        for vehicle in 0..self.vehicles {
            let state = match place(Vehicle(vehicle), self) {
                None => continue,
                Some(Place::At(node, heading)) => self.state_at(node, heading),
                Some(Place::Aside) => self.aside(vehicle),
            };
            self.take_out(vehicle, state, &mut count);
        }
        self.lay_lifted(count);
        Ok(())
    }

    /// Whether a vehicle stays where it is now, whatever the others need.
    pub fn set_pinned(&mut self, vehicle: Vehicle, pinned: bool) {
        if vehicle.0 >= self.vehicles || self.pinned.at(vehicle.0 as usize) == pinned {
            return;
        }
        self.pinned.put(vehicle.0 as usize, pinned);
        if pinned {
            self.rest(|_, other| other == vehicle.0);
        }
        self.held.put(vehicle.0 as usize, pinned);
    }

    /// Whether a vehicle is there and stands so; how it stands means nothing where it has no heading.
    #[must_use]
    pub fn stands(&self, vehicle: Vehicle, node: Node, heading: Heading) -> bool {
        self.window.state(vehicle.0, 0) == self.state_at(node, heading)
    }

    /// Whether a vehicle stays where it is.
    #[must_use]
    pub fn is_pinned(&self, vehicle: Vehicle) -> bool {
        vehicle.0 < self.vehicles && self.pinned.at(vehicle.0 as usize)
    }

    /// Whoever fits the description plans to wait where it is.
    pub(crate) fn rest(&mut self, who: impl Fn(&Self, u16) -> bool) {
        let mut count = 0;
        for vehicle in 0..self.vehicles {
            if who(self, vehicle) {
                self.take_out(vehicle, self.window.state(vehicle, 0), &mut count);
            }
        }
        self.lay_lifted(count);
    }

    /// Everybody's plan is to stay: that is always free of conflicts.
    pub(crate) fn stop_all(&mut self) {
        self.rest(|_, _| true);
    }

    /// Nobody is held but those who are pinned.
    pub(crate) fn release_held(&mut self) {
        for vehicle in 0..self.vehicles as usize {
            self.held.put(vehicle, self.pinned.at(vehicle));
        }
    }

    /// The state of a vehicle that is not on the layout.
    pub(crate) fn aside(&self, vehicle: u16) -> u32 {
        (self.graph.nodes() as u32 + u32::from(vehicle)) * self.headings
    }

    pub(crate) fn state_at(&self, node: Node, heading: Heading) -> u32 {
        node.0 * self.headings + if self.headings > 1 { heading.index() } else { 0 }
    }

    fn take_out(&mut self, vehicle: u16, state: u32, count: &mut usize) {
        self.window.remove(vehicle);
        self.lifted.put(*count, (vehicle, state));
        *count += 1;
    }

    /// Lays resting paths for all that were taken out, and takes out whoever is in their way. Each vehicle is
    /// taken out once at most.
    fn lay_lifted(&mut self, mut count: usize) {
        if count == 0 {
            return;
        }
        let mut laid = 0;
        while laid < count {
            let (vehicle, state) = self.lifted.at(laid);
            laid += 1;
            for step in 1..=self.window.steps() {
                let other = self.window.holder(step, state / self.headings);
                if other != NOBODY {
                    self.take_out(other, self.window.state(other, 0), &mut count);
                }
            }
            self.window.insert(vehicle, &Path::resting(state));
            if laid == count {
                self.claim_standing();
                let intruder = (0..self.vehicles).find(|vehicle| self.intrudes(*vehicle));
                if let Some(intruder) = intruder {
                    self.take_out(intruder, self.window.state(intruder, 0), &mut count);
                }
            }
        }
        self.claim_all();
        self.guard.left = 0;
        self.release_held();
    }
}
