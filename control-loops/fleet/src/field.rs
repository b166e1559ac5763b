//! What it costs from each state to a goal: one field per vehicle.
//!
//! Dijkstra's algorithm from the goal against the arcs, with a circular bucket queue (Dial 1969): costs
//! are small integers, so each operation takes constant time.

use crate::graph::{Graph, Node, UNIT};
use crate::store::Store;

/// No way leads to the goal from here.
pub(crate) const UNREACHABLE: u16 = u16::MAX;
/// The cost of an arc that nobody may take.
pub(crate) const CLOSED: u16 = u16::MAX;
/// Costs end here; farther states are told apart no more. A path of 8,000 plain steps.
const FARTHEST: u32 = UNREACHABLE as u32 - 1;
/// More than the dearest arc.
const BUCKETS: usize = 512;
const NONE: u32 = u32::MAX;

/// How a vehicle moves in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// To any neighbour; a vehicle has no heading.
    Pebble,
    /// Forward along its heading, or a quarter turn on the spot.
    Turning,
}

impl Motion {
    /// How many headings a state distinguishes.
    #[inline]
    pub(crate) const fn headings(self) -> u32 {
        match self {
            Self::Pebble => 1,
            Self::Turning => 4,
        }
    }
}

/// The costs of all vehicles, and the memory to compute them.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    motion: Motion,
    states: usize,
    to_go: Store<u16>,
    heads: Store<u32>,
    next: Store<u32>,
    waiting: Store<(u32, u16)>,
}

impl Fields {
    pub(crate) fn new(graph: &Graph, motion: Motion, vehicles: usize) -> Self {
        let headings = motion.headings() as usize;
        let states = graph.spots() * headings;
        // Every arc of the graph of states is relaxed once, and each goal state begins once.
        let entries = graph.arcs() * headings + states * 3;
        Self {
            motion,
            states,
            to_go: Store::new(vehicles * states, UNREACHABLE),
            heads: Store::new(BUCKETS, NONE),
            next: Store::new(entries, NONE),
            waiting: Store::new(entries, (0, 0)),
        }
    }

    /// All costs of one vehicle, by state.
    #[inline]
    pub(crate) fn of(&self, vehicle: u16) -> &[u16] {
        self.to_go.part(vehicle as usize * self.states, self.states)
    }

    #[inline]
    pub(crate) fn at(&self, vehicle: u16, state: u32) -> u16 {
        self.to_go.at(vehicle as usize * self.states + state as usize)
    }

    /// Computes one vehicle's costs to a goal; an arc's cost is what `cost` says. Returns the largest.
    pub(crate) fn compute(
        &mut self,
        graph: &Graph,
        vehicle: u16,
        goal: Node,
        cost: impl Fn(u32) -> u16,
    ) -> u32 {
        let offset = vehicle as usize * self.states;
        self.to_go.part_mut(offset, self.states).fill(UNREACHABLE);
        self.heads.fill(NONE);
        let headings = self.motion.headings();
        let (mut used, mut queued) = (0_u32, 0_u32);
        let mut now = 0_u32;
        for heading in 0..headings {
            let state = goal.0 * headings + heading;
            self.offer(offset, state, 0, &mut used, &mut queued);
        }
        while queued > 0 && now <= FARTHEST {
            let bucket = now as usize % BUCKETS;
            let entry = self.heads.at(bucket);
            if entry == NONE {
                now += 1;
                continue;
            }
            self.heads.put(bucket, self.next.at(entry as usize));
            queued -= 1;
            let (state, reached) = self.waiting.at(entry as usize);
            if reached != self.to_go.at(offset + state as usize) {
                continue;
            }
            let (node, heading) = (state / headings, state % headings);
            if headings > 1 {
                for turned in [(heading + 1) % 4, (heading + 3) % 4] {
                    let before = node * headings + turned;
                    self.offer(offset, before, now + u32::from(UNIT), &mut used, &mut queued);
                }
            }
            for link in graph.links_to(node) {
                let price = cost(link.arc);
                if price != CLOSED && (headings == 1 || u32::from(link.heading) == heading) {
                    let before = link.node * headings + heading;
                    let total = now + u32::from(price).min(BUCKETS as u32 - 1);
                    self.offer(offset, before, total, &mut used, &mut queued);
                }
            }
        }
        now
    }

    fn offer(&mut self, offset: usize, state: u32, total: u32, used: &mut u32, queued: &mut u32) {
        let total = total.min(FARTHEST);
        if total as u16 >= self.to_go.at(offset + state as usize) || *used as usize >= self.next.len() {
            return;
        }
        self.to_go.put(offset + state as usize, total as u16);
        self.waiting.put(*used as usize, (state, total as u16));
        let bucket = total as usize % BUCKETS;
        self.next.put(*used as usize, self.heads.at(bucket));
        self.heads.put(bucket, *used);
        *used += 1;
        *queued += 1;
    }
}
