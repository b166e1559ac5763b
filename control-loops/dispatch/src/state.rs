//! All that a fleet controller remembers, so that another one goes on without losing or doubling anything.
//!
//! Two controllers that are built alike and have the same state give the same outputs for the same inputs.
//! Pending events are not part of it: whoever is told has been told, and outcomes of orders are kept in the
//! state itself.

use alloc::vec::Vec;

use control_loops_fleet::TrafficState;
use hal_units::Instant;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::book::{Ended, Record};
use crate::controller::{Clock, FleetController};
use crate::order::{Order, OrderState};
use crate::vehicle::{Cart, Duty};

/// All that a [`FleetController`] remembers.
///
/// For 200 vehicles, 1,000 orders in the book and 1,000 that are over it takes less than 100 kB in postcard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct FleetState {
    steps: u64,
    clock_nanos: u64,
    carts: Vec<Cart>,
    /// Orders with their places in the book.
    records: Vec<(u16, Record)>,
    ended: Vec<Ended>,
    next_ended: u16,
    traffic: TrafficState,
}

impl FleetState {
    /// Number of the last step; the newer of two states has the higher one.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The orders that were not over, with how far they were, whether or not their vehicle could go on. Deadlines are
    /// left out: they were times of another clock.
    pub fn orders(&self) -> impl Iterator<Item = (Order, OrderState)> + '_ {
        self.records.iter().map(|(_, record)| {
            let Record { id, priority, pick, drop, class, load_kg, .. } = *record;
            (Order { id, priority, deadline: None, pick, drop, class, load_kg }, self.progress(record))
        })
    }

    fn progress(&self, record: &Record) -> OrderState {
        let OrderState::Held(vehicle) = record.state else { return record.state };
        match self.carts.get(usize::from(vehicle.0)).map(|cart| cart.duty) {
            Some(Duty::ToPick(_)) => OrderState::ToPick(vehicle),
            Some(Duty::AtPick(_)) => OrderState::AtPick(vehicle),
            Some(Duty::ToDrop(_)) => OrderState::ToDrop(vehicle),
            Some(Duty::AtDrop(_)) => OrderState::AtDrop(vehicle),
            _ => record.state,
        }
    }
}

/// Why a state is not taken over; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreError {
    /// It is of a fleet of another size, another layout, or another book.
    Foreign,
    /// It contradicts itself.
    Contradiction,
}

impl FleetController {
    /// All that is remembered now. Allocates; see [`FleetController::save`].
    #[must_use]
    pub fn state(&self) -> FleetState {
        let mut state = FleetState {
            steps: 0,
            clock_nanos: 0,
            carts: Vec::with_capacity(self.carts.len()),
            records: Vec::with_capacity(self.book.records.len()),
            ended: Vec::with_capacity(self.book.ended.len()),
            next_ended: 0,
            traffic: TrafficState::with_room_for(&self.traffic),
        };
        self.save(&mut state);
        state
    }

    /// Writes all that is remembered over a state of the same controller, without allocating.
    pub fn save(&self, state: &mut FleetState) {
        state.steps = self.steps;
        state.clock_nanos = self.clock.nanos;
        state.carts.clear();
        state.carts.extend_from_slice(&self.carts);
        state.records.clear();
        state.records.extend(self.book.iter().map(|(slot, record)| (slot, *record)));
        state.ended.clear();
        state.ended.extend(self.book.ended.iter().flatten());
        state.next_ended = self.book.next_ended as u16;
        self.traffic.save(&mut state.traffic);
    }

    /// Goes on from what another controller, built alike, remembered after a step at this time.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing changes then.
    pub fn restore(&mut self, state: &FleetState, now: Instant) -> Result<(), RestoreError> {
        if state.carts.len() != self.carts.len() || state.ended.len() > self.book.ended.len() {
            return Err(RestoreError::Foreign);
        }
        self.check_references(state)?;
        self.traffic.restore(&state.traffic).map_err(|_| RestoreError::Foreign)?;
        self.carts.copy_from_slice(&state.carts);
        self.book.records.fill(None);
        for (slot, record) in &state.records {
            self.book.put(*slot, *record);
        }
        self.book.ended.fill(None);
        for (place, ended) in self.book.ended.iter_mut().zip(&state.ended) {
            *place = Some(*ended);
        }
        self.book.next_ended = usize::from(state.next_ended);
        self.steps = state.steps;
        self.clock = Clock { nanos: state.clock_nanos, at: Some(now) };
        Ok(())
    }

    /// Remembers how orders ended, so that none of them is begun again.
    pub fn remember_ended(&mut self, state: &FleetState) {
        let oldest = usize::from(state.next_ended).min(state.ended.len());
        let (newer, older) = state.ended.split_at(oldest);
        for ended in older.iter().chain(newer) {
            if self.book.ended(ended.id).is_none() {
                self.book.note_ended(ended.id, ended.outcome);
            }
        }
    }

    /// Whether orders and vehicles name each other, and only what there is.
    fn check_references(&self, state: &FleetState) -> Result<(), RestoreError> {
        let slots = usize::from(self.book.slots());
        let nodes = self.graph().nodes();
        if usize::from(state.next_ended) >= slots {
            return Err(RestoreError::Foreign);
        }
        for (slot, record) in &state.records {
            let inside = |node: control_loops_fleet::Node| (node.0 as usize) < nodes;
            if usize::from(*slot) >= slots || !inside(record.drop) || !record.pick.is_none_or(inside) {
                return Err(RestoreError::Foreign);
            }
            let has = record.state.vehicle().map(|vehicle| state.carts.get(usize::from(vehicle.0)));
            if has.is_some_and(|cart| cart.and_then(|cart| cart.duty.order()) != Some(*slot)) {
                return Err(RestoreError::Contradiction);
            }
        }
        let of = |slot: u16| state.records.iter().find(|(other, _)| *other == slot);
        for (vehicle, cart) in (0_u16..).zip(&state.carts) {
            let order = cart.duty.order().map(|slot| of(slot).and_then(|(_, record)| record.state.vehicle()));
            if order.is_some_and(|has| has.is_none_or(|has| has.0 != vehicle)) {
                return Err(RestoreError::Contradiction);
            }
            if cart.duty.place().is_some_and(|place| usize::from(place) >= self.places.len()) {
                return Err(RestoreError::Foreign);
            }
            let doubled =
                |other: &Cart| other.duty.place().is_some() && other.duty.place() == cart.duty.place();
            if cart.duty != Duty::Idle && state.carts.iter().take(usize::from(vehicle)).any(doubled) {
                return Err(RestoreError::Contradiction);
            }
        }
        Ok(())
    }
}
