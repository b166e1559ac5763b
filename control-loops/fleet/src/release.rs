//! Plans carried out by vehicles that do not keep step: moves are released by dependency, not by clock.
//!
//! # Model
//!
//! The planner's steps are an order of events, not times. Each node serves its visitors in the order of the
//! plan: a visit gets the node's next ticket when it is planned, and may begin when all earlier visitors have
//! left. This is the action dependency graph (Hönig et al. 2019, doi:10.1109/LRA.2019.2894217) with one
//! counter per node instead of edges.
//!
//! # Invariant
//!
//! A vehicle holds each node from when it begins to move there until it has arrived at the next one, and
//! nobody begins to move to a node that is held: no collision, however late anybody is. The plan has no
//! closed ring of moves in one step ([`crate::Setup::rings`] is off), so the earliest move that is not done yet
//! always may begin: no deadlock, as long as each vehicle moves in the end.

use crate::graph::{Heading, Node, Vehicle};
use crate::planner::Planner;
use crate::store::Store;

/// What a vehicle does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Where it is afterwards; the same node for a turn.
    pub node: Node,
    /// How it stands afterwards.
    pub heading: Heading,
    /// Whether this ends at the goal that it had when this was planned.
    pub at_goal: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) action: Action,
    pub(crate) ticket: u32,
}

pub(crate) const NOTHING: Planned =
    Planned { action: Action { node: Node(0), heading: Heading::East, at_goal: false }, ticket: 0 };

/// What each vehicle has still to do, and whom each node serves.
#[derive(Debug, Clone)]
pub struct Release {
    pub(crate) ahead_max: usize,
    pub(crate) queue: Store<Planned>,
    pub(crate) first: Store<u32>,
    pub(crate) len: Store<u32>,
    /// Where each vehicle was when it did its last action, and how it stood then.
    pub(crate) node: Store<u32>,
    pub(crate) heading: Store<u32>,
    /// Where each vehicle is when all is done.
    pub(crate) end: Store<(u32, u32)>,
    /// Whether the first action has begun.
    pub(crate) under_way: Store<bool>,
    /// How many actions are promised to the vehicle and cannot be taken back.
    pub(crate) promised: Store<u32>,
    /// Who is not on the layout.
    pub(crate) absent: Store<bool>,
    /// Who keeps every node that it holds, because it may stay anywhere on its way.
    pub(crate) stuck: Store<bool>,
    pub(crate) tickets: Store<u32>,
    pub(crate) left: Store<u32>,
    /// For recalls: who loses what is not promised, and the nodes that they keep.
    pub(crate) recalled: Store<bool>,
    pub(crate) kept: Store<bool>,
}

impl Release {
    /// For the vehicles of a planner that has not moved yet. Each may be up to `ahead_max` actions behind
    /// the plan.
    #[must_use]
    pub fn new(planner: &Planner, ahead_max: usize) -> Self {
        let (vehicles, nodes) = (planner.vehicles() as usize, planner.graph().nodes());
        let mut release = Self {
            ahead_max: ahead_max.max(1),
            queue: Store::new(vehicles * ahead_max.max(1), NOTHING),
            first: Store::new(vehicles, 0),
            len: Store::new(vehicles, 0),
            node: Store::new(vehicles, 0),
            heading: Store::new(vehicles, 0),
            end: Store::new(vehicles, (0, 0)),
            under_way: Store::new(vehicles, false),
            promised: Store::new(vehicles, 0),
            absent: Store::new(vehicles, false),
            stuck: Store::new(vehicles, false),
            tickets: Store::new(nodes, 0),
            left: Store::new(nodes, 0),
            recalled: Store::new(vehicles, false),
            kept: Store::new(nodes, false),
        };
        for vehicle in 0..planner.vehicles() {
            if !planner.is_there(Vehicle(vehicle)) {
                release.absent.put(vehicle as usize, true);
                continue;
            }
            let (node, heading) = planner.position(Vehicle(vehicle));
            release.node.put(vehicle as usize, node.0);
            release.heading.put(vehicle as usize, heading.index());
            release.end.put(vehicle as usize, (node.0, heading.index()));
            release.tickets.put(node.0 as usize, 1);
        }
        release
    }

    /// Whether every vehicle has room for one more action: only then the planner may advance.
    #[must_use]
    pub fn has_room(&self) -> bool {
        (0..self.len.len() as u16).all(|vehicle| self.has_room_for(Vehicle(vehicle)))
    }

    /// Whether a vehicle has room for one more action.
    #[must_use]
    pub fn has_room_for(&self, vehicle: Vehicle) -> bool {
        (self.len.at(vehicle.0 as usize) as usize) < self.ahead_max
    }

    /// Takes over the step that the planner has just advanced by.
    pub fn take_over(&mut self, planner: &Planner) {
        for vehicle in 0..planner.vehicles() {
            let slot = vehicle as usize;
            if self.absent.at(slot) {
                continue;
            }
            let (node, heading) = planner.position(Vehicle(vehicle));
            let (end, end_heading) = self.end.at(slot);
            if (node.0, heading.index()) == (end, end_heading) || self.len.at(slot) as usize >= self.ahead_max
            {
                continue;
            }
            let moves = node.0 != end;
            let ticket = self.tickets.at(node.0 as usize);
            if moves {
                self.tickets.put(node.0 as usize, ticket.wrapping_add(1));
            }
            let at_goal = moves && planner.goal(Vehicle(vehicle)) == Some(node);
            let place = (self.first.at(slot) + self.len.at(slot)) as usize % self.ahead_max;
            let action = Action { node, heading, at_goal };
            self.queue.put(slot * self.ahead_max + place, Planned { action, ticket });
            self.len.put(slot, self.len.at(slot) + 1);
            self.end.put(slot, (node.0, heading.index()));
        }
    }

    pub(crate) fn planned(&self, vehicle: Vehicle, index: u32) -> Option<Planned> {
        let slot = vehicle.0 as usize;
        let place = (self.first.at(slot) + index) as usize % self.ahead_max;
        (index < self.len.at(slot)).then(|| self.queue.at(slot * self.ahead_max + place))
    }

    /// A vehicle's planned actions from the next one on.
    pub fn actions(&self, vehicle: Vehicle) -> impl Iterator<Item = Action> + Clone + '_ {
        (0..self.len.at(vehicle.0 as usize))
            .filter_map(move |index| Some(self.planned(vehicle, index)?.action))
    }

    /// Where a vehicle was when it did its last action.
    #[must_use]
    pub fn node(&self, vehicle: Vehicle) -> Node {
        Node(self.node.at(vehicle.0 as usize))
    }

    /// How a vehicle stood after its last action.
    #[must_use]
    pub fn heading(&self, vehicle: Vehicle) -> Heading {
        Heading::from_index(self.heading.at(vehicle.0 as usize))
    }

    /// Begins a vehicle's next action, if there is one and its turn has come.
    pub fn begin(&mut self, vehicle: Vehicle) -> Option<Action> {
        let slot = vehicle.0 as usize;
        let next = self.planned(vehicle, 0)?;
        if self.under_way.at(slot) || self.waits_for(vehicle).is_some() {
            return None;
        }
        self.under_way.put(slot, true);
        Some(next.action)
    }

    /// The node that a vehicle cannot enter yet because earlier visitors have not left it.
    #[must_use]
    pub fn waits_for(&self, vehicle: Vehicle) -> Option<Node> {
        let next = self.planned(vehicle, 0)?;
        let node = next.action.node;
        let moves = node.0 != self.node.at(vehicle.0 as usize);
        (moves && self.left.at(node.0 as usize) != next.ticket).then_some(node)
    }

    /// How many of the next actions may be done without asking again: the base of an order.
    #[must_use]
    pub fn released(&self, vehicle: Vehicle) -> usize {
        let mut at = self.node.at(vehicle.0 as usize);
        let mut count = 0;
        for index in 0..self.len.at(vehicle.0 as usize) {
            let Some(next) = self.planned(vehicle, index) else { break };
            let node = next.action.node.0;
            if node != at && self.left.at(node as usize) != next.ticket {
                break;
            }
            at = node;
            count += 1;
        }
        count
    }

    /// Ends the action that a vehicle has begun: it has arrived, and its last node is free.
    pub fn finish(&mut self, vehicle: Vehicle) -> Option<Action> {
        let slot = vehicle.0 as usize;
        if !self.under_way.at(slot) {
            return None;
        }
        let action = self.planned(vehicle, 0)?.action;
        self.under_way.put(slot, false);
        self.promised.put(slot, self.promised.at(slot).saturating_sub(1));
        self.heading.put(slot, action.heading.index());
        self.first.put(slot, (self.first.at(slot) + 1) % self.ahead_max as u32);
        self.len.put(slot, self.len.at(slot) - 1);
        let before = self.node.at(slot);
        if before != action.node.0 {
            self.left.put(before as usize, self.left.at(before as usize).wrapping_add(1));
            self.node.put(slot, action.node.0);
        }
        Some(action)
    }
}
