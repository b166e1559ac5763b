//! How a fleet begins without knowing where its vehicles are and what they were told.
//!
//! # Model
//!
//! All that have an order are asked to give it up, and nothing is granted until they have. Then each takes part from
//! where it stands. One that took part when the fleet was known last and does not say that it stands may be anywhere on the
//! way that it was granted then: see [`crate::bystanders`]. One on the bus of which nothing was ever known may be anywhere:
//! while there is one, nothing is granted.
//!
//! Orders that vehicles had are gone on with, as far as vehicles show where their loads are: see [`crate::aboard`].

use std::collections::HashSet;

use control_loops_dispatch::{Fault, Node, Order, OrderId, OrderState, Outcome, Vehicle};
use hal_units::{Duration, Instant};
use hal_vda5050::Outgoing;
use jiff::Timestamp;

use crate::aboard::{Aboard, Resumption};
use crate::bystanders::Bystander;
use crate::handed::{Handed, SiteState};
use crate::site::{SiteFleet, Step, controller};
use crate::talk::Talk;
use crate::whereabouts::{ON_NODE_METERS, meters_off};

/// A fleet that begins waits so long for vehicles to be heard,
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// and so long for those that have an order to give it up, and for those that took part before.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

impl SiteFleet {
    /// Begins without knowing where vehicles are and what they were told: all that have an order are asked to
    /// give it up, and nothing is granted until they have. Orders are taken from `bytes`, a state that may be old; those
    /// that a vehicle had are gone on with as far as it shows where their loads are. See [`SiteFleet::take_lost`].
    pub fn begin(&mut self, now: Instant, bytes: Option<&[u8]>) {
        (self.leads, self.settling) = (true, Some(now));
        let handed = bytes.and_then(|bytes| postcard::from_bytes::<Handed>(bytes).ok());
        let of_another_site = handed.as_ref().filter(|handed| handed.site != self.site);
        for of in of_another_site.into_iter().flat_map(|handed| [Some(&handed.now), handed.before.as_ref()]) {
            // Their places and vehicles are none of these.
            for (order, _) in of.into_iter().flat_map(|of| of.controller.orders()) {
                self.lose(order.id, Fault::Lost);
            }
        }
        let Some(Handed { now: latest, before, .. }) = handed.filter(|handed| handed.site == self.site)
        else {
            // Whoever follows in the middle of it is to begin, too.
            self.before = Some(SiteState {
                steps: self.steps,
                controller: self.controller.state(),
                talks: self.talks.iter().map(Talk::state).collect(),
                bystanders: Vec::new(),
                heeded: Vec::new(),
            });
            self.may_be_at = vec![Vec::new(); self.talks.len()];
            return;
        };
        self.steps = self.steps.max(latest.steps);
        for (talk, last) in self.talks.iter_mut().zip(&latest.talks) {
            talk.begin_after(last);
        }
        self.controller.remember_ended(&latest.controller);
        self.heeded.clone_from(&latest.heeded);
        for (order, state) in latest.controller.orders() {
            if state.vehicle().is_none() && self.controller.submit(now, order).is_err() {
                self.lose(order.id, Fault::Impossible);
            }
        }
        // One that had only begun itself knows no more than it was told.
        let before = before.unwrap_or(latest);
        self.may_be_at = self.places_of(now, &before);
        self.before = Some(before);
    }

    /// The orders that failed because the fleet began anew, and why; each once.
    pub fn take_lost(&mut self) -> Vec<(u64, Fault)> {
        std::mem::take(&mut self.lost)
    }

    /// Orders that a vehicle had when the fleet was led last, while it is not known what became of them.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = (Order, OrderState)> + '_ {
        let orders = self.before.iter().flat_map(|before| before.controller.orders());
        orders.filter(|(_, state)| state.vehicle().is_some())
    }

    fn lose(&mut self, order: OrderId, fault: Fault) {
        if self.controller.order(order).is_none() {
            self.controller.conclude(order, Outcome::Failed(fault));
            self.lost.push((order.0, fault));
        }
    }

    /// Goes on with the orders that vehicles had, as far as it is clear where their loads are.
    fn resume_orders(&mut self, now: Instant) {
        let Some(before) = self.before.take() else { return };
        for (order, state) in before.controller.orders() {
            let Some(vehicle) = state.vehicle() else { continue };
            match self.resumption(&before, &order, state) {
                Resumption::Anew if self.controller.submit(now, order).is_err() => {
                    self.lose(order.id, Fault::Impossible);
                }
                Resumption::GoesOn if self.controller.take_up(now, order, vehicle).is_err() => {
                    self.lose(order.id, Fault::Lost);
                }
                Resumption::Anew | Resumption::GoesOn => {}
                Resumption::Done => self.controller.conclude(order.id, Outcome::Done),
                Resumption::Lost => self.lose(order.id, Fault::Lost),
            }
        }
    }

    fn resumption(&self, before: &SiteState, order: &Order, state: OrderState) -> Resumption {
        let at = state.vehicle().map(|vehicle| usize::from(vehicle.0));
        let talks = at.and_then(|at| Some((self.talks.get(at)?, before.talks.get(at)?)));
        let (Some((talk, last)), Some(_)) = (talks, order.pick) else {
            // To do something at one node only can be begun anew.
            return if order.pick.is_none() { Resumption::Anew } else { Resumption::Lost };
        };
        let here = talk.said().position;
        let off = here.and_then(|here| meters_off(&self.places, order.drop, here));
        let is_at_drop = off.is_some_and(|meters| meters <= ON_NODE_METERS);
        talk.aboard(last, &self.places).resumption(state, is_at_drop)
    }

    /// Whether it is not clear yet what a vehicle has done with the load of its order, and may be soon.
    fn is_unclear(&self, at: usize) -> bool {
        let mut orders = self.unresolved();
        let has_order = orders.any(|(_, state)| state.vehicle().is_some_and(|of| usize::from(of.0) == at));
        let last = self.before.as_ref().and_then(|before| before.talks.get(at));
        has_order
            && last.zip(self.talks.get(at)).is_some_and(|(last, talk)| {
                talk.said().connected && talk.aboard(last, &self.places) == Aboard::Unknown
            })
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

    /// Vehicles where they stand, and bystanders where they may be, all at once: one after the other would have to make
    /// sure each time that nobody else comes there.
    fn seat_all(&mut self, now: Instant) {
        let mut taken = HashSet::new();
        let seat = |talk: &Talk| talk.stands().filter(|(node, _)| taken.insert(node.0));
        let starts: Vec<_> = self.talks.iter().map(seat).collect();
        let unseated = std::mem::take(&mut self.may_be_at).into_iter().enumerate();
        let unseated =
            unseated.filter(|(at, nodes)| starts.get(*at).is_some_and(Option::is_none) && !nodes.is_empty());
        let bystanders: Vec<_> = unseated.map(|(at, nodes)| Bystander::on_way(at as u16, nodes)).collect();
        let Ok(seated) = controller(&self.places, &starts, self.size) else { return };
        let waiting = std::mem::replace(&mut self.controller, seated).state();
        self.bystanders.clear();
        bystanders.into_iter().for_each(|bystander| self.keep_clear_of(bystander));
        self.controller.remember_ended(&waiting);
        self.resume_orders(now);
        for (order, _) in waiting.orders() {
            if self.controller.submit(now, order).is_err() {
                self.lose(order.id, Fault::Impossible);
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
        let unclear = (0..self.talks.len()).any(|at| self.is_unclear(at));
        let unsettled = unheard || unclear || self.talks.iter().any(Talk::is_unsettled);
        let waits_until = since + if unsettled { SETTLED_WITHIN } else { HEARD_WITHIN };
        if self.sent_on.is_none() && now >= waits_until && self.anywhere().next().is_none() {
            let said = self.send_on(now, wall);
            if !said.is_empty() {
                return Some(said);
            }
        }
        if self.is_any_sent_on(now) {
            return Some(Step { messages: self.seals(now, wall), ..Step::default() });
        }
        if self.sent_on.take().is_some() {
            self.settling = None;
            self.seat_all(now);
            return None;
        }
        let mut messages: Vec<Outgoing> =
            self.talks.iter_mut().filter_map(|talk| talk.settle(now, wall)).collect();
        messages.extend(self.seals(now, wall));
        let recall_drives = self.talks.iter().any(|talk| matches!(talk, Talk::Drive(_)));
        Some(Step { messages, recall_drives, ..Step::default() })
    }
}
