//! Plan and release of a real fleet: vehicles that are late, stay, come, go, and lose what they had.
//!
//! # Model
//!
//! The [`Planner`] runs ahead of the vehicles by a few actions each ([`Release`]). It goes on when nearly all
//! have room for one more. Whoever has none then is pinned: the others plan around it until it has got on. So
//! no single vehicle holds up the fleet.
//!
//! # Invariant
//!
//! For each vehicle on the layout the planner's position is where its actions end ([`Release`]), so the plan
//! goes on from what was promised. All that takes actions back ends with [`Traffic::agree`].
//!
//! While pins last for a limited time, the arguments of `guard.rs` and `release.rs` hold: whoever has the right
//! of way waits for a pinned vehicle or goes round it, and gets on when the pin ends.

use crate::closing::{CloseError, Closed};
use crate::graph::{Heading, Node, Vehicle};
use crate::place::Place;
use crate::planner::Planner;
use crate::release::{Action, Release};
use crate::setup::GoalError;
use crate::store::Store;

/// The plan goes on while at most one vehicle of so many has no room.
const LATE_SHARE: usize = 32;

/// Why a vehicle is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Pin {
    /// It is too far behind the plan.
    Late = 1,
    /// It has something to do where it is.
    Busy = 2,
    /// It does not take part now: it has failed, or nobody hears of it.
    Out = 4,
    /// It has not got on for a while although it may.
    Stalled = 8,
}

/// Plan and release of a fleet.
#[derive(Debug, Clone)]
pub struct Traffic {
    pub(crate) planner: Planner,
    pub(crate) release: Release,
    pub(crate) pins: Store<u8>,
    /// Who is to be pinned when its plan reaches its goal.
    pub(crate) stays: Store<bool>,
    /// Calls since somebody has no room.
    pub(crate) stalled: u32,
    /// Calls since each vehicle has got on or had nothing promised.
    pub(crate) idle: Store<u32>,
    /// After so many calls the plan goes on whoever has no room.
    patience: u32,
    /// After so many calls without getting on a vehicle is driven round.
    stall_after: u32,
}

impl Traffic {
    /// For a planner that has not moved yet and plans no rings. Each vehicle may be up to `ahead_max` actions
    /// behind the plan; for more than a few that are, the plan waits for `patience` calls. Who does not get on
    /// for `stall_after` calls although it may, is driven round until it does.
    #[must_use]
    pub fn new(planner: Planner, ahead_max: usize, patience: u32, stall_after: u32) -> Self {
        let vehicles = planner.vehicles() as usize;
        let release = Release::new(&planner, ahead_max);
        let (pins, stays) = (Store::new(vehicles, 0), Store::new(vehicles, false));
        let idle = Store::new(vehicles, 0);
        Self { planner, release, pins, stays, stalled: 0, idle, patience, stall_after }
    }

    /// The planner, to look at.
    #[must_use]
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// What is released, to look at.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Gives a vehicle a goal, or none. If it `stays` there, it makes way for nobody from when its plan ends
    /// there until it gets another one.
    ///
    /// # Errors
    /// See [`GoalError`]; nothing changes then.
    pub fn set_goal(&mut self, vehicle: Vehicle, goal: Option<Node>, stays: bool) -> Result<(), GoalError> {
        self.planner.set_goal(vehicle, goal)?;
        self.stays.put(vehicle.0 as usize, stays && goal.is_some());
        self.unpin(vehicle, Pin::Busy);
        self.pin_arrived(vehicle);
        Ok(())
    }

    /// A vehicle stays where its plan ends, and makes way for nobody, until it gets another goal.
    pub fn stay(&mut self, vehicle: Vehicle) {
        if self.release.is_there(vehicle) {
            self.pin(vehicle, Pin::Busy);
        }
    }

    /// Whether a vehicle stands at its goal, and has not left it by plan.
    #[must_use]
    pub fn is_at_goal(&self, vehicle: Vehicle) -> bool {
        let here = Some(self.release.node(vehicle));
        let goes_on = self.release.actions(vehicle).any(|action| Some(action.node) != here);
        self.release.is_there(vehicle) && self.planner.goal(vehicle) == here && !goes_on
    }

    /// Plans one step further, if nearly everybody has room. Whether it did.
    pub fn step(&mut self) -> bool {
        self.watch_stalls();
        let mut without = 0;
        for vehicle in self.vehicles() {
            if self.release.has_room_for(vehicle) {
                self.unpin(vehicle, Pin::Late);
            } else if self.pins.at(vehicle.0 as usize) == 0 {
                without += 1;
            }
        }
        if without > self.planner.vehicles() as usize / LATE_SHARE && self.stalled < self.patience {
            self.stalled += 1;
            return false;
        }
        self.stalled = 0;
        for vehicle in self.vehicles() {
            if !self.release.has_room_for(vehicle) {
                self.pin(vehicle, Pin::Late);
            }
        }
        self.planner.plan();
        self.planner.advance();
        self.release.take_over(&self.planner);
        for vehicle in self.vehicles() {
            self.pin_arrived(vehicle);
        }
        true
    }

    /// Promises a vehicle as many of its next actions as may be, at most `most`. How many are promised.
    pub fn promise(&mut self, vehicle: Vehicle, most: usize) -> usize {
        self.skip_turns(vehicle);
        self.release.promise(vehicle, most)
    }

    /// A vehicle has reached the next node that was promised to it.
    pub fn arrive(&mut self, vehicle: Vehicle) -> Option<Action> {
        self.skip_turns(vehicle);
        if self.release.promised(vehicle) == 0 {
            return None;
        }
        self.idle.put(vehicle.0 as usize, 0);
        self.resume_from(vehicle, Pin::Stalled);
        let out = self.has_pin(vehicle, Pin::Out);
        if out {
            self.bar(vehicle, false);
        }
        let begun = self.release.begin(vehicle);
        let done = begun.and_then(|_| self.release.finish(vehicle));
        self.skip_turns(vehicle);
        if out {
            self.bar(vehicle, true);
        }
        done
    }

    /// Turns on the spot need nobody's leave, and are done on the way to the next node.
    fn skip_turns(&mut self, vehicle: Vehicle) {
        let node = self.release.node(vehicle);
        while self.release.actions(vehicle).next().is_some_and(|action| action.node == node) {
            if self.release.begin(vehicle).is_none() || self.release.finish(vehicle).is_none() {
                return;
            }
        }
    }

    /// A vehicle may stay anywhere on its promised way: nobody plans to come there until it is resumed.
    pub fn suspend(&mut self, vehicle: Vehicle) {
        self.suspend_for(vehicle, Pin::Out);
    }

    /// A suspended vehicle goes on with what was promised to it.
    pub fn resume(&mut self, vehicle: Vehicle) {
        self.resume_from(vehicle, Pin::Stalled);
        self.resume_from(vehicle, Pin::Out);
    }

    fn suspend_for(&mut self, vehicle: Vehicle, pin: Pin) {
        if !self.release.is_there(vehicle) || self.has_pin(vehicle, pin) {
            return;
        }
        let barred = self.is_barred(vehicle);
        self.pin(vehicle, pin);
        if !barred {
            self.release.set_stuck(vehicle, true);
            self.recall(|other| other == vehicle);
            self.bar(vehicle, true);
        }
    }

    fn resume_from(&mut self, vehicle: Vehicle, pin: Pin) {
        if !self.has_pin(vehicle, pin) {
            return;
        }
        self.unpin(vehicle, pin);
        if !self.is_barred(vehicle) {
            self.bar(vehicle, false);
            self.release.set_stuck(vehicle, false);
        }
    }

    /// Whether what a vehicle holds is closed for all others.
    fn is_barred(&self, vehicle: Vehicle) -> bool {
        self.has_pin(vehicle, Pin::Out) || self.has_pin(vehicle, Pin::Stalled)
    }

    /// Who does not get on is driven round.
    fn watch_stalls(&mut self) {
        for vehicle in self.vehicles() {
            let slot = vehicle.0 as usize;
            let idle =
                if self.release.promised(vehicle) > 0 { self.idle.at(slot).saturating_add(1) } else { 0 };
            self.idle.put(slot, idle);
            if idle > self.stall_after {
                self.suspend_for(vehicle, Pin::Stalled);
            }
        }
    }

    /// A vehicle stands still on the last node that it reached, and has given up what was promised to it.
    pub fn give_up(&mut self, vehicle: Vehicle) {
        if !self.release.is_there(vehicle) || self.release.promised(vehicle) == 0 {
            return;
        }
        self.resume_from(vehicle, Pin::Stalled);
        let out = self.has_pin(vehicle, Pin::Out);
        if out {
            self.bar(vehicle, false);
        }
        self.release.set_stuck(vehicle, true);
        self.recall(|other| other == vehicle);
        self.release.give_up(vehicle);
        self.release.set_stuck(vehicle, out);
        self.agree();
        if out {
            self.bar(vehicle, true);
        }
    }

    /// A vehicle leaves the layout; it has no goal any more.
    pub fn leave(&mut self, vehicle: Vehicle) {
        if !self.release.is_there(vehicle) {
            return;
        }
        self.resume(vehicle);
        self.release.leave(vehicle);
        self.pins.put(vehicle.0 as usize, 0);
        self.planner.set_pinned(vehicle, false);
        self.stays.put(vehicle.0 as usize, false);
        // No goal can always be given.
        let _ = self.planner.set_goal(vehicle, None);
        self.agree();
    }

    /// A vehicle comes to a node, if nobody holds it or is promised to come there. Whether it did.
    pub fn enter(&mut self, vehicle: Vehicle, node: Node, heading: Heading) -> bool {
        if self.release.is_there(vehicle) || node.0 as usize >= self.planner.graph().nodes() {
            return false;
        }
        self.clear(node);
        let entered = self.release.enter(vehicle, node, heading);
        if entered {
            self.agree();
        }
        entered
    }

    /// Takes back all plans to come to a node.
    fn clear(&mut self, node: Node) {
        self.release.recall_where(|release, vehicle| {
            release.any_open_action(vehicle, |from, to| from != to && to == node)
        });
        self.agree();
    }

    /// Closes the way from one node to the other, or opens it again. Who was promised it still takes it.
    ///
    /// # Errors
    /// If there is no such way.
    pub fn set_closed(&mut self, from: Node, to: Node, closed: bool) -> Result<Closed, CloseError> {
        let result = self.planner.set_closed(from, to, closed)?;
        self.avoid_closed();
        Ok(result)
    }

    /// Closes a node for whoever is not on it, or takes one closing back; several add up.
    ///
    /// # Errors
    /// If there is no such node, or it is not closed.
    pub fn set_node_closed(&mut self, node: Node, closed: bool) -> Result<Closed, CloseError> {
        let result = self.planner.set_node_closed(node, closed)?;
        self.avoid_closed();
        Ok(result)
    }

    /// Closes a node because a vehicle may be there, or takes one such closing back.
    ///
    /// # Errors
    /// If there is no such node, or it is not closed.
    pub fn set_node_barred(&mut self, node: Node, barred: bool) -> Result<(), CloseError> {
        self.planner.set_node_barred(node, barred)?;
        self.avoid_closed();
        Ok(())
    }

    /// See [`Planner::renew_fields`].
    pub fn renew_fields(&mut self) {
        self.planner.renew_fields();
    }

    /// Closes the nodes that a suspended vehicle holds for all others, or opens them.
    fn bar(&mut self, vehicle: Vehicle, closed: bool) {
        let ahead = self.release.promised(vehicle);
        for index in 0..=ahead {
            let node = match index.checked_sub(1) {
                None => self.release.node(vehicle),
                Some(index) => {
                    let Some(action) = self.release.actions(vehicle).nth(index) else { break };
                    action.node
                }
            };
            // All of them are nodes of the layout, and as often opened as closed.
            let _ = self.planner.set_node_barred(node, closed);
        }
        if closed {
            self.avoid_closed();
        }
    }

    /// Takes back what leads over closed ways.
    fn avoid_closed(&mut self) {
        let Self { planner, release, .. } = self;
        release.recall_where(|release, vehicle| {
            release.any_open_action(vehicle, |from, to| from != to && planner.is_closed(from, to))
        });
        self.agree();
    }

    fn recall(&mut self, from: impl Fn(Vehicle) -> bool) {
        self.release.recall(from);
        self.agree();
    }

    /// Puts everybody in the plan where its actions end.
    fn agree(&mut self) {
        let Self { planner, release, .. } = self;
        let places = |vehicle: Vehicle, planner: &Planner| {
            let there = release.is_there(vehicle);
            if there {
                let (node, heading) = release.end(vehicle);
                (!planner.stands(vehicle, node, heading)).then_some(Place::At(node, heading))
            } else {
                planner.is_there(vehicle).then_some(Place::Aside)
            }
        };
        let placed = planner.relocate(places);
        debug_assert!(placed.is_ok(), "promised ways end on nodes of their own: {placed:?}");
        for vehicle in self.vehicles() {
            // Whoever has lost the rest of its way is not at its goal any more.
            let goal = self.planner.goal(vehicle);
            if goal.is_some() && goal != Some(self.planner.position(vehicle).0) {
                self.unpin(vehicle, Pin::Busy);
            }
        }
    }

    fn pin_arrived(&mut self, vehicle: Vehicle) {
        let arrived = self.planner.goal(vehicle) == Some(self.planner.position(vehicle).0);
        if arrived && self.stays.at(vehicle.0 as usize) {
            self.pin(vehicle, Pin::Busy);
        }
    }

    fn pin(&mut self, vehicle: Vehicle, pin: Pin) {
        let slot = vehicle.0 as usize;
        self.pins.put(slot, self.pins.at(slot) | pin as u8);
        self.planner.set_pinned(vehicle, true);
    }

    fn unpin(&mut self, vehicle: Vehicle, pin: Pin) {
        let slot = vehicle.0 as usize;
        self.pins.put(slot, self.pins.at(slot) & !(pin as u8));
        self.planner.set_pinned(vehicle, self.pins.at(slot) != 0);
    }

    /// Whether a vehicle is pinned for this reason.
    #[must_use]
    pub fn has_pin(&self, vehicle: Vehicle, pin: Pin) -> bool {
        self.pins.at(vehicle.0 as usize) & pin as u8 != 0
    }

    fn vehicles(&self) -> impl Iterator<Item = Vehicle> + use<> {
        (0..self.planner.vehicles()).map(Vehicle)
    }
}
