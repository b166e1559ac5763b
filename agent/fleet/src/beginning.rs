//! How a fleet begins without knowing where its vehicles are and what they were told.
//!
//! # Model
//!
//! All that have an order are asked to give it up, and nothing is granted until they have. Then each takes part from
//! where it stands. One that took part when the fleet was known last and does not say that it stands may be anywhere on the
//! way that it was granted then: see [`crate::bystanders`]. One on the bus of which nothing was ever known may be anywhere:
//! while there is one, nothing is granted.

use std::collections::HashSet;

use control_loops_dispatch::{Node, OrderState, Vehicle};
use hal_units::{Duration, Instant};
use hal_vda5050::Outgoing;
use jiff::Timestamp;

use crate::bystanders::Bystander;
use crate::site::{SiteFleet, SiteState, Step, controller};
use crate::talk::Talk;

/// A fleet that begins waits so long for vehicles to be heard,
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// and so long for those that have an order to give it up, and for those that took part before.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

impl SiteFleet {
    /// Begins without knowing where vehicles are and what they were told: all that have an order are asked to
    /// give it up, and nothing is granted until they have. Of `bytes`, a state that may be old, the orders are
    /// taken that nobody had fetched yet; returns those whose load is somewhere on its way, which a person
    /// has to look for.
    pub fn begin(&mut self, now: Instant, bytes: Option<&[u8]>) -> Vec<u64> {
        (self.leads, self.settling) = (true, Some(now));
        let state = bytes.and_then(|bytes| postcard::from_bytes::<SiteState>(bytes).ok());
        self.may_be_at = state.as_ref().map_or_else(Vec::new, |state| self.places_of(now, state));
        for (talk, last) in self.talks.iter_mut().zip(state.iter().flat_map(|state| &state.talks)) {
            talk.begin_after(last);
        }
        let mut on_the_way = Vec::new();
        for (order, state) in state.iter().flat_map(|state| state.controller.orders()) {
            let fetched = match state {
                OrderState::Waiting | OrderState::Assigned(_) | OrderState::ToPick(_) => false,
                // To do something at one node only can be begun anew.
                OrderState::ToDrop(_) | OrderState::AtDrop(_) => order.pick.is_some(),
                OrderState::AtPick(_) | OrderState::Held(_) => true,
                OrderState::Over(_) => continue,
            };
            if fetched || self.controller.submit(now, order).is_err() {
                on_the_way.push(order.id.0);
                self.figures.failed += 1;
            }
        }
        on_the_way
    }

    /// Where vehicles may be that take part in this state: anywhere on the way that it has granted, since a vehicle that
    /// is stopped stays where it is. Nothing else of it is kept.
    fn places_of(&self, now: Instant, state: &SiteState) -> Vec<Vec<Node>> {
        let nobody = vec![None; self.talks.len()];
        let Ok(mut then) = controller(&self.places, &nobody, self.size) else { return Vec::new() };
        if then.restore(&state.controller, now).is_err() {
            return Vec::new();
        }
        let release = then.traffic().release();
        let bystander = |at: usize| state.bystanders.iter().find(|by| usize::from(by.vehicle) == at);
        let nodes = |at: usize| match bystander(at) {
            Some(bystander) => bystander.nodes.clone(),
            None if !release.is_there(Vehicle(at as u16)) => Vec::new(),
            None => {
                let vehicle = Vehicle(at as u16);
                // Of what is not promised, the first action may have begun.
                let granted = release.promised(vehicle).max(1);
                let way = release.actions(vehicle).take(granted).map(|action| action.node);
                let mut nodes: Vec<Node> = std::iter::once(release.node(vehicle)).chain(way).collect();
                // A turn stays at its node.
                nodes.sort_unstable();
                nodes.dedup();
                nodes
            }
        };
        (0..self.talks.len()).map(nodes).collect()
    }

    /// Vehicles where they stand, and bystanders where they may be.
    fn seat_all(&mut self, now: Instant) {
        let mut taken = HashSet::new();
        let seat = |talk: &Talk| talk.stands().filter(|(node, _)| taken.insert(node.0));
        let starts: Vec<_> = self.talks.iter().map(seat).collect();
        let unseated = std::mem::take(&mut self.may_be_at).into_iter().enumerate();
        let unseated =
            unseated.filter(|(at, nodes)| starts.get(*at).is_some_and(Option::is_none) && !nodes.is_empty());
        let bystanders: Vec<_> = unseated.map(|(at, nodes)| Bystander::on_way(at as u16, nodes)).collect();
        let Ok(seated) = controller(&self.places, &starts, self.size) else { return };
        let before = std::mem::replace(&mut self.controller, seated);
        self.bystanders.clear();
        bystanders.into_iter().for_each(|bystander| self.keep_clear_of(bystander));
        for (order, _) in before.state().orders() {
            if self.controller.submit(now, order).is_err() {
                self.figures.failed += 1;
            }
        }
        for at in 0..self.talks.len() {
            self.take_report(at);
        }
    }

    /// Whether a vehicle took part when the fleet was known last, or may be there for all that is known, and nothing was
    /// heard of it since. One that speaks VDA 5050 says itself that it is there, as soon as the broker is.
    fn is_unheard(&self, at: usize) -> bool {
        let Some(talk) = self.talks.get(at).filter(|talk| talk.said().heard.is_none()) else { return false };
        matches!(talk, Talk::Drive(_)) || self.may_be_at.get(at).is_some_and(|nodes| !nodes.is_empty())
    }

    /// Vehicles that may be anywhere, so that nothing is granted.
    pub(crate) fn anywhere(&self) -> impl Iterator<Item = Vehicle> + '_ {
        let known = |at: &usize| self.may_be_at.get(*at).is_some_and(|nodes| !nodes.is_empty());
        let vehicles = if self.settling.is_some() { self.talks.len() } else { 0 };
        let anywhere = (0..vehicles).filter(move |at| self.is_unheard(*at) && !known(at));
        anywhere.map(|at| Vehicle(at as u16))
    }

    /// Nothing is granted while vehicles may be moving for somebody unknown: what is said instead of a step.
    pub(crate) fn settle(&mut self, now: Instant, wall: Timestamp) -> Option<Step> {
        let since = self.settling?;
        let unheard = (0..self.talks.len()).any(|at| self.is_unheard(at));
        let unsettled = unheard || self.talks.iter().any(Talk::is_unsettled);
        let waits_until = since + if unsettled { SETTLED_WITHIN } else { HEARD_WITHIN };
        if now >= waits_until && self.anywhere().next().is_none() {
            self.settling = None;
            self.seat_all(now);
            return None;
        }
        let mut messages: Vec<Outgoing> =
            self.talks.iter_mut().filter_map(|talk| talk.settle(now, wall)).collect();
        messages.extend(self.due(now, wall));
        let recall_drives = self.talks.iter().any(|talk| matches!(talk, Talk::Drive(_)));
        Some(Step { messages, routes: Vec::new(), recall_drives })
    }
}
