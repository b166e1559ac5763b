//! The hall as orders name it.

use std::collections::HashMap;

use control_loops_dispatch::Node;
use control_loops_layouts::hall::Hall;

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

    /// The places at which a vehicle at this position is in the way.
    pub(crate) fn near(&self, [x, y]: [f64; 2]) -> Vec<Node> {
        let places = self.hall.nodes.iter().zip(0..);
        let near =
            places.filter(|((_, [there_x, there_y]), _)| (x - there_x).hypot(y - there_y) < self.near_meters);
        near.map(|(_, node)| Node(node)).collect()
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
