//! All that plan and release remember, to go on elsewhere.

use alloc::vec::Vec;

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::graph::{Heading, Node, Vehicle};
use crate::planner::Planner;
use crate::random::Random;
use crate::release::{Action, NOTHING, Planned, Release};
use crate::traffic::Traffic;
use crate::window::Path;

/// One vehicle in a [`TrafficState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct CartState {
    goal: Option<Node>,
    age: u32,
    pins: u8,
    stays: bool,
    idle: u32,
    held: bool,
    absent: bool,
    stuck: bool,
    node: u32,
    heading: u8,
    promised: u8,
    actions: u8,
}

/// An action that is not done. Turns have no turn to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct ActionState {
    node: u32,
    heading: u8,
    at_goal: bool,
    /// How many visits of the node come before.
    before: u16,
}

/// All that [`Traffic`] remembers: what it has planned, promised and closed. The layout is not in it, and
/// nothing that follows from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct TrafficState {
    vehicles: Vec<CartState>,
    /// The plan: for each vehicle its states from now on.
    plan: Vec<u32>,
    actions: Vec<ActionState>,
    /// Owners of the branches.
    owners: Vec<u16>,
    /// The branch that is kept free, and for whom.
    reserved: Option<(u16, u16)>,
    /// Arcs closed by name.
    shut: Vec<u32>,
    /// Closed nodes, with how often by name, and because of vehicles.
    node_shut: Vec<(u32, u16, u16)>,
    random: u64,
    guard_left: u32,
    oldest: Option<Vehicle>,
    leader: Option<Vehicle>,
    hops_max: u32,
    stalled: u32,
}

/// Why a state is not taken over; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignState;

impl TrafficState {
    /// An empty state with room for that of such a traffic: filling it allocates nothing.
    #[must_use]
    pub fn with_room_for(traffic: &Traffic) -> Self {
        let vehicles = usize::from(traffic.planner.vehicles());
        let (planner, release) = (&traffic.planner, &traffic.release);
        Self {
            vehicles: Vec::with_capacity(vehicles),
            plan: Vec::with_capacity(vehicles * (planner.window.steps() + 1)),
            actions: Vec::with_capacity(vehicles * release.ahead_max),
            owners: Vec::with_capacity(usize::from(planner.yard.branches())),
            shut: Vec::with_capacity(planner.graph.arcs()),
            node_shut: Vec::with_capacity(planner.graph.nodes()),
            ..Self::default()
        }
    }
}

impl Traffic {
    /// Writes all that is remembered.
    pub fn save(&self, into: &mut TrafficState) {
        let (planner, release) = (&self.planner, &self.release);
        into.vehicles.clear();
        into.plan.clear();
        into.actions.clear();
        for vehicle in 0..planner.vehicles {
            let slot = usize::from(vehicle);
            into.vehicles.push(CartState {
                goal: planner.goal.at(slot),
                age: planner.age.at(slot),
                pins: self.pins.at(slot),
                stays: self.stays.at(slot),
                idle: self.idle.at(slot),
                held: planner.held.at(slot),
                absent: release.absent.at(slot),
                stuck: release.stuck.at(slot),
                node: release.node.at(slot),
                heading: release.heading.at(slot) as u8,
                promised: release.promised.at(slot) as u8,
                actions: release.len.at(slot) as u8,
            });
            into.plan.extend((0..=planner.window.steps()).map(|step| planner.window.state(vehicle, step)));
            release.save_actions(Vehicle(vehicle), &mut into.actions);
        }
        into.owners.clear();
        into.owners.extend((0..planner.yard.branches()).map(|branch| planner.yard.owner(branch)));
        into.reserved = planner.yard.reserved();
        into.shut.clear();
        into.shut.extend((0..planner.graph.arcs() as u32).filter(|arc| planner.shut.at(*arc as usize)));
        into.node_shut.clear();
        let shut = (0..planner.graph.nodes() as u32)
            .map(|node| (node, planner.node_shut.at(node as usize), planner.node_barred.at(node as usize)));
        into.node_shut.extend(shut.filter(|(_, shut, barred)| *shut > 0 || *barred > 0));
        into.random = planner.random.state();
        (into.guard_left, into.oldest, into.leader) =
            (planner.guard.left, planner.guard.oldest, planner.guard.leader);
        (into.hops_max, into.stalled) = (planner.hops_max, self.stalled);
    }

    /// Goes on from what another one remembered, on the same layout with the same fleet.
    ///
    /// # Errors
    /// If the state does not fit this traffic or contradicts itself; nothing has changed then.
    pub fn restore(&mut self, state: &TrafficState) -> Result<(), ForeignState> {
        self.check(state).ok_or(ForeignState)?;
        self.planner.restore(state);
        self.release.restore(state);
        for (slot, cart) in state.vehicles.iter().enumerate() {
            self.pins.put(slot, cart.pins);
            self.stays.put(slot, cart.stays);
            self.idle.put(slot, cart.idle);
            self.planner.pinned.put(slot, cart.pins != 0);
            self.planner.held.put(slot, cart.held);
        }
        self.stalled = state.stalled;
        Ok(())
    }

    /// Sizes and indices, and that no two vehicles are on one node at a time.
    fn check(&self, state: &TrafficState) -> Option<()> {
        let (planner, release) = (&self.planner, &self.release);
        let vehicles = usize::from(planner.vehicles);
        let (row, nodes) = (planner.window.steps() + 1, planner.graph.nodes() as u32);
        let states = planner.graph.spots() as u32 * planner.headings;
        let counted: usize = state.vehicles.iter().map(|cart| usize::from(cart.actions)).sum();
        let fits = state.vehicles.len() == vehicles
            && state.plan.len() == vehicles * row
            && state.owners.len() == usize::from(planner.yard.branches())
            && state.reserved.is_none_or(|(branch, vehicle)| {
                branch < planner.yard.branches() && vehicle < planner.vehicles
            })
            && state.actions.len() == counted
            && state.plan.iter().all(|at| *at < states)
            && state.actions.iter().all(|action| action.node < nodes && action.heading < 4)
            && state.shut.iter().all(|arc| (*arc as usize) < planner.graph.arcs())
            && state.node_shut.iter().all(|(node, ..)| *node < nodes)
            && [state.oldest, state.leader].iter().flatten().all(|vehicle| vehicle.0 < planner.vehicles);
        let cart = |cart: &CartState| {
            cart.node < nodes
                && cart.heading < 4
                && usize::from(cart.actions) <= release.ahead_max
                && cart.promised <= cart.actions
                && cart.goal.is_none_or(|goal| goal.0 < nodes)
        };
        if !fits || !state.vehicles.iter().all(cart) {
            return None;
        }
        for step in 0..row {
            let at = |vehicle: usize| state.plan.get(vehicle * row + step).map(|at| at / planner.headings);
            for vehicle in 0..vehicles {
                if (0..vehicle).any(|other| at(other) == at(vehicle)) {
                    return None;
                }
            }
        }
        Some(())
    }
}

impl Planner {
    fn restore(&mut self, state: &TrafficState) {
        let row = self.window.steps() + 1;
        for vehicle in 0..self.vehicles {
            self.window.remove(vehicle);
        }
        for vehicle in 0..self.vehicles {
            let first = usize::from(vehicle) * row;
            let mut path = Path::resting(0);
            for (step, at) in state.plan.iter().skip(first).take(row).enumerate() {
                path.rest_from(step, *at);
            }
            self.window.insert(vehicle, &path);
        }
        for (branch, owner) in (0_u16..).zip(&state.owners) {
            self.yard.give(branch, *owner);
        }
        self.yard.reserve(state.reserved);
        self.shut.fill(false);
        state.shut.iter().for_each(|arc| self.shut.put(*arc as usize, true));
        self.node_shut.fill(0);
        self.node_barred.fill(0);
        for (node, shut, barred) in &state.node_shut {
            self.node_shut.put(*node as usize, *shut);
            self.node_barred.put(*node as usize, *barred);
        }
        self.reprice();
        self.stale.fill(false);
        for (vehicle, cart) in (0_u16..).zip(&state.vehicles) {
            self.goal.put(usize::from(vehicle), cart.goal);
            self.age.put(usize::from(vehicle), cart.age);
            self.yard.set_aim(vehicle, cart.goal);
            if let Some(goal) = cart.goal {
                self.compute_field(Vehicle(vehicle), goal);
            }
        }
        self.random = Random::new(state.random);
        (self.guard.left, self.guard.oldest, self.guard.leader) =
            (state.guard_left, state.oldest, state.leader);
        self.hops_max = state.hops_max;
    }

    /// All costs anew, from what is closed.
    fn reprice(&mut self) {
        for to in 0..self.graph.nodes() as u32 {
            for index in 0..self.graph.links_to(to).len() {
                let Some(link) = self.graph.links_to(to).get(index).copied() else { break };
                let cost = self.cost_now(link.arc, to);
                self.arc_cost.put(link.arc as usize, cost);
            }
        }
        self.closings = self.closings.wrapping_add(1);
    }
}

impl Release {
    fn save_actions(&self, vehicle: Vehicle, into: &mut Vec<ActionState>) {
        for index in 0..self.len.at(usize::from(vehicle.0)) {
            let Some(Planned { action, ticket }) = self.planned(vehicle, index) else { continue };
            let before = ticket.wrapping_sub(self.left.at(action.node.0 as usize));
            into.push(ActionState {
                node: action.node.0,
                heading: action.heading.index() as u8,
                at_goal: action.at_goal,
                before: before as u16,
            });
        }
    }

    /// Tickets begin anew: only what comes before what matters.
    fn restore(&mut self, state: &TrafficState) {
        self.left.fill(0);
        self.tickets.fill(0);
        self.queue.fill(NOTHING);
        let mut actions = state.actions.iter();
        for (slot, cart) in state.vehicles.iter().enumerate() {
            self.absent.put(slot, cart.absent);
            self.stuck.put(slot, cart.stuck);
            self.node.put(slot, cart.node);
            self.heading.put(slot, u32::from(cart.heading));
            self.promised.put(slot, u32::from(cart.promised));
            self.under_way.put(slot, false);
            self.first.put(slot, 0);
            self.len.put(slot, u32::from(cart.actions));
            let mut end = (cart.node, u32::from(cart.heading));
            if !cart.absent {
                self.count_visit(cart.node);
            }
            for (index, saved) in actions.by_ref().take(usize::from(cart.actions)).enumerate() {
                let heading = Heading::from_index(u32::from(saved.heading));
                let action = Action { node: Node(saved.node), heading, at_goal: saved.at_goal };
                let planned = Planned { action, ticket: u32::from(saved.before) };
                self.queue.put(slot * self.ahead_max + index, planned);
                if saved.node != end.0 {
                    self.count_visit(saved.node);
                }
                end = (saved.node, heading.index());
            }
            self.end.put(slot, end);
        }
    }

    fn count_visit(&mut self, node: u32) {
        self.tickets.put(node as usize, self.tickets.at(node as usize).wrapping_add(1));
    }
}
