//! Right of way for vehicles that turn: each in order of priority tries short sequences of actions.
//!
//! # Model
//!
//! The method is EPIBT (Yukhnevich and Andreychuk 2025, arXiv:2511.09193). An option is a sequence of
//! [`LENGTH`] actions: forward, a quarter turn, or a wait. A vehicle takes its best option that conflicts
//! with nobody; if one other vehicle is in the way that has not decided yet, that one inherits the right of
//! way and looks for another option first. If it finds none, the next option is tried; options that ask the
//! same vehicle to be gone as early or earlier are passed over. Everybody always has a valid plan to fall back
//! to: the one that it had.
//!
//! Afterwards vehicles drawn at random do the same once more, whoever has decided before, and what comes of it
//! stays if all whom it concerns gain by their weights together. Work is bounded by numbers of tries.

use alloc::boxed::Box;
use alloc::vec;

use crate::aim::Aim;
use crate::options::{LENGTH, OPTIONS_MAX, Sequence, Step};
use crate::planner::Planner;
use crate::search::conflicts;
use crate::store::Store;
use crate::window::{NOBODY, Path};

/// How far the right of way is inherited.
const DEPTH_MAX: usize = 48;
/// Options tried for one vehicle, with all that it pushes: when it has the right of way, and when it only
/// may have a better plan if that pays for all.
const TRIES_MAX: u32 = 5_000;
const TRIES_PAID_MAX: u32 = 100;
/// How often one vehicle can be pushed while one other decides, in either case.
const VISITS_MAX: u8 = 20;
const VISITS_PAID_MAX: u8 = 2;
/// Vehicles drawn to look for a better plan, for each vehicle of the fleet.
const DRAWS: u64 = 4;
/// Options of the same worth are tried in an order drawn at random, of so many bits.
const DRAWN_BITS: u32 = 3;
/// The weight of the vehicle that decides first is about this.
const WEIGHT_MAX: u32 = 64;

/// Most pushes of one vehicle that are remembered: each of four neighbours by each step.
const PUSHES_MAX: usize = 4 * LENGTH;

/// A sequence of actions by the states after each.
#[derive(Debug, Clone, Copy)]
struct Choice {
    /// Its worth, and below that what was drawn.
    key: u32,
    states: [u32; LENGTH],
}

const NO_CHOICE: Choice = Choice { key: u32::MAX, states: [0; LENGTH] };

/// A vehicle that is looking for an option.
#[derive(Debug, Clone, Copy)]
struct Level {
    vehicle: u16,
    tried: usize,
    count: usize,
    /// What its old plan is worth.
    worth: u32,
    /// What those before lose, by weight.
    loss: i64,
    /// Who could not make way, and by which step.
    barred: [(u16, usize); PUSHES_MAX],
    pushed: usize,
    old: Path,
}

const NO_LEVEL: Level = Level {
    vehicle: NOBODY,
    tried: 0,
    count: 0,
    worth: 0,
    loss: 0,
    barred: [(NOBODY, 0); PUSHES_MAX],
    pushed: 0,
    old: Path::resting(0),
};

impl Level {
    /// Whether that one could not even make way by a later step.
    fn is_barred(&self, other: u16, step: usize) -> bool {
        self.barred.iter().take(self.pushed).any(|(vehicle, by)| *vehicle == other && step <= *by)
    }
}

/// Memory of the method.
#[derive(Debug, Clone)]
pub(crate) struct Yielding {
    levels: Box<[Level]>,
    /// The options of each vehicle, best first, and how many there are; none if they are not listed yet.
    choices: Store<Choice>,
    counts: Store<u16>,
    sequences: Box<[Sequence]>,
    weights: Store<u32>,
    visits: Store<u8>,
    decided: Store<bool>,
    tries: u32,
    visits_max: u8,
}

/// What stands in the way of a path.
enum Way {
    Free,
    One(u16, usize),
    Barred,
}

impl Yielding {
    pub(crate) fn new(vehicles: usize) -> Self {
        Self {
            levels: vec![NO_LEVEL; DEPTH_MAX].into_boxed_slice(),
            choices: Store::new(vehicles * OPTIONS_MAX, NO_CHOICE),
            counts: Store::new(vehicles, 0),
            sequences: Sequence::all(),
            weights: Store::new(vehicles, 1),
            visits: Store::new(vehicles, 0),
            decided: Store::new(vehicles, false),
            tries: 0,
            visits_max: VISITS_MAX,
        }
    }

    fn level(&self, depth: usize) -> Level {
        self.levels.get(depth).copied().unwrap_or(NO_LEVEL)
    }

    fn weight(&self, vehicle: u16) -> i64 {
        i64::from(self.weights.at(vehicle as usize))
    }

    /// Those that decide first count more, by the square of their place.
    fn weigh(&mut self, order: &[u16]) {
        let count = order.len() as u32;
        for (place, vehicle) in (0_u32..).zip(order) {
            let part = (count - place) * WEIGHT_MAX / count;
            self.weights.put(*vehicle as usize, 1 + part * part / WEIGHT_MAX);
        }
    }
}

impl Planner {
    /// All vehicles decide, in this order; then some drawn at random look for what is better for all.
    pub(crate) fn give_way(&mut self, order: &[u16], memory: &mut Yielding) {
        memory.counts.fill(0);
        memory.decided.fill(false);
        memory.weigh(order);
        for vehicle in order.iter().copied() {
            if self.is_delayed(vehicle) {
                self.decide(vehicle, memory, false);
            }
            memory.decided.put(vehicle as usize, true);
        }
        memory.decided.fill(false);
        for _ in 0..DRAWS * order.len() as u64 {
            let drawn = self.random.below(order.len() as u64) as usize;
            if let Some(vehicle) = order.get(drawn).copied().filter(|vehicle| self.is_delayed(*vehicle)) {
                self.decide(vehicle, memory, true);
            }
        }
        self.evaluate_all();
    }

    /// A vehicle takes its best option that others can make way for; `pays`: only if all together gain.
    fn decide(&mut self, first: u16, memory: &mut Yielding, pays: bool) {
        let tries_max = if pays { TRIES_PAID_MAX } else { TRIES_MAX };
        memory.visits.fill(0);
        memory.tries = 0;
        memory.visits_max = if pays { VISITS_PAID_MAX } else { VISITS_MAX };
        let mut depth = 0;
        self.enter(first, 0, 0, memory);
        loop {
            let Level { vehicle, tried, count, worth, loss, old, .. } = memory.level(depth);
            if tried >= count || memory.tries >= tries_max {
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
            let choice = memory.choices.at(vehicle as usize * OPTIONS_MAX + tried);
            let after =
                loss + memory.weight(vehicle) * (i64::from(choice.key >> DRAWN_BITS) - i64::from(worth));
            let way = self.way(vehicle, &choice, memory, depth);
            let is_dear = pays && matches!(way, Way::Free) && (after > 0 || (after == 0 && depth == 0));
            if let Some(level) = memory.levels.get_mut(depth) {
                // All that come after are dearer still.
                level.tried = if is_dear { level.count } else { tried + 1 };
            }
            match way {
                Way::Free if !is_dear => {
                    self.lay(vehicle, &choice.path(old.at(0)));
                    for level in memory.levels.iter().take(depth + 1) {
                        let cost = self.evaluate(level.vehicle);
                        self.cost.put(level.vehicle as usize, cost);
                    }
                    return;
                }
                Way::One(other, step)
                    if depth + 1 < DEPTH_MAX && !memory.level(depth).is_barred(other, step) =>
                {
                    if let Some(level) = memory.levels.get_mut(depth)
                        && let Some(slot) = level.barred.get_mut(level.pushed)
                    {
                        *slot = (other, step);
                        level.pushed += 1;
                    }
                    memory.visits.put(other as usize, memory.visits.at(other as usize) + 1);
                    depth += 1;
                    self.enter(other, depth, after, memory);
                    self.lay(vehicle, &choice.path(old.at(0)));
                }
                Way::Free | Way::One(..) | Way::Barred => {}
            }
        }
    }

    /// Takes a vehicle out of the plan, and lists its options if that has not been done in this step.
    fn enter(&mut self, vehicle: u16, depth: usize, loss: i64, memory: &mut Yielding) {
        let slot = vehicle as usize;
        if memory.counts.at(slot) == 0 {
            let drawn = self.random.bits();
            let Yielding { choices, sequences, .. } = memory;
            let options = choices.part_mut(slot * OPTIONS_MAX, OPTIONS_MAX);
            let count = self.list_options(vehicle, drawn, sequences, options);
            memory.choices.part_mut(slot * OPTIONS_MAX, count).sort_unstable_by_key(|choice| choice.key);
            memory.counts.put(slot, count as u16);
        }
        let count = memory.counts.at(slot) as usize;
        let (worth, old) = (self.worth(vehicle), self.window.path(vehicle));
        if let Some(level) = memory.levels.get_mut(depth) {
            *level = Level { vehicle, count, worth, loss, old, ..NO_LEVEL };
        }
        self.lift(vehicle);
    }

    /// What the beginning of a vehicle's plan is worth: less is better.
    fn worth(&self, vehicle: u16) -> u32 {
        let scene = self.scene();
        let start = self.window.state(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, start / 4, self.goal.at(vehicle as usize));
        let mut step = Step::first(start, &aim);
        for number in 1..=LENGTH {
            let state = self.window.state(vehicle, number);
            step = step.to(state, &aim).unwrap_or(step);
        }
        step.worth()
    }

    /// All sequences of actions that can be driven from here.
    fn list_options(&self, vehicle: u16, drawn: u64, sequences: &[Sequence], into: &mut [Choice]) -> usize {
        let scene = self.scene();
        let start = self.window.state(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, start / 4, self.goal.at(vehicle as usize));
        let mut trail = [Some(Step::first(start, &aim)); LENGTH + 1];
        let mut count = 0;
        for sequence in sequences {
            let mut step = trail.get(sequence.shared).copied().flatten();
            for (depth, action) in sequence.actions.iter().enumerate().skip(sequence.shared) {
                step = step.and_then(|step| step.then(&scene, &aim, *action));
                if let Some(slot) = trail.get_mut(depth + 1) {
                    *slot = step;
                }
            }
            let (Some(last), Some(slot)) = (step, into.get_mut(count)) else { continue };
            let bits = drawn.rotate_right(DRAWN_BITS * count as u32) as u32 & ((1 << DRAWN_BITS) - 1);
            let mut states = [0; LENGTH];
            for (state, step) in states.iter_mut().zip(trail.iter().skip(1).flatten()) {
                *state = step.state;
            }
            *slot = Choice { key: (last.worth() << DRAWN_BITS) | bits, states };
            count += 1;
        }
        count
    }

    fn way(&self, vehicle: u16, choice: &Choice, memory: &Yielding, depth: usize) -> Way {
        let scene = self.scene();
        let (mut found, mut found_at) = (NOBODY, 0);
        let mut from = self.window.node(vehicle, 0);
        for step in 0..self.window.steps() {
            let to = choice.state(step) / 4;
            if from != to && !scene.yard.may_pass(vehicle, from, to) {
                return Way::Barred;
            }
            for other in conflicts(&scene, from, to, step) {
                if other == NOBODY || other == vehicle || other == found {
                    continue;
                }
                let slot = other as usize;
                let stays = self.held.at(slot) || memory.decided.at(slot);
                let asked = || memory.levels.iter().take(depth).any(|level| level.vehicle == other);
                if found != NOBODY || stays || memory.visits.at(slot) >= memory.visits_max || asked() {
                    return Way::Barred;
                }
                (found, found_at) = (other, step);
            }
            from = to;
        }
        if found == NOBODY { Way::Free } else { Way::One(found, found_at) }
    }
}

impl Choice {
    /// The state after a step, from 0 on.
    #[inline]
    fn state(&self, step: usize) -> u32 {
        let [.., last] = self.states;
        self.states.get(step).copied().unwrap_or(last)
    }

    fn path(&self, start: u32) -> Path {
        let [.., last] = self.states;
        let mut path = Path::resting(last);
        path.put(0, start);
        for (step, state) in self.states.iter().enumerate() {
            path.put(step + 1, *state);
        }
        path
    }
}
