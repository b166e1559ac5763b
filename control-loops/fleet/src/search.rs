//! The cheapest path of one vehicle through the window.
//!
//! A* over (step, state, goal reached) with the vehicle's field as the estimate, which is exact where
//! nobody is in the way. Paths of the others are obstacles; of those that may make way, each conflict
//! costs a penalty instead. Work is bounded by a number of expansions.

use crate::aim::Aim;
use crate::field::{CLOSED, Fields};
use crate::graph::{DEGREE_MAX, Graph, Node, UNIT};
use crate::store::Store;
use crate::window::{NOBODY, Path, WINDOW_MAX, Window};
use crate::yard::Yard;

const NONE: u32 = u32::MAX;
const BUCKETS: usize = 2048;
/// Most nodes that one search expands.
const EXPANSIONS_MAX: u32 = 2_000;

/// What one search may assume.
pub(crate) struct Scene<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) fields: &'a Fields,
    pub(crate) window: &'a Window,
    pub(crate) yard: &'a Yard,
    pub(crate) arc_cost: &'a Store<u16>,
    /// Whether a closed ring of vehicles may move in one step.
    pub(crate) rings: bool,
    pub(crate) headings: u32,
}

/// Who moves, and who makes way.
pub(crate) struct Question<'a> {
    pub(crate) vehicle: u16,
    pub(crate) start: u32,
    pub(crate) goal: Option<Node>,
    /// What a conflict with a vehicle that may make way costs; `None` if nobody makes way.
    pub(crate) penalty: Option<u16>,
    /// Vehicles that make way for nobody now.
    pub(crate) fixed: &'a dyn Fn(u16) -> bool,
}

/// What a search knows of a key.
#[derive(Debug, Clone, Copy)]
struct Seen {
    key: u32,
    cost: u32,
    before: u32,
    closed: bool,
}

const UNSEEN: Seen = Seen { key: NONE, cost: NONE, before: NONE, closed: false };

#[derive(Debug, Clone, Copy)]
struct Open {
    key: u32,
    cost: u32,
    next: u32,
}

/// Most keys that one search comes to: what an expanded node offers, and the first one.
const OFFERS_MAX: usize = EXPANSIONS_MAX as usize * (DEGREE_MAX + 3) + 16;
const _: () = assert!(OFFERS_MAX <= u16::MAX as usize + 1);

/// Memory of the search.
///
/// What is known of keys is a sparse set (Briggs and Torczon 1993, doi:10.1145/176454.176484): a search comes to a few
/// of all keys, so for each there is only where it would stand among those that were seen, and nothing has to be cleared.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    states: u32,
    place: Store<u16>,
    seen: Store<Seen>,
    seen_len: usize,
    heads: Store<u32>,
    open: Store<Open>,
    used: u32,
    lowest: usize,
    highest: usize,
    base: u32,
    /// Expansions since the count was last taken.
    pub(crate) expansions: u32,
}

impl Search {
    pub(crate) fn new(graph: &Graph, headings: u32, steps: usize) -> Self {
        let states = graph.spots() as u32 * headings;
        let keys = states as usize * (steps + 1) * 2;
        Self {
            states,
            place: Store::new(keys, 0),
            seen: Store::new(OFFERS_MAX, UNSEEN),
            seen_len: 0,
            heads: Store::new(BUCKETS, NONE),
            open: Store::new(OFFERS_MAX, Open { key: 0, cost: 0, next: NONE }),
            used: 0,
            lowest: 0,
            highest: 0,
            base: 0,
            expansions: 0,
        }
    }

    /// The cheapest path, or `None` if there is none within the bounds.
    pub(crate) fn run(&mut self, scene: &Scene<'_>, ask: &Question<'_>) -> Option<Path> {
        self.begin();
        let steps = scene.window.steps();
        let aim = Aim::new(scene, ask.vehicle, ask.start / scene.headings, ask.goal);
        let reached = aim.reached(ask.start);
        self.base = aim.to_go(ask.start)?;
        self.offer(scene, &aim, 0, ask.start, reached, 0, NONE);
        let mut expansions = 0;
        while let Some((key, cost)) = self.next() {
            let seen = self.seen(key);
            if seen.closed {
                continue;
            }
            self.see(Seen { closed: true, ..seen });
            let state = (key / 2) % self.states;
            let step = (key / 2 / self.states) as usize;
            if step == steps {
                self.expansions += expansions;
                return Some(self.trace(key));
            }
            expansions += 1;
            if expansions >= EXPANSIONS_MAX {
                break;
            }
            self.expand(scene, ask, &aim, (key, cost, state, step));
        }
        self.expansions += expansions;
        None
    }

    fn begin(&mut self) {
        self.seen_len = 0;
        for bucket in self.lowest..=self.highest.min(BUCKETS - 1) {
            self.heads.put(bucket, NONE);
        }
        self.used = 0;
        self.lowest = BUCKETS - 1;
        self.highest = 0;
    }

    /// What is known of a key; [`UNSEEN`] if nothing is.
    #[inline]
    fn seen(&self, key: u32) -> Seen {
        let place = self.place.at(key as usize) as usize;
        if place >= self.seen_len {
            return UNSEEN;
        }
        let seen = self.seen.at(place);
        if seen.key == key { seen } else { UNSEEN }
    }

    #[inline]
    fn see(&mut self, seen: Seen) {
        let key = seen.key as usize;
        if self.seen(seen.key).key != seen.key {
            self.place.put(key, self.seen_len as u16);
            self.seen_len += 1;
        }
        self.seen.put(self.place.at(key) as usize, seen);
    }

    #[inline]
    fn expand(&mut self, scene: &Scene<'_>, ask: &Question<'_>, aim: &Aim<'_>, at: (u32, u32, u32, usize)) {
        let (key, cost, state, step) = at;
        let done = key & 1 == 1;
        let (node, heading) = (state / scene.headings, state % scene.headings);
        let idle = if done { 0 } else { u32::from(UNIT) };
        if let Some(penalty) = Self::penalty(scene, ask, node, node, step) {
            self.offer(scene, aim, step + 1, state, done, cost + idle + penalty, key);
            if scene.headings > 1 && !done {
                for turned in [(heading + 1) % 4, (heading + 3) % 4] {
                    let after = node * 4 + turned;
                    self.offer(scene, aim, step + 1, after, done, cost + idle + penalty, key);
                }
            } else if scene.headings > 1 {
                for turned in [(heading + 1) % 4, (heading + 3) % 4] {
                    self.offer(scene, aim, step + 1, node * 4 + turned, done, cost + 1 + penalty, key);
                }
            }
        }
        for link in scene.graph.out_of(node) {
            if scene.headings > 1 && u32::from(link.heading) != heading {
                continue;
            }
            if !scene.yard.may_pass(ask.vehicle, node, link.node) {
                continue;
            }
            if let Some(penalty) = Self::penalty(scene, ask, node, link.node, step) {
                let after = link.node * scene.headings + heading;
                let price = scene.arc_cost.at(link.arc as usize);
                let toll = if done { 1 } else { u32::from(price) };
                let done = done || aim.reached(after);
                if price != CLOSED {
                    self.offer(scene, aim, step + 1, after, done, cost + toll + penalty, key);
                }
            }
        }
    }

    /// What it costs to be in the way of others on this move; `None` if somebody makes no way.
    #[inline]
    fn penalty(scene: &Scene<'_>, ask: &Question<'_>, from: u32, to: u32, step: usize) -> Option<u32> {
        let mut sum = 0;
        for other in conflicts(scene, from, to, step) {
            if other != NOBODY {
                if (ask.fixed)(other) {
                    return None;
                }
                sum += u32::from(ask.penalty?);
            }
        }
        Some(sum)
    }

    #[allow(clippy::too_many_arguments)]
    #[inline]
    fn offer(
        &mut self,
        scene: &Scene<'_>,
        aim: &Aim<'_>,
        step: usize,
        state: u32,
        done: bool,
        cost: u32,
        before: u32,
    ) {
        let to_go = if done { 0 } else { aim.to_go(state).unwrap_or(NONE) };
        if to_go == NONE || step > scene.window.steps() {
            return;
        }
        let key = ((step as u32 * self.states) + state) * 2 + u32::from(done);
        let seen = self.seen(key);
        if seen.key == key && seen.cost <= cost {
            return;
        }
        let bucket = (cost + to_go).saturating_sub(self.base) as usize;
        if bucket >= BUCKETS || self.used as usize >= self.open.len() {
            return;
        }
        self.see(Seen { key, cost, before, ..seen });
        self.open.put(self.used as usize, Open { key, cost, next: self.heads.at(bucket) });
        self.heads.put(bucket, self.used);
        self.used += 1;
        self.lowest = self.lowest.min(bucket);
        self.highest = self.highest.max(bucket);
    }

    #[inline]
    fn next(&mut self) -> Option<(u32, u32)> {
        while self.lowest <= self.highest {
            let entry = self.heads.at(self.lowest);
            if entry == NONE {
                self.lowest += 1;
                continue;
            }
            let Open { key, cost, next } = self.open.at(entry as usize);
            self.heads.put(self.lowest, next);
            if self.seen(key).cost == cost {
                return Some((key, cost));
            }
        }
        None
    }

    fn trace(&self, last: u32) -> Path {
        let mut path = Path::resting((last / 2) % self.states);
        let mut key = last;
        for _ in 0..=WINDOW_MAX {
            if key == NONE {
                break;
            }
            path.put((key / 2 / self.states) as usize, (key / 2) % self.states);
            key = self.seen(key).before;
        }
        path
    }
}

/// Whom a move between two steps touches: who holds the target then, and who would change places or, if
/// closed rings may not move, close a ring.
#[inline]
pub(crate) fn conflicts(scene: &Scene<'_>, from: u32, to: u32, step: usize) -> [u16; 2] {
    let window = scene.window;
    let holder = window.holder(step + 1, to);
    if from == to {
        return [holder, NOBODY];
    }
    let mut leaving = window.holder(step, to);
    if leaving == NOBODY || leaving == holder {
        return [holder, NOBODY];
    }
    if window.holder(step + 1, from) == leaving {
        return [holder, leaving];
    }
    if !scene.rings {
        let first = leaving;
        // A ring is at most as long as the fleet, and each vehicle in it moves.
        for _ in 0..scene.graph.spots() {
            let next = window.node(leaving, step + 1);
            if next == from {
                return [holder, first];
            }
            let after = window.holder(step, next);
            if after == NOBODY || after == leaving {
                break;
            }
            leaving = after;
        }
    }
    [holder, NOBODY]
}
