//! What it costs from each state to a goal: one field per vehicle.
//!
//! Dijkstra's algorithm from the goal against the arcs, with a circular bucket queue (Dial 1969): costs
//! are small integers, so each operation takes constant time.
//!
//! There is a field for each vehicle and for each place that is asked for, so they are kept in half the room: of the
//! four headings on a node a quarter turn is never dearer than one step, so one cost is kept whole, and the others by
//! their differences from it.

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
/// Where the difference of a heading from the first one lies in a word, how many bits it has, and what was added so that
/// it is not negative: a quarter turn away [`UNIT`], half a turn away twice that.
const DIFFERENCES: [(u32, u16, u16); 3] = [(0, 0x1f, UNIT), (5, 0x3f, 2 * UNIT), (11, 0x1f, UNIT)];

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
    /// Of each vehicle, so many words.
    words: usize,
    kept: Store<u16>,
    /// Of the one that is computed, by state.
    to_go: Store<u16>,
    heads: Store<u32>,
    next: Store<u32>,
    waiting: Store<u32>,
}

/// The costs of one vehicle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    motion: Motion,
    words: &'a [u16],
}

impl Field<'_> {
    /// The cost from a state.
    #[inline]
    pub(crate) fn at(&self, state: u32) -> u16 {
        let word = |at: usize| self.words.get(at).copied().unwrap_or(UNREACHABLE);
        match self.motion {
            Motion::Pebble => word(state as usize),
            Motion::Turning => {
                let (node, heading) = (state as usize / 4, state % 4);
                let first = word(2 * node);
                if heading == 0 || first == UNREACHABLE {
                    return first;
                }
                unpacked(first, word(2 * node + 1), heading)
            }
        }
    }
}

#[inline]
fn unpacked(first: u16, differences: u16, heading: u32) -> u16 {
    let [south, west, north] = DIFFERENCES;
    let (shift, mask, added) = match heading {
        1 => south,
        2 => west,
        _ => north,
    };
    first.wrapping_add((differences >> shift) & mask).wrapping_sub(added)
}

/// Four costs, of which none or all are [`UNREACHABLE`], in two words.
#[inline]
fn packed([first, others @ ..]: [u16; 4]) -> [u16; 2] {
    if first == UNREACHABLE {
        return [UNREACHABLE; 2];
    }
    let differences = others.into_iter().zip(DIFFERENCES).map(|(other, (shift, mask, added))| {
        let difference = other.wrapping_add(added).wrapping_sub(first);
        debug_assert!(difference <= 2 * added, "{other} is no turn away from {first}");
        (difference & mask) << shift
    });
    [first, differences.fold(0, |all, one| all | one)]
}

impl Fields {
    pub(crate) fn new(graph: &Graph, motion: Motion, vehicles: usize) -> Self {
        let headings = motion.headings() as usize;
        let states = graph.spots() * headings;
        // Every arc of the graph of states is relaxed once, and each goal state begins once.
        let entries = graph.arcs() * headings + states * 3;
        let words = match motion {
            Motion::Pebble => states,
            Motion::Turning => states / 2,
        };
        Self {
            motion,
            words,
            kept: Store::new(vehicles * words, UNREACHABLE),
            to_go: Store::new(states, UNREACHABLE),
            heads: Store::new(BUCKETS, NONE),
            next: Store::new(entries, NONE),
            waiting: Store::new(entries, 0),
        }
    }

    /// All costs of one vehicle.
    #[inline]
    pub(crate) fn of(&self, vehicle: u16) -> Field<'_> {
        Field { motion: self.motion, words: self.kept.part(vehicle as usize * self.words, self.words) }
    }

    #[inline]
    pub(crate) fn at(&self, vehicle: u16, state: u32) -> u16 {
        self.of(vehicle).at(state)
    }

    /// Computes one vehicle's costs to a goal; an arc's cost is what `cost` says of it and its end. Returns the largest.
    pub(crate) fn compute(
        &mut self,
        graph: &Graph,
        vehicle: u16,
        goal: Node,
        cost: impl Fn(u32, u32) -> u16,
    ) -> u32 {
        self.to_go.fill(UNREACHABLE);
        self.heads.fill(NONE);
        let headings = self.motion.headings();
        let (mut used, mut queued) = (0_u32, 0_u32);
        let mut now = 0_u32;
        for heading in 0..headings {
            let state = goal.0 * headings + heading;
            self.offer(state, 0, &mut used, &mut queued);
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
            let state = self.waiting.at(entry as usize);
            // Reached for less meanwhile.
            if now != u32::from(self.to_go.at(state as usize)) {
                continue;
            }
            let (node, heading) = (state / headings, state % headings);
            if headings > 1 {
                for turned in [(heading + 1) % 4, (heading + 3) % 4] {
                    let before = node * headings + turned;
                    self.offer(before, now + u32::from(UNIT), &mut used, &mut queued);
                }
            }
            for link in graph.links_to(node) {
                let price = cost(link.arc, node);
                if price != CLOSED && (headings == 1 || u32::from(link.heading) == heading) {
                    let before = link.node * headings + heading;
                    let total = now + u32::from(price).min(BUCKETS as u32 - 1);
                    self.offer(before, total, &mut used, &mut queued);
                }
            }
        }
        self.keep(vehicle);
        now
    }

    fn keep(&mut self, vehicle: u16) {
        let kept = self.kept.part_mut(vehicle as usize * self.words, self.words);
        let to_go = self.to_go.part(0, self.to_go.len());
        match self.motion {
            Motion::Pebble => kept.iter_mut().zip(to_go).for_each(|(kept, cost)| *kept = *cost),
            Motion::Turning => {
                for (words, costs) in kept.as_chunks_mut().0.iter_mut().zip(to_go.as_chunks().0) {
                    *words = packed(*costs);
                }
            }
        }
    }

    fn offer(&mut self, state: u32, total: u32, used: &mut u32, queued: &mut u32) {
        let total = total.min(FARTHEST);
        if total as u16 >= self.to_go.at(state as usize) || *used as usize >= self.next.len() {
            return;
        }
        self.to_go.put(state as usize, total as u16);
        self.waiting.put(*used as usize, state);
        let bucket = total as usize % BUCKETS;
        self.next.put(*used as usize, self.heads.at(bucket));
        self.heads.put(bucket, *used);
        *used += 1;
        *queued += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_that_are_turns_away_from_each_other_come_back_from_half_the_room() {
        let turn = || -8_i16..=8;
        for east in [16, 4_000, FARTHEST as u16 - 16] {
            for (south, north) in turn().flat_map(|south| turn().map(move |north| (south, north))) {
                for west in turn().map(|west| south + west) {
                    let others = [south, west, north].map(|by| east.saturating_add_signed(by));
                    let [first, differences] = packed([east, others[0], others[1], others[2]]);
                    let back = [1, 2, 3].map(|heading| unpacked(first, differences, heading));
                    assert_eq!((first, back), (east, others));
                }
            }
        }
    }
}
