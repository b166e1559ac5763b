//! Vehicles that stand between two places, where they cannot take part.
//!
//! # Model
//!
//! The fleet's control knows vehicles at places. One that was stopped between two is in the way at both, so it is sent on to
//! the next one before anybody takes part. Whoever led the fleet before had granted it that place and nobody else; it
//! is looked all the same whether somebody is there. One that cannot be sent on yet stays a bystander, and is sent on when it can
//! be: then others drive already, so the place is barred first, and it goes there when nobody has it or may come.

use control_loops_dispatch::{Node, Vehicle};
use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::site::{SiteFleet, Step};
use crate::talk::Told;

/// How long that may take: two places of some metres, at a slow walk.
const SENT_ON_WITHIN: Duration = Duration::from_secs(15);

impl SiteFleet {
    /// Sends those that stand between two places on to the next one.
    pub(crate) fn send_on(&mut self, now: Instant, wall: Timestamp) -> Step {
        let (mut step, mut sent) = (Step::default(), Vec::new());
        for at in 0..self.talks.len() {
            let next = self.talks.get(at).and_then(|talk| talk.next_place(&self.places));
            let Some(next) = next.filter(|next| !self.is_taken(*next, at)) else { continue };
            let Some(talk) = self.talks.get_mut(at) else { continue };
            let here = talk.said().position.map_or_else(Vec::new, |here| self.places.near(here));
            if let Some(told) = talk.send_on(now, wall, next, &self.places) {
                step.say(at, told);
                sent.push(at);
                if let Some(nodes) = self.may_be_at.get_mut(at) {
                    *nodes = here;
                    nodes.extend((!nodes.contains(&next)).then_some(next));
                }
            }
        }
        self.sent_on = Some((now, sent));
        step
    }

    /// Whether one of them has not got there yet, and may still.
    pub(crate) fn is_any_sent_on(&self, now: Instant) -> bool {
        let Some((since, sent)) = &self.sent_on else { return false };
        let mut sent = sent.iter().filter_map(|at| self.talks.get(*at));
        now < *since + SENT_ON_WITHIN && sent.any(|talk| talk.stands().is_none())
    }

    /// Sends a bystander that may drive again on to the next place, if it stands between two or on a way that a node has
    /// granted it that leads no more.
    pub(crate) fn send_bystander_on(&mut self, now: Instant, wall: Timestamp, at: usize) -> Option<Told> {
        let talk = self.talks.get(at)?;
        let next = talk.next_place(&self.places).or_else(|| talk.forsaken_place(&self.places))?;
        let patience = (SENT_ON_WITHIN.as_nanos() / self.size.1.as_nanos().max(1)) as u64;
        let was_sent = self.bystander(at)?.sent_on.is_some_and(|step| self.steps < step + patience);
        if was_sent || self.is_taken(next, at) {
            return None;
        }
        self.keep_clear_for(at, next);
        if self.is_granted(next) {
            return None;
        }
        let told = self.talks.get_mut(at)?.send_on(now, wall, next, &self.places)?;
        let steps = self.steps;
        self.bystander_mut(at)?.sent_on = Some(steps);
        Some(told)
    }

    /// Whether a vehicle that takes part has a place, or may come there.
    fn is_granted(&self, node: Node) -> bool {
        let release = self.controller.traffic().release();
        let mut present =
            (0..self.talks.len()).map(|at| Vehicle(at as u16)).filter(|at| release.is_there(*at));
        present.any(|vehicle| {
            // Of what is not promised, the first action may have begun.
            let mut way = release.actions(vehicle).take(release.promised(vehicle).max(1));
            release.node(vehicle) == node || way.any(|action| action.node == node)
        })
    }

    /// Whether somebody else is at a place, or may be.
    fn is_taken(&self, node: Node, but: usize) -> bool {
        let others = self.talks.iter().enumerate().filter(|(at, _)| *at != but);
        let mut others = others.map(|(at, talk)| (at, talk, self.may_be_at.get(at)));
        others.any(|(at, talk, may_be_at)| {
            let is_there = match talk.said().position {
                Some(position) => self.places.near(position).contains(&node),
                None => may_be_at.is_some_and(|nodes| nodes.contains(&node)),
            };
            is_there || self.bystander(at).is_some_and(|bystander| bystander.nodes.contains(&node))
        })
    }
}
