//! Right of way for vehicles that turn: each in order of priority tries short sequences of actions.
//!
//! # Model
//!
//! The method is EPIBT (Yukhnevich and Andreychuk 2025, arXiv:2511.09193). An option is a sequence of
//! [`LENGTH`] actions: forward, a quarter turn, or a wait. A vehicle takes its best option that conflicts
//! with nobody; if one other vehicle is in the way that has not decided yet, that one inherits the right of
//! way and looks for another option first. If it finds none, the next option is tried. Everybody always has
//! a valid plan to fall back to: the one that it had. Work is bounded by a number of tries.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::aim::Aim;
use crate::field::CLOSED;
use crate::graph::UNIT;
use crate::planner::Planner;
use crate::search::{Scene, conflicts};
use crate::store::Store;
use crate::window::{NOBODY, Path};

/// Actions of one option.
const LENGTH: usize = 5;
/// Most options of one vehicle: sequences that turn there and back are left out.
const OPTIONS_MAX: usize = 512;
/// How far the right of way is inherited.
const DEPTH_MAX: usize = 48;
/// Options tried for one vehicle, with all that it pushes.
const TRIES_MAX: u32 = 20_000;
/// How often one vehicle can be pushed while one other decides.
const VISITS_MAX: u8 = 10;

/// A sequence of actions by the states after each.
#[derive(Debug, Clone, Copy)]
struct Choice {
    key: u32,
    states: [u32; LENGTH],
    keep: bool,
}

const NO_CHOICE: Choice = Choice { key: u32::MAX, states: [0; LENGTH], keep: true };

#[derive(Debug, Clone, Copy)]
struct Level {
    vehicle: u16,
    tried: usize,
    count: usize,
    old: Path,
}

/// Memory of the method.
#[derive(Debug, Clone)]
pub(crate) struct Yielding {
    levels: Box<[Level]>,
    choices: Store<Choice>,
    sequences: Box<[Sequence]>,
    visits: Store<u8>,
    decided: Store<bool>,
    tries: u32,
}

/// What stands in the way of a path.
enum Way {
    Free,
    One(u16),
    Barred,
}

impl Yielding {
    pub(crate) fn new(vehicles: usize) -> Self {
        let level = Level { vehicle: NOBODY, tried: 0, count: 0, old: Path::resting(0) };
        Self {
            levels: vec![level; DEPTH_MAX].into_boxed_slice(),
            choices: Store::new(DEPTH_MAX * OPTIONS_MAX, NO_CHOICE),
            sequences: Sequence::all(),
            visits: Store::new(vehicles, 0),
            decided: Store::new(vehicles, false),
            tries: 0,
        }
    }

    fn level(&self, depth: usize) -> Level {
        let nobody = Level { vehicle: NOBODY, tried: 0, count: 0, old: Path::resting(0) };
        self.levels.get(depth).copied().unwrap_or(nobody)
    }
}

impl Planner {
    /// All vehicles decide, in this order.
    pub(crate) fn give_way(&mut self, order: &[u16], memory: &mut Yielding) {
        memory.decided.fill(false);
        for vehicle in order.iter().copied() {
            let slot = vehicle as usize;
            if self.cost.at(slot) > self.best.at(slot) && !self.held.at(slot) {
                memory.visits.fill(0);
                memory.tries = 0;
                self.decide(vehicle, memory);
            }
            memory.decided.put(slot, true);
        }
        self.evaluate_all();
    }

    fn decide(&mut self, first: u16, memory: &mut Yielding) {
        let mut depth = 0;
        self.enter(first, 0, memory);
        while memory.tries < TRIES_MAX || depth > 0 {
            let Level { vehicle, tried, count, old } = memory.level(depth);
            if tried >= count || memory.tries >= TRIES_MAX {
                // Nothing fits: back to the old plan, and the one who pushed tries its next option.
                if depth > 0 {
                    self.lift(memory.level(depth - 1).vehicle);
                }
                self.lay(vehicle, &old);
                if depth == 0 {
                    return;
                }
                depth -= 1;
                continue;
            }
            memory.tries += 1;
            if let Some(level) = memory.levels.get_mut(depth) {
                level.tried += 1;
            }
            let choice = memory.choices.at(depth * OPTIONS_MAX + tried);
            let path = choice.path(&old);
            match self.way(vehicle, &path, memory, depth) {
                Way::Barred => {}
                Way::Free => {
                    self.lay(vehicle, &path);
                    return;
                }
                Way::One(other) if depth + 1 < DEPTH_MAX => {
                    memory.visits.put(other as usize, memory.visits.at(other as usize) + 1);
                    depth += 1;
                    self.enter(other, depth, memory);
                    self.lay(vehicle, &path);
                }
                Way::One(_) => {}
            }
        }
        self.lay(first, &memory.level(0).old);
    }

    /// Takes a vehicle out of the plan and lists its options, best first.
    fn enter(&mut self, vehicle: u16, depth: usize, memory: &mut Yielding) {
        let kept = Choice { key: self.evaluate(vehicle) * 4, ..NO_CHOICE };
        let old = self.window.path(vehicle);
        let jitter = self.random.bits();
        let first = depth * OPTIONS_MAX;
        memory.choices.put(first, kept);
        let Yielding { choices, sequences, .. } = memory;
        let options = choices.part_mut(first + 1, OPTIONS_MAX - 1);
        let count = 1 + self.list_options(vehicle, jitter, sequences, options);
        memory.choices.part_mut(first, count).sort_unstable_by_key(|choice| choice.key);
        if let Some(level) = memory.levels.get_mut(depth) {
            *level = Level { vehicle, tried: 0, count, old };
        }
        self.lift(vehicle);
    }

    /// All sequences of actions that can be driven from here.
    fn list_options(&self, vehicle: u16, jitter: u64, sequences: &[Sequence], into: &mut [Choice]) -> usize {
        let scene = self.scene();
        let start = self.window.state(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, start / 4, self.goal.at(vehicle as usize));
        let mut trail = [Some(Step { state: start, cost: 0, done: aim.reached(start) }); LENGTH + 1];
        let mut count = 0;
        for sequence in sequences {
            let mut step = trail.get(sequence.shared).copied().flatten();
            for (depth, action) in sequence.actions.iter().enumerate().skip(sequence.shared) {
                step = step.and_then(|step| step.then(&scene, &aim, vehicle, *action));
                if let Some(slot) = trail.get_mut(depth + 1) {
                    *slot = step;
                }
            }
            let Some(last) = step else { continue };
            let to_go = if last.done { Some(0) } else { aim.to_go(last.state) };
            let (Some(to_go), Some(slot)) = (to_go, into.get_mut(count)) else { continue };
            let preference = 1 + (jitter.rotate_right(count as u32) & 1) as u32;
            let mut states = [0; LENGTH];
            for (state, step) in states.iter_mut().zip(trail.iter().skip(1).flatten()) {
                *state = step.state;
            }
            *slot = Choice { key: (last.cost + to_go) * 4 + preference, states, keep: false };
            count += 1;
        }
        count
    }

    fn way(&self, vehicle: u16, path: &Path, memory: &Yielding, depth: usize) -> Way {
        let scene = self.scene();
        let mut found = NOBODY;
        for step in 0..self.window.steps() {
            let (from, to) = (path.at(step) / 4, path.at(step + 1) / 4);
            for other in conflicts(&scene, from, to, step) {
                if other == NOBODY || other == vehicle || other == found {
                    continue;
                }
                let asked = memory.levels.iter().take(depth).any(|level| level.vehicle == other);
                let slot = other as usize;
                let stays = self.held.at(slot) || memory.decided.at(slot);
                if found != NOBODY || asked || stays || memory.visits.at(slot) >= VISITS_MAX {
                    return Way::Barred;
                }
                found = other;
            }
        }
        if found == NOBODY { Way::Free } else { Way::One(found) }
    }
}

impl Choice {
    fn path(&self, old: &Path) -> Path {
        let mut path = *old;
        if !self.keep {
            for (step, state) in self.states.iter().enumerate() {
                path.put(step + 1, *state);
            }
            let [.., last] = self.states;
            path.rest_from(LENGTH + 1, last);
        }
        path
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Forward,
    Right,
    Left,
    Wait,
}

/// Actions, and how many of the first ones the sequence before has as well.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    actions: [Action; LENGTH],
    shared: usize,
}

impl Sequence {
    /// All that make sense, so that equal beginnings are neighbours.
    fn all() -> Box<[Self]> {
        const ACTIONS: [Action; 4] = [Action::Forward, Action::Right, Action::Left, Action::Wait];
        let mut all: Vec<Self> = Vec::new();
        for number in 0..ACTIONS.len().pow(LENGTH as u32) {
            let mut actions = [Action::Wait; LENGTH];
            for (place, action) in actions.iter_mut().rev().enumerate() {
                let digit = number / ACTIONS.len().pow(place as u32) % ACTIONS.len();
                *action = ACTIONS.get(digit).copied().unwrap_or(Action::Wait);
            }
            if makes_sense(&actions) && all.len() + 1 < OPTIONS_MAX {
                let before = all.last().map(|before| before.actions);
                let same = |before: [Action; LENGTH]| {
                    before.iter().zip(&actions).take_while(|(a, b)| a == b).count()
                };
                all.push(Self { actions, shared: before.map_or(0, same) });
            }
        }
        all.into_boxed_slice()
    }
}

/// Turning there and back, three quarters one way, or waiting before a turn gains nothing.
fn makes_sense(actions: &[Action; LENGTH]) -> bool {
    use Action::{Left, Right, Wait};
    let pair = |pair: &[Action]| {
        !matches!(pair, [Right, Left] | [Left, Right] | [Left, Left] | [Wait, Right] | [Wait, Left])
    };
    actions.windows(2).all(pair) && actions.windows(3).all(|three| !matches!(three, [Right, Right, Right]))
}

/// A state on the way.
#[derive(Debug, Clone, Copy)]
struct Step {
    state: u32,
    cost: u32,
    done: bool,
}

impl Step {
    /// What an action leads to; `None` if it cannot be done.
    fn then(self, scene: &Scene<'_>, aim: &Aim<'_>, vehicle: u16, action: Action) -> Option<Self> {
        let (node, heading) = (self.state / 4, self.state % 4);
        let unit = u32::from(UNIT);
        let turned = |quarters: u32| {
            let cost = self.cost + if self.done { 1 } else { unit };
            Some(Self { state: node * 4 + (heading + quarters) % 4, cost, done: self.done })
        };
        match action {
            Action::Forward => {
                let link = scene.graph.out_of(node).iter().find(|link| u32::from(link.heading) == heading)?;
                let price = scene.arc_cost.at(link.arc as usize);
                if price == CLOSED || !scene.yard.may_pass(vehicle, node, link.node) {
                    return None;
                }
                let state = link.node * 4 + heading;
                let cost = self.cost + if self.done { 1 } else { u32::from(price) };
                Some(Self { state, cost, done: self.done || aim.reached(state) })
            }
            Action::Right => turned(1),
            Action::Left => turned(3),
            Action::Wait => Some(Self { cost: self.cost + if self.done { 0 } else { unit }, ..self }),
        }
    }
}
