//! Nobody waits for ever: the oldest errand has the right of way.
//!
//! # Invariant
//!
//! From [`crate::Setup::guard_age`] on, the vehicle with the oldest errand (of equal age: the lowest number)
//! gets nearer to its goal in every round, and a round takes at most [`ROUND_MAX`] steps.
//!
//! Why there is always such a round: whatever is planned, everybody may as well wait, so the plan can be
//! reset. Let the vehicle stand on `v` with its next node `u`. The core (see `yard.rs`) has more nodes
//! than there are vehicles, so some are free, and from `u` each is reached without passing `v`. All vehicles
//! on the shortest of these ways move on by one node; they turn first where they have to, and move at once.
//! If `v` and `u` are in a branch, nobody else is between: it belongs to one vehicle, or those in it
//! leave it from the outside inwards. If the goal's branch belongs to somebody who is in it, that one inherits
//! the right of way: to its own goal, if it had that before the other errand came of age, and then out. Nobody else
//! enters meanwhile.
//!
//! The errand then ends after as many rounds as its way has nodes. Its vehicle starts anew with age zero, so
//! each of the others is older than it at most once: see [`Planner::wait_max`].
//!
//! A vehicle that is pinned ([`Planner::set_pinned`]) stays where it is: whoever has the right of way goes
//! round it. Where that cannot be, it waits for as long as that lasts, the bound grows by as much, and the next
//! oldest that can get on has the right of way meanwhile.

use crate::aim::Aim;
use crate::field::CLOSED;
use crate::graph::Vehicle;
use crate::planner::Planner;
use crate::store::Store;
use crate::window::{NOBODY, Path};
use crate::yard::CROWD;

/// Most steps of one round: two quarter turns and the move.
pub(crate) const ROUND_MAX: u32 = 3;
const NO_NODE: u32 = u32::MAX;

/// Who has the right of way, and the memory to make room.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Steps left of the round.
    pub(crate) left: u32,
    pub(crate) oldest: Option<Vehicle>,
    pub(crate) leader: Option<Vehicle>,
    before: Store<u32>,
    queue: Store<u32>,
}

impl Guard {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            left: 0,
            oldest: None,
            leader: None,
            before: Store::new(nodes, NO_NODE),
            queue: Store::new(nodes, 0),
        }
    }
}

impl Planner {
    /// Sees to it that the oldest errand gets on. Before all other planning of a step.
    pub(crate) fn guard(&mut self) {
        self.guard.left = self.guard.left.saturating_sub(1);
        if self.guard.left > 0 {
            return;
        }
        self.release_held();
        (self.guard.oldest, self.guard.leader) = (None, None);
        let mut before = None;
        while let Some(oldest) = self.oldest(before) {
            self.reserve_for(Some(oldest));
            let leader = self.leader(oldest);
            if !self.pinned.at(leader as usize) && self.gets_on(leader) {
                (self.guard.oldest, self.guard.leader) = (Some(Vehicle(oldest)), Some(Vehicle(leader)));
                return;
            }
            // Who stands in its way stays: until that ends, the next one has the right of way.
            before = Some(self.seniority(oldest));
        }
        self.reserve_for(None);
    }

    /// Whether a vehicle gets nearer to its goal, by its plan or by one that is made for it.
    fn gets_on(&mut self, leader: u16) -> bool {
        match self.progress(leader) {
            Some(steps) => {
                self.held.put(leader as usize, true);
                self.guard.left = steps;
                true
            }
            None => self.make_room(leader),
        }
    }

    fn seniority(&self, vehicle: u16) -> (u32, core::cmp::Reverse<u16>) {
        (self.age.at(vehicle as usize), core::cmp::Reverse(vehicle))
    }

    /// The oldest of those that wait, or the next one after such a seniority.
    fn oldest(&self, before: Option<(u32, core::cmp::Reverse<u16>)>) -> Option<u16> {
        let waiting = |vehicle: &u16| {
            self.goal.at(*vehicle as usize).is_some()
                && self.age.at(*vehicle as usize) >= self.setup.guard_age
                && !self.is_cut_off(*vehicle)
                && !self.pinned.at(*vehicle as usize)
                && before.is_none_or(|before| self.seniority(*vehicle) < before)
        };
        (0..self.vehicles).filter(waiting).max_by_key(|vehicle| self.seniority(*vehicle))
    }

    /// Whom the oldest has to wait for: the one that is in its branch, or itself.
    fn leader(&mut self, oldest: u16) -> u16 {
        let Some(branch) = self.goal.at(oldest as usize).and_then(|goal| self.yard.branch_of(goal.0)) else {
            return oldest;
        };
        let here = |planner: &Self, vehicle: u16| planner.window.node(vehicle, 0);
        if self.yard.branch_of(here(self, oldest)) == Some(branch) && self.yard.owner(branch) == oldest {
            return oldest;
        }
        let inside = |vehicle: &u16| self.yard.branch_of(here(self, *vehicle)) == Some(branch);
        let outermost =
            (0..self.vehicles).filter(inside).min_by_key(|vehicle| self.yard.depth(here(self, *vehicle)));
        let Some(leader) = outermost else { return oldest };
        let age = |vehicle: u16| self.age.at(vehicle as usize);
        let began_late = leader != oldest && age(leader).saturating_add(self.setup.guard_age) < age(oldest);
        let has_no_reason_to_leave = self.goal.at(leader as usize).is_none() || began_late;
        if has_no_reason_to_leave && !self.pinned.at(leader as usize) {
            self.yard.give(branch, CROWD);
        }
        leader
    }

    /// After how many steps the vehicle is on another node and nearer, if that is soon.
    fn progress(&self, vehicle: u16) -> Option<u32> {
        let scene = self.scene();
        let node = self.window.node(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, node, self.goal.at(vehicle as usize));
        let now = self.nearest(&aim, node)?;
        (1..=ROUND_MAX).find(|step| {
            let state = self.window.state(vehicle, *step as usize);
            let at = state / self.headings;
            at != node && self.nearest(&aim, at).is_some_and(|then| then < now)
        })
    }

    /// Resets the plan and moves everybody between the vehicle's next node and the nearest free one; whether there
    /// are such nodes.
    fn make_room(&mut self, leader: u16) -> bool {
        let Some(next) = self.next_node(leader) else { return false };
        let Some(end) = self.free_node(leader, next) else { return false };
        self.stop_all();
        self.guard.left = self.shift_chain(leader, next, end);
        true
    }

    /// The neighbour that leads to the goal.
    fn next_node(&self, vehicle: u16) -> Option<u32> {
        let scene = self.scene();
        let node = self.window.node(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, node, self.goal.at(vehicle as usize));
        let now = self.nearest(&aim, node)?;
        let links = self.graph.out_of(node).iter().filter(|link| {
            let open = self.arc_cost.at(link.arc as usize) != CLOSED && !self.is_pinned_at(link.node);
            open && self.yard.may_pass(vehicle, node, link.node)
        });
        // Costs may have changed since the field was computed; to go on must be nearer by the field.
        let value = |link: &&crate::graph::Link| {
            let heading = if self.headings > 1 { u32::from(link.heading) } else { 0 };
            let to_go = aim.to_go(link.node * self.headings + heading)?;
            let after = self.nearest(&aim, link.node).filter(|after| *after < now)?;
            Some(to_go.max(after) + u32::from(self.arc_cost.at(link.arc as usize)))
        };
        links.filter(|link| value(link).is_some()).min_by_key(value).map(|link| link.node)
    }

    /// Whether somebody stands there who stays.
    fn is_pinned_at(&self, node: u32) -> bool {
        let holder = self.window.holder(0, node);
        holder != NOBODY && self.pinned.at(holder as usize)
    }

    /// What is to go from a node, however the vehicle stands on it.
    fn nearest(&self, aim: &Aim<'_>, node: u32) -> Option<u32> {
        let first = node * self.headings;
        (first..first + self.headings).filter_map(|state| aim.to_go(state)).min()
    }

    /// The nearest free node from `next` on, in breadth, without passing the leader. The way back is kept.
    fn free_node(&mut self, leader: u16, next: u32) -> Option<u32> {
        let from = self.window.node(leader, 0);
        let Self { guard, window, graph, arc_cost, yard, pinned, .. } = self;
        guard.before.fill(NO_NODE);
        guard.before.put(next as usize, from);
        guard.queue.put(0, next);
        let (mut read, mut written) = (0, 1);
        while read < written {
            let node = guard.queue.at(read);
            read += 1;
            let holder = window.holder(0, node);
            if holder == NOBODY {
                return Some(node);
            }
            if pinned.at(holder as usize) {
                continue;
            }
            for link in graph.out_of(node) {
                let known = guard.before.at(link.node as usize) != NO_NODE || link.node == from;
                let open = arc_cost.at(link.arc as usize) != CLOSED && yard.may_pass(holder, node, link.node);
                if !known && open && !yard.in_branch(link.node) {
                    guard.before.put(link.node as usize, node);
                    guard.queue.put(written, link.node);
                    written += 1;
                }
            }
        }
        None
    }

    /// All on the way move on by one node, at the same step. How many steps that takes.
    fn shift_chain(&mut self, leader: u16, next: u32, end: u32) -> u32 {
        let mut turns = 0;
        self.along_chain(leader, next, end, |planner, vehicle, to| {
            let state = planner.window.state(vehicle, 0);
            turns = turns.max(planner.quarters(state, to).map_or(0, |quarters| quarters.min(4 - quarters)));
        });
        let mut first = true;
        self.along_chain(leader, next, end, |planner, vehicle, to| {
            debug_assert!(!first || planner.window.holder(0, to) == NOBODY, "the chain ends on a free node");
            first = false;
            let start = planner.window.state(vehicle, 0);
            let mut path = Path::resting(start);
            let mut state = start;
            for step in 1..=turns {
                let quarters = planner.quarters(state, to).unwrap_or(0);
                let turned = match quarters {
                    0 => 0,
                    3 => 3,
                    _ => 1,
                };
                state = if planner.headings > 1 { state / 4 * 4 + (state + turned) % 4 } else { state };
                path.rest_from(step as usize, state);
            }
            let heading = if planner.headings > 1 { state % 4 } else { 0 };
            path.rest_from(turns as usize + 1, to * planner.headings + heading);
            planner.lift(vehicle);
            planner.lay(vehicle, &path);
            planner.held.put(vehicle as usize, true);
        });
        turns + 1
    }

    /// Calls for each vehicle of the chain with the node that it moves to, the one at the free node first.
    fn along_chain(&mut self, leader: u16, next: u32, end: u32, mut each: impl FnMut(&mut Self, u16, u32)) {
        let from = self.window.node(leader, 0);
        let mut to = end;
        for _ in 0..self.graph.spots() {
            let at = if to == next { from } else { self.guard.before.at(to as usize) };
            let vehicle = self.window.holder(0, at);
            if vehicle != NOBODY {
                each(self, vehicle, to);
            }
            if at == from {
                return;
            }
            to = at;
        }
    }

    /// Quarter turns to the right until a state faces a neighbour; `None` in the model without heading.
    fn quarters(&self, state: u32, to: u32) -> Option<u32> {
        if self.headings == 1 {
            return None;
        }
        let link = self.graph.out_of(state / 4).iter().find(|link| link.node == to)?;
        Some((u32::from(link.heading) + 4 - state % 4) % 4)
    }
}
