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
}

impl Places {
    pub(crate) fn new(hall: Hall, map_id: &str) -> Self {
        let ways = hall.edges.iter().enumerate();
        let ways = ways.map(|(at, (_, arc))| ((arc.from.0, arc.to.0), at)).collect();
        Self { hall, map_id: map_id.to_owned(), ways }
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
