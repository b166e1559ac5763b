//! What a vehicle may do without asking again.

use control_loops_fleet::{Heading, Node, Vehicle};

use crate::controller::FleetController;
use crate::order::OrderState;
use crate::vehicle::{Duty, Standing, Task};

/// A node on a vehicle's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waypoint {
    /// Counts on for each vehicle, over orders and courses.
    pub number: u32,
    /// Where.
    pub node: Node,
    /// How the vehicle arrives there.
    pub heading: Heading,
}

/// What a vehicle may do. Its base is [`FleetController::base`], its horizon [`FleetController::horizon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Changes when a base has been given up: what was granted before is void.
    pub course: u32,
    /// Where it stands, or the last waypoint that it has passed: the beginning of its base.
    pub from: Waypoint,
    /// The last waypoint of its base.
    pub to: Waypoint,
    /// What it is to do at its goal.
    pub task: Option<Task>,
    /// Whether the base ends at the goal: the task may begin there. It is not taken back then.
    pub task_granted: bool,
    /// The vehicle is to stand still and give up its course; then it says so
    /// ([`crate::VehicleReport::gave_up`]). Its order goes on elsewhere or later.
    pub recalled: bool,
}

impl FleetController {
    /// What a vehicle may do now; `None` if it is not on its way. It grows with each step, and is taken back
    /// only with its course.
    #[must_use]
    pub fn grant(&self, vehicle: Vehicle) -> Option<Grant> {
        let cart = self.cart(vehicle)?;
        if !self.traffic.release().is_there(vehicle) {
            return None;
        }
        let from = self.standing_point(vehicle);
        Some(Grant {
            course: cart.course,
            from,
            to: self.base(vehicle).last().unwrap_or(from),
            task: self.task(vehicle),
            task_granted: cart.task_granted,
            recalled: matches!(cart.standing, Standing::Failed | Standing::ByHand),
        })
    }

    /// The last waypoint that a vehicle has passed.
    fn standing_point(&self, vehicle: Vehicle) -> Waypoint {
        let release = self.traffic.release();
        let (node, heading) = (release.node(vehicle), release.heading(vehicle));
        Waypoint { number: self.look(vehicle).passed, node, heading }
    }

    /// A vehicle's base: from the last waypoint that it has passed, over all that it may drive to.
    pub fn base(&self, vehicle: Vehicle) -> impl Iterator<Item = Waypoint> + Clone + '_ {
        let first = self.standing_point(vehicle);
        let moves = self.base_nodes(vehicle).zip(1_u32..).map(move |((node, heading), index)| Waypoint {
            number: first.number.wrapping_add(index),
            node,
            heading,
        });
        core::iter::once(first).chain(moves)
    }

    /// The nodes of a vehicle's base after the one that it has passed.
    pub(crate) fn base_nodes(&self, vehicle: Vehicle) -> impl Iterator<Item = (Node, Heading)> + Clone + '_ {
        let release = self.traffic.release();
        let promised = release.promised(vehicle);
        moves(release.node(vehicle), release.actions(vehicle).take(promised))
    }

    /// What probably follows a vehicle's base: what is planned and not granted yet, then the shortest way to
    /// its goal. At most [`crate::Setup::horizon`] waypoints.
    pub fn horizon(&self, vehicle: Vehicle) -> impl Iterator<Item = Waypoint> + '_ {
        let (release, planner) = (self.traffic.release(), self.traffic.planner());
        let promised = release.promised(vehicle);
        let base_end = self.base(vehicle).last().unwrap_or(self.standing_point(vehicle));
        let planned = moves(base_end.node, release.actions(vehicle).skip(promised));
        let on_layout = release.is_there(vehicle);
        let (end, _) = release.end(vehicle);
        let mut state = on_layout.then_some(end);
        let ahead = core::iter::from_fn(move || {
            let (node, heading) = planner.next_toward_goal(vehicle, state?)?;
            state = Some(node);
            Some((node, heading))
        });
        planned.chain(ahead).zip(1_u32..).take(self.setup.horizon).map(move |((node, heading), index)| {
            Waypoint { number: base_end.number.wrapping_add(index), node, heading }
        })
    }

    /// Grants everybody what may be granted now.
    pub(crate) fn grant_all(&mut self) {
        for vehicle in self.all() {
            if self.look(vehicle).standing != Standing::Driving {
                continue;
            }
            let promised = self.traffic.promise(vehicle, self.setup.ahead);
            let release = self.traffic.release();
            let all = promised == release.actions(vehicle).count();
            let duty = self.look(vehicle).duty;
            let (end, _) = release.end(vehicle);
            let at_goal =
                self.goal_of(duty) == Some(end) && self.traffic.planner().goal(vehicle) == Some(end);
            let moving = promised > 0;
            let Some(cart) = self.carts.get_mut(usize::from(vehicle.0)) else { continue };
            cart.task_granted |= all && at_goal && !matches!(duty, Duty::ToPark(_) | Duty::Parked(_));
            if let (Duty::ToPick(slot), true) = (duty, moving || cart.task_granted) {
                self.set_state(slot, OrderState::ToPick(vehicle));
            }
        }
    }
}

/// The moves among actions; turns on the spot are left out.
fn moves(
    from: Node,
    actions: impl Iterator<Item = control_loops_fleet::Action> + Clone,
) -> impl Iterator<Item = (Node, Heading)> + Clone {
    actions
        .scan(from, |at, action| {
            let moved = core::mem::replace(at, action.node) != action.node;
            Some(moved.then_some((action.node, action.heading)))
        })
        .flatten()
}
