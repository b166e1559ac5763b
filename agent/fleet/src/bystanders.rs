//! Vehicles that take no part in the fleet and stand in its hall all the same: failed ones, those that a person drives,
//! and those that are not heard.
//!
//! # Model
//!
//! The fleet's control keeps vehicles apart that take part. Nobody may come to where another one is: the places near
//! its own position, or, while it does not say that, the way that it was granted last. These are barred, and opened
//! when it takes part or is elsewhere; orders wait for that.

use control_loops_dispatch::{Node, Standing, Vehicle};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::site::SiteFleet;

/// Who has not moved farther is where it was, in metres: more than the noise of a position.
const MOVED_METERS: f64 = 0.2;

/// A vehicle that takes no part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub(crate) struct Bystander {
    pub(crate) vehicle: u16,
    /// Where it may be. These nodes are barred.
    pub(crate) nodes: Vec<Node>,
    /// Of these the way that somebody has granted it: it may go on there as long as it does not stand.
    way: Vec<Node>,
    /// Its position when that was found, in metres; none if it has not said it.
    position: Option<[f64; 2]>,
    /// Where it is sent on to: barred until it takes part.
    next: Option<Node>,
    /// The step in which it was.
    pub(crate) sent_on: Option<u64>,
}

impl Bystander {
    /// One that may be anywhere on this way.
    pub(crate) fn on_way(vehicle: u16, way: Vec<Node>) -> Self {
        Self { vehicle, nodes: way.clone(), way, position: None, next: None, sent_on: None }
    }
}

impl SiteFleet {
    /// Whether a vehicle takes part or can. If not, nobody comes to where it says that it is.
    pub(crate) fn can_take_part(&mut self, at: usize) -> bool {
        let vehicle = Vehicle(at as u16);
        let Some(talk) = self.talks.get(at) else { return false };
        let known = self.bystanders.iter().position(|bystander| usize::from(bystander.vehicle) == at);
        if self.controller.standing(vehicle) != Some(Standing::Absent) || talk.stands().is_some() {
            if let Some(bystander) = known.map(|known| self.bystanders.swap_remove(known)) {
                self.bar(&bystander.nodes, &[]);
            }
            return true;
        }
        let said = talk.said();
        let Some(position) = said.position else { return false };
        let before = known.map(|known| self.bystanders.swap_remove(known));
        let mut now = before.clone().unwrap_or_else(|| Bystander::on_way(vehicle.0, Vec::new()));
        let leaves_way = !said.driving && !now.way.is_empty();
        let near = |[x, y]: [f64; 2]| (x - position[0]).hypot(y - position[1]) < MOVED_METERS;
        if leaves_way || !now.position.is_some_and(near) {
            if leaves_way {
                now.way.clear();
            }
            now.position = Some(position);
            now.nodes = self.places.near(position);
            let way = now.way.iter().copied().chain(now.next);
            let way: Vec<_> = way.filter(|node| !now.nodes.contains(node)).collect();
            now.nodes.extend(way);
            self.bar(before.as_ref().map_or(&[], |before| &before.nodes), &now.nodes);
        }
        self.bystanders.push(now);
        false
    }

    /// Bars the places where a bystander may be.
    pub(crate) fn keep_clear_of(&mut self, bystander: Bystander) {
        self.bar(&[], &bystander.nodes);
        self.bystanders.push(bystander);
    }

    pub(crate) fn bystander(&self, at: usize) -> Option<&Bystander> {
        self.bystanders.iter().find(|bystander| usize::from(bystander.vehicle) == at)
    }

    pub(crate) fn bystander_mut(&mut self, at: usize) -> Option<&mut Bystander> {
        self.bystanders.iter_mut().find(|bystander| usize::from(bystander.vehicle) == at)
    }

    /// Bars the place to which a bystander is to be sent on.
    pub(crate) fn keep_clear_for(&mut self, at: usize, next: Node) {
        let Some(bystander) = self.bystander_mut(at) else { return };
        bystander.next = Some(next);
        if !bystander.nodes.contains(&next) {
            bystander.nodes.push(next);
            self.bar(&[], &[next]);
        }
    }

    /// Bars these nodes instead of those; what is in both stays as it is, since each change makes others plan anew.
    fn bar(&mut self, before: &[Node], now: &[Node]) {
        // Nodes of the layout: each is opened as often as it is barred.
        for node in now.iter().filter(|node| !before.contains(node)) {
            let _ = self.controller.set_node_barred(*node, true);
        }
        for node in before.iter().filter(|node| !now.contains(node)) {
            let _ = self.controller.set_node_barred(*node, false);
        }
    }
}
