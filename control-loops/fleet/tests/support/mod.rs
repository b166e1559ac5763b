//! Small halls, and a fleet that is watched without the planner's own books.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_fleet::{Arc, Graph, Heading, Motion, Node, Planner, Setup, UNIT, Vehicle};

/// A hall drawn in rows: `.` is a free cell.
pub(crate) struct Hall {
    cells: Vec<Option<Node>>,
    width: usize,
    nodes: usize,
}

impl Hall {
    pub(crate) fn drawn(rows: &[&str]) -> Self {
        let mut hall = Self { cells: Vec::new(), width: rows[0].len(), nodes: 0 };
        for character in rows.iter().flat_map(|row| row.chars()) {
            let free = character == '.';
            hall.cells.push(free.then_some(Node(hall.nodes as u32)));
            hall.nodes += usize::from(free);
        }
        hall
    }

    /// Keeps only what hangs together with the first free cell.
    pub(crate) fn in_one_piece(free: &[bool], width: usize) -> Self {
        let mut reached = vec![false; free.len()];
        let mut waiting: Vec<usize> = free.iter().position(|free| *free).into_iter().collect();
        while let Some(cell) = waiting.pop() {
            if std::mem::replace(&mut reached[cell], true) {
                continue;
            }
            let (row, column) = (cell / width, cell % width);
            let mut visit = |ok: bool, next: usize| {
                if ok && free[next] {
                    waiting.push(next);
                }
            };
            visit(column + 1 < width, (cell + 1).min(free.len() - 1));
            visit(column > 0, cell.saturating_sub(1));
            visit(cell + width < free.len(), (cell + width).min(free.len() - 1));
            visit(row > 0, cell.saturating_sub(width));
        }
        let text: String = reached.iter().map(|free| if *free { '.' } else { '#' }).collect();
        let rows: Vec<&str> =
            (0..free.len() / width).map(|row| &text[row * width..(row + 1) * width]).collect();
        Self::drawn(&rows)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// The node at a column and row.
    pub(crate) fn at(&self, column: usize, row: usize) -> Node {
        self.cells[row * self.width + column].expect("a free cell")
    }

    pub(crate) fn arcs(&self) -> Vec<Arc> {
        let mut arcs = Vec::new();
        for (cell, from) in self.cells.iter().enumerate() {
            let Some(from) = *from else { continue };
            let right =
                (cell % self.width + 1 < self.width).then_some((cell + 1, Heading::East, Heading::West));
            let below = (cell + self.width < self.cells.len()).then_some((
                cell + self.width,
                Heading::South,
                Heading::North,
            ));
            for (other, there, back) in [right, below].into_iter().flatten() {
                if let Some(to) = self.cells[other] {
                    arcs.push(Arc { from, to, heading: there, cost: UNIT as u8 });
                    arcs.push(Arc { from: to, to: from, heading: back, cost: UNIT as u8 });
                }
            }
        }
        arcs
    }

    pub(crate) fn graph(&self) -> Graph {
        Graph::new(self.nodes, &self.arcs()).unwrap()
    }
}

/// A planner and everybody's way as it was seen.
pub(crate) struct Fleet {
    pub(crate) planner: Planner,
    motion: Motion,
    pub(crate) seen: Vec<(Node, Heading)>,
}

impl Fleet {
    pub(crate) fn on(hall: &Hall, starts: &[Node], setup: Setup) -> Self {
        let starts: Vec<_> = starts.iter().map(|node| (*node, Heading::East)).collect();
        let planner = Planner::new(hall.graph(), &starts, setup).unwrap();
        Self { planner, motion: setup.motion, seen: starts }
    }

    pub(crate) fn send(&mut self, vehicle: u16, goal: Node) {
        self.planner.set_goal(Vehicle(vehicle), Some(goal)).unwrap();
    }

    /// One step; panics on anything that vehicles cannot do or must not do.
    pub(crate) fn step(&mut self) {
        self.planner.plan();
        self.planner.advance();
        let now: Vec<_> =
            (0..self.planner.vehicles()).map(|vehicle| self.planner.position(Vehicle(vehicle))).collect();
        for (vehicle, (node, heading)) in now.iter().enumerate() {
            let (before, stood) = self.seen[vehicle];
            assert!(before == *node || self.planner.graph().leads(before, *node), "a jump");
            if self.motion == Motion::Turning {
                let quarters = (heading.index() + 4 - stood.index()) % 4;
                assert!(if before == *node { quarters != 2 } else { quarters == 0 }, "an impossible turn");
            }
            for (other, (place, _)) in now.iter().enumerate().skip(vehicle + 1) {
                assert_ne!(node, place, "vehicles {vehicle} and {other} collide");
                let swapped = self.seen[other].0 == *node && before == *place && before != *node;
                assert!(!swapped, "vehicles {vehicle} and {other} change places");
            }
        }
        self.seen = now;
    }

    pub(crate) fn has_arrived(&self, vehicle: u16) -> bool {
        self.planner.goal(Vehicle(vehicle)) == Some(self.seen[vehicle as usize].0)
    }

    /// Steps until a vehicle arrives, at most `most`.
    pub(crate) fn steps_until_arrival(&mut self, vehicle: u16, most: u32) -> Option<u32> {
        (1..=most).find(|_| {
            self.step();
            self.has_arrived(vehicle)
        })
    }
}
