//! Why a vehicle waits: from the plan and the rules of the traffic control, one cause after the other.

use crate::aim::Aim;
use crate::field::{CLOSED, UNREACHABLE};
use crate::graph::{Link, Node, Vehicle};
use crate::planner::Planner;
use crate::window::NOBODY;
use crate::yard::CROWD;

/// Why a vehicle is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It does not wait: in the next step it moves or turns.
    Moves {
        /// Where it is then.
        to: Node,
    },
    /// It has no goal, and nobody needs its node.
    Idle,
    /// It is at its goal.
    Arrived,
    /// No open way leads to its goal.
    Unreachable,
    /// It has to stay where it is.
    Pinned,
    /// Another one has waited for too long, and this one must not change its plan meanwhile.
    MakesWay {
        /// Who has the right of way.
        of: Vehicle,
    },
    /// Its goal is in a dead end that belongs to another one until that is out again.
    DeadEnd {
        /// To whom; nobody if several have to leave it first.
        owner: Option<Vehicle>,
    },
    /// Another one stands on the node that it needs next.
    Held {
        /// The node.
        node: Node,
        /// Who stands there.
        by: Vehicle,
    },
    /// Another one passes the node that it needs next before it.
    GivesWay {
        /// The node.
        node: Node,
        /// Who passes.
        to: Vehicle,
    },
    /// The way is free, but to go later is planned to be better for all.
    Later {
        /// In how many steps it moves; `None` if not within the window.
        steps: Option<u32>,
    },
}

impl Cause {
    /// On whom it depends.
    #[must_use]
    pub const fn depends_on(self) -> Option<Vehicle> {
        match self {
            Self::MakesWay { of } => Some(of),
            Self::DeadEnd { owner } => owner,
            Self::Held { by, .. } => Some(by),
            Self::GivesWay { to, .. } => Some(to),
            Self::Moves { .. }
            | Self::Idle
            | Self::Arrived
            | Self::Unreachable
            | Self::Pinned
            | Self::Later { .. } => None,
        }
    }
}

impl Planner {
    /// Why a vehicle waits; and why those on whom it depends do, until one depends on nobody or on one that
    /// was named before. As of the last plan.
    pub fn explain(&self, vehicle: Vehicle) -> impl Iterator<Item = (Vehicle, Cause)> + '_ {
        let mut next = (vehicle.0 < self.vehicles).then_some(vehicle);
        // A chain that closes is as long as the fleet at most; the check keeps it from going round.
        let mut steps = 0;
        core::iter::from_fn(move || {
            let now = next?;
            let cause = self.cause(now);
            steps += 1;
            next = cause.depends_on().filter(|other| *other != vehicle && steps < self.vehicles);
            Some((now, cause))
        })
    }

    /// Why this one is where it is.
    #[must_use]
    pub fn cause(&self, vehicle: Vehicle) -> Cause {
        let (id, slot) = (vehicle.0, vehicle.0 as usize);
        let (state, here) = (self.window.state(id, 0), self.window.node(id, 0));
        if self.window.state(id, 1) != state {
            return Cause::Moves { to: Node(self.window.node(id, 1)) };
        }
        if self.pinned.at(slot) {
            return Cause::Pinned;
        }
        let leader = self.right_of_way().filter(|leader| *leader != vehicle && self.held.at(slot));
        if let Some(of) = leader {
            return Cause::MakesWay { of };
        }
        let Some(goal) = self.goal.at(slot) else { return Cause::Idle };
        if goal.0 == here {
            return Cause::Arrived;
        }
        if self.fields.at(id, state) == UNREACHABLE {
            return Cause::Unreachable;
        }
        let Some(next) = self.wanted(vehicle) else { return Cause::Unreachable };
        if !self.yard.may_pass(id, here, next) {
            let owner = self.yard.branch_of(next).map_or(NOBODY, |branch| self.yard.owner(branch));
            let owner = (owner != NOBODY && owner != CROWD).then_some(Vehicle(owner));
            return Cause::DeadEnd { owner };
        }
        let node = Node(next);
        let other =
            |step: usize| Some(self.window.holder(step, next)).filter(|by| *by != NOBODY && *by != id);
        if let Some(by) = other(0) {
            return Cause::Held { node, by: Vehicle(by) };
        }
        let moves = (1..=self.window.steps()).find(|step| self.window.state(id, *step) != state);
        if let Some(to) = (1..=moves.unwrap_or(self.window.steps())).find_map(other) {
            return Cause::GivesWay { node, to: Vehicle(to) };
        }
        Cause::Later { steps: moves.map(|step| step as u32) }
    }

    /// The neighbour that is nearest to the goal, whoever is there.
    fn wanted(&self, vehicle: Vehicle) -> Option<u32> {
        let scene = self.scene();
        let here = self.window.node(vehicle.0, 0);
        let aim = Aim::new(&scene, vehicle.0, here, self.goal.at(vehicle.0 as usize));
        let value = |link: &&Link| {
            let price = self.arc_cost.at(link.arc as usize);
            let heading = if self.headings > 1 { u32::from(link.heading) } else { 0 };
            let to_go = aim.to_go(link.node * self.headings + heading)?;
            (price != CLOSED).then(|| to_go + u32::from(price))
        };
        let links = self.graph.out_of(here).iter();
        links.filter(|link| value(link).is_some()).min_by_key(value).map(|link| link.node)
    }
}
