//! The order that a vehicle has.

use control_loops_dispatch::Task;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::orders::OrderParts;

/// The order that a vehicle has, with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Underway {
    /// Makes its name.
    pub(crate) id: u64,
    pub(crate) update: u32,
    pub(crate) course: u32,
    /// Number of the waypoint at which it begins.
    pub(crate) first: u32,
    /// Places of its last message, and how many of them are released.
    pub(crate) nodes: Vec<u32>,
    /// Sequence of the first of these.
    pub(crate) sequence: u32,
    pub(crate) released: u32,
    /// The transport order that it was sent for.
    pub(crate) order: Option<u64>,
    pub(crate) task: Option<Task>,
    /// The first node ends charging.
    pub(crate) ends_charging: bool,
    pub(crate) cancels: bool,
}

impl Underway {
    /// Number of the last waypoint that the vehicle was told to go to.
    pub(crate) fn told(&self) -> u32 {
        self.first + self.sequence / 2 + self.released.saturating_sub(1)
    }

    pub(crate) fn parts(&self) -> OrderParts<'_> {
        OrderParts {
            id: self.id,
            update: self.update,
            nodes: &self.nodes,
            sequence: self.sequence,
            released: self.released as usize,
            task: self.task,
            ends_charging: self.ends_charging,
        }
    }

    /// Another update of it has gone out, that begins at the node of this sequence.
    pub(crate) fn follow(&mut self, update: u32, sequence: u32) {
        self.update = update;
        let passed = sequence.saturating_sub(self.sequence) / 2;
        let passed = (passed as usize).min(self.nodes.len());
        self.nodes.drain(..passed);
        self.sequence = sequence;
        self.released = self.released.saturating_sub(passed as u32).max(1);
    }
}
