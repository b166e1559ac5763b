//! Vehicles that stand between two places when a fleet begins.
//!
//! # Model
//!
//! The fleet's control knows vehicles at places. One that was stopped between two is in the way at both, so it is sent on to
//! the next one before anybody takes part. Whoever led the fleet before had granted it that place and nobody else; it
//! is looked all the same whether somebody is there. One that cannot be sent on stays a bystander.

use control_loops_dispatch::Node;
use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::site::{SiteFleet, Step};

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

    /// Whether somebody else is at a place, or may be.
    fn is_taken(&self, node: Node, but: usize) -> bool {
        let others = self.talks.iter().enumerate().filter(|(at, _)| *at != but);
        let mut others = others.map(|(at, talk)| (talk, self.may_be_at.get(at)));
        others.any(|(talk, may_be_at)| match talk.said().position {
            Some(position) => self.places.near(position).contains(&node),
            None => may_be_at.is_some_and(|nodes| nodes.contains(&node)),
        })
    }
}
