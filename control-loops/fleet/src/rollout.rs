//! A fresh joint plan for vehicles without heading: priority inheritance with backtracking (PIBT).
//!
//! Step by step through the window, each vehicle in order of priority takes the neighbour that is best for
//! it; whoever stands there has to move on next, with the right of way inherited, and if it cannot, the
//! next best neighbour is tried (Okumura et al. 2022, doi:10.1016/j.artint.2022.103752, algorithm 1). The
//! recursion is a stack of fixed size.

use alloc::boxed::Box;
use alloc::vec;

use crate::aim::Aim;
use crate::field::CLOSED;
use crate::graph::{DEGREE_MAX, Node};
use crate::random::Random;
use crate::search::Scene;
use crate::store::Store;
use crate::window::{NOBODY, Path};

const NO_NODE: u32 = u32::MAX;
/// Keys are costs times this, plus small preferences among equal costs.
const SCALE: u32 = 4;
/// A neighbour where somebody stands is a little worse.
const OCCUPIED: u32 = 2;
/// So much less a vehicle wants to wait than to step aside at the same cost.
const WAIT: u32 = 8;

#[derive(Debug, Clone, Copy)]
struct Frame {
    vehicle: u16,
    tried: usize,
    count: usize,
    options: [(u32, u32); DEGREE_MAX + 1],
}

/// Memory of the method.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    paths: Box<[Path]>,
    node: Store<u32>,
    here: Store<u16>,
    taken: Store<u16>,
    next: Store<u32>,
    done: Store<bool>,
    stack: Box<[Frame]>,
}

impl Rollout {
    pub(crate) fn new(nodes: usize, vehicles: usize) -> Self {
        let frame = Frame { vehicle: NOBODY, tried: 0, count: 0, options: [(u32::MAX, 0); DEGREE_MAX + 1] };
        Self {
            paths: vec![Path::resting(0); vehicles].into_boxed_slice(),
            node: Store::new(vehicles, 0),
            here: Store::new(nodes, NOBODY),
            taken: Store::new(nodes, NOBODY),
            next: Store::new(vehicles, NO_NODE),
            done: Store::new(vehicles, false),
            stack: vec![frame; vehicles + 1].into_boxed_slice(),
        }
    }

    pub(crate) fn path(&self, vehicle: u16) -> Path {
        self.paths.get(vehicle as usize).copied().unwrap_or(Path::resting(0))
    }

    pub(crate) fn keep(&mut self, vehicle: u16, path: &Path) {
        if let Some(slot) = self.paths.get_mut(vehicle as usize) {
            *slot = *path;
        }
    }

    /// Plans the whole window from where everybody is now.
    pub(crate) fn run(
        &mut self,
        scene: &Scene<'_>,
        goals: &Store<Option<Node>>,
        pinned: &Store<bool>,
        order: &[u16],
        random: &mut Random,
    ) {
        for vehicle in order.iter().copied() {
            let node = scene.window.node(vehicle, 0);
            self.node.put(vehicle as usize, node);
            let aim = Aim::new(scene, vehicle, node, goals.at(vehicle as usize));
            self.done.put(vehicle as usize, aim.reached(node));
            self.keep(vehicle, &Path::resting(node));
        }
        for step in 1..=scene.window.steps() {
            for vehicle in order.iter().copied() {
                self.here.put(self.node.at(vehicle as usize) as usize, vehicle);
                self.next.put(vehicle as usize, NO_NODE);
                if pinned.at(vehicle as usize) {
                    let node = self.node.at(vehicle as usize);
                    self.taken.put(node as usize, vehicle);
                    self.next.put(vehicle as usize, node);
                }
            }
            // Whoever has reached its goal comes after all others.
            for done in [false, true] {
                for vehicle in order.iter().copied() {
                    let slot = vehicle as usize;
                    if self.done.at(slot) == done && self.next.at(slot) == NO_NODE {
                        self.decide(scene, goals, vehicle, random);
                    }
                }
            }
            self.take_step(scene, goals, order, step);
        }
    }

    fn take_step(&mut self, scene: &Scene<'_>, goals: &Store<Option<Node>>, order: &[u16], step: usize) {
        for vehicle in order.iter().copied() {
            let slot = vehicle as usize;
            let next = self.next.at(slot);
            self.taken.put(next as usize, NOBODY);
            self.here.put(self.node.at(slot) as usize, NOBODY);
            self.node.put(slot, next);
            let aim = Aim::new(scene, vehicle, next, goals.at(slot));
            self.done.put(slot, self.done.at(slot) || aim.reached(next));
            if let Some(path) = self.paths.get_mut(slot) {
                path.put(step, next);
            }
        }
    }

    fn decide(&mut self, scene: &Scene<'_>, goals: &Store<Option<Node>>, first: u16, random: &mut Random) {
        let mut depth = 1;
        self.enter(scene, goals, 0, first, random);
        while depth > 0 {
            let Some(frame) = self.stack.get_mut(depth - 1) else { return };
            let vehicle = frame.vehicle;
            let here = self.node.at(vehicle as usize);
            let Some((_, target)) =
                frame.options.get(frame.tried).copied().filter(|_| frame.tried < frame.count)
            else {
                // No way out: it stays, and whoever wanted its node tries the next.
                self.next.put(vehicle as usize, here);
                self.taken.put(here as usize, vehicle);
                depth -= 1;
                continue;
            };
            frame.tried += 1;
            let other = self.here.at(target as usize);
            if self.taken.at(target as usize) != NOBODY || self.opposes(scene, here, target, vehicle) {
                continue;
            }
            self.taken.put(target as usize, vehicle);
            self.next.put(vehicle as usize, target);
            if other == NOBODY || other == vehicle || self.next.at(other as usize) != NO_NODE {
                return;
            }
            self.enter(scene, goals, depth, other, random);
            depth += 1;
        }
    }

    /// Whether the move would change places with another one, or close a ring where that may not move.
    fn opposes(&self, scene: &Scene<'_>, here: u32, target: u32, vehicle: u16) -> bool {
        let mut other = self.here.at(target as usize);
        for hops in 0..self.stack.len() {
            if other == NOBODY || other == vehicle || (hops > 0 && scene.rings) {
                return false;
            }
            let next = self.next.at(other as usize);
            if next == here {
                return true;
            }
            if next == NO_NODE || self.here.at(next as usize) == other {
                return false;
            }
            other = self.here.at(next as usize);
        }
        false
    }

    /// Puts a vehicle with its choices, best first, on the stack.
    fn enter(
        &mut self,
        scene: &Scene<'_>,
        goals: &Store<Option<Node>>,
        depth: usize,
        vehicle: u16,
        random: &mut Random,
    ) {
        let node = self.node.at(vehicle as usize);
        let done = self.done.at(vehicle as usize);
        let aim = Aim::new(scene, vehicle, node, goals.at(vehicle as usize));
        let value = |state: u32| if done { Some(0) } else { aim.to_go(state) };
        let Some(frame) = self.stack.get_mut(depth) else { return };
        *frame = Frame { vehicle, tried: 0, count: 0, options: [(u32::MAX, 0); DEGREE_MAX + 1] };
        let mut bits = random.bits();
        let mut add = |key: u32, target: u32| {
            if let Some(slot) = frame.options.get_mut(frame.count) {
                *slot = (key, target);
                frame.count += 1;
            }
        };
        let wait = if done { 0 } else { WAIT * SCALE };
        add(value(node).unwrap_or(0) * SCALE + wait, node);
        for link in scene.graph.out_of(node) {
            let price = scene.arc_cost.at(link.arc as usize);
            let Some(to_go) = value(link.node).filter(|_| price != CLOSED) else { continue };
            if !scene.yard.may_pass(vehicle, node, link.node) {
                continue;
            }
            let toll = if done { 1 } else { u32::from(price) };
            let occupied = self.here.at(link.node as usize) != NOBODY;
            let preference = if occupied { OCCUPIED } else { 0 } + (bits & 1) as u32;
            bits >>= 1;
            add((to_go + toll) * SCALE + preference, link.node);
        }
        if let Some(options) = frame.options.get_mut(..frame.count) {
            options.sort_unstable();
        }
    }
}
