//! The traffic control: who goes where in the next step, and in the window after it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::aim::Aim;
use crate::field::{CLOSED, Fields, Motion, UNREACHABLE};
use crate::graph::{Graph, Heading, Node, UNIT, Vehicle};
use crate::guard::{Guard, ROUND_MAX};
use crate::improve::Group;
use crate::random::Random;
use crate::rollout::Rollout;
use crate::search::{Scene, Search};
use crate::setup::{GoalError, PlannerError, Setup};
use crate::store::Store;
use crate::window::{NOBODY, Path, WINDOW_MAX, Window};
use crate::yard::{CROWD, Yard};
use crate::yielding::Yielding;

/// How strongly the age of an errand counts: a step of age is worth so many sixteenths of a plain vehicle's
/// cost, up to [`AGE_COUNTED_MAX`].
const AGE_WEIGHT: u32 = 4;
const AGE_COUNTED_MAX: u32 = 200;
const PLAIN_WEIGHT: u32 = 16;
/// Who decides first: a step to go counts as much as so many steps of age.
const AGE_PER_STEP: u32 = 4;
/// What a conflict costs in the search for better plans, drawn at random.
const PENALTIES: [u16; 4] = [0, 2, 6, 12];
/// The search for better plans gives up after so many rounds over the fleet.
const ROUNDS_MAX: u32 = 64;

/// Routes and right of way for all vehicles.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(crate) setup: Setup,
    pub(crate) headings: u32,
    pub(crate) vehicles: u16,
    pub(crate) graph: Graph,
    pub(crate) fields: Fields,
    pub(crate) window: Window,
    pub(crate) yard: Yard,
    pub(crate) arc_cost: Store<u16>,
    pub(crate) search: Search,
    pub(crate) goal: Store<Option<Node>>,
    /// Whose field is to be computed anew, because of what was closed or opened since.
    pub(crate) stale: Store<bool>,
    pub(crate) age: Store<u32>,
    pub(crate) weight: Store<u32>,
    /// What each vehicle's path costs, and what it would cost without the others.
    pub(crate) cost: Store<u32>,
    pub(crate) best: Store<u32>,
    /// Who may not be moved now, because somebody has the right of way.
    pub(crate) held: Store<bool>,
    /// Who stays where it is, whatever the others need.
    pub(crate) pinned: Store<bool>,
    /// Arcs that are closed by name, and how often each node is.
    pub(crate) shut: Store<bool>,
    pub(crate) node_shut: Store<u16>,
    /// How often each node is closed because of a vehicle.
    pub(crate) node_barred: Store<u16>,
    /// Grows with each change of what is closed.
    pub(crate) closings: u32,
    /// Vehicles that are taken out of the plan, with the states to rest in.
    pub(crate) lifted: Store<(u16, u32)>,
    pub(crate) placed: Store<u32>,
    pub(crate) round: u32,
    pub(crate) group: Group,
    pub(crate) guard: Guard,
    pub(crate) random: Random,
    order: Box<[u16]>,
    rollout: Option<Rollout>,
    yielding: Option<Yielding>,
    pub(crate) hops_max: u32,
}

impl Planner {
    /// A planner for vehicles that stand still on these nodes. All memory is taken here.
    ///
    /// # Errors
    /// If traffic on this layout, with so many vehicles, could come to a standstill; see [`PlannerError`].
    pub fn new(graph: Graph, starts: &[(Node, Heading)], setup: Setup) -> Result<Self, PlannerError> {
        let starts: Vec<_> = starts.iter().copied().map(Some).collect();
        Self::with_absent(graph, &starts, setup)
    }

    /// As [`Planner::new`]; a vehicle without a start is not on the layout until [`Planner::relocate`].
    ///
    /// # Errors
    /// As if all vehicles were there.
    pub fn with_absent(
        graph: Graph,
        starts: &[Option<(Node, Heading)>],
        setup: Setup,
    ) -> Result<Self, PlannerError> {
        let graph = graph.with_aside(starts.len());
        let yard = Yard::new(&graph, starts.len()).map_err(PlannerError::Layout)?;
        let (core_nodes, count) = (yard.core_nodes(), starts.len());
        if count >= core_nodes || count >= CROWD as usize {
            return Err(PlannerError::Full { vehicles: count, core_nodes });
        }
        let headings = setup.motion.headings();
        let window = Window::new(graph.spots(), headings, count, setup.window);
        let mut arc_cost = Store::new(graph.arcs(), UNIT);
        for arc in 0..graph.arcs() {
            arc_cost.put(arc, graph.cost(arc as u32));
        }
        let pebble = setup.motion == Motion::Pebble;
        let mut planner = Self {
            setup,
            headings,
            vehicles: count as u16,
            fields: Fields::new(&graph, setup.motion, count),
            search: Search::new(&graph, headings, window.steps()),
            goal: Store::new(count, None),
            stale: Store::new(count, false),
            age: Store::new(count, 0),
            weight: Store::new(count, PLAIN_WEIGHT),
            cost: Store::new(count, 0),
            best: Store::new(count, 0),
            held: Store::new(count, false),
            pinned: Store::new(count, false),
            shut: Store::new(graph.arcs(), false),
            node_shut: Store::new(graph.spots(), 0),
            node_barred: Store::new(graph.spots(), 0),
            closings: 0,
            lifted: Store::new(count, (NOBODY, 0)),
            placed: Store::new(count, 0),
            round: 0,
            group: Group::new(),
            guard: Guard::new(graph.spots()),
            random: Random::new(setup.seed),
            order: (0..count as u16).collect(),
            rollout: pebble.then(|| Rollout::new(graph.spots(), count)),
            yielding: (!pebble).then(|| Yielding::new(count)),
            hops_max: 0,
            graph,
            window,
            yard,
            arc_cost,
        };
        planner.settle(starts)?;
        Ok(planner)
    }

    fn settle(&mut self, starts: &[Option<(Node, Heading)>]) -> Result<(), PlannerError> {
        for (vehicle, start) in (0_u16..).zip(starts) {
            let Some((node, heading)) = start else {
                self.lay(vehicle, &Path::resting(self.aside(vehicle)));
                continue;
            };
            if node.0 as usize >= self.graph.nodes() {
                return Err(PlannerError::UnknownNode { vehicle: Vehicle(vehicle) });
            }
            if self.window.holder(0, node.0) != NOBODY {
                return Err(PlannerError::SameNode { vehicle: Vehicle(vehicle) });
            }
            let heading = if self.headings > 1 { heading.index() } else { 0 };
            self.lay(vehicle, &Path::resting(node.0 * self.headings + heading));
        }
        Ok(())
    }

    /// How many vehicles there are.
    #[must_use]
    pub fn vehicles(&self) -> u16 {
        self.vehicles
    }

    /// Whether a vehicle is on the layout.
    #[must_use]
    pub fn is_there(&self, vehicle: Vehicle) -> bool {
        (self.window.node(vehicle.0, 0) as usize) < self.graph.nodes()
    }

    /// The layout.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where a vehicle is.
    #[must_use]
    pub fn position(&self, vehicle: Vehicle) -> (Node, Heading) {
        self.planned(vehicle, 0)
    }

    /// Where a vehicle will be in so many steps, as planned now; 0 is now.
    #[must_use]
    pub fn planned(&self, vehicle: Vehicle, steps: usize) -> (Node, Heading) {
        let state = self.window.state(vehicle.0, steps.min(self.window.steps()));
        let heading = if self.headings > 1 { state % self.headings } else { 0 };
        (Node(state / self.headings), Heading::from_index(heading))
    }

    /// A vehicle's goal, if it has one.
    #[must_use]
    pub fn goal(&self, vehicle: Vehicle) -> Option<Node> {
        self.goal.at(vehicle.0 as usize)
    }

    /// Steps since a vehicle got its goal, or was there.
    #[must_use]
    pub fn age(&self, vehicle: Vehicle) -> u32 {
        self.age.at(vehicle.0 as usize)
    }

    /// Gives a vehicle a goal, or none: then it only makes way. Its errand's age begins anew.
    ///
    /// # Errors
    /// See [`GoalError`]; nothing changes then.
    pub fn set_goal(&mut self, vehicle: Vehicle, goal: Option<Node>) -> Result<(), GoalError> {
        if vehicle.0 >= self.vehicles {
            return Err(GoalError::UnknownVehicle);
        }
        if let Some(goal) = goal {
            if goal.0 as usize >= self.graph.nodes() {
                return Err(GoalError::UnknownNode);
            }
            let before = self.goal(vehicle);
            self.compute_field(vehicle, goal);
            if self.fields.at(vehicle.0, self.window.state(vehicle.0, 0)) == UNREACHABLE {
                if let Some(before) = before {
                    self.compute_field(vehicle, before);
                }
                return Err(GoalError::Unreachable);
            }
        }
        self.goal.put(vehicle.0 as usize, goal);
        self.yard.set_aim(vehicle.0, goal);
        self.age.put(vehicle.0 as usize, 0);
        Ok(())
    }

    /// Steps from where a vehicle will be at the end of its released way to its goal, without the others.
    #[must_use]
    pub fn steps_to_goal(&self, vehicle: Vehicle) -> Option<u32> {
        self.goal(vehicle)?;
        let cost = self.fields.at(vehicle.0, self.window.state(vehicle.0, 0));
        (cost != UNREACHABLE).then(|| u32::from(cost / UNIT))
    }

    /// Whether no open way leads to a vehicle's goal.
    #[must_use]
    pub fn is_cut_off_from_goal(&self, vehicle: Vehicle) -> bool {
        self.goal(vehicle).is_some() && self.is_cut_off(vehicle.0)
    }

    /// The node after this one on a shortest way to a vehicle's goal, and how it arrives there. `None` at the
    /// goal, without one, or if no way leads there.
    #[must_use]
    pub fn next_toward_goal(&self, vehicle: Vehicle, from: Node) -> Option<(Node, Heading)> {
        let goal = self.goal(vehicle)?;
        if goal == from || from.0 as usize >= self.graph.nodes() {
            return None;
        }
        let nearest = |link: &&crate::graph::Link| {
            let price = self.arc_cost.at(link.arc as usize);
            let heading = if self.headings > 1 { u32::from(link.heading) } else { 0 };
            let to_go = self.fields.at(vehicle.0, link.node * self.headings + heading);
            let open = price != CLOSED && to_go != UNREACHABLE;
            if open { u32::from(to_go) + u32::from(price) } else { u32::MAX }
        };
        let link = self.graph.out_of(from.0).iter().min_by_key(nearest)?;
        (nearest(&link) != u32::MAX).then(|| (Node(link.node), Heading::from_index(u32::from(link.heading))))
    }

    pub(crate) fn compute_field(&mut self, vehicle: Vehicle, goal: Node) {
        let Self { fields, graph, arc_cost, .. } = self;
        let farthest = fields.compute(graph, vehicle.0, goal, |arc, _| arc_cost.at(arc as usize));
        let cheapest = (0..graph.arcs()).map(|arc| arc_cost.at(arc)).min().unwrap_or(UNIT).max(1);
        self.hops_max = self.hops_max.max(farthest / u32::from(cheapest));
        self.stale.put(vehicle.0 as usize, false);
    }

    /// The longest that an errand can take on this layout, in steps, for the goals given so far.
    ///
    /// An errand is the oldest after at most [`Setup::guard_age`] steps and the errands of all others; each
    /// takes as many rounds as its way has nodes, and twice as many for one that is in its branch, has to get to its own
    /// goal there, and out.
    #[must_use]
    pub fn wait_max(&self) -> u64 {
        let errand = u64::from(3 * self.hops_max) * u64::from(ROUND_MAX);
        u64::from(self.setup.guard_age) + u64::from(self.vehicles) * errand
    }

    /// Who has the right of way because its errand is old, or who inherited it.
    #[must_use]
    pub fn right_of_way(&self) -> Option<Vehicle> {
        self.guard.leader
    }

    /// Plans the window from here; then [`Planner::advance`] carries out its first step.
    pub fn plan(&mut self) {
        self.search.expansions = 0;
        self.renew_fields();
        self.guard();
        self.evaluate_all();
        for vehicle in 0..self.vehicles as usize {
            let age = self.age.at(vehicle).min(AGE_COUNTED_MAX);
            self.weight.put(vehicle, PLAIN_WEIGHT + AGE_WEIGHT * age);
        }
        let mut order = core::mem::take(&mut self.order);
        let Self { age, best, yard, window, .. } = &*self;
        order.sort_unstable_by_key(|vehicle| {
            let slot = *vehicle as usize;
            let to_go = i64::from(best.at(slot)) * i64::from(AGE_PER_STEP);
            // Whoever is in a dead end lets others in by leaving it.
            let inside = yard.in_branch(window.node(*vehicle, 0));
            (!inside, to_go - i64::from(age.at(slot)) * i64::from(UNIT), *vehicle)
        });
        self.begin_anew(&order);
        for vehicle in order.iter().copied() {
            if self.is_delayed(vehicle) {
                self.improve_alone(vehicle);
            }
        }
        self.improve(&order);
        self.order = order;
    }

    pub(crate) fn is_delayed(&self, vehicle: u16) -> bool {
        let slot = vehicle as usize;
        self.cost.at(slot) > self.best.at(slot) && !self.held.at(slot)
    }

    /// A plan made from scratch by priority, in place of the old one where that is better.
    fn begin_anew(&mut self, order: &[u16]) {
        let mut yielding = self.yielding.take();
        if let Some(memory) = yielding.as_mut() {
            self.give_way(order, memory);
        }
        self.yielding = yielding;
        let mut rollout = self.rollout.take();
        if let Some(memory) = rollout.as_mut().filter(|_| self.guard.left == 0) {
            let mut random = self.random;
            memory.run(&self.scene(), &self.goal, &self.pinned, order, &mut random);
            self.random = random;
            let before = self.total();
            self.exchange(memory);
            if self.total() > before {
                self.exchange(memory);
            }
        }
        self.rollout = rollout;
    }

    fn improve(&mut self, order: &[u16]) {
        for _ in 0..ROUNDS_MAX {
            let mut any = false;
            for vehicle in order.iter().copied() {
                if self.search.expansions >= self.setup.effort {
                    return;
                }
                if self.is_delayed(vehicle) {
                    any = true;
                    let drawn = self.random.below(PENALTIES.len() as u64) as usize;
                    self.improve_group(vehicle, PENALTIES.get(drawn).copied().unwrap_or(0));
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Everybody takes its first planned step. Ages grow by one; of those at their goals they are 0.
    pub fn advance(&mut self) {
        for vehicle in 0..self.vehicles {
            self.leave_branch(vehicle);
        }
        self.window.shift(0..self.vehicles);
        for vehicle in 0..self.vehicles {
            let arrived = self.goal.at(vehicle as usize) == Some(Node(self.window.node(vehicle, 0)));
            let age = self.age.at(vehicle as usize);
            self.age.put(vehicle as usize, if arrived { 0 } else { age.saturating_add(1) });
            self.claim(vehicle);
        }
    }

    pub(crate) fn scene(&self) -> Scene<'_> {
        Scene {
            graph: &self.graph,
            fields: &self.fields,
            window: &self.window,
            yard: &self.yard,
            arc_cost: &self.arc_cost,
            rings: self.setup.rings,
            headings: self.headings,
        }
    }

    fn total(&self) -> u64 {
        let weighted = |vehicle| u64::from(self.weight.at(vehicle)) * u64::from(self.cost.at(vehicle));
        (0..self.vehicles as usize).map(weighted).sum()
    }

    /// Exchanges the whole plan with the one in the memory.
    fn exchange(&mut self, memory: &mut Rollout) {
        for vehicle in 0..self.vehicles {
            self.lift(vehicle);
        }
        for vehicle in 0..self.vehicles {
            let path = memory.path(vehicle);
            memory.keep(vehicle, &self.window.path(vehicle));
            self.lay(vehicle, &path);
        }
        self.evaluate_all();
    }

    pub(crate) fn evaluate_all(&mut self) {
        for vehicle in 0..self.vehicles {
            let (cost, best) = (self.evaluate(vehicle), self.bound(vehicle));
            self.cost.put(vehicle as usize, cost);
            self.best.put(vehicle as usize, best);
        }
    }

    /// What a vehicle's path costs, with what is left after the window.
    pub(crate) fn evaluate(&self, vehicle: u16) -> u32 {
        let scene = self.scene();
        let mut before = self.window.state(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, before / self.headings, self.goal.at(vehicle as usize));
        let mut done = aim.reached(before);
        let mut cost = 0;
        for step in 1..=self.window.steps() {
            let state = self.window.state(vehicle, step);
            let (from, to) = (before / self.headings, state / self.headings);
            if done {
                cost += u32::from(state != before);
            } else if from == to {
                cost += u32::from(UNIT);
            } else {
                let link = self.graph.out_of(from).iter().find(|link| link.node == to);
                cost += link.map_or(0, |link| u32::from(self.arc_cost.at(link.arc as usize)));
                done = aim.reached(state);
            }
            before = state;
        }
        if done { cost } else { cost + aim.to_go(before).unwrap_or(u32::from(CLOSED)) }
    }

    /// What the way would cost without the others.
    fn bound(&self, vehicle: u16) -> u32 {
        let scene = self.scene();
        let state = self.window.state(vehicle, 0);
        let aim = Aim::new(&scene, vehicle, state / self.headings, self.goal.at(vehicle as usize));
        if aim.reached(state) { 0 } else { aim.to_go(state).unwrap_or(0) }
    }
}

// The window keeps at least a round of the guard, so that its moves always fit.
const _: () = assert!(WINDOW_MAX > ROUND_MAX as usize);
