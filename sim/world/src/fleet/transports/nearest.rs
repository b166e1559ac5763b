//! A simple way of control, to compare with: nearest vehicle, first come, first served, fixed routes.
//!
//! # Model
//!
//! The order that came first goes to the idle vehicle that is nearest to its pick node. A vehicle drives the
//! shortest way as if it were alone, and locks its next node when it begins to move there; if somebody has it,
//! it waits. Who is idle steps aside for whoever waits for its node.
//!
//! Two-way traffic on fixed routes runs into rings of vehicles that wait for each other. Each is counted. One
//! of them gets another way round everybody who stands still, or steps aside; if that cannot be, a person
//! carries one to the nearest free node.

use std::collections::VecDeque;

use control_loops_fleet::{Arc, Heading, Node};
use control_loops_layouts::grid::Grid;

use super::body::{Body, Outcome, TICKS};
use super::{Figures, Shift};
use crate::fleet::errands::Random;

/// After so many ticks of waiting a vehicle looks whether it is in a ring.
const PATIENCE_TICKS: u32 = 3 * TICKS;
/// After so many ticks in rings a person comes.
const PERSON_TICKS: u32 = 60 * TICKS;
/// What a person needs, in actions.
const PERSON_ACTIONS: u32 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    ToPick(usize),
    AtPick(usize),
    ToDrop(usize),
    AtDrop(usize),
}

#[derive(Debug, Clone)]
struct Cart {
    body: Body,
    stage: Stage,
    route: VecDeque<(Node, Heading)>,
    waited: u32,
}

/// A run under the simple control.
#[derive(Debug, Clone)]
pub struct Nearest {
    shift: Shift,
    /// Ways out of and into each node.
    out: Vec<Vec<Arc>>,
    into: Vec<Vec<Arc>>,
    carts: Vec<Cart>,
    /// Who has locked each node.
    lock: Vec<Option<usize>>,
    queue: VecDeque<usize>,
    next: usize,
    random: Random,
    figures: Figures,
}

impl Nearest {
    /// A run that has not begun.
    #[must_use]
    pub fn new(grid: &Grid, shift: Shift) -> Self {
        let arcs = grid.arcs(shift.lanes);
        let (mut out, mut into) = (vec![Vec::new(); grid.nodes()], vec![Vec::new(); grid.nodes()]);
        for arc in arcs {
            if let Some(list) = out.get_mut(arc.from.0 as usize) {
                list.push(arc);
            }
            if let Some(list) = into.get_mut(arc.to.0 as usize) {
                list.push(arc);
            }
        }
        let mut random = Random::new(shift.seed);
        let mut lock = vec![None; grid.nodes()];
        let mut carts = Vec::new();
        for (index, node) in shift.starts.iter().enumerate() {
            let body = Body::new(*node, shift.turning, &shift.delays, &mut random);
            carts.push(Cart { body, stage: Stage::Idle, route: VecDeque::new(), waited: 0 });
            if let Some(lock) = lock.get_mut(node.0 as usize) {
                *lock = Some(index);
            }
        }
        let figures = Figures { vehicles: carts.len() as u64, ..Figures::default() };
        Self { shift, out, into, carts, lock, queue: VecDeque::new(), next: 0, random, figures }
    }

    /// One tick.
    pub fn tick(&mut self) {
        while self.shift.jobs.get(self.next).is_some_and(|job| job.at <= self.figures.ticks) {
            self.queue.push_back(self.next);
            self.next += 1;
            self.figures.orders += 1;
        }
        self.assign();
        for index in 0..self.carts.len() {
            self.act(index);
        }
        self.resolve();
        self.figures.ticks += 1;
    }

    /// Whether all orders have come and are done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next == self.shift.jobs.len() && self.figures.done == self.next as u64
    }

    /// What the run has come to, with those orders that are still under way.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        let under_way =
            self.carts.iter().filter_map(|cart| cart.stage.job()).chain(self.queue.iter().copied());
        for job in under_way.filter_map(|job| self.shift.jobs.get(job)) {
            figures.waited_max = figures.waited_max.max(figures.ticks - job.at);
        }
        figures
    }

    /// The first order goes to the nearest idle vehicle.
    fn assign(&mut self) {
        while let Some(job) = self.queue.front().copied() {
            if !self.carts.iter().any(|cart| cart.stage == Stage::Idle) {
                return;
            }
            let Some(pick) = self.shift.jobs.get(job).map(|job| job.pick) else { return };
            let to_go = self.distances(pick, |_| false);
            let away = |cart: &Cart| to_go.get(cart.body.node().0 as usize).copied().unwrap_or(u32::MAX);
            let idle = self.carts.iter().enumerate().filter(|(_, cart)| cart.stage == Stage::Idle);
            let Some(index) = idle.min_by_key(|(_, cart)| away(cart)).map(|(index, _)| index) else { return };
            self.queue.pop_front();
            if let Some(cart) = self.carts.get_mut(index) {
                cart.stage = Stage::ToPick(job);
            }
            self.route(index, |_| false);
        }
    }

    fn goal(&self, stage: Stage) -> Option<Node> {
        match stage {
            Stage::Idle => None,
            Stage::ToPick(job) | Stage::AtPick(job) => self.shift.jobs.get(job).map(|job| job.pick),
            Stage::ToDrop(job) | Stage::AtDrop(job) => self.shift.jobs.get(job).map(|job| job.drop),
        }
    }

    fn act(&mut self, index: usize) {
        let Self { carts, shift, random, figures, .. } = self;
        let Some(cart) = carts.get_mut(index) else { return };
        figures.busy += u64::from(cart.stage != Stage::Idle);
        let loaded = matches!(cart.stage, Stage::AtPick(_) | Stage::ToDrop(_) | Stage::AtDrop(_));
        let before = cart.body.node();
        let outcome = cart.body.tick(&shift.delays, random);
        figures.productive += u64::from(cart.body.works() && loaded);
        match outcome {
            Outcome::Busy => return,
            Outcome::Free => {}
            Outcome::Arrived(_) => {
                if let Some(lock) = self.lock.get_mut(before.0 as usize) {
                    *lock = None;
                }
            }
            Outcome::Handled => self.handled(index),
        }
        self.go_on(index);
    }

    fn handled(&mut self, index: usize) {
        let Some(cart) = self.carts.get_mut(index) else { return };
        match cart.stage {
            Stage::AtPick(job) => cart.stage = Stage::ToDrop(job),
            Stage::AtDrop(job) => {
                cart.stage = Stage::Idle;
                let came = self.shift.jobs.get(job).map_or(0, |job| job.at);
                self.figures.end_order(self.figures.ticks - came);
            }
            Stage::Idle | Stage::ToPick(_) | Stage::ToDrop(_) => {}
        }
        self.route(index, |_| false);
    }

    /// Begins the next thing: to drive on, or to handle a load.
    fn go_on(&mut self, index: usize) {
        let handling = self.shift.handling;
        let goal = self.carts.get(index).and_then(|cart| self.goal(cart.stage));
        let Some(cart) = self.carts.get_mut(index) else { return };
        if goal == Some(cart.body.node()) {
            cart.route.clear();
            cart.stage = match cart.stage {
                Stage::ToPick(job) => Stage::AtPick(job),
                Stage::ToDrop(job) => Stage::AtDrop(job),
                other => other,
            };
            return cart.body.handle(handling);
        }
        let Some((next, heading)) = cart.route.front().copied() else {
            if goal.is_some() {
                self.route(index, |_| false);
            }
            return;
        };
        match self.lock.get_mut(next.0 as usize) {
            Some(lock) if lock.is_none() => {
                *lock = Some(index);
                cart.route.pop_front();
                cart.waited = 0;
                cart.body.drive(next, heading);
            }
            Some(_) | None => cart.waited += 1,
        }
    }

    /// Whom a vehicle waits for.
    fn waits_for(&self, index: usize) -> Option<usize> {
        let cart = self.carts.get(index)?;
        let (next, _) = cart.route.front().filter(|_| cart.waited > 0)?;
        self.lock.get(next.0 as usize).copied().flatten()
    }

    /// Idle ones step aside; rings are broken.
    fn resolve(&mut self) {
        for index in 0..self.carts.len() {
            let Some(by) = self.waits_for(index) else { continue };
            let idle =
                self.carts.get(by).is_some_and(|cart| cart.stage == Stage::Idle && cart.route.is_empty());
            if idle && self.carts.get(by).is_some_and(|cart| !cart.body.works()) {
                self.step_aside(by);
            }
            let waited = self.carts.get(index).map_or(0, |cart| cart.waited);
            if waited % PATIENCE_TICKS != PATIENCE_TICKS - 1 || !self.is_stuck(index) {
                continue;
            }
            self.figures.deadlocks += u64::from(waited < PATIENCE_TICKS);
            let standing: Vec<bool> =
                self.lock.iter().map(|lock| lock.is_some_and(|by| by != index)).collect();
            let barred = |node: Node| standing.get(node.0 as usize).copied().unwrap_or(true);
            if self.route(index, barred) || self.step_aside(index) {
                continue;
            }
            if waited >= PERSON_TICKS {
                self.figures.interventions += 1;
                self.carry(index);
            }
        }
    }

    /// Whether a vehicle waits for a ring, or is in one.
    fn is_stuck(&self, index: usize) -> bool {
        let mut at = index;
        for _ in 0..self.carts.len() {
            match self.waits_for(at) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// Moves to a free neighbour, and goes on from there.
    fn step_aside(&mut self, index: usize) -> bool {
        let Some(cart) = self.carts.get(index) else { return false };
        let ways = self.out.get(cart.body.node().0 as usize).map_or(&[][..], Vec::as_slice);
        let free: Vec<&Arc> =
            ways.iter().filter(|arc| self.lock.get(arc.to.0 as usize).is_some_and(Option::is_none)).collect();
        let drawn = self.random.below(free.len() as u64) as usize;
        let Some((to, heading)) = free.get(drawn).map(|arc| (arc.to, arc.heading)) else { return false };
        if let Some(cart) = self.carts.get_mut(index) {
            cart.route.clear();
            cart.route.push_back((to, heading));
        }
        true
    }

    /// A person carries a vehicle to the nearest free node.
    fn carry(&mut self, index: usize) {
        let Some(from) = self.carts.get(index).map(|cart| cart.body.node()) else { return };
        let to_go = self.distances(from, |_| false);
        let free = (0..self.lock.len()).filter(|node| self.lock.get(*node).is_some_and(Option::is_none));
        let nearest = free.min_by_key(|node| to_go.get(*node).copied().unwrap_or(u32::MAX));
        let Some(node) = nearest else { return };
        if let Some(lock) = self.lock.get_mut(from.0 as usize) {
            *lock = None;
        }
        if let Some(lock) = self.lock.get_mut(node) {
            *lock = Some(index);
        }
        if let Some(cart) = self.carts.get_mut(index) {
            cart.body.carry(Node(node as u32), PERSON_ACTIONS);
            cart.waited = 0;
        }
        self.route(index, |_| false);
    }

    /// The shortest way to a vehicle's goal; whether there is one.
    fn route(&mut self, index: usize, barred: impl Fn(Node) -> bool) -> bool {
        let Some(cart) = self.carts.get(index) else { return false };
        let mut route = VecDeque::new();
        let mut at = cart.body.node();
        if let Some(goal) = self.goal(cart.stage) {
            let to_go = self.distances(goal, barred);
            let value = |node: Node| to_go.get(node.0 as usize).copied().unwrap_or(u32::MAX);
            if value(at) == u32::MAX {
                return false;
            }
            while at != goal {
                let ways = self.out.get(at.0 as usize).map_or(&[][..], Vec::as_slice);
                let best = ways.iter().min_by_key(|arc| value(arc.to).saturating_add(u32::from(arc.cost)));
                let Some(arc) = best else { return false };
                route.push_back((arc.to, arc.heading));
                at = arc.to;
            }
        }
        if let Some(cart) = self.carts.get_mut(index) {
            cart.route = route;
            cart.waited = 0;
        }
        true
    }

    /// What it costs from each node to a goal; barred nodes are not entered.
    fn distances(&self, goal: Node, barred: impl Fn(Node) -> bool) -> Vec<u32> {
        let mut to_go = vec![u32::MAX; self.out.len()];
        let mut open = std::collections::BinaryHeap::new();
        if barred(goal) {
            return to_go;
        }
        if let Some(slot) = to_go.get_mut(goal.0 as usize) {
            *slot = 0;
        }
        open.push(std::cmp::Reverse((0, goal.0)));
        while let Some(std::cmp::Reverse((cost, node))) = open.pop() {
            if to_go.get(node as usize).is_none_or(|known| *known < cost) || (cost > 0 && barred(Node(node)))
            {
                continue;
            }
            for arc in self.into.get(node as usize).map_or(&[][..], Vec::as_slice) {
                let through = cost + u32::from(arc.cost);
                if let Some(known) = to_go.get_mut(arc.from.0 as usize).filter(|known| through < **known) {
                    *known = through;
                    open.push(std::cmp::Reverse((through, arc.from.0)));
                }
            }
        }
        to_go
    }
}

impl Stage {
    const fn job(self) -> Option<usize> {
        match self {
            Self::Idle => None,
            Self::ToPick(job) | Self::AtPick(job) | Self::ToDrop(job) | Self::AtDrop(job) => Some(job),
        }
    }
}
