//! The hall as orders name it.

use std::collections::HashMap;

use control_loops_dispatch::Node;
use control_loops_layouts::hall::Hall;
use hal_vda5050::Topic;

use crate::site::{VehicleLink, VehicleSpec};
use crate::whereabouts::ON_NODE_METERS;

/// The hall, and the ways between its places by their ends.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) hall: Hall,
    /// Of positions in orders.
    pub(crate) map_id: String,
    ways: HashMap<(u32, u32), usize>,
    /// Whoever is nearer to a place than this is in the way of who comes there, in metres.
    near_meters: f64,
}

/// Of the shortest way: whoever is on a place is not in the way at the next one, whoever is between two places is at
/// both.
const NEAR: f64 = 0.9;

impl Places {
    pub(crate) fn new(hall: Hall, map_id: &str) -> Self {
        let length = |from, to| {
            let [[ax, ay], [bx, by]] = [hall.position(from)?, hall.position(to)?];
            Some((ax - bx).hypot(ay - by)).filter(|meters| *meters > 0.0)
        };
        let lengths = hall.edges.iter().filter_map(|(_, arc)| length(arc.from, arc.to));
        let shortest = lengths.fold(f64::INFINITY, f64::min);
        let ways = hall.edges.iter().enumerate();
        let ways = ways.map(|(at, (_, arc))| ((arc.from.0, arc.to.0), at)).collect();
        Self { hall, map_id: map_id.to_owned(), ways, near_meters: NEAR * shortest }
    }

    /// A number that differs from that of a site with other vehicles or another hall: what is known of one is nothing
    /// to the other.
    pub(crate) fn site_of(&self, vehicles: &[VehicleSpec]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            hasher.update(&[0]);
        };
        for vehicle in vehicles {
            take(vehicle.name.as_bytes());
            match &vehicle.link {
                VehicleLink::Vda(address) => take(address.topic(Topic::State).as_bytes()),
                VehicleLink::Drive { profile } => take(profile.as_bytes()),
            }
        }
        for (name, [x, y]) in &self.hall.nodes {
            take(name.as_bytes());
            take(&x.to_le_bytes());
            take(&y.to_le_bytes());
        }
        hasher.finalize()
    }

    /// The places at which a vehicle at this position is in the way.
    pub(crate) fn near(&self, [x, y]: [f64; 2]) -> Vec<Node> {
        let places = self.hall.nodes.iter().zip(0..);
        let near =
            places.filter(|((_, [there_x, there_y]), _)| (x - there_x).hypot(y - there_y) < self.near_meters);
        near.map(|(_, node)| Node(node)).collect()
    }

    /// The place that somebody here who has left another one was on the way to, if that is clear.
    pub(crate) fn next(&self, last: Node, [x, y]: [f64; 2]) -> Option<Node> {
        let [from_x, from_y] = self.hall.position(last)?;
        let off_way = |node: Node| {
            let [to_x, to_y] = self.hall.position(node)?;
            let (way_x, way_y) = (to_x - from_x, to_y - from_y);
            let length = way_x.hypot(way_y);
            let along = ((x - from_x) * way_x + (y - from_y) * way_y) / length;
            let across = ((x - from_x) * way_y - (y - from_y) * way_x) / length;
            ((0.0..=length).contains(&along) && across.abs() <= ON_NODE_METERS)
                .then_some((node, across.abs()))
        };
        let ahead = self.hall.graph.neighbours(last).filter_map(off_way);
        ahead.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(node, _)| node)
    }

    /// What the way from one place to the next is called.
    pub(crate) fn edge_name(&self, from: Node, to: Node) -> String {
        let found = self.ways.get(&(from.0, to.0)).and_then(|at| self.hall.edges.get(*at));
        found.map_or_else(
            || format!("{}-{}", self.hall.name(from), self.hall.name(to)),
            |(name, _)| name.clone(),
        )
    }
}
