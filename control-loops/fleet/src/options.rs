//! What a vehicle that turns can do in the next few steps, and what that is worth.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::aim::Aim;
use crate::field::CLOSED;
use crate::graph::UNIT;
use crate::search::Scene;

/// Actions of one option.
pub(crate) const LENGTH: usize = 4;
/// Most options of one vehicle: sequences that turn there and back are left out.
pub(crate) const OPTIONS_MAX: usize = 160;
/// What is left at the end of an option counts so many times what is left after each step before: of options
/// that end alike, the one that gets on early is better, so that nobody puts off for ever what it can do now.
const END_WEIGHT: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Forward,
    Right,
    Left,
    Wait,
}

/// Actions, and how many of the first ones the sequence before has as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) actions: [Action; LENGTH],
    pub(crate) shared: usize,
}

impl Sequence {
    /// All that make sense, so that equal beginnings are neighbours.
    pub(crate) fn all() -> Box<[Self]> {
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
pub(crate) struct Step {
    pub(crate) state: u32,
    /// Steps so far, and what was done at the goal.
    cost: u32,
    to_go: u32,
    /// What was to go after each step but the last.
    sum: u32,
    done: bool,
}

impl Step {
    pub(crate) fn first(state: u32, aim: &Aim<'_>) -> Self {
        Self { state, cost: 0, to_go: 0, sum: 0, done: aim.reached(state) }
    }

    pub(crate) fn worth(&self) -> u32 {
        (self.cost + self.to_go) * END_WEIGHT + self.sum
    }

    /// What an action leads to; `None` if it cannot be done.
    pub(crate) fn then(self, scene: &Scene<'_>, aim: &Aim<'_>, action: Action) -> Option<Self> {
        let (node, heading) = (self.state / 4, self.state % 4);
        let state = match action {
            Action::Forward => {
                let link = scene.graph.out_of(node).iter().find(|link| u32::from(link.heading) == heading)?;
                if scene.arc_cost.at(link.arc as usize) == CLOSED {
                    return None;
                }
                link.node * 4 + heading
            }
            Action::Right => node * 4 + (heading + 1) % 4,
            Action::Left => node * 4 + (heading + 3) % 4,
            Action::Wait => self.state,
        };
        self.to(state, aim)
    }

    /// The next state; `None` if the goal cannot be reached from there.
    pub(crate) fn to(self, state: u32, aim: &Aim<'_>) -> Option<Self> {
        let sum = self.sum + self.to_go;
        if self.done {
            return Some(Self { state, cost: self.cost + u32::from(state != self.state), sum, ..self });
        }
        let cost = self.cost + u32::from(UNIT);
        let done = aim.reached(state);
        let to_go = if done { 0 } else { aim.to_go(state)? };
        Some(Self { state, cost, to_go, sum, done })
    }
}
