//! Vehicles that take no part in the fleet and stand in its hall all the same: failed ones, those that a person drives,
//! and those that are not heard.
//!
//! # Model
//!
//! The fleet's control keeps vehicles apart that take part. Nobody may come to where another one is: the places near
//! its own position, or, while it does not say that, the way that it was granted last. These are closed, and opened
//! when it takes part or is elsewhere.

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
    /// Where it may be. These nodes are closed.
    pub(crate) nodes: Vec<Node>,
    /// Its position when they were closed, in metres; none if it has not said that.
    position: Option<[f64; 2]>,
}

impl Bystander {
    /// One that may be anywhere on these nodes.
    pub(crate) const fn somewhere(vehicle: u16, nodes: Vec<Node>) -> Self {
        Self { vehicle, nodes, position: None }
    }
}

impl SiteFleet {
    /// Whether a vehicle takes part or can. If not, nobody comes to where it says that it is.
    pub(crate) fn can_take_part(&mut self, at: usize) -> bool {
        let vehicle = Vehicle(at as u16);
        let Some(talk) = self.talks.get(at) else { return false };
        if self.controller.standing(vehicle) != Some(Standing::Absent) || talk.stands().is_some() {
            self.come_again(vehicle);
            return true;
        }
        let said = talk.said();
        let Some(position) = said.position else { return false };
        let known = self.bystanders.iter().find(|bystander| bystander.vehicle == vehicle.0);
        let same = |[x, y]: [f64; 2]| (x - position[0]).hypot(y - position[1]) < MOVED_METERS;
        if known.and_then(|known| known.position).is_some_and(same) {
            return false;
        }
        let mut nodes = self.places.near(position);
        if let Some(known) = known.filter(|_| said.driving) {
            // It is not known where it goes.
            nodes
                .extend(known.nodes.iter().filter(|node| !nodes.contains(node)).copied().collect::<Vec<_>>());
        }
        let position = (!said.driving).then_some(position);
        self.come_again(vehicle);
        self.keep_clear_of(Bystander { vehicle: vehicle.0, nodes, position });
        false
    }

    /// Closes the places where a bystander may be.
    pub(crate) fn keep_clear_of(&mut self, bystander: Bystander) {
        for node in &bystander.nodes {
            // Nodes of the layout: each is opened as often as it is closed.
            let _ = self.controller.set_node_closed(*node, true);
        }
        self.bystanders.push(bystander);
    }

    /// Opens the places where it was.
    fn come_again(&mut self, vehicle: Vehicle) {
        let known = self.bystanders.iter().position(|bystander| bystander.vehicle == vehicle.0);
        let Some(bystander) = known.map(|known| self.bystanders.swap_remove(known)) else { return };
        for node in bystander.nodes {
            let _ = self.controller.set_node_closed(node, false);
        }
    }
}
