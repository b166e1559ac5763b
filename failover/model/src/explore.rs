//! Breadth first over all states: the first violation found is a shortest one.

use std::collections::{HashMap, HashSet};

use failover_protocol::Node;

use crate::hash::{AlreadyHashed, fingerprint};
use crate::mail::Loss;
use crate::space::{Action, Space, Violation};
use crate::world::World;

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Stop after so many states.
    pub states_max: usize,
    /// Remember the way to each state, to tell it if it ends in a violation.
    pub remember_ways: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Different states.
    pub states: usize,
    /// Transitions that were tried.
    pub transitions: u64,
    /// The longest of the shortest ways.
    pub depth: usize,
    /// Whether every state within the bounds was reached.
    pub complete: bool,
    /// The first broken invariant, with the way to it if ways were remembered.
    pub violation: Option<(Violation, Vec<Action>)>,
    /// Every so-many-th state, for the check that things come to a good end.
    pub sample: Vec<World>,
}

/// How many states are sampled at most.
const SAMPLE_MAX: usize = 4096;

/// A state's way: the state before, and what happened then.
type Ways = HashMap<u128, (u128, Action), AlreadyHashed>;

/// Explores from the given states.
pub fn explore(space: &mut Space, roots: &[World], limits: Limits) -> Findings {
    let mut search = Search {
        seen: HashSet::default(),
        ways: Ways::default(),
        next: Vec::new(),
        findings: Findings::default(),
        limits,
        sample_every: 1,
    };
    for root in roots {
        search.meet(*root, None);
    }
    let mut actions = Vec::new();
    while !search.next.is_empty() {
        let level = core::mem::take(&mut search.next);
        for world in &level {
            if space.is_beyond(world) {
                continue;
            }
            space.actions(world, &mut actions);
            let from = fingerprint(world);
            for action in &actions {
                search.take(space, world, from, *action);
                if search.findings.violation.is_some() {
                    return search.findings;
                }
            }
            if search.findings.states >= limits.states_max {
                return search.findings;
            }
        }
        if !search.next.is_empty() {
            search.findings.depth += 1;
        }
    }
    search.findings.complete = true;
    search.findings
}

struct Search {
    seen: HashSet<u128, AlreadyHashed>,
    ways: Ways,
    next: Vec<World>,
    findings: Findings,
    limits: Limits,
    sample_every: usize,
}

impl Search {
    /// Tries an action, and again with other losses if a message found no place.
    fn take(&mut self, space: &mut Space, world: &World, from: u128, action: Action) {
        for action in choices(action) {
            self.findings.transitions += 1;
            match space.apply(world, action) {
                Ok(next) => {
                    self.meet(next.world, Some((from, action)));
                    if !next.crowded {
                        return;
                    }
                }
                Err(violation) => {
                    let mut way = self.way_to(from);
                    way.push(action);
                    self.findings.violation = Some((violation, way));
                    return;
                }
            }
        }
    }

    fn meet(&mut self, world: World, way: Option<(u128, Action)>) {
        let key = fingerprint(&world);
        if !self.seen.insert(key) {
            return;
        }
        self.findings.states += 1;
        if self.limits.remember_ways
            && let Some(way) = way
        {
            self.ways.insert(key, way);
        }
        if self.findings.states.is_multiple_of(self.sample_every) {
            self.findings.sample.push(world);
            if self.findings.sample.len() >= SAMPLE_MAX {
                let mut keep = false;
                self.findings.sample.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.sample_every *= 2;
            }
        }
        self.next.push(world);
    }

    fn way_to(&self, mut key: u128) -> Vec<Action> {
        let mut way = Vec::new();
        while let Some((before, action)) = self.ways.get(&key) {
            way.push(*action);
            key = *before;
        }
        way.reverse();
        way
    }
}

/// The action with each choice of what is lost, the most natural first.
fn choices(action: Action) -> Vec<Action> {
    let with = |make: fn(Node, Loss) -> Action, node| {
        [Loss::Oldest, Loss::Newest, Loss::Sent].map(|loss| make(node, loss)).to_vec()
    };
    match action {
        Action::Tick(node, _) => with(Action::Tick, node),
        Action::Answer(node, _) => with(Action::Answer, node),
        Action::GiveUp(node, _) => with(Action::GiveUp, node),
        Action::Switchover(node, _) => with(Action::Switchover, node),
        Action::Resign(node, _) => with(Action::Resign, node),
        Action::HandOver(node, _) => with(Action::HandOver, node),
        Action::Sync(node, _) => with(Action::Sync, node),
        Action::Deliver(node, mail, _) => {
            [Loss::Oldest, Loss::Newest, Loss::Sent].map(|loss| Action::Deliver(node, mail, loss)).to_vec()
        }
        Action::Advance
        | Action::Execute(_)
        | Action::ExecuteOrphan(_)
        | Action::Kill(_)
        | Action::PowerLoss(_)
        | Action::Start(_) => vec![action],
    }
}
